import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runProgram } from '../../src/cli/program.ts';
import { ProducerClient } from '../../src/producer/index.ts';
import type { List } from '../../src/protocol/api/lists.ts';
import type { QueueRow } from '../../src/protocol/api/queue.ts';
import { runCommand } from '../support/command.ts';
import { scriptedHttp } from '../support/fakes/scripted-http.ts';
import { TestServer } from '../support/queues/test-server.ts';

/** A queue with consumers, one with work and none, and work in the unnamed one. */
async function threeQueues() {
  const stack = new AsyncDisposableStack();
  const server = stack.use(await TestServer.start());
  const url = `127.0.0.1:${server.port}`;
  const insert = async (queue: string, chunks: number) => {
    await using producer = new ProducerClient(url + queue, null);
    const ops = Array.from({ length: chunks }, (_, i) => i);
    const strategicMetadata = { customer: chunks };
    return producer.insertSubmission(ops, { in: 'queue', chunkSize: 1, strategicMetadata });
  };
  const unnamed = await insert('', 1);
  const typo = await insert('/q/imgaes', 4_000);
  const images = await insert('/q/images', 5);
  const consumer = await server.consumer(undefined, '/q/images');
  await consumer.reserved(2);
  return { server, url, unnamed, typo, images, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test('queues are listed as a table that names what nobody works on, and as JSON', async () => {
  await using queues = await threeQueues();
  for (const url of [queues.url, `${queues.url}/q/images`, `${queues.url}/q/nobody-there/`]) {
    assert.deepEqual(await runCommand(['queues', '--url', url]), {
      code: 0,
      stdout: `\
QUEUE   SUBMISSIONS  WAITING  IN FLIGHT  DELAYED  PAUSED  CONSUMERS
-                 1        1          0        0       0          0  no consumers
images            1        3          2        0       0          1
imgaes            1    4,000          0        0       0          0  no consumers
`,
      stderr: '',
    });
  }
  const { stdout } = await runCommand(['queues', '--url', queues.url, '--json']);
  assert.deepEqual((JSON.parse(stdout) as List<QueueRow>).items[1], {
    name: 'images',
    submissions_open: 1,
    chunks_waiting: 3,
    chunks_reserved: 2,
    chunks_delayed: 0,
    chunks_paused: 0,
    consumers: 1,
    pauses: [],
  });
});

test('nothing of a paused queue waits: all of it is paused', async () => {
  await using queues = await threeQueues();
  const rows = async () => {
    const { stdout } = await runCommand(['queues', '--url', queues.url]);
    return stdout
      .replaceAll(/by \S+ since \S+/g, 'by ...')
      .split('\n')
      .slice(1, -1);
  };
  await runCommand(['pause', '--queue', 'images', '--url', queues.url]);
  await runCommand(['pause', queues.images, '--queue', 'images', '--url', queues.url]);
  assert.deepEqual(await rows(), [
    '-                 1        1          0        0       0          0  no consumers',
    'images            1        0          2        0       3          1  paused: manual, by ...',
    'imgaes            1    4,000          0        0       0          0  no consumers',
  ]);
  await runCommand(['pause', '--all', '--url', queues.url]);
  assert.match((await rows())[1] ?? '', / {2}paused: manual, .* paused with the server: manual, by \.\.\.$/);
  assert.deepEqual(
    (await rows()).map((row) => row.split(/ +/).slice(0, 6)),
    [
      ['-', '1', '0', '0', '0', '1'],
      ['images', '1', '0', '2', '0', '3'],
      ['imgaes', '1', '0', '0', '0', '4,000'],
    ],
  );
});

test('each command asks the queue of --url, or of --queue instead', async () => {
  await using queues = await threeQueues();
  const { url, images, typo, unnamed } = queues;
  const said = async (...args: string[]) => {
    const { code, stdout } = await runCommand(args);
    return code === 0 ? stdout.split('\n')[0] : code;
  };
  for (const [of, id] of [
    [['--url', `${url}/q/images`], images],
    [['--url', url, '--queue', 'images'], images],
    [['--url', `${url}/q/imgaes/`, '--queue', 'images'], images],
    [['--url', `http://${url}/`, '--queue', 'imgaes'], typo],
    [['--url', `${url}/q/images`, '--queue', '-'], unnamed],
    [['--url', `localhost:1,${url}/q/images`], images],
    [['--url', `localhost:1,${url}/q/imgaes`, '--queue', 'images'], images],
    [['--url', `http://localhost:1/q/imgaes, http://${url}/q/imgaes/`, '--queue', 'images'], images],
    [['--url', `localhost:1/q/images,${url}/q/images`, '--queue', '-'], unnamed],
    [['--url', `localhost:1,${url}`, '--queue', 'images'], images],
    [['--url', url], unnamed],
  ] as const) {
    assert.equal(await said('lookup', ...of), id);
    assert.equal(await said('count', ...of), '1');
    for (const each of [images, typo, unnamed]) {
      const expected = each === id ? new RegExp(`^submission ${id}: in progress`) : /^1$/;
      assert.match(String(await said('status', each, ...of)), expected);
    }
  }
  assert.equal(await said('cancel', images, '--url', url), 1);
  assert.equal(await said('cancel', images, '--url', url, '--queue', 'images'), `cancelled ${images}`);
});

test('a list of addresses that can be read in two ways is wrong usage', async () => {
  for (const url of ['localhost/q/images,localhost:1', 'localhost,']) {
    const { code, stderr } = await runCommand(['count', '--url', url]);
    assert.equal(code, 2);
    assert.ok(
      stderr.startsWith('opsqueue: the list of addresses of the queue has ') && stderr.includes(`"${url}"`),
    );
  }
});

test('a name that is none, and a URL that ends with one, are wrong usage', async () => {
  for (const args of [
    ['--queue', 'Images'],
    ['--queue', 'a/b'],
    ['--queue', ''],
    ['--url', 'localhost/q/Images'],
    ['--url', 'localhost/q'],
  ]) {
    const { code, stderr } = await runCommand(['count', ...args]);
    assert.equal(code, 2, args.join(' '));
    assert.match(stderr, /^opsqueue: .*1 to 63 of a-z, 0-9, dots, underscores and hyphens[^\n]*\n$/);
  }
});

test('the status of a submission in progress tells that nobody works on its queue, and on which somebody does', async () => {
  await using queues = await threeQueues();
  const note = async (id: string, queue: string) => {
    const { stdout } = await runCommand(['status', id, '--url', queues.url, '--queue', queue]);
    return /^ {2}note +(.*)$/m.exec(stdout)?.[1] ?? null;
  };
  assert.equal(await note(queues.typo, 'imgaes'), 'no consumer is connected to queue imgaes (but to images)');
  assert.equal(await note(queues.unnamed, '-'), 'no consumer is connected (but to images)');
  assert.equal(await note(queues.images, 'images'), null);
  const { stdout } = await runCommand([
    'status',
    queues.typo,
    '--url',
    queues.url,
    '--queue',
    'imgaes',
    '--json',
  ]);
  assert.equal(JSON.parse(stdout).note, undefined);
  await using producer = new ProducerClient(`${queues.url}/q/imgaes`, null);
  await producer.submission(queues.typo).cancel();
  assert.equal(await note(queues.typo, 'imgaes'), null);
});

test('watch says so before it waits', async () => {
  await using queues = await threeQueues();
  await using producer = new ProducerClient(`${queues.url}/q/imgaes`, null);
  const note = Promise.withResolvers<string>();
  const quiet = { write: () => true };
  const watching = runProgram(['watch', queues.typo, '--url', queues.url, '--queue', 'imgaes'], {
    stdout: quiet,
    stderr: { write: note.resolve },
  });
  assert.equal(await note.promise, 'opsqueue: no consumer is connected to queue imgaes (but to images)\n');
  await producer.submission(queues.typo).cancel();
  assert.equal(await watching, 1);
});

test('the queues of a server that allows but some are listed without naming one', async () => {
  await using server = await TestServer.start({ queues: ['images'] });
  const { code, stdout } = await runCommand(['queues', '--url', `127.0.0.1:${server.port}`]);
  assert.equal(code, 0);
  assert.match(stdout, /^QUEUE +SUBMISSIONS/);
  const { code: refused, stderr } = await runCommand(['count', '--url', `127.0.0.1:${server.port}`]);
  assert.equal(refused, 1);
  assert.match(stderr, /this server has named queues only \(--queues\): add one to its address/);
});

test('a server that knows no queues is told from one that has none', async () => {
  await using server = await scriptedHttp(({ path }) => ({
    status: path.endsWith('/version') ? 200 : 404,
    body: path.endsWith('/version') ? 'v0.40.1' : '',
  }));
  const { code, stderr } = await runCommand(['queues', '--url', server.url]);
  assert.equal(code, 1);
  assert.match(stderr, /^opsqueue: this queue cannot list the queues of its server [^\n]*\n$/);
});
