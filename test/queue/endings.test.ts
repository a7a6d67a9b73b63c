import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { gatedStore, withCommit } from '../support/store/gated-store.ts';

test('a completion is visible as the end of its submission only after the commit', async () => {
  const gate = gatedStore();
  const world = await QueueWorld.start({ store: gate.store });
  const id = await world.insert('a', 1);
  const consumer = world.consumer();
  const [reserved] = consumer.take();
  assert.ok(reserved);
  gate.shut();
  consumer.complete(reserved.chunk);
  await world.settle();
  assert.equal(await world.stateOf(id), 'in_progress');
  assert.equal(await world.queue.reads.countCompleted(''), 0);
  gate.open();
  await world.settle();
  assert.equal(await world.stateOf(id), 'completed');
  assert.equal(await world.queue.reads.countCompleted(''), 1);
});

test('a failure is visible only after the commit', async () => {
  const gate = gatedStore();
  const world = await QueueWorld.start({ store: gate.store, chunkRetriesMax: 1 });
  const id = await world.insert('a', 3);
  const consumer = world.consumer();
  const [reserved] = consumer.take();
  assert.ok(reserved);
  gate.shut();
  consumer.fail(reserved.chunk, 'boom');
  await world.settle();
  assert.equal(await world.stateOf(id), 'in_progress');
  gate.open();
  await world.settle();
  assert.equal(await world.stateOf(id), 'failed');
});

test('a cancel is answered after its commit', async () => {
  const gate = gatedStore();
  const world = await QueueWorld.start({ store: gate.store });
  const id = await world.insert('a', 1);
  gate.shut();
  let result: unknown = null;
  const cancelled = world.queue.endings.cancel('', id).then((kind) => {
    result = kind;
  });
  await world.settle();
  assert.equal(result, null);
  assert.equal(await world.stateOf(id), 'in_progress');
  gate.open();
  await cancelled;
  assert.deepEqual(result, { kind: 'cancelled' });
  assert.equal(await world.stateOf(id), 'cancelled');
});

test('a cancel that comes while the submission ends waits for that end and reports it', async () => {
  const gate = gatedStore();
  const world = await QueueWorld.start({ store: gate.store });
  const id = await world.insert('a', 1);
  const consumer = world.consumer();
  const [reserved] = consumer.take();
  assert.ok(reserved);
  gate.shut();
  consumer.complete(reserved.chunk);
  const cancel = world.queue.endings.cancel('', id);
  await world.settle();
  gate.open();
  const result = await cancel;
  assert.equal(result.kind === 'ended' && result.status.state, 'completed');
});

test('what is unknown or has ended cannot be cancelled', async () => {
  const world = await QueueWorld.start();
  assert.deepEqual(await world.queue.endings.cancel('', 1n), { kind: 'unknown' });
  const id = await world.insert('a', 1);
  await world.queue.endings.cancel('', id);
  const again = await world.queue.endings.cancel('', id);
  assert.equal(again.kind === 'ended' && again.status.state, 'cancelled');
});

test('the chunk that failed for good is reported with its input, if the queue has it', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 2 });
  const id = await world.insertDirect([Uint8Array.of(1, 2, 3), null]);
  const consumer = world.consumer();
  for (const failure of ['once', 'twice']) {
    consumer.reserve();
    await world.settle();
    const [reserved] = consumer.takeChunks();
    assert.ok(reserved);
    assert.equal(reserved.retries, failure === 'once' ? 0 : 1);
    consumer.fail(reserved.chunk, failure);
    consumer.clear();
  }
  await world.settle();
  const status = await world.queue.reads.status('', id);
  assert.ok(status?.state === 'failed');
  assert.deepEqual(status.failedChunk, {
    chunkIndex: 0,
    failure: 'twice',
    inputContent: Uint8Array.of(1, 2, 3),
  });
  assert.equal(status.chunksDone, 0);
  assert.equal(world.queue.stats.chunksFailed, 1);
  assert.equal(world.queue.stats.chunksSkipped, 1);
  assert.equal(world.queue.stats.chunksRetried, 1);
});

test('what was done before a submission was cancelled can still be read', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('a', 3);
  const consumer = world.consumer();
  const [first] = consumer.take();
  assert.ok(first);
  consumer.complete(first.chunk);
  await world.queue.endings.cancel('', id);
  const status = await world.queue.reads.status('', id);
  assert.equal(status?.state === 'cancelled' && status.chunksDone, 1);
  const done = await world.queue.reads.chunksDone('', id, 0);
  assert.ok(done);
  assert.equal(done.state, 'cancelled');
  const [page] = done.pages;
  assert.ok(page !== undefined && page.content !== 'full');
  assert.deepEqual([page.page, page.content[0]], [0, 1]);
});

test('a submission whose last completion was written but not its end is completed after a restart', async () => {
  const inner = new MemoryStore();
  // The pages reach the disk, the end does not: a crash between two batches.
  const store = withCommit(inner, (batch) =>
    inner.commit({
      ...batch,
      mutations: batch.mutations.map((mutation) =>
        mutation.kind === 'end' ? { kind: 'page', id: mutation.id, page: 0, content: 'full' } : mutation,
      ),
    }),
  );
  const world = await QueueWorld.start({ store });
  const id = await world.insert('a', 1);
  world.consumer().complete({ submissionId: id, chunkIndex: 0 });
  await world.settle();
  const again = await QueueWorld.start({ store: inner });
  await again.settle();
  assert.equal(await again.stateOf(id), 'completed');
});
