import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ProducerClient } from '../../src/producer/index.ts';
import { userAtHost } from '../../src/system/process/who.ts';
import { runCommand } from '../support/command.ts';
import { TestServer } from '../support/queues/test-server.ts';

let server: TestServer;
let url: string;
let producer: ProducerClient;
let images: ProducerClient;

before(async () => {
  server = await TestServer.start();
  url = `127.0.0.1:${server.port}`;
  producer = new ProducerClient(url, null);
  images = new ProducerClient(`${url}/q/images`, null);
});

after(async () => {
  await producer.close();
  await images.close();
  await server[Symbol.asyncDispose]();
});

const ask = (...args: readonly string[]) => runCommand([...args, '--url', url]);

/** stdout of a command that succeeds. */
async function said(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await ask(...args);
  assert.deepEqual([code, stderr], [0, ''], stdout);
  return stdout;
}

const insert = (customer: number, client = producer) =>
  client.insertSubmission([1, 2], { in: 'queue', chunkSize: 1, strategicMetadata: { customer } });

test('pause, status and resume of a submission, each cause by itself', async () => {
  const id = await insert(1);
  assert.equal(await said('pause', id, '--reason', 'disk is full'), `paused ${id}\n`);
  assert.equal(await said('pause', id), '1 submission was paused for cause manual already\n');
  await said('pause', id, '--cause', 'billing', '--by', 'bot');
  const status = await said('status', id);
  assert.match(status, new RegExp(`^submission ${id}: in progress, paused, 0 of 2 chunks done`));
  assert.match(status, new RegExp(`^  paused +manual, by ${userAtHost()} since \\S+Z: disk is full$`, 'm'));
  assert.match(status, /^ {2}change +\S+Z pause billing by bot$/m);
  const json = JSON.parse(await said('status', id, '--json'));
  assert.deepEqual(
    json.pauses.map(({ cause, by }: { cause: string; by: string }) => [cause, by]),
    [
      ['manual', userAtHost()],
      ['billing', 'bot'],
    ],
  );
  const found = await ask('lookup', '--state', 'paused');
  assert.equal(found.stdout, `${id}\n`);
  assert.match(
    found.stderr,
    /^opsqueue: paused: manual, by \S+ since \S+Z: disk is full\nopsqueue: paused: billing, by bot since \S+Z\n$/,
  );
  assert.match(
    await said('resume', id),
    new RegExp(`^resumed ${id}\nstill paused: billing, by bot since \\S+Z\n$`),
  );
  assert.equal(await said('resume', id, '--every-cause'), `resumed ${id}\n`);
  assert.equal(await said('lookup', '--state', 'paused'), '');
});

test('submissions that match are changed at once, after a dry run', async () => {
  const [first, second] = [await insert(42), await insert(42, images)];
  assert.equal(
    await said('pause', '--metadata', 'customer=42', '--dry-run'),
    `would pause 2 submissions:\n  ${first}\n  ${second}\n`,
  );
  const tooMany = await ask('cancel', '--metadata', 'customer=42', '--expect', '1');
  assert.deepEqual(tooMany, {
    code: 1,
    stdout: '',
    stderr: 'opsqueue: 2 submissions match, 1 was expected: nothing was changed\n',
  });
  const one = await ask('cancel', '--metadata', 'customer=42', '--queue', 'images', '--expect', '0');
  assert.equal(one.stderr, 'opsqueue: 1 submission matches, 0 were expected: nothing was changed\n');
  await said('pause', '--metadata', 'customer=42');
  assert.equal(
    await said('pause', '--metadata', 'customer=42'),
    '2 submissions were paused for cause manual already\n',
  );
  await said('resume', '--metadata', 'customer=42');
  assert.equal(
    await said('set', '--metadata', 'customer=42', 'urgency=9', 'customer='),
    await said('set', '--metadata', 'urgency=9', 'x=1'),
  );
  const details = await producer.submission(first).details();
  assert.deepEqual(details?.strategicMetadata, { urgency: 9, x: 1 });
  assert.equal(await said('cancel', '--metadata', 'urgency=9', '--queue', 'images'), `cancelled ${second}\n`);
  const report = JSON.parse(await said('cancel', '--metadata', 'urgency=9', '--json', '--reason', 'over'));
  assert.deepEqual([report.matched, report.done, report.ids], [1, 1, [first]]);
  assert.match(await said('status', first), /^ {2}reason +over$/m);
  const none = await ask('pause', '--metadata', 'urgency=9');
  assert.deepEqual(
    [none.code, none.stderr],
    [1, 'opsqueue: no open submission matches urgency=9: nothing was changed\n'],
  );
});

test('a queue and the server are paused as such', async () => {
  assert.equal(await said('pause', '--queue', 'images', '--cause', 'disk-full'), 'paused queue images\n');
  const id = await insert(7, images);
  assert.match(
    await said('status', id, '--queue', 'images'),
    /^submission \d+: in progress, paused with its queue/,
  );
  assert.match(
    await said('resume', '--queue', 'images'),
    /^queue images was not paused for cause manual\nstill paused with queue images: disk-full, by \S+ since \S+Z\n$/,
  );
  assert.equal(await said('resume', '--queue', 'images', '--cause', 'disk-full'), 'resumed queue images\n');
  await said('pause', '--queue', 'bills', '--by', 'bot');
  assert.match(await said('queues'), /^bills +0 .* 0 {2}paused: manual, by bot since \S+Z$/m);
  await said('resume', '--queue', 'bills');
  assert.doesNotMatch(await said('queues'), /bills/);
  assert.equal(await said('pause', '--all'), 'paused the server\n');
  assert.equal(await said('pause', '--queue', '-'), 'paused the unnamed queue\n');
  await said('resume', '--queue', '-');
  assert.equal(await said('resume', '--all'), 'resumed the server\n');
});

test('what a queue holds is found as paused, and a resume says what still holds it', async () => {
  await said('pause', '--queue', 'images', '--cause', 'disk-full', '--by', 'disk monitor');
  const id = await insert(9, images);
  const other = await insert(9, images);
  await said('pause', id, '--queue', 'images');
  const found = await ask('lookup', '--state', 'paused', '--queue', 'images', '--metadata', 'customer=9');
  assert.deepEqual(found.stdout.split('\n').sort(), ['', id, other]);
  assert.match(
    found.stderr,
    /^opsqueue: paused with queue images \(2 of 2 submissions\): disk-full, by disk monitor/m,
  );
  const one = await ask('lookup', '--state', 'paused', '--queue', 'images', '--limit', '1');
  assert.equal(one.stdout.split('\n').length, 2);
  assert.match(
    await said('resume', id, '--queue', 'images'),
    new RegExp(`^resumed ${id}\nstill paused with queue images: disk-full, by disk monitor since \\S+Z\n$`),
  );
  await said('pause', '--all', '--reason', 'upgrade');
  assert.match(
    await said('resume', '--queue', 'images', '--cause', 'disk-full'),
    /^resumed queue images\nstill paused with the server: manual, by \S+ since \S+Z: upgrade\n$/,
  );
  assert.equal(await said('resume', '--all'), 'resumed the server\n');
  await said('cancel', '--metadata', 'customer=9');
});

test('a submission of another queue: every command says where it is', async () => {
  const id = await insert(10, images);
  for (const args of [
    ['pause'],
    ['set', 'x=1'],
    ['cancel'],
    ['cancel', '--dry-run'],
    ['retry'],
    ['status'],
    ['watch'],
  ]) {
    const { code, stderr } = await ask(...args, id);
    assert.equal(code, 1, args.join(' '));
    assert.match(
      stderr,
      /^opsqueue: the queue [^\n]*does not know submission \d+: it is in queue images[^\n]*\n$/,
    );
  }
  await said('cancel', id, '--queue', 'images');
});

test('a deadline and a start are times, or count from now on', async () => {
  const id = await insert(8);
  await said('set', id, '--deadline', '2999-01-01T00:00+01:00', '--start-after', '2h');
  const before = await producer.submission(id).details();
  assert.equal(before?.deadlineMs, Date.parse('2998-12-31T23:00:00Z'));
  assert.ok(Math.abs(before!.startAfterMs! - Date.now() - 7_200_000) < 60_000);
  assert.equal(await said('lookup', '--state', 'delayed'), `${id}\n`);
  await said('set', id, '--deadline', 'none', '--start-after', 'none');
  const after = await producer.submission(id).details();
  assert.deepEqual([after?.deadlineMs, after?.startAfterMs], [null, null]);
  const past = await ask('set', id, '--deadline', '2001-01-01T00:00Z');
  assert.equal(past.code, 1);
  assert.match(past.stderr, /^opsqueue: deadline: 2001-01-01T00:00:00\.000Z has passed/);
});

test('some that cannot be are skipped, and said', async () => {
  const id = await insert(9);
  const { code, stdout, stderr } = await ask('pause', id, '7');
  assert.deepEqual([code, stdout], [1, `paused ${id}\n`]);
  assert.match(stderr, /^opsqueue: skipped: the queue does not know submission 7: [^\n]*\n$/);
  await said('cancel', id);
  const again = await ask('pause', id);
  assert.deepEqual(
    [again.code, again.stderr],
    [1, `opsqueue: submission ${id} has ended (cancelled): nothing can be changed any more\n`],
  );
});

test('a wrong use is one line and status 2', async () => {
  for (const [args, text] of [
    [['pause'], 'what? Give ids, --metadata, --state, --failure, --queue, or --all for the whole server'],
    [['cancel'], 'which submissions? Give ids, --metadata, --failure or --all'],
    [['pause', '1', '--all'], 'give ids, or --metadata, --state and --failure, or --all, not several'],
    [['pause', '--all', '--queue', 'a'], '--all is the whole server: without --queue'],
    [['pause', 'x'], '<id> must be the id of a submission'],
    [['pause', '1', '--cause', 'No'], 'cause must be a string that matches'],
    [['set', '1'], 'nothing to change'],
    [['set', '1', 'k=x'], 'a pair to set must be a key and a signed 64-bit integer'],
    [['set', '1', '--deadline', 'tomorrow'], '--deadline must be a time such as'],
    [['set', '1', '--deadline', '2030-01-01T00:00'], '--deadline must be a time such as'],
  ] as const) {
    const { code, stderr } = await ask(...args);
    assert.equal(code, 2, stderr);
    assert.ok(stderr.startsWith('opsqueue: ') && stderr.includes(text), stderr);
  }
});

test('retry goes on with what has failed, by id or by metadata', async () => {
  await using own = await TestServer.start();
  const at = `127.0.0.1:${own.port}`;
  await using client = new ProducerClient(at, null);
  const ask = (...args: readonly string[]) => runCommand([...args, '--url', at]);
  const said = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await ask(...args);
    assert.deepEqual([code, stderr], [0, ''], stdout);
    return stdout;
  };
  const consumer = await own.consumer();
  const ids: string[] = [];
  for (let i = 0; i < 2; i++) {
    const options = {
      in: 'queue',
      chunkSize: 1,
      strategicMetadata: { night: 7 },
      failureMode: 'collect',
    } as const;
    const submission = await client.submit([1, 2], { ...options, retry: { triesMax: 1 } });
    for (const { chunk } of await consumer.reserved(2)) {
      if (chunk.chunkIndex === 1) consumer.fail(chunk, 'boom\nat line 2');
      else consumer.complete(chunk, new Uint8Array([0x80]));
    }
    assert.equal((await submission.done()).state, 'completed_with_failures');
    ids.push(submission.id);
  }
  const [first, second] = ids as [string, string];
  const status = await said('status', first);
  assert.match(status, /: completed with failures, 1 of 2 chunks done \(50\.0 %\), 1 failed$/m);
  assert.match(status, /^ {2}first failed chunk +1$/m);
  assert.match(
    status,
    new RegExp(`^  failed chunks +1; opsqueue status ${first} --failures lists them$`, 'm'),
  );
  const { failure_mode, chunks_failed } = JSON.parse(await said('status', first, '--json'));
  assert.deepEqual([failure_mode, chunks_failed], ['collect', 1]);
  assert.equal(
    await said('status', first, '--failures'),
    '  chunk 1             boom\n                      at line 2\n',
  );
  assert.equal(
    await said('status', first, '--failures', '--json'),
    '{"chunk_index":1,"failure":"boom\\nat line 2"}\n',
  );
  const watched = await ask('watch', first);
  assert.match(watched.stdout, /^1 of 2 chunks \(50\.0 %\), 1 failed\n/);
  const [progress] = (await ask('watch', first, '--json')).stdout.split('\n');
  assert.equal(JSON.parse(progress!).chunks_failed, 1);
  assert.equal(
    await said('retry', '--metadata', 'night=7', '--dry-run'),
    `would retry 2 submissions:\n  ${second}\n  ${first}\n2 chunks to be done again\n`,
  );
  const { fingerprint } = JSON.parse(await said('failures', '--json')).items[0];
  assert.match(await said('retry', '--failure', fingerprint, '--dry-run'), /^would retry 2 submissions:/);
  assert.equal((await ask('retry', '--failure', 'none-such', '--dry-run')).code, 1);
  assert.equal(
    await said('retry', first, '--reason', 'fixed'),
    `retried ${first}\n1 chunk to be done again\n`,
  );
  assert.match(await said('status', first), /^ {2}change +\S+Z retry by \S+: fixed$/m);
  assert.equal(await said('retry', first), '1 submission has nothing that failed\n');
  const report = JSON.parse(await said('retry', '--metadata', 'night=7', '--json'));
  assert.deepEqual([report.matched, report.done, report.chunks, report.ids], [1, 1, 1, [second]]);
  const nothing = await ask(
    'pause',
    '--state',
    'waiting',
    '--metadata',
    'night=8',
    '--queue',
    'nobody-there',
  );
  assert.match(
    nothing.stderr,
    /^opsqueue: no open submission matches night=8, state waiting, queue nobody-there:/,
  );
  const all = await ask('cancel', '--all', '--queue', 'nobody-there');
  assert.equal(all.stderr, 'opsqueue: no open submission matches queue nobody-there: nothing was changed\n');
  const none = await ask('retry', '--metadata', 'night=8');
  assert.deepEqual(
    [none.code, none.stderr],
    [1, 'opsqueue: no submission with failures matches night=8: nothing was changed\n'],
  );
  assert.equal((await ask('retry', first, '--state', 'paused')).code, 2);
});
