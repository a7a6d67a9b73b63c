import assert from 'node:assert/strict';
import { once } from 'node:events';
import { after, before, suite, test } from 'node:test';
import { WebSocket } from 'ws';
import { runCommand } from '../support/command.ts';
import { ConsumerPeer } from '../support/peers/consumer-peer.ts';
import { HttpSocket } from '../support/peers/http-socket.ts';
import { startQueue, type TestProcess } from '../support/processes.ts';

const SUBMISSIONS = '/producer/submissions';

/** As the original's command line has them. */
const DEFAULTS = {
  port: '3999',
  'report-bound-port-pipe': '-1',
  'database-filename': 'opsqueue.db',
  'reservation-expiration': '10 minutes',
  'max-read-pool-size': '256',
  'heartbeat-interval': '10 seconds',
  'max-missable-heartbeats': '3',
  'max-chunk-retries': '10',
  'max-submission-age': '1 hour',
  'max-submissions-returned': '100000',
};

test('the flags of the original have its defaults', async () => {
  const help = (await runCommand(['serve', '--help'])).stdout.replace(/\n {10,}/g, ' ');
  for (const [flag, value] of Object.entries(DEFAULTS)) {
    const line = help.split('\n').find((each) => each.includes(`--${flag} `));
    assert.ok(line?.endsWith(`(default: ${value})`), `--${flag}: ${line}`);
  }
});

test('--advertise takes an address with a port, and nothing else', async () => {
  for (const value of ['queue-a', 'queue-a:0', 'queue-a:70000', 'http://queue-a:3999', '::1:3999', '[::1]']) {
    const { code, stderr } = await runCommand(['serve', '--advertise', value]);
    assert.equal(code, 2, value);
    assert.match(stderr, /--advertise.* must be a host and a port, as in 10\.0\.0\.7:3999/, value);
  }
});

suite('what each flag does', () => {
  let queue: TestProcess;
  let port: number;

  before(async () => {
    ({ queue, port } = await startQueue([
      ...['--database-filename', 'file::memory:', '--host', '127.0.0.1', '--host-name', 'queue.test'],
      ...['--reservation-expiration', '1s', '--heartbeat-interval', '500ms'],
      ...['--max-missable-heartbeats', '1', '--max-chunk-retries', '2', '--max-chunk-disconnects', '1'],
      ...['--max-submission-age', '500ms', '--max-submissions-returned', '1'],
      ...['--hold-status-polls', '20 seconds', '--max-body-bytes', '1024', '--max-frame-bytes', '1024'],
      ...['--max-bodies-bytes', '1024'],
    ]));
  });

  after(() => queue[Symbol.asyncDispose]());

  async function insert(prefix: string): Promise<string> {
    const answer = await post(
      SUBMISSIONS,
      `{"chunk_contents":{"SeeObjectStorage":{"prefix":"${prefix}","count":1}},"metadata":null,"strategic_metadata":{"${prefix}":1}}`,
    );
    assert.equal(answer.status, 200);
    return answer.text();
  }

  function post(path: string, body: string): Promise<Response> {
    return fetch(`http://127.0.0.1:${port}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body,
    });
  }

  /** The status once the submission has ended, by one request that is held until then. */
  async function statusAtEnd(id: string): Promise<string> {
    return (await fetch(`http://127.0.0.1:${port}${SUBMISSIONS}/${id}`)).text();
  }

  async function oneReserved(peer: ConsumerPeer, id: string) {
    const [reserved] = await peer.reserved();
    assert.equal(reserved?.chunk.submissionId, BigInt(id));
    return reserved.chunk;
  }

  test('--heartbeat-interval and --max-missable-heartbeats are told, and a silent consumer is cut', async () => {
    const peer = await ConsumerPeer.connect(port);
    assert.deepEqual([peer.init.heartbeatIntervalMs, peer.init.missableHeartbeatsMax], [500, 1]);
    await peer.close();
    const silent = new WebSocket(`ws://127.0.0.1:${port}/consumer`, { autoPong: false });
    const [code] = await once(silent, 'close');
    assert.equal(code, 1006);
  });

  test('--reservation-expiration takes a chunk back', async () => {
    const peer = await ConsumerPeer.connect(port, { 'opsqueue-features': 'silent_expiry' });
    const id = await insert('expires');
    const chunk = await oneReserved(peer, id);
    assert.deepEqual((await peer.next('expired')).chunk, chunk);
    peer.complete(chunk);
    assert.match(await statusAtEnd(id), /^\{"Completed"/);
    await peer.close();
  });

  test('--max-chunk-retries fails the submission with that failure, and --hold-status-polls tells it at once', async () => {
    const peer = await ConsumerPeer.connect(port);
    const id = await insert('fails');
    const status = statusAtEnd(id);
    peer.fail(await oneReserved(peer, id), 'first');
    peer.fail(await oneReserved(peer, id), 'second');
    assert.match(await status, /^\{"Failed".*"second"/);
    await peer.close();
  });

  test('--max-chunk-disconnects fails the submission of a chunk whose consumers vanish', async () => {
    const peer = await ConsumerPeer.connect(port);
    const id = await insert('vanishes');
    await oneReserved(peer, id);
    peer.cut();
    assert.match(await statusAtEnd(id), /^\{"Failed"/);
  });

  test('--max-submission-age is how long an ended submission is remembered', async () => {
    const id = await insert('forgotten');
    assert.equal((await post(`${SUBMISSIONS}/cancel/${id}`, '')).status, 200);
    // The same prefix gives the same id for as long as it is remembered; looking at it would keep it for longer.
    const deadlineMs = performance.now() + 10_000;
    while ((await insert('forgotten')) === id) assert.ok(performance.now() < deadlineMs, 'still remembered');
  });

  test('--max-submissions-returned limits a look-up', async () => {
    const path = `${SUBMISSIONS}/lookup_ids_by_strategic_metadata`;
    await insert('looked-up-1');
    await insert('looked-up-2');
    assert.equal((await post(path, '{"looked-up-1":1}')).status, 200);
    const refused = await post(path, '{}');
    assert.deepEqual([refused.status, await refused.text()], [400, '1']);
  });

  test('--max-bodies-bytes is room for one body at least', async () => {
    const idle = await HttpSocket.open(port);
    idle.send(`POST ${SUBMISSIONS}`, { 'content-type': 'application/json', 'content-length': '1000' });
    idle.write(' '.repeat(500));
    // Nothing but the answers to others shows when the queue has got it, and when it knows that it is gone.
    const answered = async (status: number) => {
      for (let tries = 0; tries < 10_000; tries++) {
        const socket = await HttpSocket.open(port);
        socket.send(`POST ${SUBMISSIONS}`, {
          'content-type': 'application/json',
          'transfer-encoding': 'chunked',
        });
        socket.write('1\r\n \r\n0\r\n\r\n');
        const answer = await socket.answer();
        socket.close();
        if (answer.status === status) return true;
      }
      return false;
    };
    assert.ok(await answered(503));
    idle.close();
    assert.ok(await answered(400));
  });

  test('--max-body-bytes and --max-frame-bytes refuse what is larger', async () => {
    assert.equal((await post(SUBMISSIONS, ' '.repeat(1025))).status, 413);
    const peer = await ConsumerPeer.connect(port);
    peer.webSocket.send(new Uint8Array(1025));
    assert.equal((await peer.ended()).code, 1009);
  });

  test('--max-connections closes what is more', async () => {
    const { queue, port } = await startQueue([
      ...['--database-filename', 'file::memory:', '--host', '127.0.0.1', '--max-connections', '1'],
    ]);
    const [one, more] = [await HttpSocket.open(port), await HttpSocket.open(port)];
    assert.equal((await more.ended()).length, 0);
    one.send('GET /ping', { connection: 'close' });
    assert.equal((await one.answer()).status, 200);
    await queue[Symbol.asyncDispose]();
  });

  test('--host-name lets programs on this machine use that name', async () => {
    for (const [host, status] of [
      ['queue.test', 200],
      ['other.test', 403],
    ] as const) {
      const socket = await HttpSocket.open(port);
      socket.send('GET /ping', { host, connection: 'close' });
      assert.equal((await socket.answer()).status, status, host);
    }
  });
});

test('--retry-delay makes failed chunks of producers that say nothing wait', async () => {
  const { queue, port } = await startQueue([
    ...['--database-filename', 'file::memory:', '--host', '127.0.0.1', '--retry-delay', '1 hour'],
  ]);
  await using _ = queue;
  const base = `http://127.0.0.1:${port}`;
  const body =
    '{"chunk_contents":{"SeeObjectStorage":{"prefix":"p","count":1}},"metadata":null,"strategic_metadata":{}}';
  await fetch(`${base}${SUBMISSIONS}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body,
  });
  const peer = await ConsumerPeer.connect(port);
  const [reserved] = await peer.reserved();
  peer.fail(reserved!.chunk, 'not now');
  await peer.control('pong');
  assert.match(await (await fetch(`${base}/metrics`)).text(), /^chunks_delayed_count\{queue="-"\} 1$/m);
  await peer.close();
});

test('--queues takes names, and - for the unnamed queue', async () => {
  for (const names of ['Images', 'images,', 'a/b', '']) {
    const { code, stderr } = await runCommand(['serve', '--queues', names]);
    assert.equal(code, 2, names);
    assert.match(
      stderr,
      /^opsqueue: --queues must be a list of names of queues \(each 1 to 63 of a-z/,
      names,
    );
  }
  const { queue, port } = await startQueue([
    ...['--database-filename', 'file::memory:', '--host', '127.0.0.1'],
    ...['--queues', 'images, bills', '--queues', '-'],
  ]);
  await using _ = queue;
  for (const [path, status] of [
    ['', 200],
    ['/q/images', 200],
    ['/q/bills', 200],
    ['/q/other', 404],
  ] as const) {
    assert.equal((await fetch(`http://127.0.0.1:${port}${path}${SUBMISSIONS}/count`)).status, status, path);
  }
});
