import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestServer } from '../support/queues/test-server.ts';

const ACTIONS = '/api/v1/actions';
const OURS = { 'opsqueue-client': '1.0.0' };

/** Status and body of an action. */
async function act(server: TestServer, verb: string, body: object | string, queue = '') {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const answer = await server.post(`${queue}${ACTIONS}/${verb}`, text);
  return [answer.status, JSON.parse(answer.body.toString())] as const;
}

async function statusOf(server: TestServer, id: bigint, headers?: Readonly<Record<string, string>>) {
  const answer = await server.get(`/producer/submissions/${id}`, headers);
  return answer.body.toString();
}

test('an action by id answers what it did; clients of ours see it in the status, others what they always saw', async () => {
  await using server = await TestServer.start();
  const id = await server.insert('p', 2);
  const before = await statusOf(server, id);
  const body = { ids: [String(id)], by: 'ann@host', reason: 'disk is full' };
  const answer = await act(server, 'pause', body);
  const { since } = answer[1].paused_by[0];
  const pause = { cause: 'manual', by: 'ann@host', reason: 'disk is full', since };
  assert.deepEqual(answer, [
    200,
    {
      action: 'pause',
      dry_run: false,
      matched: 1,
      done: 1,
      unchanged: 0,
      still_paused: 1,
      paused_by: [{ of: 'submission', submissions: 1, ...pause }],
      ids: [String(id)],
      skipped: [],
    },
  ]);
  const consumer = await server.consumer();
  consumer.reserve();
  await consumer.control('pong');
  assert.equal(await statusOf(server, id), before);
  const ours = JSON.parse(await statusOf(server, id, OURS)).InProgress;
  assert.deepEqual(ours.control.pauses, [pause]);
  assert.equal((await act(server, 'resume', { ids: [String(id)] }))[1].done, 1);
  assert.equal((await consumer.next('reserved')).chunks[0]?.submission.prefix, 'p');
  // Whoever does not say who he is goes by his address.
  const { history } = JSON.parse(await statusOf(server, id, OURS)).InProgress.control;
  assert.deepEqual(history.at(-1).by, '127.0.0.1');
});

test('an insert takes a deadline and a start; a submission that was cancelled says by whom and why', async () => {
  await using server = await TestServer.start();
  const id = await server.insert('p', 1, {
    deadline: '2999-01-01T00:00:00Z',
    start_after: '2998-01-01T00:00:00+01:00',
  });
  const { control } = JSON.parse(await statusOf(server, id, OURS)).InProgress;
  assert.deepEqual(
    [control.deadline, control.start_after],
    ['2999-01-01T00:00:00.000000000Z', '2997-12-31T23:00:00.000000000Z'],
  );
  const late = {
    chunk_contents: { SeeObjectStorage: { prefix: 'l', count: 1 } },
    deadline: '2001-01-01T00:00:00Z',
  };
  const refused = await server.post('/producer/submissions', JSON.stringify(late));
  assert.equal(refused.status, 422);
  assert.match(refused.body.toString(), /^deadline: 2001-01-01T00:00:00\.000Z has passed, it is /);
  await act(server, 'cancel', { ids: [String(id)], by: 'ann@host', reason: 'wrong file' });
  const { Cancelled } = JSON.parse(await statusOf(server, id, OURS));
  assert.deepEqual([Cancelled.cancelled_by, Cancelled.cancel_reason], ['ann@host', 'wrong file']);
  const original = JSON.parse(await statusOf(server, id)).Cancelled;
  assert.ok(!('cancelled_by' in original) && !('control' in original));
});

test('an action by filter is for what matches, in all queues or one', async () => {
  await using server = await TestServer.start();
  const metadata = { strategic_metadata: { customer: 42 } };
  const id = await server.insert('a', 1, metadata);
  const named = { chunk_contents: { SeeObjectStorage: { prefix: 'b', count: 1 } }, ...metadata };
  const other = (await server.post('/q/images/producer/submissions', JSON.stringify(named))).body.toString();
  const filter = { metadata: { customer: '42' } };
  const [, dry] = await act(server, 'pause', { filter, dry_run: true, expected: 5 });
  assert.deepEqual(dry.ids, [String(id), other]);
  assert.deepEqual((await act(server, 'pause', { filter }, '/q/images'))[1].ids, [other]);
  assert.deepEqual((await act(server, 'pause', { filter: { ...filter, queue: '-' } }))[1].ids, [String(id)]);
  const set = { filter: { state: 'paused' }, strategic_metadata: { customer: '-9223372036854775808' } };
  assert.equal((await act(server, 'set', set))[1].done, 2);
  assert.match(await statusOf(server, id), /"customer":-9223372036854775808/);
  assert.deepEqual(await act(server, 'cancel', { filter, expected: 1 }), [
    404,
    {
      status: 404,
      code: 'NOTHING_MATCHES',
      detail: 'no open submission matches customer=42: nothing was changed',
    },
  ]);
});

test('a queue and the server are paused as a whole', async () => {
  await using server = await TestServer.start();
  assert.equal((await act(server, 'pause', { queue: 'images' }))[0], 200);
  assert.equal((await act(server, 'pause', { server: true, cause: 'upgrade' }))[0], 200);
  const id = await server.insert('p', 1);
  const { control } = JSON.parse(await statusOf(server, id, OURS)).InProgress;
  assert.deepEqual(
    [control.pauses, control.queue_pauses.map(({ cause }: { cause: string }) => cause)],
    [[], ['upgrade']],
  );
  const consumer = await server.consumer();
  consumer.reserve();
  await consumer.control('pong');
  assert.equal((await act(server, 'resume', { server: true, every_cause: true }))[1].still_paused, 0);
  await consumer.next('reserved');
});

test('what is wrong with an action is said with a code, and changes nothing', async () => {
  await using server = await TestServer.start();
  const id = String(await server.insert('p', 1));
  const ids = [id];
  const cancelled = String(await server.insert('c', 1));
  await act(server, 'cancel', { ids: [cancelled] });
  for (const [verb, body, status, code, text] of [
    ['pause', '{', 400, 'PROTOCOL', ''],
    ['pause', {}, 422, 'PROTOCOL', 'exactly one of ids, filter, queue, server was expected, got 0'],
    ['pause', { ids, server: true }, 422, 'PROTOCOL', 'got 2'],
    ['pause', { ids: [] }, 422, 'PROTOCOL', 'ids: at least one'],
    ['pause', { ids: ['x'] }, 422, 'PROTOCOL', 'ids[0]: "x" is not a submission id'],
    ['pause', { filter: { customer: '1' } }, 422, 'PROTOCOL', 'filter.customer: there is no such field'],
    ['pause', { filter: { state: 'gone' } }, 422, 'PROTOCOL', 'filter.state: one of open, '],
    ['pause', { filter: { metadata: { k: 'x' } } }, 422, 'PROTOCOL', '"x" is not an integer of 64 bits'],
    ['pause', { queue: 'No' }, 422, 'PROTOCOL', 'queue: the name of a queue'],
    ['pause', { ids, cause: 'Two words' }, 422, 'PROTOCOL', 'cause: '],
    ['pause', { ids, reason: 'x'.repeat(1_001) }, 422, 'PROTOCOL', 'reason: 1 to 1000 characters'],
    ['pause', { ids, deadline: null }, 422, 'PROTOCOL', 'deadline: pause does not take it'],
    ['pause', { ids, idz: 1 }, 422, 'PROTOCOL', 'idz: there is no such field'],
    ['set', { ids }, 422, 'PROTOCOL', 'at least one of strategic_metadata, deadline, start_after'],
    ['set', { ids, deadline: 'soon' }, 422, 'PROTOCOL', 'deadline: "soon" is not an RFC 3339 time'],
    ['set', { ids, deadline: '2001-01-01T00:00:00Z' }, 422, 'DEADLINE_PASSED', 'has passed'],
    ['set', { ids, strategic_metadata: { ['k'.repeat(257)]: '1' } }, 422, 'PROTOCOL', 'strategic_metadata'],
    ['cancel', { server: true }, 409, 'CHANGE_REFUSED', 'can be paused and resumed'],
    ['pause', { ids: [cancelled] }, 409, 'SUBMISSION_ENDED', 'has ended (cancelled)'],
    ['pause', { ids: ['7'] }, 404, 'SUBMISSION_NOT_FOUND', 'submission 7'],
    ['pause', { filter: { state: 'paused' } }, 404, 'NOTHING_MATCHES', 'state paused'],
    ['pause', { filter: {}, expected: 0 }, 409, 'COUNT_CHANGED', '1 submission matches, 0 were expected'],
    ['stop', { ids }, 404, 'UNKNOWN_ACTION', '"stop" is not an action: pause, resume, set, cancel'],
  ] as const) {
    const [got, problem] = await act(server, verb, body);
    assert.deepEqual([got, problem.code], [status, code], JSON.stringify(problem));
    assert.ok(problem.detail.includes(text), `${problem.detail} has no ${text}`);
  }
  assert.deepEqual(await act(server, 'pause', { server: true }, '/q/images'), [
    422,
    { status: 422, code: 'PROTOCOL', detail: 'server: this is the address of queue images' },
  ]);
  const { InProgress } = JSON.parse(await statusOf(server, BigInt(id), OURS));
  assert.ok(!('control' in InProgress));
});

test('a web page of another site cannot act', async () => {
  await using server = await TestServer.start();
  const answer = await server.post(`${ACTIONS}/pause`, '{"server":true}', { origin: 'https://evil.example' });
  assert.equal(answer.status, 403);
  const form = await server.request(
    `POST ${ACTIONS}/pause`,
    { 'content-type': 'text/plain' },
    '{"server":true}',
  );
  assert.equal(form.status, 415);
});

test('metrics count what is paused', async () => {
  await using server = await TestServer.start();
  const id = await server.insert('p', 3);
  await act(server, 'pause', { ids: [String(id)] });
  await act(server, 'pause', { queue: 'images' });
  const text = (await server.get('/metrics')).body.toString();
  assert.match(text, /^submissions_paused_count\{queue="-"\} 1$/m);
  assert.match(text, /^chunks_paused_count\{queue="-"\} 3$/m);
  assert.match(text, /^queues_paused_count 1$/m);
  const contents = { SeeObjectStorage: { prefix: 'i', count: 2 } };
  await server.post('/q/images/producer/submissions', JSON.stringify({ chunk_contents: contents }));
  const later = (await server.get('/metrics')).body.toString();
  assert.match(later, /^submissions_paused_count\{queue="images"\} 1$/m);
  assert.match(later, /^chunks_paused_count\{queue="images"\} 2$/m);
  assert.match(later, /^queue_chunks_waiting_count\{queue="images"\} 0$/m);
});

test('an action with a key is done once, and answered again as it was', async () => {
  await using server = await TestServer.start({ chunkRetriesMax: 1 });
  const id = await server.insert('p', 1);
  const consumer = await server.consumer();
  const failOnce = async () => {
    const [reserved] = await consumer.reserved();
    consumer.fail(reserved!.chunk);
    await consumer.control('pong');
  };
  await failOnce();
  const retry = async (key: string, body: object = { ids: [String(id)] }, queue = '') => {
    const answer = await server.post(`${queue}${ACTIONS}/retry`, JSON.stringify(body), {
      'idempotency-key': key,
    });
    return [answer.status, JSON.parse(answer.body.toString())] as const;
  };
  const [first, atOnce] = await Promise.all([retry('k-1'), retry('k-1')]);
  assert.deepEqual([first[0], first[1].chunks], [200, 1]);
  assert.deepEqual(atOnce, first);
  await failOnce();
  assert.deepEqual(await retry('k-1'), first);
  assert.match(await statusOf(server, id), /^\{"Failed"/);
  for (const [body, queue] of [
    [{ ids: [String(id)], reason: 'other' }, ''],
    [{ ids: [String(id)] }, '/q/images'],
  ] as const) {
    const [status, problem] = await retry('k-1', body, queue);
    assert.deepEqual([status, problem.code], [409, 'IDEMPOTENCY_KEY_REUSED']);
  }
  assert.equal((await retry('not a key'))[0], 422);
  assert.equal((await retry('k-2'))[1].chunks, 1);
  // An error is not remembered: it may go away.
  assert.equal((await retry('k-3', { ids: ['7'] }))[0], 404);
  assert.equal((await retry('k-3'))[0], 200);
});

test('a cancel of the original tells by its address who it was, one of ours by name', async () => {
  await using server = await TestServer.start();
  let prefixes = 0;
  const by = async (headers: Readonly<Record<string, string>>) => {
    const id = await server.insert(`p-${prefixes++}`, 1);
    await server.request(`POST /producer/submissions/cancel/${id}`, headers);
    const { cancelled_by, cancel_reason } = JSON.parse(await statusOf(server, id, OURS)).Cancelled;
    assert.equal(cancel_reason, undefined);
    return cancelled_by;
  };
  assert.equal(await by({}), '127.0.0.1');
  assert.equal(await by({ 'opsqueue-by': encodeURIComponent('Jörg@host') }), 'Jörg@host');
  assert.equal(await by({ 'opsqueue-by': '%' }), '127.0.0.1');
});
