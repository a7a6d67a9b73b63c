import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Strategy } from '../../src/model/strategy.ts';
import { strategyText } from '../../src/model/strategy-text.ts';
import { VERSION } from '../../src/model/version.ts';
import type { ConsumerAnswer, ConsumerGroup, ConsumerRow } from '../../src/protocol/api/consumers.ts';
import type { EventsAnswer } from '../../src/protocol/api/events.ts';
import type { FailureGroup, FailureRow, FailuresAnswer } from '../../src/protocol/api/failures.ts';
import type { List, ProblemAnswer } from '../../src/protocol/api/lists.ts';
import type { Overview } from '../../src/protocol/api/overview.ts';
import type { QueueAnswer } from '../../src/protocol/api/queue.ts';
import {
  type ChunkRow,
  MAP_BITS,
  MAP_HEADER,
  type SubmissionAnswer,
  type SubmissionItem,
} from '../../src/protocol/api/submissions.ts';
import type { KeyRow, ValueRow } from '../../src/protocol/api/values.ts';
import type { Why } from '../../src/protocol/api/why.ts';
import { TestServer } from '../support/queues/test-server.ts';

/** An answer of the API, which TestServer compares with docs/openapi.json. */
async function read<T>(server: TestServer, path: string, headers?: Readonly<Record<string, string>>) {
  const answer = await server.get(`/api/v1/${path}`, headers);
  const header = (name: string) => answer.headers.find(([each]) => each === name)?.[1];
  const text = answer.body.toString();
  return { status: answer.status, header, body: (text === '' ? null : JSON.parse(text)) as T };
}

test('the overview counts what is there and what happened, of all queues or of one', async () => {
  await using server = await TestServer.start();
  await server.insert('a', 3);
  const named = { chunk_contents: { SeeObjectStorage: { prefix: 'b', count: 5 } } };
  await server.post('/q/images/producer/submissions', JSON.stringify(named));
  const consumer = await server.consumer();
  consumer.reserve();
  const { chunks } = await consumer.next('reserved');
  consumer.complete(chunks[0]!.chunk);
  consumer.reserve();
  await consumer.next('reserved');
  const { body } = await read<Overview>(server, 'overview');
  assert.deepEqual(
    [
      body.queue,
      body.state,
      body.counts.chunks_backlog,
      body.counts.chunks_reserved,
      body.totals.chunks_done,
    ],
    [null, 'running', 7, 1, 1],
  );
  assert.deepEqual([body.counts.consumers_working, body.strategies[0]?.strategy], [1, 'oldest']);
  assert.equal(body.store.healthy, true);
  for (const path of ['overview?queue=images', '']) {
    const other =
      path === ''
        ? JSON.parse((await server.get('/q/images/api/v1/overview')).body.toString())
        : (await read<Overview>(server, path)).body;
    assert.deepEqual(
      [other.queue, other.counts.chunks_backlog, other.counts.consumers, other.totals.submissions_inserted],
      ['images', 5, 0, 1],
    );
  }
  const none = await read<Overview>(server, 'overview?queue=nobody');
  assert.equal(none.body.counts.chunks_backlog, 0);
});

test('an answer that would be the same is 304, and one that is refused says why', async () => {
  await using server = await TestServer.start({ name: 'staging <eu>' });
  const { header } = await read(server, 'history?series=done,backlog&window=7d');
  const sentAtMs = Number(header('opsqueue-now'));
  const etag = header('etag');
  assert.ok(etag !== undefined);
  const again = await read(server, 'history?window=7d&series=done,backlog', { 'if-none-match': etag });
  assert.deepEqual([again.status, again.body, again.header('content-length')], [304, null, undefined]);
  assert.ok(Number(again.header('opsqueue-now')) >= sentAtMs && sentAtMs > Date.now() - 60_000);
  assert.equal(again.header('opsqueue-server'), `staging%20%3Ceu%3E/${VERSION}`);
  for (const [path, detail] of [
    ['overview?queues=a', 'queues: there is no such parameter; known are queue'],
    ['overview?queue=A', 'queue: the name of a queue was expected, or - for the unnamed one, got "A"'],
    ['history?window=1d', 'window: one of 10m, 6h, 7d was expected, got "1d"'],
    ['history?points=0', 'points: an integer from 1 to 600 was expected, got "0"'],
    ['history?points=1&points=2', 'points: it is given more than once'],
  ] as const) {
    const refused = await read(server, path);
    assert.equal(refused.header('opsqueue-server'), again.header('opsqueue-server'));
    assert.deepEqual([refused.status, refused.body], [400, { status: 400, code: 'PROTOCOL', detail }]);
  }
  const foreign = await read<null>(server, 'openapi.json').then(() =>
    server.get('/api/v1/overview', { origin: 'http://elsewhere' }),
  );
  assert.equal(foreign.status, 403);
});

/** A consumer that has completed two chunks, failed one and holds another one, of a submission that carries a pair. */
async function atWork() {
  const server = await TestServer.start({ chunkRetriesMax: 10 });
  const id = await server.insert('work', 6, { strategic_metadata: { customer: 42 }, retry_delay_ms: 60_000 });
  const consumer = await server.consumer({ 'opsqueue-client': '9.9.9' });
  for (const outcome of ['complete', 'complete', 'fail'] as const) {
    consumer.reserve();
    const { chunk } = (await consumer.next('reserved')).chunks[0]!;
    if (outcome === 'complete') consumer.complete(chunk);
    else consumer.fail(chunk, 'Error: customer 42 has no address\n    at bill (/app/bill.ts:1:2)');
  }
  consumer.reserve();
  await consumer.next('reserved');
  return { server, id: String(id), consumer };
}

test('submissions are listed by state, metadata and prefix, and each is told in full', async () => {
  const { server, id } = await atWork();
  await using _server = server;
  await server.insert('other', 1);
  const { body } = await read<List<SubmissionItem>>(server, 'submissions?meta=customer:42&state=running');
  const [item] = body.items;
  assert.deepEqual([body.matched, body.next, item?.id, item?.state], [1, null, id, 'running']);
  const chunks = { total: 6, done: 2, reserved: 1, waiting: 2, delayed: 1, paused: 0, failed: 0 };
  assert.deepEqual([item?.chunks, item?.failing, item?.set_back], [chunks, true, 1]);
  assert.deepEqual(item?.metadata, { customer: '42' });
  for (const [query, matched] of [
    ['', 2],
    ['?state=waiting', 1],
    ['?state=failing', 1],
    ['?meta=customer:1', 0],
    ['?prefix_starts=oth', 1],
    ['?prefix=oth', 0],
    ['?queue=images', 0],
    ['?inserted_after=2999-01-01T00:00:00Z', 0],
  ] as const) {
    assert.equal((await read<List<unknown>>(server, `submissions${query}`)).body.matched, matched, query);
  }
  const details = (await read<SubmissionAnswer>(server, `submissions/${id}`)).body;
  assert.deepEqual([details.first_not_done, details.failures.length, details.durations_ms], [2, 1, null]);
  assert.deepEqual(
    details.timeline.map(({ kind }) => kind),
    ['inserted', 'first_chunk', 'first_failure'],
  );
  const elsewhere = await read(server, `submissions/${id}?queue=images`);
  const unknown = await read(server, 'submissions/1');
  assert.deepEqual(
    [elsewhere.status, unknown.status, (await read(server, 'submissions/x')).status],
    [404, 404, 400],
  );
});

test('an action on a state is for the submissions that the list shows in it', async () => {
  const { server, id } = await atWork();
  await using _server = server;
  const paused = String(await server.insert('paused', 1));
  await server.insert('waiting', 1);
  await server.insert('later', 1, { start_after: '2999-01-01T00:00:00Z' });
  const elsewhere = { chunk_contents: { SeeObjectStorage: { prefix: 'b', count: 1 } } };
  await server.post('/q/images/producer/submissions', JSON.stringify(elsewhere));
  const act = async (verb: string, body: object) =>
    JSON.parse((await server.post(`/api/v1/actions/${verb}`, JSON.stringify(body))).body.toString());
  await act('pause', { ids: [paused] });
  let limit = 100;
  const compare = async () => {
    // Another view each time: the same one is computed once a second.
    limit++;
    const found: Record<string, number> = {};
    for (const state of ['open', 'waiting', 'running', 'paused', 'delayed']) {
      const { body } = await read<List<SubmissionItem>>(server, `submissions?state=${state}&limit=${limit}`);
      const { ids = [] } = await act('cancel', { filter: { state }, dry_run: true });
      const listed = body.items.map((item) => item.id);
      assert.deepEqual(ids.sort(), listed.sort(), state);
      if (state !== 'open') assert.ok(body.items.every((item) => item.state === state));
      found[state] = listed.length;
    }
    return found;
  };
  assert.deepEqual(await compare(), { open: 5, waiting: 2, running: 1, paused: 1, delayed: 1 });
  // With what is in flight, which stays with its consumer.
  await act('pause', { ids: [id] });
  await act('pause', { queue: 'images' });
  assert.deepEqual(await compare(), { open: 5, waiting: 1, running: 0, paused: 3, delayed: 1 });
  await act('pause', { server: true });
  assert.deepEqual(await compare(), { open: 5, waiting: 0, running: 0, paused: 5, delayed: 0 });
});

test('a cursor walks through all submissions, open or ended', async () => {
  await using server = await TestServer.start();
  const ids: string[] = [];
  for (let i = 0; i < 7; i++) ids.push(String(await server.insert(`p${i}`, 1)));
  const walk = async (query: string) => {
    const found: string[] = [];
    for (let cursor = ''; ; ) {
      const { body } = await read<List<SubmissionItem>>(server, `submissions?limit=3&${query}${cursor}`);
      found.push(...body.items.map(({ id }) => id));
      if (body.next === null) return found;
      cursor = `&cursor=${body.next}`;
    }
  };
  assert.deepEqual(await walk('order=asc'), ids);
  assert.deepEqual(await walk('sort=waiting'), ids.toReversed());
  await server.post(`/producer/submissions/cancel/${ids[2]}`, '');
  assert.deepEqual(await walk('state=all'), ids.toReversed());
  assert.equal((await read<List<SubmissionItem>>(server, 'submissions?state=all')).body.matched, 7);
  for (const id of ids) await server.post(`/producer/submissions/cancel/${id}`, '');
  assert.deepEqual(await walk('state=cancelled'), ids.toReversed());
  assert.deepEqual(await walk('state=cancelled&queue=-&prefix=p3'), [ids[3]]);
  const { body } = await read<SubmissionAnswer>(server, `submissions/${ids[0]}`);
  assert.deepEqual([body.state, body.timeline.at(-1)?.kind, body.end?.text], ['cancelled', 'ended', '']);
  assert.equal((await read(server, 'submissions?state=cancelled&sort=rate')).status, 400);
});

test('failures are grouped by what they have in common, and told one by one', async () => {
  const { server, id } = await atWork();
  await using _server = server;
  const { body } = await read<List<FailureGroup>>(server, `failures?submission=${id}&meta=customer:42`);
  const [group] = body.items;
  assert.deepEqual(
    [body.matched, group?.title, group?.count, group?.submissions, group?.example.chunk],
    [1, 'Error: customer # has no address (bill bill.ts)', 1, 1, 2],
  );
  assert.deepEqual(group?.metadata, [{ key: 'customer', value: '42', count: 1 }]);
  const single = await read<List<FailureRow>>(
    server,
    `failures?group=none&fingerprint=${group?.fingerprint}`,
  );
  assert.match(single.body.items[0]!.text, /^Error: customer 42 /);
  assert.equal(single.body.items[0]!.gist, 'Error: customer 42 has no address');
  const { since } = (await read<Overview>(server, 'overview')).body;
  for (const path of ['failures', 'failures?group=none&limit=1']) {
    assert.equal((await read<FailuresAnswer>(server, path)).body.since, since);
  }
  assert.equal((await read<List<unknown>>(server, 'failures?cause=expired')).body.matched, 0);
  const failedSo = async (state: string) => {
    const path = `submissions?failure=${group?.fingerprint}&state=${state}`;
    return (await read<List<SubmissionItem>>(server, path)).body.items.map((item) => item.id);
  };
  assert.deepEqual(await failedSo('open'), [id]);
  await server.post(`/producer/submissions/cancel/${id}`, '');
  assert.deepEqual([await failedSo('all'), await failedSo('cancelled')], [[id], [id]]);
});

test('consumers are told with what they hold and did, one by one or grouped', async () => {
  const { server, id, consumer } = await atWork();
  await using _server = server;
  await server.consumer({}, '/q/images');
  const { body } = await read<List<ConsumerRow>>(server, 'consumers?state=working');
  const [row] = body.items;
  assert.deepEqual(
    [body.matched, row?.conn_id, row?.client, row?.strategy, row?.held, row?.done, row?.set_back],
    [1, consumer.init.connId, 'opsqueue 9.9.9', 'oldest', 1, 2, 1],
  );
  const details = (await read<ConsumerAnswer>(server, `consumers/${row?.conn_id}`)).body;
  assert.deepEqual([details.holding[0]?.submission, details.holding[0]?.chunk], [id, 3]);
  assert.equal((await read(server, `consumers/${row?.conn_id}?queue=images`)).status, 404);
  const groups = (await read<List<ConsumerGroup>>(server, 'consumers?group=strategy')).body.items;
  assert.deepEqual(
    groups.map(({ group, consumers }) => [group, consumers]).toSorted(),
    [
      [null, 1],
      ['oldest', 1],
    ].toSorted(),
  );
  const first = (await read<List<ConsumerGroup>>(server, 'consumers?group=strategy&limit=1')).body;
  const rest = await read<List<ConsumerGroup>>(
    server,
    `consumers?group=strategy&limit=1&cursor=${first.next}`,
  );
  assert.deepEqual([rest.status, rest.body.items.length, rest.body.next], [200, 1, null]);
});

test('consumers are found by a strategy with as many values as it may have, up to a length that is told', async () => {
  await using server = await TestServer.start();
  await server.insert('a', 1, { strategic_metadata: { kind: 1_000_000_000 } });
  const consumer = await server.consumer();
  const kinds = Array.from({ length: 256 }, (_, i) => 1_000_000_000 + i);
  const strategy = Strategy.selectOnly('kind', kinds, Strategy.oldest());
  await consumer.reserved(1, strategy);
  const path = (text: string) => `consumers?strategy=${encodeURIComponent(text)}`;
  assert.equal((await read<List<ConsumerRow>>(server, path(strategyText(strategy)))).body.matched, 1);
  const refused = await read<ProblemAnswer>(server, path('x'.repeat(4_001)));
  assert.deepEqual([refused.status, refused.body.detail], [400, 'strategy: more than 4000 characters']);
});

test('values of a key are told with what waits and is in flight of each', async () => {
  const { server } = await atWork();
  await using _server = server;
  const keys = (await read<List<KeyRow>>(server, 'keys')).body.items;
  assert.deepEqual(keys, [{ key: 'customer', values: 1 }]);
  const [row] = (await read<List<ValueRow>>(server, 'values?key=customer')).body.items;
  assert.deepEqual(
    [row?.value, row?.submissions, row?.waiting, row?.in_flight, row?.backlog, row?.share],
    ['42', 1, 2, 1, 4, 1],
  );
  assert.equal(row?.set_back_60s, 1);
  assert.equal((await read(server, 'values')).status, 400);
});

test('events are told from where the reader stands, and one who has seen all waits for the next', async () => {
  const { server, id } = await atWork();
  await using _server = server;
  const { body } = await read<EventsAnswer>(server, 'events');
  const kinds = body.items.map(({ kind }) => kind);
  assert.deepEqual(kinds, ['server_started', 'submission_inserted', 'consumer_connected']);
  assert.equal((await read<EventsAnswer>(server, `events?after=${body.next}`)).body.items.length, 0);
  const next = read<EventsAnswer>(server, `events?after=${body.next}&wait_ms=60000&kind=acted`);
  await server.insert('more', 1);
  await server.post('/api/v1/actions/pause', JSON.stringify({ ids: [id], by: 'ann', reason: 'wrong' }));
  const [act] = (await next).body.items;
  assert.deepEqual(
    [act?.kind, act?.submission, act?.by, act?.text],
    ['acted', id, 'ann', 'pause manual: wrong'],
  );
});

test('the latest events are told at once, and how many were skipped', async () => {
  await using server = await TestServer.start();
  const { body: first } = await read<EventsAnswer>(server, 'events?take=latest&limit=2');
  assert.deepEqual([first.items.length, first.missed], [1, 0]);
  for (let i = 0; i < 5; i++) await server.insert(`p${i}`, 1);
  const { body: all } = await read<EventsAnswer>(server, 'events');
  const { body } = await read<EventsAnswer>(server, `events?take=latest&limit=2&after=${first.next}`);
  assert.deepEqual([body.items, body.missed, body.next], [all.items.slice(-2), 3, all.next]);
});

test('a reader who comes back to a server that was started again hears all of its events, and that some are missed', async () => {
  const before = await TestServer.start();
  const { next } = (await read<EventsAnswer>(before, 'events')).body;
  await before[Symbol.asyncDispose]();
  await using server = await TestServer.start();
  await server.insert('a', 1);
  await server.insert('b', 1);
  const path = `events?after=${next}&wait_ms=60000`;
  const { body } = await read<EventsAnswer>(server, path);
  assert.deepEqual(
    body.items.map(({ kind }) => kind),
    ['server_started', 'submission_inserted', 'submission_inserted'],
  );
  assert.equal(body.missed, null);
  assert.equal((await read<EventsAnswer>(server, `events?after=${body.next}`)).body.missed, 0);
});

test('the server tells how it is set up, and no secret', async () => {
  await using server = await TestServer.start({ chunkRetriesMax: 7 });
  const { body } = await read<QueueAnswer>(server, 'queue');
  assert.equal(body.settings['--max-chunk-retries'], 7);
  assert.equal(body.settings['--store'], null);
  assert.ok(body.features.producers.includes('control'));
});

test('the map of a submission has two octets for each cell, and its chunks are told one by one', async () => {
  const { server, id, consumer } = await atWork();
  await using _server = server;
  const map = await server.get(`/api/v1/submissions/${id}/map`);
  const header = map.headers.find(([name]) => name === MAP_HEADER)?.[1];
  assert.equal(header, 'total=6; from=0; cell=1; cells=6');
  const { reserved, delayed, tried } = MAP_BITS;
  assert.deepEqual([...map.body], [255, 0, 255, 0, 0, delayed | tried, 0, reserved, 0, 0, 0, 0]);
  const { body } = await read<List<ChunkRow>>(server, `submissions/${id}/chunks`);
  assert.deepEqual(
    body.items.map(({ state }) => state),
    ['done', 'done', 'delayed', 'reserved', 'waiting', 'waiting'],
  );
  assert.equal(body.items[3]?.holder, consumer.init.connId);
  assert.match(body.items[2]?.last_failure ?? '', /^Error: customer 42/);
  const held = await read<List<ChunkRow>>(server, `submissions/${id}/chunks?sort=held`);
  assert.deepEqual(
    held.body.items.map(({ index }) => index),
    [3],
  );
  const page = await read<List<ChunkRow>>(server, `submissions/${id}/chunks?state=waiting&limit=1`);
  assert.deepEqual([page.body.items[0]?.index, page.body.next], [4, '5']);
  assert.equal((await server.get(`/api/v1/submissions/${id}/map?cell=3`)).status, 400);
  await server.post(`/producer/submissions/cancel/${id}`, '');
  const ended = await server.get(`/api/v1/submissions/${id}/map?cell=2`);
  assert.deepEqual([...ended.body], [255, 0, 0, 0, 0, 0]);
  const after = await read<List<ChunkRow>>(server, `submissions/${id}/chunks?from=1`);
  assert.deepEqual(
    after.body.items.map(({ index, state }) => `${index} ${state}`),
    ['1 done', '2 skipped', '3 skipped', '4 skipped', '5 skipped'],
  );
});

test('why tells what keeps work from going on, of one submission, a queue or all, and the overview points there', async () => {
  await using server = await TestServer.start();
  const verdict = async (query = '') => {
    const { body } = await read<Why>(server, `why${query}`);
    return [body.verdict, body.ok, body.queue];
  };
  const attention = async () => (await read<Overview>(server, 'overview?queue=-')).body.attention;
  assert.deepEqual(await verdict(), ['nothing_open', false, null]);
  const id = String(await server.insert('p', 2, { strategic_metadata: { kind: 2 } }));
  assert.deepEqual(await verdict(`?submission=${id}`), ['no_consumers', false, '-']);
  assert.deepEqual((await attention())[0], {
    code: 'no_consumers',
    severity: 'warning',
    count: 2,
    text: '2 chunks wait, and no consumer is connected',
    link: 'why?queue=-',
    submissions: [],
    metadata: {},
    example: null,
  });
  const consumer = await server.consumer();
  consumer.reserve(1, Strategy.selectOnly('kind', [1], Strategy.oldest()));
  await consumer.control('pong');
  const excluded = (await read<Why>(server, `why?submission=${id}&queue=-`)).body;
  assert.deepEqual([excluded.verdict, excluded.checks.length], ['excluded', 12]);
  assert.match(excluded.text, /^the only consumer takes only kind=1; it has kind=2$/);
  assert.deepEqual(await verdict('?queue=-'), ['excluded', false, '-']);
  assert.equal((await read(server, 'why?submission=1')).status, 404);
  const paused = String(await server.insert('paused', 1));
  await server.post('/api/v1/actions/pause', JSON.stringify({ ids: [paused], by: 'ann' }));
  assert.deepEqual(await verdict(`?submission=${paused}`), ['submission_paused', false, '-']);
  await server.post(`/producer/submissions/cancel/${paused}`, '');
  assert.deepEqual(await verdict(`?submission=${paused}&queue=-`), ['ended', true, '-']);
});
