import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SubmissionConflictError } from '../../src/model/errors.ts';
import { KEPT_BYTES_MAX } from '../../src/model/limits.ts';
import { QueueUnavailableError } from '../../src/queue/errors.ts';
import type { NewSubmission } from '../../src/queue/inserts.ts';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import { newSubmission, QueueWorld } from '../support/queues/queue-world.ts';
import { faultyStore, scriptedCommits } from '../support/store/faulty-store.ts';

/** Whether a promise has settled by now. */
async function isSettled(world: QueueWorld, promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  promise.then(
    () => {
      settled = true;
    },
    () => {
      settled = true;
    },
  );
  await world.settle();
  return settled;
}

test('an insert is not acknowledged, and hands out nothing, before its commit', async () => {
  const world = await QueueWorld.start({ store: faultyStore(new MemoryStore(), scriptedCommits('hang')) });
  const consumer = world.consumer();
  consumer.reserve();
  const insert = world.insert('a', 1);
  assert.equal(await isSettled(world, insert), false);
  assert.deepEqual(consumer.takeChunks(), []);
  assert.equal(world.queue.counts.chunksInBacklog, 0);
  await world.stop();
  await assert.rejects(insert, QueueUnavailableError);
});

test('a batch that is refused at first is acknowledged once it is on disk', async () => {
  const world = await QueueWorld.start({ store: faultyStore(new MemoryStore(), scriptedCommits('refuse')) });
  const insert = world.insert('a', 1);
  assert.equal(await isSettled(world, insert), false);
  await world.passes(100);
  assert.equal(await world.stateOf(await insert), 'in_progress');
});

test('the same prefix again gives the first id and inserts nothing, in whatever state the first one is', async () => {
  const world = await QueueWorld.start();
  const first = await world.insert('a', 2);
  assert.equal(await world.insert('a', 2), first);
  await world.queue.endings.cancel('', first);
  assert.equal(await world.insert('a', 2), first);
  assert.equal(await world.stateOf(first), 'cancelled');
  assert.equal(world.queue.counts.submissionsOpen, 0);
  assert.equal(world.queue.stats.submissionsTotal, 1);
});

test('two inserts of one prefix in one batch are one submission', async () => {
  const world = await QueueWorld.start();
  const [one, other] = await Promise.all([world.insert('a', 2), world.insert('a', 2)]);
  assert.equal(one, other);
  assert.equal(world.queue.counts.chunksInBacklog, 2);
});

test('the same prefix with another content is a conflict that names the field', async () => {
  const world = await QueueWorld.start();
  const before = {
    chunksTotal: 2,
    chunkSizeOps: 3,
    metadata: Uint8Array.of(1, 2),
    strategicMetadata: new Map([['k', 1n]]),
  };
  await world.insert('a', 2, before);
  assert.ok(await world.insert('a', 2, { ...before, metadata: Uint8Array.of(1, 2) }));
  const differing: [string, Partial<NewSubmission>][] = [
    ['count', { chunksTotal: 3 }],
    ['chunk_size', { chunkSizeOps: 4 }],
    ['metadata', { metadata: Uint8Array.of(1, 3) }],
    ['metadata', { metadata: null }],
    ['strategic_metadata', { strategicMetadata: new Map([['k', 2n]]) }],
    ['strategic_metadata', { strategicMetadata: new Map() }],
  ];
  for (const [field, difference] of differing) {
    await assert.rejects(
      world.insert('a', 2, { ...before, ...difference }),
      (error) =>
        error instanceof SubmissionConflictError && error.field === field && error.message.includes(field),
    );
  }
});

test('an idempotency key makes two direct inserts one; without it they are two', async () => {
  const world = await QueueWorld.start();
  const inputs = [Uint8Array.of(1), null];
  const keyed = await world.insertDirect(inputs, { idempotencyKey: 'k-1' });
  assert.equal(await world.insertDirect(inputs, { idempotencyKey: 'k-1' }), keyed);
  await assert.rejects(world.insertDirect([null], { idempotencyKey: 'k-1' }), SubmissionConflictError);
  for (const others of [
    [Uint8Array.of(2), null],
    [Uint8Array.of(1), new Uint8Array(0)],
    [null, Uint8Array.of(1)],
  ]) {
    const differs = (error: unknown) =>
      error instanceof SubmissionConflictError && error.field === 'contents';
    await assert.rejects(world.insertDirect(others, { idempotencyKey: 'k-1' }), differs);
  }
  assert.notEqual(await world.insertDirect(inputs), await world.insertDirect(inputs));
});

test('ids rise, also within a millisecond and when the clock steps back', async () => {
  const world = await QueueWorld.start();
  const ids = await Promise.all(Array.from({ length: 50 }, (_, i) => world.insert(`p${i}`, 1)));
  for (const [i, id] of ids.entries()) if (i > 0) assert.ok(id > ids[i - 1]!);
  const later = await QueueWorld.start({ store: world.store });
  assert.ok((await later.insert('after-restart', 1)) > ids.at(-1)!);
});

test('a submission of no chunks is completed at once', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('nothing', 0);
  assert.equal(await world.stateOf(id), 'completed');
  assert.equal(world.queue.stats.submissionsCompleted, 1);
});

test('inserts are refused while the store is stuck, while too much waits, and when the queue has stopped', async () => {
  const stuck = await QueueWorld.start({
    store: faultyStore(new MemoryStore(), scriptedCommits('refuse', 'refuse')),
  });
  const first = stuck.insert('a', 1);
  await stuck.settle();
  await assert.rejects(stuck.insert('b', 1), QueueUnavailableError);
  assert.equal(stuck.queue.isHealthy, false);
  for (let i = 0; i < 3; i++) await stuck.passes(200);
  await first;
  assert.ok(await stuck.insert('b', 1));
  assert.equal(stuck.queue.isHealthy, true);

  const full = await QueueWorld.start({
    store: faultyStore(new MemoryStore(), scriptedCommits('hang')),
    pendingBytesMax: 1000,
  });
  const waiting = [full.insert('a', 1)];
  await full.settle();
  waiting.push(full.insert('b', 1, { metadata: new Uint8Array(2000) }));
  await assert.rejects(full.insert('c', 1), QueueUnavailableError);
  const outcomes = Promise.allSettled(waiting);
  await full.stop();
  assert.deepEqual(
    (await outcomes).map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  await assert.rejects(full.queue.inserts.insert(newSubmission({})), QueueUnavailableError);
});

test('inputs are compared to the last one, also when the store gives them a few at a time', async () => {
  const world = await QueueWorld.start();
  const inputs = (last: number) => [0, 1, 2, last].map((byte) => new Uint8Array(5 * 1024 * 1024).fill(byte));
  const first = await world.insertDirect(inputs(3), { idempotencyKey: 'key' });
  assert.equal(await world.insertDirect(inputs(3), { idempotencyKey: 'key' }), first);
  await assert.rejects(world.insertDirect(inputs(4), { idempotencyKey: 'key' }), SubmissionConflictError);
});

test('metadata and inputs that could never be written are refused where they come in, by name', async () => {
  const world = await QueueWorld.start({ store: faultyStore(new MemoryStore(), () => 'hang') });
  const large = new Uint8Array(KEPT_BYTES_MAX + 1);
  await assert.rejects(world.insert('a', 1, { metadata: large }), { code: 'PROTOCOL', field: 'metadata' });
  await assert.rejects(world.insertDirect([null, large]), {
    code: 'PROTOCOL',
    field: 'chunk_contents.Direct.contents[1]',
  });
  await world.stop();
});

test('an insert whose answer is lost, and whose forerunner is forgotten meanwhile, is not acknowledged with an unknown id', async () => {
  const store = faultyStore(new MemoryStore(), scriptedCommits('none', 'unknown_after'));
  const world = await QueueWorld.start({ store });
  const first = await world.insert('a', 0);
  const second = world.insert('a', 0);
  const refused = assert.rejects(second, QueueUnavailableError);
  await world.settle();
  assert.equal(await store.forget([first]), 1);
  await world.passes(100);
  await refused;
  const third = await world.insert('a', 0);
  assert.notEqual(third, first);
  assert.equal(await world.stateOf(third), 'completed');
});
