import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { RawAnswer } from '../support/peers/http-socket.ts';
import { TestServer } from '../support/queues/test-server.ts';

let queue: TestServer;
before(async () => {
  queue = await TestServer.start({ submissionsReturnedMax: 2, chunkRetriesMax: 2 });
});
after(() => queue[Symbol.asyncDispose]());

const ROOT = '/producer/submissions';
const OURS = { 'opsqueue-client': '1.0.0' };
const told = (answer: RawAnswer) => [answer.status, answer.body.toString()];
const header = (answer: RawAnswer, name: string) => answer.headers.find(([key]) => key === name)?.[1];

/** Completes the chunks of a submission, all or the first ones. */
async function complete(id: bigint, count: number, output: Uint8Array | null = null): Promise<void> {
  const consumer = await queue.consumer();
  for (let chunkIndex = 0; chunkIndex < count; chunkIndex++) {
    consumer.complete({ submissionId: id, chunkIndex }, output);
  }
  await queue.get(`${ROOT}/${id}/chunks_done?known=${count - 1}&wait_ms=10000`);
}

test('version, on both paths', async () => {
  for (const path of ['/version', '/producer/version']) {
    const answer = await queue.get(path);
    assert.match(answer.body.toString(), /^v[0-9]+\.[0-9]+\.[0-9]+/);
    assert.equal(header(answer, 'content-type'), 'text/plain; charset=utf-8');
  }
});

test('ping is pong', async () => {
  assert.deepEqual(told(await queue.get('/ping')), [200, 'pong']);
});

test('insert answers with the id as a bare number', async () => {
  const answer = await queue.post(
    ROOT,
    '{"chunk_contents":{"SeeObjectStorage":{"prefix":"bare","count":1}}}',
  );
  assert.equal(answer.status, 200);
  assert.match(answer.body.toString(), /^[0-9]{19}$/);
  assert.equal(header(answer, 'content-type'), 'application/json');
  assert.deepEqual(
    answer.headers.map(([name]) => name),
    ['content-type', 'content-length', 'date'],
    'an old client gets the recorded headers only',
  );
});

test('insert takes any JSON content type', async () => {
  const body = '{"chunk_contents":{"Direct":{"contents":[]}}}';
  for (const type of [
    'application/json',
    'application/json; charset=utf-8',
    'Application/JSON',
    'application/vnd.x+json',
  ]) {
    assert.equal((await queue.post(ROOT, body, { 'content-type': type })).status, 200, type);
  }
});

test('inserting twice gives the first id; with another content it is a conflict that names the field', async () => {
  const first = await queue.insert('twice', 2, { metadata: [1] });
  assert.equal(await queue.insert('twice', 2, { metadata: [1] }), first);
  const conflict = await queue.post(
    ROOT,
    '{"chunk_contents":{"SeeObjectStorage":{"prefix":"twice","count":3}}}',
  );
  assert.equal(conflict.status, 409);
  assert.match(conflict.body.toString(), /"twice".*count/);
});

test('an idempotency key makes direct inserts one', async () => {
  const body = '{"chunk_contents":{"Direct":{"contents":[[1]]}}}';
  const insert = (key: string) => queue.post(ROOT, body, { 'idempotency-key': key });
  const [one, again, other] = [await insert('key.1'), await insert('key.1'), await insert('key.2')];
  assert.deepEqual(told(one), told(again));
  assert.notDeepEqual(told(one), told(other));
  const refused = await insert('no spaces');
  assert.equal(refused.status, 422);
  assert.match(refused.body.toString(), /Idempotency-Key/);
});

test('the trace context of an insert is kept', async () => {
  const traceparent = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00';
  const answer = await queue.post(
    ROOT,
    '{"chunk_contents":{"SeeObjectStorage":{"prefix":"traced","count":1}}}',
    {
      traceparent,
      tracestate: 'vendor=abc',
      baggage: 'a=1',
    },
  );
  const status = await queue.status(BigInt(answer.body.toString()));
  const carrier = JSON.stringify(JSON.stringify({ traceparent, tracestate: 'vendor=abc', baggage: 'a=1' }));
  assert.ok(status.includes(`"otel_trace_carrier":${carrier}`), status);
});

test('the status of an unknown id is null; ids may be written oddly', async () => {
  for (const id of ['1', '01', '+1', '%31', '9223372036854775807']) {
    assert.deepEqual(told(await queue.get(`${ROOT}/${id}`)), [200, 'null'], id);
  }
});

test('a status is returned at once, unless the client wants to wait; then as soon as the submission ends', async () => {
  const id = await queue.insert('wait', 1);
  assert.match(await queue.status(id, '?wait_ms=20'), /^\{"InProgress"/);
  const waiting = queue.status(id, '?wait_ms=60000');
  await complete(id, 1);
  assert.match(await waiting, /^\{"Completed"/);
});

test('cancel: 200 with an empty body, then 409 with the status, 404 with the id for an unknown one', async () => {
  const id = await queue.insert('cancelled', 2);
  const socket = await queue.socket();
  // As old clients send it: without a body and its length.
  socket.send(`POST ${ROOT}/cancel/${id}`);
  const answer = await socket.answer();
  assert.deepEqual(told(answer), [200, '']);
  assert.deepEqual(
    answer.headers.map(([name]) => name),
    ['content-length', 'date'],
  );
  const again = await queue.request(`POST ${ROOT}/cancel/${id}`);
  assert.equal(again.status, 409);
  assert.match(
    again.body.toString(),
    /^\{"Cancelled":\{"id":[0-9]+,"prefix":"cancelled","chunks_total":2,"chunks_done":0/,
  );
  assert.deepEqual(told(await queue.request(`POST ${ROOT}/cancel/0`)), [404, '0']);
});

test('the status of a submission whose chunk fails too often has the failure', async () => {
  const id = await queue.insert('failing', 3);
  const consumer = await queue.consumer();
  for (const failure of ['once', 'tränen\n中']) {
    for (;;) {
      const [reserved] = await consumer.reserved(1);
      assert.ok(reserved);
      if (reserved.chunk.submissionId === id) {
        consumer.fail(reserved.chunk, failure);
        break;
      }
    }
  }
  const status = await queue.status(id, '?wait_ms=10000');
  assert.match(status, /^\{"Failed":\[\{"id":[0-9]+,"prefix":"failing","chunks_total":3,"chunks_done":0/);
  assert.match(status, /"chunk_index":0,"input_content":null,"failure":"tränen\\n中","failed_at"/);
});

test('counts of submissions in progress and completed', async () => {
  const number = async (path: string) => Number((await queue.get(`${ROOT}/${path}`)).body.toString());
  const [open, completed] = [await number('count'), await number('count_completed')];
  await queue.insert('counted', 1);
  await queue.insert('counted-empty', 0);
  assert.deepEqual([await number('count'), await number('count_completed')], [open + 1, completed + 1]);
});

test('look-up by prefix: in every state, null for an unknown one', async () => {
  const ended = await queue.insert('by-prefix.ended', 0);
  const cancelled = await queue.insert('by-prefix.cancelled', 1);
  await queue.request(`POST ${ROOT}/cancel/${cancelled}`);
  const lookup = async (prefix: string) => told(await queue.get(`${ROOT}/lookup_id_by_prefix/${prefix}`));
  assert.deepEqual(await lookup('by-prefix.ended'), [200, String(ended)]);
  assert.deepEqual(await lookup('by%2Dprefix.cancelled'), [200, String(cancelled)]);
  assert.deepEqual(await lookup('nobody'), [200, 'null']);
});

test('look-up by metadata: all pairs must match, ids ascending, 400 with the maximum beyond it', async () => {
  const lookup = async (body: string) =>
    told(await queue.post(`${ROOT}/lookup_ids_by_strategic_metadata`, body));
  const one = await queue.insert('meta-1', 1, { strategic_metadata: { team: 77 } });
  const two = await queue.insert('meta-2', 1, { strategic_metadata: { team: 77, shop: 3 } });
  assert.deepEqual(await lookup('{"team":77}'), [200, `[${one},${two}]`]);
  assert.deepEqual(await lookup('{"team":77,"shop":3}'), [200, `[${two}]`]);
  assert.deepEqual(await lookup('{"team":78}'), [200, '[]']);
  assert.deepEqual(await lookup('{"team":9223372036854775807}'), [200, '[]']);
  await queue.insert('meta-3', 1, { strategic_metadata: { team: 77 } });
  assert.deepEqual(await lookup('{"team":77}'), [400, '2']);
  assert.deepEqual(await lookup('{}'), [400, '2']);
  assert.deepEqual(await lookup('{"__proto__":1}'), [200, '[]']);
});

test('submissions that ended in a state are listed, the newest first, in pages', async () => {
  const ids: string[] = [];
  for (let i = 0; i < 3; i++) {
    const id = String(await queue.insert(`ended-${i}`, 1));
    await queue.request(`POST ${ROOT}/cancel/${id}`);
    ids.unshift(id);
  }
  const list = async (query: string) => told(await queue.get(`${ROOT}/ended?${query}`));
  assert.deepEqual(await list('state=cancelled&limit=3'), [200, `[${ids.join(',')}]`]);
  assert.deepEqual(await list(`state=cancelled&limit=1&before=${ids[0]}`), [200, `[${ids[1]}]`]);
  assert.deepEqual(await list('state=failed&before=0'), [200, '[]']);
  const failed = (await list('state=failed'))[1];
  for (const id of ids) assert.ok(!String(failed).includes(id), String(failed));
  assert.deepEqual(await list('state=lost'), [
    400,
    'state: expected completed, completed_with_failures, failed, cancelled, got "lost"',
  ]);
  assert.deepEqual(await list(''), [
    400,
    'state: expected completed, completed_with_failures, failed, cancelled, got null',
  ]);
  assert.deepEqual(await list('state=failed&before=x'), [400, 'before: expected a submission id, got "x"']);
});

test('known prefixes', async () => {
  await queue.insert('known', 1);
  const answer = await queue.post(`${ROOT}/known`, '["known","unknown","known"]');
  assert.deepEqual(told(answer), [200, '[true,false,true]']);
});

test('a request for the chunks that are done is answered as soon as there are more of them', async () => {
  const id = await queue.insert('progress', 5000);
  const path = `${ROOT}/${id}/chunks_done`;
  assert.deepEqual(told(await queue.get(path)), [
    200,
    '{"state":"in_progress","chunks_total":5000,"chunks_done":0,"pages":[],"next_page":null}',
  ]);
  const waiting = queue.get(`${path}?known=0&wait_ms=60000`);
  await complete(id, 1);
  const page = Buffer.alloc(512);
  page[0] = 1;
  assert.deepEqual(told(await waiting), [
    200,
    `{"state":"in_progress","chunks_total":5000,"chunks_done":1,"pages":[[0,"${page.toString('base64')}"]],"next_page":null}`,
  ]);
  assert.match((await queue.get(`${path}?known=1&wait_ms=10`)).body.toString(), /"chunks_done":1/);
  await queue.request(`POST ${ROOT}/cancel/${id}`);
  assert.match(
    (await queue.get(`${path}?known=1&wait_ms=60000`)).body.toString(),
    /"state":"cancelled".*"pages":\[\[0,/,
  );
  assert.deepEqual(told(await queue.get(`${ROOT}/1/chunks_done`)), [404, '']);
});

test('outputs of direct submissions, in pieces', async () => {
  const id = await queue.insertDirect([[1], [2], [3]]);
  await complete(id, 2, Uint8Array.of(7));
  const outputs = async (query: string) => {
    const answer = await queue.get(`${ROOT}/${id}/direct_outputs${query}`, OURS);
    return [answer.body.toString('hex'), header(answer, 'opsqueue-next')];
  };
  assert.deepEqual(await outputs(''), ['8341074107f6', undefined]);
  assert.deepEqual(await outputs('?from=0&limit=1'), ['814107', '1']);
  assert.deepEqual(await outputs('?from=1&limit=5'), ['824107f6', undefined]);
  assert.deepEqual(await outputs('?from=9'), ['80', undefined]);
  assert.deepEqual(told(await queue.get(`${ROOT}/1/direct_outputs`)), [404, '']);
  const elsewhere = await queue.get(`${ROOT}/${await queue.insert('elsewhere', 1)}/direct_outputs`);
  assert.equal(elsewhere.status, 409);
  assert.match(elsewhere.body.toString(), /object store/);
});

test('our clients are told what the server offers, others are not', async () => {
  const features = async (headers: Record<string, string>) =>
    header(await queue.get(`${ROOT}/count`, headers), 'opsqueue-features');
  assert.equal(
    await features(OURS),
    'wait,chunks_done,direct_outputs,idempotency_key,known,retry_delay,retry,ended,queues,control,collect,views',
  );
  assert.equal(await features({}), undefined);
});
