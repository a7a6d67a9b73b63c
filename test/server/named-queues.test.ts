import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QUEUES_MAX } from '../../src/model/limits.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { ConsumerPeer } from '../support/peers/consumer-peer.ts';
import { TestServer } from '../support/queues/test-server.ts';

const SUBMISSIONS = '/producer/submissions';
const RULE =
  'expected 1 to 63 of a-z, 0-9, dots, underscores and hyphens, beginning with a letter or a digit';

function insertBody(prefix: string, count = 1): string {
  const contents = { SeeObjectStorage: { prefix, count } };
  return JSON.stringify({ chunk_contents: contents, metadata: null, strategic_metadata: { k: 1 } });
}

async function insert(server: TestServer, queue: string, prefix: string): Promise<string> {
  const answer = await server.post(`${queue}${SUBMISSIONS}`, insertBody(prefix));
  assert.equal(answer.status, 200, answer.body.toString());
  return answer.body.toString();
}

/** Status and body of a request. */
async function asked(server: TestServer, line: string, body?: string): Promise<readonly [number, string]> {
  const json = { 'content-type': 'application/json' };
  const answer = await server.request(line, body === undefined ? {} : json, body);
  return [answer.status, answer.body.toString()];
}

test('the path of a queue in front of every endpoint leads to that queue alone', async () => {
  await using server = await TestServer.start();
  const id = await insert(server, '/q/images', 'p');
  for (const [path, here, elsewhere] of [
    ['/count', [200, '1'], [200, '0']],
    ['/count_completed', [200, '0'], [200, '0']],
    ['/lookup_id_by_prefix/p', [200, id], [200, 'null']],
    [`/${id}/chunks_done`, [200, null], [404, '']],
    [`/${id}/direct_outputs`, [409, null], [404, '']],
    [`/${id}`, [200, null], [200, 'null']],
  ] as const) {
    for (const queue of ['', '/q/bills']) {
      assert.deepEqual(await asked(server, `GET ${queue}${SUBMISSIONS}${path}`), elsewhere, path);
    }
    const [status, body] = await asked(server, `GET /q/images${SUBMISSIONS}${path}`);
    assert.deepEqual([status, here[1] === null ? null : body], here, path);
  }
  const lookUp = `${SUBMISSIONS}/lookup_ids_by_strategic_metadata`;
  assert.deepEqual(await asked(server, `POST /q/images${lookUp}`, '{"k":1}'), [200, `[${id}]`]);
  assert.deepEqual(await asked(server, `POST ${lookUp}`, '{"k":1}'), [200, '[]']);
  for (const queue of ['', '/q/bills']) {
    assert.deepEqual(await asked(server, `POST ${queue}${SUBMISSIONS}/cancel/${id}`), [404, id]);
  }
  const strangers = await Promise.all([
    server.consumer(),
    server.consumer(undefined, '/q/bills'),
    server.consumer(undefined, '/q/images'),
  ]);
  for (const consumer of strangers) consumer.reserve(1);
  assert.equal((await strangers[2]!.next('reserved')).chunks[0]?.submission.prefix, 'p');
  await insert(server, '/q/bills', 'b');
  assert.equal((await strangers[1]!.next('reserved')).chunks[0]?.submission.prefix, 'b');
  assert.equal(
    strangers[0]!.inbox.find((message) => typeof message === 'object'),
    undefined,
  );
  assert.deepEqual(await asked(server, `POST /q/images${SUBMISSIONS}/cancel/${id}`), [200, '']);
  assert.deepEqual(await asked(server, `GET /q/images${SUBMISSIONS}/ended?state=cancelled`), [
    200,
    `[${id}]`,
  ]);
  assert.deepEqual(await asked(server, `GET ${SUBMISSIONS}/ended?state=cancelled`), [200, '[]']);
});

test("what is the server's is found with and without a queue", async () => {
  await using server = await TestServer.start();
  await insert(server, '/q/images', 'p');
  for (const queue of ['', '/q/images', '/q/bills']) {
    assert.deepEqual(await asked(server, `GET ${queue}/ping`), [200, 'pong']);
    assert.match((await asked(server, `GET ${queue}/producer/version`))[1], /^v\d/);
    assert.match(
      (await asked(server, `GET ${queue}/metrics`))[1],
      /^submissions_in_backlog_count\{queue="images"\} 1$/m,
    );
    const known = await asked(server, `POST ${queue}${SUBMISSIONS}/known`, '["p","q"]');
    assert.deepEqual(
      JSON.parse(known[1]),
      [true, false],
      'or the chunks of another queue would be collected',
    );
  }
});

test('a name that breaks the rule is 404 with the rule, in requests and upgrades', async () => {
  await using server = await TestServer.start();
  for (const name of [
    'Images',
    'a%2Fb',
    '..',
    '.',
    '',
    '-a',
    '_a',
    'a b',
    'ü',
    'a'.repeat(64),
    '%69mages',
    'a:b',
  ]) {
    const shown = encodeURI(name).replaceAll('%25', '%');
    const expected = [404, `queue name ${JSON.stringify(shown)}: ${RULE}`];
    for (const path of ['/ping', SUBMISSIONS, '/nope', '/consumer']) {
      assert.deepEqual(await asked(server, `GET /q/${shown}${path}`), expected, name);
    }
    // A client of WebSockets follows dots by itself.
    if (/^\.+$/.test(name)) continue;
    await assert.rejects(ConsumerPeer.connect(server.port, {}, `/q/${shown}`), /404/, name);
  }
  for (const name of ['a', '0', 'a.b_c-d', '7..', 'a'.repeat(63), 'consumer', 'q']) {
    assert.deepEqual(await asked(server, `GET /q/${name}/ping`), [200, 'pong'], name);
  }
});

test('a path that no queue has is 404 and named, and one slash too many after the name is none', async () => {
  // With the page, it is below each queue.
  await using server = await TestServer.start({ page: 'off' });
  assert.deepEqual(await asked(server, 'GET /q/images'), [404, 'queue images has no path ""']);
  assert.deepEqual(await asked(server, 'GET /q/images/'), [404, 'queue images has no path "/"']);
  assert.deepEqual(await asked(server, 'GET /q/a/b/ping'), [404, 'queue a has no path "/b/ping"']);
  assert.deepEqual(await asked(server, 'GET /q/a/q/b/ping'), [404, 'queue a has no path "/q/b/ping"']);
  assert.deepEqual(await asked(server, 'GET /q/images///ping'), [404, 'queue images has no path "//ping"']);
  // As the original's clients ask when their address ends with a slash.
  assert.deepEqual(await asked(server, 'GET /q/images//ping'), [200, 'pong']);
  assert.deepEqual(await asked(server, 'GET //ping'), [404, '']);
  assert.deepEqual(await asked(server, 'GET /q'), [404, '']);
});

test('where some queues are allowed, others are not, the unnamed one neither', async () => {
  await using server = await TestServer.start({ queues: ['images', 'bills'] });
  const other = "is not one of this server's (--queues): images, bills";
  const unnamed =
    'this server has named queues only (--queues): add one to its address, as in localhost:3999/q/NAME: images, bills';
  assert.deepEqual(await asked(server, 'GET /q/imgaes/producer/version'), [404, `queue imgaes ${other}`]);
  assert.deepEqual(await asked(server, 'GET /q/imgaes/ping'), [404, `queue imgaes ${other}`]);
  assert.deepEqual(await asked(server, `POST ${SUBMISSIONS}`, insertBody('p')), [404, unnamed]);
  assert.deepEqual(await asked(server, `GET ${SUBMISSIONS}/count`), [404, unnamed]);
  await assert.rejects(ConsumerPeer.connect(server.port, {}), /404/);
  await assert.rejects(ConsumerPeer.connect(server.port, {}, '/q/imgaes'), /404/);
  for (const path of [
    '/ping',
    '/version',
    '/producer/version',
    '/metrics',
    '/api/v1/queues',
    '/q/bills/ping',
  ]) {
    assert.equal((await server.get(path)).status, 200, path);
  }
  await insert(server, '/q/images', 'p');
  const consumer = await server.consumer(undefined, '/q/images');
  consumer.reserve(1);
  await consumer.next('reserved');

  await using both = await TestServer.start({ queues: ['images', '-'] });
  await insert(both, '', 'p');
  await insert(both, '/q/images', 'q');
  assert.equal((await both.get('/q/bills/ping')).status, 404);
});

test('what is open in a queue that is no longer allowed stays, and the log says so', async () => {
  const database = new MemoryDatabase();
  {
    await using before = await TestServer.start({ store: new MemoryStore({ database }) });
    await insert(before, '/q/images', 'p');
    await insert(before, '', 'q');
  }
  const logger = recordingLogger();
  await using server = await TestServer.start({
    store: new MemoryStore({ database }),
    queues: ['bills'],
    logger,
  });
  const warned = logger.lines.filter(({ message }) => message.includes('--queues does not allow'));
  assert.deepEqual(
    warned.map(({ fields }) => fields),
    [
      { queue: '', submissionsOpen: 1 },
      { queue: 'images', submissionsOpen: 1 },
    ],
  );
  assert.match((await asked(server, 'GET /metrics'))[1], /^chunks_in_backlog_count 2$/m);
});

test('one queue more than there may be is 429, for producers and consumers', async () => {
  await using server = await TestServer.start();
  const socket = await server.socket();
  const json = { 'content-type': 'application/json' };
  for (let i = 0; i < QUEUES_MAX; i++) {
    socket.send(`POST /q/q${i}${SUBMISSIONS}`, json, insertBody(`p${i}`));
    assert.equal((await socket.answer()).status, 200);
  }
  const [status, text] = await asked(server, `POST /q/one-more${SUBMISSIONS}`, insertBody('p'));
  assert.equal(status, 429);
  assert.match(text, /^queue one-more would be one more than the 1000 that may be in use: /);
  assert.deepEqual(await asked(server, 'GET /q/one-more/consumer'), [
    400,
    "Connection header did not include 'upgrade'",
  ]);
  await assert.rejects(ConsumerPeer.connect(server.port, {}, '/q/one-more'), /429/);
  assert.equal((await server.get('/q/one-more/ping')).status, 200);
  await server.consumer();
  await server.consumer(undefined, '/q/q7');
});

test('the queues that are in use are listed, with what is going on in each', async () => {
  await using server = await TestServer.start();
  await server.post(`/q/images${SUBMISSIONS}`, insertBody('p', 5));
  await server.post(`/q/bills${SUBMISSIONS}`, insertBody('b', 2));
  const consumer = await server.consumer(undefined, '/q/images');
  await consumer.reserved(2);
  await server.consumer(undefined, '/q/idle');
  const nothing = {
    submissions_open: 0,
    chunks_waiting: 0,
    chunks_reserved: 0,
    chunks_delayed: 0,
    chunks_paused: 0,
    consumers: 0,
    pauses: [],
  };
  for (const path of ['', '/q/images', '/q/other']) {
    const [status, body] = await asked(server, `GET ${path}/api/v1/queues`);
    assert.equal(status, 200);
    const { as_of: asOf, ...list } = JSON.parse(body) as { as_of: string };
    assert.match(asOf, /^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    assert.deepEqual(list, {
      age_ms: 0,
      matched: 4,
      next: null,
      items: [
        { name: '', ...nothing },
        { name: 'bills', ...nothing, submissions_open: 1, chunks_waiting: 2 },
        { name: 'idle', ...nothing, consumers: 1 },
        {
          name: 'images',
          ...nothing,
          submissions_open: 1,
          chunks_waiting: 3,
          chunks_reserved: 2,
          consumers: 1,
        },
      ],
    });
  }
});

test('metrics of the original are totals over all queues, ours tell them apart, up to a bound', async () => {
  await using server = await TestServer.start();
  await server.post(`/q/images${SUBMISSIONS}`, insertBody('p', 5));
  await server.post(`/q/bills${SUBMISSIONS}`, insertBody('b', 2));
  await server.post(SUBMISSIONS, insertBody('c', 1));
  const consumer = await server.consumer(undefined, '/q/images');
  const [done, failed] = await consumer.reserved(3);
  consumer.complete(done!.chunk);
  consumer.fail(failed!.chunk);
  const text = async () => (await asked(server, 'GET /metrics'))[1];
  let said = await text();
  while (!/^chunks_setbacks_total\{kind="failed",queue="images"\} 1$/m.test(said)) said = await text();
  for (const series of [
    'chunks_in_backlog_count 7',
    'chunks_completed_count 1',
    'consumers_connected_count 1',
    'reserver_chunks_reserved_count 1',
    'submissions_in_backlog_count{queue="-"} 1',
    'submissions_in_backlog_count{queue="images"} 1',
    'queue_chunks_waiting_count{queue="images"} 3',
    'queue_chunks_waiting_count{queue="bills"} 2',
    'queue_chunks_reserved_count{queue="images"} 1',
    'queue_consumers_connected_count{queue="images"} 1',
    'queue_consumers_connected_count{queue="bills"} 0',
    'queue_chunks_completed_count{queue="images"} 1',
    'queue_chunks_completed_count{queue="bills"} 0',
    'chunks_setbacks_total{kind="failed",queue="bills"} 0',
  ]) {
    assert.ok(said.includes(`\n${series}\n`), series);
  }
  for (let i = 0; i < 150; i++) await insert(server, `/q/q${i}`, `p${i}`);
  said = await text();
  const labels = new Set([...said.matchAll(/queue="([^"]+)"/g)].map(([, label]) => label));
  assert.equal(labels.size, 101);
  assert.match(said, /^submissions_in_backlog_count\{queue="_other"\} 53$/m);
  assert.match(said, /^queue_chunks_waiting_count\{queue="images"\} 3$/m);
});

test('requests are counted by endpoint, whatever the queue', async () => {
  await using server = await TestServer.start();
  for (let i = 0; i < 50; i++) await server.get(`/q/q${i}${SUBMISSIONS}/count`);
  const text = (await server.get('/metrics')).body.toString();
  assert.match(
    text,
    /axum_http_requests_total\{method="GET",status="200",endpoint="\/producer\/submissions\/count"\} 50$/m,
  );
  assert.doesNotMatch(text, /q\/q7/);
});

test('a refusal tells a client of ours that a queue has answered', async () => {
  await using server = await TestServer.start();
  const isAnnounced = async (headers?: Readonly<Record<string, string>>) =>
    (await server.get('/q/Images/consumer', headers)).headers.some(([name]) => name === 'opsqueue-features');
  assert.equal(await isAnnounced({ 'opsqueue-client': '1' }), true);
  assert.equal(await isAnnounced({ 'opsqueue-features': 'release' }), true);
  assert.equal(await isAnnounced(), false);
});
