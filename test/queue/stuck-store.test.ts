import assert from 'node:assert/strict';
import { test } from 'node:test';
import { StoreError } from '../../src/store/errors.ts';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { faultyStore, type StoreFault } from '../support/store/faulty-store.ts';

/** A queue whose store does as `fault` says from `break` on. */
async function breakableWorld(
  fault: StoreFault,
): Promise<{ readonly world: QueueWorld; breaks(): void; heals(): void }> {
  let isBroken = false;
  const store = faultyStore(new MemoryStore(), (call) => (isBroken && call === 'commit' ? fault : 'none'));
  const world = await QueueWorld.start({ store });
  return {
    world,
    breaks: () => {
      isBroken = true;
    },
    heals: () => {
      isBroken = false;
    },
  };
}

test('a store that refuses: unhealthy at once, no chunk handed out after five seconds, and it goes on by itself', async () => {
  const { world, breaks, heals } = await breakableWorld('full');
  const id = await world.insert('a', 10);
  const consumer = world.consumer();
  const [first] = consumer.take();
  assert.ok(first);
  breaks();
  consumer.complete(first.chunk);
  await world.passes(5);
  assert.equal(world.queue.isHealthy, false);
  assert.equal(consumer.take().length, 1, 'handed out for some seconds more');
  await world.passes(5_000);
  assert.equal(consumer.take().length, 0, 'not handed out any more');
  await world.passes(20_000);
  assert.equal(world.queue.isHealthy, false);

  heals();
  await world.passes(5_000);
  assert.equal(world.queue.isHealthy, true);
  assert.equal(consumer.takeChunks().length, 1, 'who waited is served');
  assert.equal(await world.stateOf(id), 'in_progress');
  assert.ok(await world.insert('b', 1));
});

test('a store that does not answer is stuck as well', async () => {
  const { world, breaks } = await breakableWorld('hang');
  await world.insert('a', 3);
  const consumer = world.consumer();
  const [first] = consumer.take();
  assert.ok(first);
  breaks();
  consumer.complete(first.chunk);
  await world.passes(5);
  await world.passes(4_999);
  assert.equal(world.queue.isHealthy, true);
  await world.passes(2);
  assert.equal(world.queue.isHealthy, false);
  assert.equal(consumer.take().length, 0);
});

test('statuses and waiting go on while the store is stuck', async () => {
  const { world, breaks } = await breakableWorld('refuse');
  const id = await world.insert('a', 2);
  breaks();
  const cancelFails = assert.rejects(world.queue.endings.cancel('', id), /stops before/);
  await world.settle();
  assert.equal(await world.stateOf(id), 'in_progress');
  await world.stop();
  await cancelFails;
});

test('a store that is lost ends the queue, and says why', async () => {
  const inner = new MemoryStore();
  const lost = new AbortController();
  const store = new Proxy(inner, {
    get(target, name) {
      if (name === 'lost') return lost.signal;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const world = await QueueWorld.start({ store });
  const reason = new StoreError('corrupt', 'a page is damaged');
  lost.abort(reason);
  await world.settle();
  assert.equal(world.queue.lost.aborted, true);
  assert.equal(world.queue.lost.reason, reason);
  assert.equal(world.queue.isReady, false);
});
