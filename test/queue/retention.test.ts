import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { QueueOptions } from '../../src/queue/assemble.ts';
import { Retention } from '../../src/queue/retention.ts';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import type { Store } from '../../src/store/store.ts';
import { CountingStore } from '../support/fakes/counting-store.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { faultyStore } from '../support/store/faulty-store.ts';

const HOUR_MS = 3_600_000;

/** A queue that forgets when it is told to. */
function steeredWorld(options: Partial<QueueOptions> = {}): Promise<QueueWorld> {
  return QueueWorld.start({ retentionIntervalMs: 2 ** 40, ...options });
}

/** Submissions that have ended as they were inserted. */
function inserted(world: QueueWorld, name: string, count: number): Promise<bigint[]> {
  return Promise.all(Array.from({ length: count }, (_, i) => world.insert(`${name}${i}`, 0)));
}

test('ended submissions are forgotten when their time is up, open ones never', async () => {
  const world = await steeredWorld();
  const { retention } = world.queue;
  const open = await world.insert('open', 1);
  const ended = await world.insert('ended', 0);
  await world.passes(HOUR_MS - 1);
  assert.deepEqual(await retention.runOnce(), { submissionsForgotten: 0 });
  await world.passes(2);
  assert.deepEqual(await retention.runOnce(), { submissionsForgotten: 1 });
  assert.equal(await world.stateOf(ended), 'unknown');
  assert.equal(await world.stateOf(open), 'in_progress');
  assert.notEqual(await world.insert('ended', 0), ended, 'its prefix can be used again');
});

test('reading an ended submission keeps it, up to a limit', async () => {
  const world = await steeredWorld({ readPostponementMsMax: 3 * HOUR_MS });
  const { retention } = world.queue;
  const read = await world.insert('read', 0);
  const unread = await world.insert('unread', 0);
  for (let hours = 0.5; hours < 4; hours += 0.5) {
    await world.passes(HOUR_MS / 2);
    assert.equal(await world.stateOf(read), 'completed', `after ${hours} hours`);
    await retention.runOnce();
  }
  assert.equal(await world.stateOf(unread), 'unknown');
  await world.passes(HOUR_MS / 2 + 1);
  await retention.runOnce();
  assert.equal(await world.stateOf(read), 'unknown');
});

test('more than one step is forgotten in one run', async () => {
  const world = await steeredWorld();
  await inserted(world, 'p', 1_200);
  await world.passes(HOUR_MS + 1);
  assert.deepEqual(await world.queue.retention.runOnce(), { submissionsForgotten: 1_200 });
});

test('thousands that somebody reads are looked at once in a run, not again for each step', async () => {
  const store = new CountingStore();
  const world = await steeredWorld({ store });
  const ids = await inserted(world, 'read', 1_200);
  await world.passes(HOUR_MS);
  for (const id of ids) world.queue.retention.read(id);
  await inserted(world, 'unread', 1_200);
  await world.passes(HOUR_MS - 1);
  for (const id of ids) world.queue.retention.read(id);
  await world.passes(2);
  assert.deepEqual(await world.queue.retention.runOnce(), { submissionsForgotten: 1_200 });
  assert.deepEqual(store.dueTold, [500, 500, 500, 500, 400]);
  assert.equal(await world.stateOf(ids[0]!), 'completed');
});

test('nobody waits until what belongs to forgotten submissions is deleted', async () => {
  const store: Store = new MemoryStore();
  const forget = store.forget.bind(store);
  const [reached, swept] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  store.forget = async (ids, forgotten) => {
    const count = await forget(ids);
    forgotten?.();
    reached.resolve();
    await swept.promise;
    return count;
  };
  const world = await steeredWorld({ store });
  const { retention } = world.queue;
  await world.insert('ended', 0);
  await world.passes(HOUR_MS + 1);
  const run = retention.runOnce();
  await reached.promise;
  await retention.settled();
  swept.resolve();
  assert.deepEqual(await run, { submissionsForgotten: 1 });
});

test('it runs by itself, again and again, also after a failure, until it is stopped', async () => {
  let isBroken = true;
  const store = faultyStore(new MemoryStore(), (call) => (isBroken && call === 'forget' ? 'throw' : 'none'));
  const world = await QueueWorld.start({ store, submissionAgeMsMax: 1_000, retentionIntervalMs: 500 });
  const first = await world.insert('first', 0);
  await world.passes(1_500);
  await world.passes(500);
  assert.equal(await world.stateOf(first), 'completed');
  assert.ok(world.log.some(({ level }) => level === 'warn'));
  isBroken = false;
  await world.passes(3_000);
  await world.passes(500);
  assert.equal(await world.stateOf(first), 'unknown');
  await world.queue.retention.stop();
  const second = await world.insert('second', 0);
  await world.passes(10_000);
  assert.equal(await world.stateOf(second), 'completed');
});

test('stopping before the start is fine, and then it does not start', async () => {
  const { store, clock, logger } = await QueueWorld.start();
  const retention = new Retention({
    store,
    shards: () => [0],
    forgotten: () => {},
    clock,
    logger,
    submissionAgeMsMax: 1_000,
  });
  const timersBefore = clock.timersPending;
  await retention.stop();
  retention.start();
  assert.equal(clock.timersPending, timersBefore);
});
