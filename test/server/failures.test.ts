import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { List } from '../../src/protocol/api/lists.ts';
import type { ChunkRow } from '../../src/protocol/api/submissions.ts';
import { TestServer } from '../support/queues/test-server.ts';

let queue: TestServer;
let consumer: Awaited<ReturnType<TestServer['consumer']>>;
before(async () => {
  queue = await TestServer.start({ chunkRetriesMax: 1 });
  consumer = await queue.consumer();
});
after(() => queue[Symbol.asyncDispose]());

const ROOT = '/producer/submissions';
const OURS = { 'opsqueue-client': '1.0.0' };

/** Inserts a submission that collects failures, fails those chunks and completes the others, all of them or none. */
async function inserted(prefix: string, count: number, failing: readonly number[], isWhole = true) {
  const id = await queue.insert(prefix, count, { failure_mode: 'collect' });
  for (const { chunk } of await consumer.reserved(count)) {
    if (failing.includes(chunk.chunkIndex)) consumer.fail(chunk, `chunk ${chunk.chunkIndex} is broken`);
    else if (isWhole) consumer.complete(chunk);
  }
  const known = isWhole ? count : failing.length - 1;
  await queue.get(`${ROOT}/${id}/chunks_done?known=${known}&wait_ms=10000`);
  return id;
}

async function metric(name: string): Promise<number> {
  const text = (await queue.get('/metrics')).body.toString();
  return Number(new RegExp(`^${name} ([0-9]+)`, 'm').exec(text)?.[1]);
}

test('an old producer sees a failed submission whose failure names the count, ours what it is', async () => {
  const id = await inserted('three', 5, [1, 3, 4]);
  const old = await queue.status(id);
  assert.match(old, /^\{"Failed":\[\{/);
  assert.match(old, /"chunks_done":2,.*"failed_chunk_id":1,/);
  assert.match(old, /"failure":"3 of 5 chunks failed; the first, chunk 1: chunk 1 is broken"/);
  assert.ok(!old.includes('failure_mode') && !old.includes('chunks_failed'));
  const ours = (await queue.get(`${ROOT}/${id}`, OURS)).body.toString();
  assert.match(ours, /"failure_mode":"collect","chunks_failed":3\},\{/);
  assert.match(ours, /"failure":"chunk 1 is broken"/);
  const one = await queue.status(await inserted('one', 2, [1]));
  assert.match(one, /"failure":"1 of 2 chunks failed, chunk 1: chunk 1 is broken"/);
  const none = await inserted('none', 2, []);
  assert.match(await queue.status(none), /^\{"Completed"/);
});

test('a status in progress counts what is set aside, for clients of ours', async () => {
  const id = await inserted('goes-on', 3, [0], false);
  const ours = (await queue.get(`${ROOT}/${id}`, OURS)).body.toString();
  assert.match(ours, /^\{"InProgress":.*"failure_mode":"collect","chunks_failed":1\}\}$/);
  assert.ok(!(await queue.status(id)).includes('failed'));
  assert.equal((await queue.post(`${ROOT}/cancel/${id}`, '')).status, 200);
});

test('an unknown failure mode is refused', async () => {
  const body = '{"chunk_contents":{"SeeObjectStorage":{"prefix":"bad","count":1}},"failure_mode":"ignore"}';
  const answer = await queue.post(ROOT, body);
  assert.equal(answer.status, 422);
  assert.match(answer.body.toString(), /failure_mode: one of fail, collect was expected, not "ignore"/);
});

test('chunks of a submission that ended have the texts of their failures on each page', async () => {
  const id = await inserted('paged', 4, [0, 1, 3]);
  const texts: (string | null)[] = [];
  for (let cursor = ''; ; ) {
    const answer = await queue.get(`/api/v1/submissions/${id}/chunks?limit=2${cursor}`);
    const { items, next } = JSON.parse(answer.body.toString()) as List<ChunkRow>;
    texts.push(...items.map((row) => row.last_failure));
    if (next === null) break;
    cursor = `&cursor=${next}`;
  }
  assert.deepEqual(texts, ['chunk 0 is broken', 'chunk 1 is broken', null, 'chunk 3 is broken']);
});

test('chunks that were set aside are listed with their failures, in pages', async () => {
  const id = await inserted('listed', 6, [0, 2, 5]);
  const list = async (query: string) => {
    const answer = await queue.get(`${ROOT}/${id}/chunks_failed${query}`);
    assert.equal(answer.status, 200);
    const chunks = JSON.parse(answer.body.toString()) as { chunk_index: number; failure: string }[];
    return chunks.map(({ chunk_index, failure }) => `${chunk_index}: ${failure}`);
  };
  const all = [0, 2, 5].map((index) => `${index}: chunk ${index} is broken`);
  assert.deepEqual(await list(''), all);
  assert.deepEqual(await list('?from=1&limit=1'), all.slice(1, 2));
  assert.deepEqual(await list('?from=6'), []);
  assert.equal((await queue.get(`${ROOT}/1/chunks_failed`)).status, 404);
  assert.equal((await queue.get(`${ROOT}/x/chunks_failed`)).status, 400);
  const ended = await queue.get(`${ROOT}/ended?state=completed_with_failures`);
  assert.ok(ended.body.toString().includes(String(id)));
});

test('metrics count what was set aside, what ended so, and what was retried', async () => {
  const [endedBefore, failedBefore] = [
    await metric('submissions_completed_with_failures_count'),
    await metric('chunks_failed_count'),
  ];
  await inserted('counted', 3, [0, 1]);
  assert.equal(await metric('submissions_completed_with_failures_count'), endedBefore + 1);
  assert.equal(await metric('chunks_failed_count'), failedBefore + 2);
  assert.equal(await metric('chunks_set_aside_count{queue="-"}'), 0);
  assert.equal(await metric('submissions_retried_count'), 0);
  assert.equal(await metric('submissions_failed_count'), 0);
  const id = await inserted('counted-too', 3, [0, 1], false);
  assert.equal(await metric('chunks_set_aside_count{queue="-"}'), 2);
  assert.equal((await queue.post(`${ROOT}/cancel/${id}`, '')).status, 200);
});

test('the action retry opens again what has failed, by id or by metadata, with a dry run', async () => {
  const act = async (body: object) => {
    const answer = await queue.post('/api/v1/actions/retry', JSON.stringify(body));
    return [answer.status, JSON.parse(answer.body.toString())] as const;
  };
  const pairs = { strategic_metadata: { night: 7 } };
  const ids: string[] = [];
  for (const prefix of ['night-a', 'night-b']) {
    const id = await queue.insert(prefix, 3, { failure_mode: 'collect', ...pairs });
    for (const { chunk } of await consumer.reserved(3)) {
      if (chunk.chunkIndex === 1) consumer.fail(chunk);
      else consumer.complete(chunk);
    }
    await queue.status(id, '?wait_ms=10000');
    ids.push(String(id));
  }
  const filter = { metadata: { night: '7' } };
  const [, dry] = await act({ filter, dry_run: true });
  assert.deepEqual([dry.matched, dry.done, dry.chunks, dry.ids.sort()], [2, 2, 2, ids]);
  assert.match(await queue.status(BigInt(ids[0]!)), /^\{"Failed"/);
  assert.deepEqual((await act({ filter, expected: 1 }))[1].code, 'COUNT_CHANGED');
  const [status, told] = await act({ ids: [ids[0]], by: 'ann@host', reason: 'fixed' });
  assert.deepEqual([status, told.action, told.done, told.chunks], [200, 'retry', 1, 1]);
  const ours = (await queue.get(`${ROOT}/${ids[0]}`, OURS)).body.toString();
  assert.match(ours, /^\{"InProgress":.*"verb":"retry".*"by":"ann@host","reason":"fixed"/);
  const [chunk] = await consumer.reserved(3);
  assert.equal(chunk?.chunk.chunkIndex, 1);
  consumer.complete(chunk.chunk);
  assert.match(await queue.status(BigInt(ids[0]!), '?wait_ms=10000'), /^\{"Completed"/);
  assert.deepEqual((await act({ ids: [ids[0]] }))[1].unchanged, 1, 'nothing of it has failed');
  assert.equal((await act({ filter: { metadata: { night: '8' } } }))[1].code, 'NOTHING_MATCHES');
  assert.equal((await act({ filter: { ...filter, state: 'paused' } }))[1].code, 'CHANGE_REFUSED');
  assert.equal((await act({ queue: 'night' }))[1].code, 'CHANGE_REFUSED');
  assert.equal((await act({ ids: ['5'] }))[0], 404);
  assert.equal((await act({ ids: [ids[1]], cause: 'x' }))[0], 422);
  const groups = JSON.parse((await queue.get('/api/v1/failures?meta=night:7')).body.toString());
  const { fingerprint } = groups.items[0];
  const [, ofFailure] = await act({ filter: { ...filter, failure: fingerprint }, dry_run: true });
  assert.deepEqual([ofFailure.matched, ofFailure.unchanged, ofFailure.ids], [1, 0, [ids[1]]]);
  assert.equal((await act({ filter: { failure: 'another' } }))[1].code, 'NOTHING_MATCHES');
  const cancelled = String(await queue.insert('night-c', 1));
  await queue.post(`${ROOT}/cancel/${cancelled}`, '');
  assert.equal((await act({ ids: [cancelled] }))[1].code, 'SUBMISSION_ENDED');
  assert.equal(await metric('submissions_retried_count'), 1);
});
