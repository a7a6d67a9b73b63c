import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChunkId } from '../../src/model/ids.ts';
import { Strategy } from '../../src/model/strategy.ts';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import { QueueWorld, type WorldConsumer } from '../support/queues/queue-world.ts';
import { faultyStore } from '../support/store/faulty-store.ts';

const MEBIBYTE = 1024 * 1024;

test('who holds too many chunks waits for more until it holds less, whatever makes it so', async () => {
  const world = await QueueWorld.start({ reservationExpirationMs: 5_000 });
  await world.insert('a', 100);
  const ends = {
    complete: (consumer: WorldConsumer, [chunk]: readonly ChunkId[]) => consumer.complete(chunk!),
    fail: (consumer: WorldConsumer, [chunk]: readonly ChunkId[]) => consumer.fail(chunk!),
    expiry: (consumer: WorldConsumer, chunks: readonly ChunkId[]) => {
      world.clock.advance(5_000);
      for (const chunk of chunks) consumer.fail(chunk, 'Reservation expired');
    },
  };
  for (const [name, end] of Object.entries(ends)) {
    const consumer = world.consumer(undefined, { chunksHeldMax: 4 });
    const held = consumer.take(4).map(({ chunk }) => chunk);
    assert.equal(held.length, 4, name);
    assert.deepEqual(consumer.take(1), [], name);
    end(consumer, held);
    await world.settle();
    assert.equal(consumer.takeChunks().length, 1, name);
    consumer.disconnect(true);
    world.queue.checkInvariants();
  }
});

test('chunks whose expiry was not answered count as held', async () => {
  const world = await QueueWorld.start({ reservationExpirationMs: 5_000 });
  await world.insert('a', 100);
  const consumer = world.consumer(undefined, { chunksHeldMax: 4 });
  assert.equal(consumer.take(4).length, 4);
  world.clock.advance(5_000);
  assert.equal(world.queue.counts.chunksReserved, 0);
  assert.deepEqual(consumer.take(1), []);
});

test('a reservation that waits because its consumer holds too much can be taken back', async () => {
  const world = await QueueWorld.start();
  const submissionId = await world.insert('a', 100);
  const consumer = world.consumer('cancel_reserve', { chunksHeldMax: 1 });
  assert.equal(consumer.take(1).length, 1);
  const nonce = consumer.reserve();
  consumer.send({ kind: 'cancel_reserve', reserveNonce: nonce });
  assert.deepEqual(consumer.connection.takeMessages(), [{ kind: 'reserved', nonce, chunks: [] }]);
  consumer.complete({ submissionId, chunkIndex: 0 });
  await world.settle();
  assert.deepEqual(consumer.takeChunks(), []);
});

test('the metadata of submissions counts in the size of an answer; what does not fit goes back, uncounted', async () => {
  const world = await QueueWorld.start();
  await world.insert('a', 100, { metadata: new Uint8Array(MEBIBYTE) });
  const consumer = world.consumer('bytes');
  consumer.clear();
  consumer.reserve(50);
  await world.settle();
  const chunks = consumer.takeChunks();
  assert.equal(chunks.length, 7);
  assert.equal(world.queue.counts.chunksReserved, 7);
  const [next] = world.consumer('bytes').take(1);
  assert.deepEqual([next?.chunk.chunkIndex, next?.retries], [7, 0]);
});

test('metadata beyond the size of an answer still goes, with one chunk', async () => {
  const world = await QueueWorld.start();
  await world.insert('a', 100, { metadata: new Uint8Array(9 * MEBIBYTE) });
  const consumer = world.consumer('bytes');
  assert.equal(consumer.take(1).length, 1);
  consumer.reserve(10);
  await world.settle();
  assert.equal(consumer.takeChunks().length, 1);
});

test('a consumer that reads nothing is cut when what waits for it is too much, sent or not', async () => {
  const world = await QueueWorld.start({ inputCacheBytesMax: 0 });
  await world.insertDirect([Uint8Array.of(1)]);
  const consumer = world.consumer('refusal', { bufferedBytesMax: 10_000 });
  consumer.clear();
  // Its socket takes nothing, so the answer that needs the store waits, and all that comes after it.
  consumer.connection.bufferedBytes = 9 * MEBIBYTE;
  consumer.reserve();
  consumer.connection.bufferedBytes = 9_000;
  for (let i = 0; i < 100 && !consumer.connection.takeKinds().includes('terminate'); i++) {
    consumer.reserve(0);
    await world.settle();
    consumer.connection.bufferedBytes = 9_000;
  }
  assert.equal(world.queue.counts.consumers, 0);
});

test('refusals are logged once as a warning for each connection', async () => {
  const world = await QueueWorld.start();
  const consumer = world.consumer();
  for (let i = 0; i < 5; i++) consumer.reserve(0);
  const refusals = world.log.filter(({ message }) => message.includes('refused'));
  assert.deepEqual(
    refusals.map(({ level }) => level),
    ['warn', 'debug', 'debug', 'debug', 'debug'],
  );
});

test('who sends outputs faster than the store takes them is read again once it has', async () => {
  let isStuck = true;
  const inner = new MemoryStore();
  const store = faultyStore(inner, (call, batch) =>
    call === 'commit' && isStuck && batch?.mutations.some(({ kind }) => kind !== 'insert')
      ? 'refuse'
      : 'none',
  );
  const world = await QueueWorld.start({ store, pendingBytesMax: 4_000 });
  const submissionId = await world.insertDirect([Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)]);
  const consumer = world.consumer();
  consumer.take(3);
  // The first one is on its way to the store; what follows it piles up.
  consumer.complete({ submissionId, chunkIndex: 0 }, new Uint8Array(2_000));
  await world.settle();
  assert.equal(consumer.connection.isPaused, true);
  const silent = world.consumer();
  for (let seconds = 0; seconds < 100; seconds++) {
    silent.session.alive();
    await world.passes(1_000);
  }
  // It could not answer the heartbeats, and is not blamed for it.
  assert.equal(consumer.connection.takeKinds().includes('terminate'), false);
  isStuck = false;
  await world.passes(10_000);
  assert.equal(consumer.connection.isPaused, false);
  consumer.complete({ submissionId, chunkIndex: 1 });
  consumer.complete({ submissionId, chunkIndex: 2 });
  await world.settle();
  assert.equal(await world.stateOf(submissionId), 'completed');
});

test('a connection that invents strategies is refused more than 32 within a minute, and known ones go on', async () => {
  const world = await QueueWorld.start();
  await world.insert('a', 200);
  const invented = (i: number) => Strategy.preferDistinct(`key ${i}`, Strategy.oldest());
  const pass = (consumer: WorldConsumer, seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      consumer.session.alive();
      world.clock.advance(1_000);
    }
  };
  for (const features of [undefined, 'refusal']) {
    const consumer = world.consumer(features);
    for (let i = 0; i < 32; i++) assert.equal(consumer.take(1, invented(i)).length, 1, `${i}`);
    consumer.clear();
    const nonce = consumer.reserve(1, invented(32));
    const reason =
      'a connection may use 32 different strategies within 60 seconds: use those again, or wait before using another one';
    assert.deepEqual(consumer.connection.takeMessages(), [
      { kind: 'reserve_refused', nonce, reason: features === undefined ? null : reason },
    ]);
    // What it uses all the time counts once, and so long.
    pass(consumer, 59);
    assert.equal(consumer.take(1, invented(5)).length, 1);
    assert.equal(consumer.take(1, invented(33)).length, 0);
    pass(consumer, 1);
    for (let i = 40; i < 71; i++) assert.equal(consumer.take(1, invented(i)).length, 1, `${i}`);
    assert.equal(consumer.take(1, invented(5)).length, 1);
    assert.equal(consumer.take(1, invented(6)).length, 0);
    // Others are not concerned.
    assert.equal(world.consumer().take(1, invented(6)).length, 1);
    consumer.disconnect(true);
  }
});
