import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OpsqueueError } from '../../src/model/errors.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { QueueWorld, type WorldConsumer } from '../support/queues/queue-world.ts';
import { gatedStore } from '../support/store/gated-store.ts';

const COLLECT = { failureMode: 'collect' } as const;
const ONE_TRY = { chunkRetriesMax: 1 };

/** Takes all that there is, and fails those chunks of it; the others are completed. */
function work(
  consumer: WorldConsumer,
  failing: readonly number[],
  failure = (index: number) => `no ${index}`,
) {
  const taken = consumer.take(1_000).map(({ chunk }) => chunk);
  for (const chunk of taken) {
    if (failing.includes(chunk.chunkIndex)) consumer.fail(chunk, failure(chunk.chunkIndex));
    else consumer.complete(chunk, Buffer.from(`result ${chunk.chunkIndex}`));
  }
  return taken.map(({ chunkIndex }) => chunkIndex);
}

const ACT = { verb: 'retry', detail: '', by: 'ann@host', reason: 'fixed', atMs: 5 } as const;

/** How many chunks are retried, or the code of the error. */
async function retry(world: QueueWorld, id: bigint, queue: string | null = ''): Promise<number | string> {
  try {
    return (await world.queue.retries.retry({ id, queue }, ACT)).chunks;
  } catch (error) {
    assert.ok(error instanceof OpsqueueError);
    return error.code;
  }
}

async function statusOf(world: QueueWorld, id: bigint) {
  await world.settle();
  const status = await world.queue.reads.status('', id);
  assert.ok(status !== null);
  return status;
}

test('a submission that collects failures goes on to its end, which names the first of them', async () => {
  const world = await QueueWorld.start(ONE_TRY);
  const id = await world.insert('a', 5, COLLECT);
  assert.deepEqual(work(world.consumer(), [3, 1]), [0, 1, 2, 3, 4]);
  const status = await statusOf(world, id);
  assert.ok(status.state === 'completed_with_failures');
  assert.equal(status.chunksDone, 3);
  assert.deepEqual(status.failedChunk, { chunkIndex: 1, inputContent: null, failure: 'no 1' });
  const failed = await world.queue.reads.failedChunks('', id, 0, 10);
  assert.deepEqual(
    failed?.map(({ chunkIndex, failure }) => `${chunkIndex}: ${failure}`),
    ['1: no 1', '3: no 3'],
  );
  const { submissionsIncomplete, submissionsFailed, chunksFailed } = world.queue.stats;
  assert.deepEqual([submissionsIncomplete, submissionsFailed, chunksFailed], [1, 0, 2]);
  assert.equal(world.log.filter(({ message }) => message === 'submission completed with failures').length, 1);
});

test('one of which nothing failed is completed', async () => {
  const world = await QueueWorld.start(ONE_TRY);
  const id = await world.insert('a', 2, COLLECT);
  work(world.consumer(), []);
  assert.equal((await statusOf(world, id)).state, 'completed');
});

test('the inputs of direct submissions come with what failed', async () => {
  const world = await QueueWorld.start(ONE_TRY);
  const id = await world.insertDirect([Buffer.from('x'), Buffer.from('y')], COLLECT);
  work(world.consumer(), [1]);
  const status = await statusOf(world, id);
  assert.ok(status.state === 'completed_with_failures');
  assert.deepEqual(Buffer.from(status.failedChunk.inputContent ?? []), Buffer.from('y'));
  const [chunk] = (await world.queue.reads.failedChunks('', id, 0, 10)) ?? [];
  assert.deepEqual(Buffer.from(chunk?.inputContent ?? []), Buffer.from('y'));
});

test('while it goes on, the status counts what is set aside, and so do pages and long polls', async () => {
  const world = await QueueWorld.start(ONE_TRY);
  const id = await world.insert('a', 3, COLLECT);
  let wakes = 0;
  world.queue.reads.wait('', id, { doneAbove: 0, waitMs: 60_000 }, () => wakes++);
  const consumer = world.consumer();
  const [first] = consumer.take();
  consumer.fail(first!.chunk);
  const status = await statusOf(world, id);
  assert.equal(status.state === 'in_progress' && status.chunksFailed, 1);
  assert.equal(wakes, 1);
  const pages = await world.queue.reads.chunksDone('', id, 0);
  assert.deepEqual([pages?.chunksDone, pages?.chunksFailed, pages?.failedPages.length], [0, 1, 1]);
  consumer.complete({ submissionId: id, chunkIndex: 1 });
  consumer.complete({ submissionId: id, chunkIndex: 2 });
  await world.settle();
  const ended = await world.queue.reads.chunksDone('', id, 0);
  assert.equal(ended?.state, 'completed_with_failures');
  assert.deepEqual(ended.failedPages, pages?.failedPages);
});

test('long failures are kept with their beginning and end; of many, the gist', async () => {
  const world = await QueueWorld.start(ONE_TRY);
  const id = await world.insert('a', 1_002, COLLECT);
  const consumer = world.consumer();
  const all = Array.from({ length: 1_002 }, (_, index) => index);
  const long = (index: number) => `begin ${'x'.repeat(20_000)} end ${index}`;
  work(consumer, all, long);
  work(consumer, all, long);
  await world.settle();
  const lengthOf = async (index: number) => {
    const [chunk] = (await world.queue.reads.failedChunks('', id, index, 1)) ?? [];
    assert.match(chunk?.failure ?? '', new RegExp(`^begin x.*x end ${index}$`, 's'));
    return chunk?.failure.length ?? 0;
  };
  assert.ok((await lengthOf(0)) > 8_000 && (await lengthOf(0)) < 8_300);
  assert.ok((await lengthOf(1_001)) < 600);
});

test('what was set aside survives a restart', async () => {
  const database = new MemoryDatabase();
  const before = await QueueWorld.start({ store: new MemoryStore({ database }), ...ONE_TRY });
  const id = await before.insert('a', 4, COLLECT);
  const consumer = before.consumer();
  for (const { chunk } of consumer.take(2)) consumer.fail(chunk, 'no');
  await before.settle();
  await before.stop();
  const after = await QueueWorld.start({ store: new MemoryStore({ database }), ...ONE_TRY });
  assert.equal(after.queue.counts.chunksFailed, 2);
  assert.deepEqual(work(after.consumer(), []), [2, 3]);
  const status = await statusOf(after, id);
  assert.equal(status.state === 'completed_with_failures' && status.chunksDone, 2);
});

test('the same prefix with another failure mode is another submission', async () => {
  const world = await QueueWorld.start();
  await world.insert('a', 1, COLLECT);
  await assert.rejects(world.insert('a', 1), { code: 'SUBMISSION_CONFLICT', field: 'failure_mode' });
});

test('a retry of what has completed with failures hands out only those chunks, with all their tries', async () => {
  const world = await QueueWorld.start(ONE_TRY);
  const id = await world.insert('a', 5, COLLECT);
  const consumer = world.consumer();
  work(consumer, [1, 3]);
  await world.settle();
  assert.equal(await retry(world, id), 2);
  assert.equal((await statusOf(world, id)).state, 'in_progress');
  assert.deepEqual(work(consumer, [3]), [1, 3]);
  const again = await statusOf(world, id);
  assert.ok(again.state === 'completed_with_failures');
  assert.equal(again.failedChunk.chunkIndex, 3);
  await retry(world, id);
  work(consumer, []);
  assert.equal((await statusOf(world, id)).state, 'completed');
  assert.equal(world.queue.stats.submissionsRetried, 2);
});

test('a retry of a submission that failed goes on where it was', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 2 });
  const id = await world.insertDirect(Array.from({ length: 4 }, (_, i) => Buffer.from([i])));
  const consumer = world.consumer();
  const [first, second] = consumer.take(3);
  consumer.complete(first!.chunk, Buffer.from('done'));
  consumer.fail(second!.chunk);
  for (const { chunk } of consumer.take()) consumer.fail(chunk);
  assert.equal((await statusOf(world, id)).state, 'failed');
  assert.equal(await retry(world, id), 3);
  // Inputs come from the store now.
  consumer.clear();
  consumer.reserve(10);
  await world.settle();
  const taken = consumer.takeChunks();
  assert.deepEqual(
    taken.map(({ chunk, retries, inputContent }) => [chunk.chunkIndex, retries, inputContent?.[0]]),
    [
      [1, 0, 1],
      [2, 0, 2],
      [3, 0, 3],
    ],
  );
  for (const { chunk } of taken) consumer.complete(chunk, Buffer.from('later'));
  assert.equal((await statusOf(world, id)).state, 'completed');
  const outputs = await world.queue.reads.directOutputs('', id, 0, 10);
  assert.ok(outputs?.kind === 'outputs');
  assert.deepEqual(
    outputs.outputs.map((output) => Buffer.from(output ?? []).toString()),
    ['done', 'later', 'later', 'later'],
  );
});

test('a retry is answered after its commit, and survives a restart', async () => {
  const database = new MemoryDatabase();
  const before = await QueueWorld.start({ store: new MemoryStore({ database }), ...ONE_TRY });
  const id = await before.insert('a', 3);
  const consumer = before.consumer();
  const [first, second] = consumer.take(2);
  consumer.complete(first!.chunk);
  consumer.fail(second!.chunk);
  await before.settle();
  await before.stop();

  const held = gatedStore(new MemoryStore({ database }));
  const next = await QueueWorld.start({ store: held.store, ...ONE_TRY });
  held.shut();
  let result: unknown = null;
  const retried = retry(next, id).then((told) => {
    result = told;
  });
  await next.settle();
  assert.equal(result, null);
  held.open();
  await retried;
  assert.notEqual(result, null);
  await next.stop();
  const last = await QueueWorld.start({ store: new MemoryStore({ database }) });
  const left = last.consumer().take(10);
  assert.deepEqual(
    left.map(({ chunk, retries }) => [chunk.chunkIndex, retries]),
    [
      [1, 0],
      [2, 0],
    ],
  );
});

test('while a submission goes on, a retry hands out again what is set aside, and keeps that after a restart', async () => {
  const database = new MemoryDatabase();
  const world = await QueueWorld.start({ store: new MemoryStore({ database }), chunkRetriesMax: 2 });
  const id = await world.insert('a', 3, COLLECT);
  const consumer = world.consumer();
  for (let i = 0; i < 2; i++) for (const { chunk } of consumer.take()) consumer.fail(chunk);
  assert.equal(world.queue.counts.chunksFailed, 1);
  assert.equal(await retry(world, id), 1);
  // A try after the retry counts, those before it do not: on disk as in memory.
  for (const { chunk } of consumer.take()) consumer.fail(chunk);
  await world.settle();
  await world.stop();
  const next = await QueueWorld.start({ store: new MemoryStore({ database }), chunkRetriesMax: 2 });
  const taken = next.consumer().take(3);
  assert.deepEqual(
    taken.map(({ chunk, retries }) => [chunk.chunkIndex, retries]),
    [
      [0, 1],
      [1, 0],
      [2, 0],
    ],
  );
});

test('two retries at once are one', async () => {
  const world = await QueueWorld.start(ONE_TRY);
  const id = await world.insert('a', 2);
  work(world.consumer(), [0]);
  await world.settle();
  const results = await Promise.all([retry(world, id), retry(world, id), retry(world, id)]);
  assert.deepEqual(results, [2, 2, 2]);
  assert.equal(world.queue.counts.submissionsOpen, 1);
  assert.equal(world.queue.stats.submissionsRetried, 1);
});

test('nothing is retried of what is unknown, completed, cancelled or in another queue', async () => {
  const world = await QueueWorld.start(ONE_TRY);
  const { endings } = world.queue;
  assert.equal(await retry(world, 9n), 'SUBMISSION_NOT_FOUND');
  const completed = await world.insert('completed', 1);
  work(world.consumer(), []);
  await world.settle();
  assert.equal(await retry(world, completed), 0);
  assert.equal(await world.stateOf(completed), 'completed');
  const cancelled = await world.insert('cancelled', 1);
  await endings.cancel('', cancelled);
  assert.equal(await retry(world, cancelled), 'SUBMISSION_ENDED');
  assert.equal(await world.stateOf(cancelled), 'cancelled');
  const failed = await world.insert('failed', 1);
  work(world.consumer(), [0]);
  await world.settle();
  assert.equal(await retry(world, failed, 'other'), 'SUBMISSION_NOT_FOUND');
  assert.equal(await world.stateOf(failed), 'failed');
});

test('a submission is not forgotten while it is retried, and the retry of one just forgotten finds nothing', async () => {
  const gate = gatedStore();
  const world = await QueueWorld.start({ store: gate.store, submissionAgeMsMax: 1_000, ...ONE_TRY });
  const id = await world.insert('a', 2);
  work(world.consumer(), [0]);
  await world.settle();
  world.clock.advance(5_000);
  gate.shut();
  const retried = retry(world, id);
  await world.settle();
  await world.queue.retention.runOnce();
  gate.open();
  assert.equal(await retried, 2);
  assert.equal(await world.stateOf(id), 'in_progress');
  work(world.consumer(), [0]);
  await world.settle();
  world.clock.advance(5_000);
  await world.settle();
  const [, late] = await Promise.all([world.queue.retention.runOnce(), retry(world, id)]);
  assert.equal(late, 'SUBMISSION_NOT_FOUND');
});

test('a retry that comes while the submission ends waits for that end', async () => {
  const gate = gatedStore();
  const world = await QueueWorld.start({ store: gate.store, ...ONE_TRY });
  const id = await world.insert('a', 2, COLLECT);
  gate.shut();
  work(world.consumer(), [1]);
  const retried = retry(world, id);
  await world.settle();
  gate.open();
  assert.equal(await retried, 1);
  assert.equal(world.queue.counts.chunksAvailable, 1);
});
