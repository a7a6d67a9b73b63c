import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { ConsumerAnswer, ConsumerRow } from '../../src/protocol/api/consumers.ts';
import type { EventsAnswer } from '../../src/protocol/api/events.ts';
import type { FailureGroup } from '../../src/protocol/api/failures.ts';
import type { Frame, List, ProblemAnswer } from '../../src/protocol/api/lists.ts';
import type { History, Overview } from '../../src/protocol/api/overview.ts';
import type { QueueRow } from '../../src/protocol/api/queue.ts';
import { SHAPES } from '../../src/protocol/api/shapes.ts';
import type { ChunkRow, SubmissionAnswer, SubmissionItem } from '../../src/protocol/api/submissions.ts';
import type { ValueRow } from '../../src/protocol/api/values.ts';
import type { Why } from '../../src/protocol/api/why.ts';
import { JsonShapeError } from '../../src/protocol/json/errors.ts';
import { FanOut } from '../../src/server/across/fan-out.ts';
import { HAND_OVER_MS_MAX } from '../../src/server/passing.ts';
import { silentLogger } from '../../src/system/log/logger.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { mergeOverviews } from '../../src/views/across/overview.ts';
import { scriptedHttp } from '../support/fakes/scripted-http.ts';
import { freePort } from '../support/network/free-port.ts';
import { ConsumerPeer } from '../support/peers/consumer-peer.ts';
import { HttpSocket, type RawAnswer } from '../support/peers/http-socket.ts';
import {
  BILLS,
  bodyOf,
  IMAGES,
  pathOf,
  type ShardNode,
  shardNodes,
  stopNodes,
  UNNAMED,
} from '../support/queues/shard-nodes.ts';
import { eventually } from '../support/time/eventually.ts';

after(stopNodes);

const QUEUES = ['', 'images', 'bills'] as const;
const UNPAGED = new Set(['overview', 'why', 'queues']);

async function read<T>(node: ShardNode, path: string): Promise<T> {
  const { status, body } = await node.request(`GET /api/v1/${path}`);
  assert.equal(status, 200, `${path}: ${body}`);
  return JSON.parse(body.toString()) as T;
}

async function act(node: ShardNode, verb: string, body: object) {
  const { status, body: text } = await node.request(`POST /api/v1/actions/${verb}`, JSON.stringify(body));
  return { status, body: JSON.parse(text.toString()) as Record<string, unknown> & ProblemAnswer };
}

/** Three nodes with a queue each, in which two chunks wait. */
async function three() {
  const nodes = await shardNodes([UNNAMED], [IMAGES], [BILLS]);
  const [a = assert.fail(), b = assert.fail(), c = assert.fail()] = nodes;
  const ids: string[] = [];
  for (const [i, queue] of QUEUES.entries()) {
    ids.push(await nodes[i]!.insert(queue, `p-${queue}`));
  }
  return { nodes, a, b, c, ids };
}

test('requests of all queues on one connection that is kept are answered, whichever node it is to', async () => {
  const { nodes, ids } = await three();
  for (const node of nodes) {
    const socket = await HttpSocket.open(node.port);
    const ask = async (line: string, body?: string): Promise<RawAnswer> => {
      socket.send(line, body === undefined ? {} : { 'content-type': 'application/json' }, body);
      return socket.answer();
    };
    // With this the connection stays here.
    await ask('GET /metrics');
    for (const [i, queue] of QUEUES.entries()) {
      const path = `${pathOf(queue)}/producer/submissions`;
      assert.match((await ask(`GET ${path}/${ids[i]}`)).body.toString(), /InProgress/);
      assert.equal((await ask(`POST ${path}`, bodyOf(`p-${queue}`))).body.toString(), ids[i]);
      assert.equal((await ask(`GET ${path}/count`)).body.toString(), '1');
      assert.equal((await ask(`GET ${pathOf(queue)}/ping`)).body.toString(), 'pong');
    }
    const figures = (await ask('GET /metrics')).body.toString();
    // Four of each queue of another node.
    assert.match(figures, /^node_requests_passed_on_total 8$/m);
    socket.close();
  }
});

test('a consumer whose upgrade comes on a connection that was kept reaches its queue', async () => {
  const { a, b } = await three();
  const socket = await HttpSocket.open(a.port);
  socket.send('GET /ping');
  assert.equal((await socket.answer()).status, 200);
  const key = { 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' };
  socket.send('GET /q/images/consumer', { connection: 'Upgrade', upgrade: 'websocket', ...key });
  assert.equal((await socket.answer(false)).status, 101);
  assert.equal((await read<Overview>(b, 'overview?queue=images')).counts.consumers, 1);
  socket.close();
});

test('every node tells of the queues of all', async () => {
  const { nodes, b, ids } = await three();
  const consumer = await ConsumerPeer.connect(b.port, {}, '/q/images');
  const [chunk] = await consumer.reserved();
  consumer.fail(chunk!.chunk, 'Error: it is gone');
  await consumer.control('pong');
  const { connId } = consumer.init;
  for (const node of nodes) {
    const { counts, totals, nodes_missing: missing } = await read<Overview>(node, 'overview');
    assert.deepEqual([counts.submissions_open, counts.consumers, totals.submissions_inserted], [3, 1, 3]);
    assert.equal(missing, undefined);
    const queues = (await read<List<QueueRow>>(node, 'queues')).items;
    assert.deepEqual(
      queues.map(({ name, submissions_open: open }) => [name, open]),
      [
        ['', 1],
        ['bills', 1],
        ['images', 1],
      ],
    );
    const listed: string[] = [];
    for (let cursor = ''; ; ) {
      const page = await read<List<SubmissionItem>>(node, `submissions?order=asc&limit=1${cursor}`);
      assert.equal(page.matched, 3);
      listed.push(...page.items.map(({ id }) => id));
      if (page.next === null) break;
      cursor = `&cursor=${page.next}`;
    }
    assert.deepEqual(listed.toSorted(), ids.toSorted());
    assert.deepEqual(listed, listed.toSorted());
    assert.equal((await read<List<ConsumerRow>>(node, 'consumers')).items[0]?.conn_id, connId);
    assert.equal((await read<ConsumerAnswer>(node, `consumers/${connId}`)).queue, 'images');
    const [group] = (await read<List<FailureGroup>>(node, 'failures')).items;
    assert.deepEqual([group?.count, group?.title], [1, 'Error: it is gone']);
    assert.ok(Array.isArray((await read<History>(node, 'history')).at_ms));
    assert.equal((await read<Why>(node, 'why')).verdict, 'no_consumers');
    assert.equal((await read<List<ValueRow>>(node, 'values?key=customer')).matched, 0);
  }
  consumer.cut();
});

test('a submission is found by its id from every node, and what is of one queue is asked of its node', async () => {
  const { nodes, ids } = await three();
  for (const node of nodes) {
    for (const [i, id] of ids.entries()) {
      const queue = QUEUES[i] || '-';
      assert.equal((await read<SubmissionAnswer>(node, `submissions/${id}`)).queue, queue);
      assert.equal((await read<List<ChunkRow>>(node, `submissions/${id}/chunks`)).items.length, 1);
      assert.equal((await node.request(`GET /api/v1/submissions/${id}/map`)).status, 200);
      assert.equal((await read<Why>(node, `why?submission=${id}`)).submission, id);
      const { counts, queue: of } = await read<Overview>(node, `overview?queue=${queue}`);
      assert.deepEqual([counts.submissions_open, of], [1, queue]);
      assert.equal((await read<List<SubmissionItem>>(node, `submissions?queue=${queue}`)).items[0]?.id, id);
    }
    for (const path of ['submissions/1', 'consumers/nobody']) {
      assert.equal((await node.request(`GET /api/v1/${path}`)).status, 404);
    }
  }
});

test('events of all nodes are told by each, from the place on where a reader was, and new ones at once', async () => {
  const { a, b, c } = await three();
  const inserted = async (node: ShardNode, after: string) => {
    const answer = await read<EventsAnswer>(node, `events?kind=submission_inserted${after}`);
    return { ...answer, queues: answer.items.map(({ queue }) => queue) };
  };
  const first = await inserted(a, '&limit=2');
  const rest = await inserted(b, `&after=${first.next}`);
  assert.deepEqual([...first.queues, ...rest.queues].toSorted(), ['-', 'bills', 'images']);
  const waiting = inserted(c, `&after=${rest.next}&wait_ms=30000`);
  await a.insert('', 'later');
  const later = await waiting;
  assert.deepEqual([later.queues, later.missed], [['-'], 0]);
  const ofQueue = await read<EventsAnswer>(a, 'events?queue=images&kind=submission_inserted');
  const again = await read<EventsAnswer>(
    c,
    `events?queue=images&kind=submission_inserted&after=${ofQueue.next}`,
  );
  assert.deepEqual([ofQueue.items.length, again.items.length], [1, 0]);
  const [latest] = (await read<EventsAnswer>(b, 'events?kind=submission_inserted&take=latest&limit=1')).items;
  assert.deepEqual(latest, later.items[0]);
  // A node that is gone, as far as the reader can know.
  const ofGone = await inserted(c, `&after=${later.next},0123456789ab.7`);
  assert.deepEqual([ofGone.queues, ofGone.missed], [[], null]);
  assert.equal((await inserted(c, `&after=${ofGone.next}`)).missed, 0);
  assert.equal((await a.request('GET /api/v1/events?after=x')).status, 400);
});

test('actions reach what they are for on whichever node it is, by queue, by id and by filter', async () => {
  const { nodes, a, b, c, ids } = await three();
  const pause = await act(c, 'pause', { queue: 'images', by: 'ann' });
  assert.deepEqual([pause.status, pause.body.done], [200, 1]);
  for (const node of nodes) {
    const { pauses } = await read<Overview>(node, 'overview?queue=images');
    assert.deepEqual(
      pauses.map(({ by }) => by),
      ['ann'],
    );
  }
  assert.deepEqual((await act(a, 'pause', { server: true, by: 'ann' })).body.done, 1);
  await eventually(async () => (await read<Overview>(b, 'overview')).state === 'paused');
  assert.equal((await act(b, 'resume', { server: true, by: 'ann' })).body.done, 1);

  const some = await act(b, 'pause', { ids: ids.slice(0, 2), by: 'ann' });
  assert.deepEqual([some.status, some.body.matched, some.body.done], [200, 2, 2]);
  assert.deepEqual((some.body.ids as string[]).toSorted(), ids.slice(0, 2).toSorted());
  const unknown = await act(b, 'pause', { ids: ['1', '2'], by: 'ann' });
  assert.deepEqual([unknown.status, unknown.body.code], [404, 'SUBMISSION_NOT_FOUND']);

  const filter = { filter: {}, by: 'ann' };
  const dry = await act(c, 'cancel', { ...filter, dry_run: true });
  assert.deepEqual([dry.body.matched, dry.body.dry_run], [3, true]);
  const changed = await act(c, 'cancel', { ...filter, expected: 2 });
  assert.deepEqual([changed.status, changed.body.code], [409, 'COUNT_CHANGED']);
  const cancelled = await act(c, 'cancel', { ...filter, expected: 3 });
  assert.deepEqual([cancelled.body.matched, cancelled.body.done, cancelled.body.dry_run], [3, 3, false]);
  // Each node tells what it has computed within the last second.
  await eventually(async () => (await read<Overview>(a, 'overview')).counts.submissions_open === 0);
  assert.equal((await read<List<SubmissionItem>>(b, 'submissions?state=cancelled')).items.length, 3);
  const none = await act(a, 'cancel', filter);
  assert.deepEqual([none.status, none.body.code], [404, 'NOTHING_MATCHES']);
  const ended = await act(a, 'cancel', { ids: ids.slice(1), by: 'ann' });
  assert.deepEqual([ended.status, ended.body.code], [409, 'SUBMISSION_ENDED']);
});

test('an action that comes again with its key is answered as before, sent on or not', async () => {
  const { a, b, ids } = await three();
  const key = { 'content-type': 'application/json', 'idempotency-key': 'k1' };
  for (const [node, body] of [
    [a, JSON.stringify({ ids: [ids[1]], queue: 'images' })],
    [b, JSON.stringify({ ids: [ids[1]], queue: 'images' })],
  ] as const) {
    const socket = await HttpSocket.open(node.port);
    socket.send('POST /api/v1/actions/cancel', key, body);
    const answer = await socket.answer();
    assert.equal((JSON.parse(answer.body.toString()) as { done: number }).done, 1);
    socket.close();
  }
});

test('who acts is told by its address, even where the request was sent on', async () => {
  const { c } = await three();
  await act(c, 'pause', { queue: 'images' });
  const { pauses } = await read<Overview>(c, 'overview?queue=images');
  assert.equal(pauses[0]?.by, '127.0.0.1');
});

test('a node that does not answer is named, and nothing is changed without it', async () => {
  const { a, ids } = await three();
  const address = `127.0.0.1:${await freePort()}`;
  a.seesAt(BILLS, '00000000000f', address);
  for (const path of ['overview', 'submissions', 'queues', 'events', 'consumers', 'why', 'history']) {
    assert.deepEqual((await read<Frame>(a, path)).nodes_missing, [address], path);
  }
  assert.equal((await read<Overview>(a, 'overview')).counts.submissions_open, 2);
  assert.equal((await read<SubmissionAnswer>(a, `submissions/${ids[1]}`)).queue, 'images');
  for (const body of [{ filter: {} }, { ids }]) {
    const refused = await act(a, 'cancel', body);
    assert.equal(refused.status, 503);
    assert.match(refused.body.detail, /does not answer: nothing was changed/);
  }
  assert.equal((await read<Overview>(a, 'overview')).counts.submissions_open, 2);
});

test('an action by a filter is refused while a part of the queues is at no node, or not where it was', async () => {
  const { a, b, c } = await three();
  const refuses = async (node: ShardNode, why: RegExp) => {
    for (const verb of ['cancel', 'retry']) {
      const { status, body } = await act(node, verb, { filter: {} });
      assert.deepEqual([status, body.code], [503, 'QUEUE_UNAVAILABLE']);
      assert.match(body.detail, why);
      assert.match(body.detail, /nothing was changed, try again/);
    }
  };
  await b.give(IMAGES);
  // They have not heard of it yet.
  await refuses(a, /^node 127.0.0.1:\d+ has not its shards ready/);
  for (const node of [a, c]) node.passing.lookAt(IMAGES, null);
  for (const node of [a, b, c])
    await refuses(node, /^shards that have no node at the moment: 1: nothing was changed/);
  const [alone = assert.fail()] = await shardNodes([UNNAMED, IMAGES]);
  await alone.insert('images', 'p');
  await refuses(alone, /^shards that have no node at the moment: 1: nothing was changed/);
  assert.equal((await act(alone, 'cancel', { filter: { queue: 'images' } })).body.done, 1);
  await alone.take(BILLS);
  await alone.insert('', 'q');
  assert.equal((await act(alone, 'cancel', { filter: {} })).body.done, 1);
});

test('a node whose answers cannot be read is missing, and what others have done is told', async () => {
  const { a } = await three();
  const counted = { dry_run: true, matched: 1, done: 1, unchanged: 0, still_paused: 0, ids: [], skipped: [] };
  let acts = false;
  await using odd = await scriptedHttp(({ body }) => {
    const isCounting = acts && body.includes('"dry_run":true');
    return { status: 200, body: isCounting ? JSON.stringify(counted) : '<html>' };
  });
  const address = `127.0.0.1:${odd.port}`;
  a.seesAt(BILLS, '00000000000f', address);
  for (const path of ['overview', 'submissions', 'queues', 'events', 'consumers', 'why', 'history']) {
    assert.deepEqual((await read<Frame>(a, path)).nodes_missing, [address], path);
  }
  assert.equal((await act(a, 'cancel', { filter: {} })).status, 503);
  acts = true;
  const { status, body } = await act(a, 'cancel', { filter: {} });
  assert.deepEqual([status, body.done, body.nodes_missing], [200, 2, [address]]);
});

test('who acts is an address that a node has told, whatever a client says of itself', async () => {
  const { b, c } = await three();
  const json = { 'content-type': 'application/json' };
  for (const [node, claims] of [
    [c, { 'opsqueue-forwarded-for': '10.0.0.9' }],
    [b, { 'opsqueue-forwarded': 'x', 'opsqueue-forwarded-for': 'y'.repeat(1_000) }],
  ] as const) {
    const socket = await HttpSocket.open(node.port);
    socket.send('POST /api/v1/actions/pause', { ...json, ...claims }, '{"queue":"images"}');
    assert.equal((await socket.answer()).status, 200);
    socket.close();
    const { pauses } = await read<Overview>(c, 'overview?queue=images');
    assert.deepEqual(
      pauses.map(({ by }) => by),
      ['127.0.0.1'],
    );
    await act(c, 'resume', { queue: 'images' });
  }
});

test('what one node sends on is not sent on again', async () => {
  const { a, b } = await three();
  const socket = await HttpSocket.open(b.port);
  socket.send('GET /q/images/ping');
  assert.equal((await socket.answer()).status, 200);
  socket.send('GET /q/bills/producer/submissions/count', { 'opsqueue-forwarded': a.name });
  const answer = await socket.answer();
  assert.deepEqual([answer.status, new Map(answer.headers).get('retry-after')], [503, '1']);
  socket.close();
});

test('what a node is asked for by another one is of itself alone, and is refused by any other', async () => {
  const { a, b } = await three();
  const socket = await HttpSocket.open(b.port);
  socket.send('GET /api/v1/overview', { 'opsqueue-scope': b.name });
  const { counts } = JSON.parse((await socket.answer()).body.toString()) as Overview;
  assert.equal(counts.submissions_open, 1);
  socket.send('GET /api/v1/overview', { 'opsqueue-scope': a.name });
  assert.equal((await socket.answer()).status, 503);
  socket.close();
});

test('shards that no node has are told of when that takes longer than a hand-over, until one has them', async () => {
  const [a = assert.fail(), b = assert.fail()] = await shardNodes([UNNAMED, IMAGES], [BILLS]);
  const told = async (node: ShardNode, path: string) => (await read<Frame>(node, path)).shards_missing;
  const views = ['overview', 'submissions', 'queues', 'events', 'consumers', 'why', 'history', 'failures'];
  await b.give(BILLS);
  a.passing.lookAt(BILLS, null);
  for (const path of views) assert.equal(await told(a, path), undefined, path);
  // The next one is to have it, and has not opened it yet.
  a.laterMs = HAND_OVER_MS_MAX - 1_000;
  await using opening = await scriptedHttp(() => ({
    status: 200,
    body: '{"node":"00000000000f","shards":[]}',
  }));
  a.seesAt(BILLS, '00000000000f', `127.0.0.1:${opening.port}`);
  assert.equal(a.passing.shardsMissing, 0);
  a.laterMs = HAND_OVER_MS_MAX + 1;
  assert.equal(a.passing.shardsMissing, 1);
  a.passing.lookAt(BILLS, null);
  // Views are computed once a second.
  for (const path of views) await eventually(async () => (await told(a, path)) === 1);
  const { attention } = await read<Overview>(a, 'overview');
  assert.deepEqual(
    attention.filter(({ code }) => code === 'shards_missing').map(({ severity, count }) => [severity, count]),
    [['critical', 1]],
  );
  assert.equal(await told(a, 'overview?queue=images'), undefined);
  await a.take(BILLS);
  for (const path of views) await eventually(async () => (await told(a, path)) === undefined);
});

test('what several nodes say of shards that nobody has is one item, of the one that knows of most', async () => {
  const { a } = await three();
  const part = await read<Overview>(a, 'overview');
  const about = { submissions: [], metadata: {}, example: null };
  const item = { code: 'shards_missing', severity: 'critical', text: 't', link: 'queue', ...about } as const;
  const parts = [1, 3, 2].map((count) => ({ ...part, attention: [{ ...item, count, text: `t${count}` }] }));
  assert.deepEqual(mergeOverviews(parts).attention, [{ ...item, count: 3, text: 't3' }]);
});

test('what failed in two ways is two items, also where one list has both', async () => {
  const { a } = await three();
  const part = await read<Overview>(a, 'overview');
  const link = 'submissions?state=failed&queue=-' as const;
  const about = {
    code: 'submissions_failed',
    severity: 'warning',
    link,
    submissions: [],
    metadata: {},
  } as const;
  const [gone, full] = (['Error: gone', 'Error: full'] as const).map((text, chunk) => ({
    ...about,
    count: 2,
    text,
    example: { at: part.as_of, submission: String(chunk), chunk, text },
  }));
  const parts = [
    { ...part, attention: [gone!, full!] },
    { ...part, attention: [] },
  ];
  assert.deepEqual(mergeOverviews(parts).attention, [gone, full]);
});

test('what failed is not told any more by a node that has given its queue away', async () => {
  const [a = assert.fail(), b = assert.fail()] = await shardNodes([UNNAMED, IMAGES], [BILLS]);
  const told = async () =>
    (await read<Overview>(b, 'overview')).attention.find(({ code }) => code === 'submissions_failed');
  const once = { ...JSON.parse(bodyOf('p-images')), failure_mode: 'collect', retry: { tries_max: 1 } };
  const id = (await a.request('POST /q/images/producer/submissions', JSON.stringify(once))).body.toString();
  const consumer = await ConsumerPeer.connect(a.port, {}, '/q/images');
  const [chunk] = await consumer.reserved();
  consumer.fail(chunk!.chunk, 'Error: it is gone');
  await eventually(async () => (await told())?.link === `submissions/${id}`);
  await a.give(IMAGES);
  await b.take(IMAGES);
  a.sees(IMAGES, b);
  const { status } = await act(b, 'retry', { ids: [id] });
  assert.equal(status, 200);
  // Views are computed once a second.
  await eventually(async () => (await told()) === undefined);
});

test('every field of an answer that others are put together with has to be there, and of its type', async () => {
  const { a } = await three();
  const known = SHAPES.overview;
  const whole = await read<Overview>(a, 'overview');
  assert.ok(whole.attention.length > 0 && whole.oldest_waiting !== null);
  assert.equal(known({ ...whole, more: 1 }, '').counts, whole.counts);
  const broken = function* broken(value: unknown): Generator<unknown> {
    if (typeof value !== 'object' || value === null) return;
    for (const [name, each] of Object.entries(value)) {
      const put = (other: unknown) =>
        Array.isArray(value) ? value.with(Number(name), other) : { ...value, [name]: other };
      yield put(undefined);
      yield put(typeof each === 'string' ? 1 : each === null ? {} : 'x');
      for (const inner of broken(each)) yield put(inner);
    }
  };
  for (const each of broken(whole))
    assert.throws(() => known(each, ''), JsonShapeError, JSON.stringify(each));
});

test('JSON of another shape is a missing node whatever is asked for, and is logged once', async () => {
  const { a } = await three();
  const list = { as_of: new Date(0).toISOString(), age_ms: 0, matched: 1, next: null };
  const bodies: object[] = [{ status: 'up' }, [], { ...list, items: [{}] }, { ...list, items: {} }];
  let body: object = {};
  await using odd = await scriptedHttp(() => ({ status: 200, body: JSON.stringify(body) }));
  const address = `127.0.0.1:${odd.port}`;
  a.seesAt(BILLS, '00000000000f', address);
  const views = ['overview', 'history', 'submissions', 'failures', 'consumers', 'keys', 'values', 'events'];
  views.push('why', 'queues');
  for (const [i, each] of bodies.entries()) {
    body = each;
    for (const view of views) {
      // Another view each time: those that were computed of late are not asked for again.
      const query = { values: `key=k${i}`, events: `limit=${i + 1}`, history: `points=${i + 10}` }[view];
      const path = `${view}?${query ?? (UNPAGED.has(view) ? '' : `limit=${i + 1}`)}`;
      assert.deepEqual(
        (await read<Frame>(a, path)).nodes_missing,
        [address],
        `${path} ${JSON.stringify(each)}`,
      );
    }
  }
  const told = a.logger.lines.filter(({ message }) => message.startsWith('unreadable answer'));
  const fields = told.map((line) => line.fields as { readonly view: string; readonly address: string });
  assert.deepEqual(fields.map(({ view }) => view).toSorted(), views.toSorted());
  assert.deepEqual([fields[0]?.address, told[0]?.level], [address, 'warn']);
});

test('a node that closes a kept connection just as it is asked is asked again', async () => {
  await using other = await scriptedHttp((_request, number) =>
    number === 2 ? 'cut' : { status: 200, body: '{}' },
  );
  const node = { node: 'b', address: `127.0.0.1:${other.port}` };
  const fanOut = new FanOut({ clock: systemClock, logger: silentLogger, others: () => [node] });
  for (let asked = 0; asked < 2; asked++) {
    assert.ok('answer' in (await fanOut.askNode(node, { path: 'overview' })));
  }
  assert.equal(other.seen.length, 3);
  fanOut.close();
});
