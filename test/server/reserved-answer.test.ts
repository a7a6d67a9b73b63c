import assert from 'node:assert/strict';
import { test } from 'node:test';
import { InputCache } from '../../src/queue/input-cache.ts';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import { CountingStore } from '../support/fakes/counting-store.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { faultyStore } from '../support/store/faulty-store.ts';

const MEBIBYTE = 1024 * 1024;
/** No input is at hand. */
const FROM_STORE = { inputCacheBytesMax: 0 };

test('inputs come with the reservation, in the order of the chunks', async () => {
  const world = await QueueWorld.start(FROM_STORE);
  await world.insertDirect(Array.from({ length: 40 }, (_, i) => (i === 7 ? null : Uint8Array.of(i))));
  await world.insert('between', 1);
  const consumer = world.consumer();
  consumer.clear();
  consumer.reserve(100);
  await world.settle();
  const chunks = consumer.takeChunks();
  assert.equal(chunks.length, 41);
  for (const { chunk, inputContent, submission } of chunks) {
    const isPlain = submission.prefix !== null || chunk.chunkIndex === 7;
    assert.deepEqual(inputContent, isPlain ? null : Uint8Array.of(chunk.chunkIndex));
  }
});

test('an answer that waits for the store does not let later ones overtake it', async () => {
  const world = await QueueWorld.start(FROM_STORE);
  await world.insertDirect([Uint8Array.of(1)]);
  await world.insert('later', 1);
  const consumer = world.consumer();
  consumer.clear();
  const nonces = [consumer.reserve(), consumer.reserve()];
  await world.settle();
  assert.deepEqual(
    consumer.connection.takeMessages().map((message) => message.kind === 'reserved' && message.nonce),
    nonces,
  );
});

test('what does not fit into one answer goes back, uncounted', async () => {
  const world = await QueueWorld.start(FROM_STORE);
  await world.insertDirect(Array.from({ length: 6 }, () => new Uint8Array(3 * MEBIBYTE)));
  const consumer = world.consumer('bytes');
  consumer.clear();
  consumer.reserve(10);
  await world.settle();
  assert.deepEqual(
    consumer.takeChunks().map(({ chunk }) => chunk.chunkIndex),
    [0, 1],
  );
  assert.equal(world.queue.counts.chunksReserved, 2);
  const other = world.consumer('bytes');
  other.clear();
  other.reserve(1);
  await world.settle();
  assert.deepEqual(
    other.takeChunks().map(({ chunk, retries }) => [chunk.chunkIndex, retries]),
    [[2, 0]],
  );
});

test('large inputs behind many small ones are not all read for an answer that has no room for them', async () => {
  const store = new CountingStore();
  const world = await QueueWorld.start({ ...FROM_STORE, store });
  await world.insert('first', 1);
  const small = Array.from({ length: 112 }, () => Uint8Array.of(1));
  await world.insertDirect([...small, ...Array.from({ length: 12 }, () => new Uint8Array(3 * MEBIBYTE))]);
  const consumer = world.consumer('bytes');
  consumer.clear();
  consumer.reserve(1_000);
  await world.settle();
  assert.equal(consumer.takeChunks().length, 1 + 112 + 2);
  assert.ok(store.bytesRead < 11 * MEBIBYTE, `${store.bytesRead} bytes were read`);
});

test('a single input above the limit still goes, alone', async () => {
  const world = await QueueWorld.start(FROM_STORE);
  await world.insertDirect([new Uint8Array(9 * MEBIBYTE), Uint8Array.of(1)]);
  const consumer = world.consumer('bytes');
  consumer.clear();
  consumer.reserve(10);
  await world.settle();
  assert.deepEqual(
    consumer.takeChunks().map(({ inputContent }) => inputContent?.length),
    [9 * MEBIBYTE],
  );
});

test('a store that cannot read is asked again', async () => {
  let failures = 2;
  const store = faultyStore(new MemoryStore(), (call) =>
    call === 'directContents' && failures-- > 0 ? 'throw' : 'none',
  );
  const world = await QueueWorld.start({ ...FROM_STORE, store });
  await world.insertDirect([Uint8Array.of(5)]);
  const consumer = world.consumer();
  consumer.clear();
  consumer.reserve();
  await world.passes(500);
  assert.deepEqual(consumer.takeChunks(), []);
  await world.passes(500);
  assert.deepEqual(
    consumer.takeChunks().map(({ inputContent }) => inputContent),
    [Uint8Array.of(5)],
  );
});

test('a connection that ends while its inputs are read gets nothing, and its chunks are free', async () => {
  const world = await QueueWorld.start(FROM_STORE);
  await world.insertDirect([Uint8Array.of(5)]);
  const consumer = world.consumer();
  consumer.clear();
  consumer.reserve();
  consumer.disconnect();
  await world.settle();
  assert.deepEqual(consumer.connection.takeMessages(), []);
  assert.equal(world.queue.counts.chunksReserved, 0);
});

test('inputs are not read ahead for a peer that does not take what it was sent', async () => {
  const world = await QueueWorld.start(FROM_STORE);
  await world.insertDirect([Uint8Array.of(5)]);
  const consumer = world.consumer();
  consumer.clear();
  consumer.connection.bufferedBytes = 9 * MEBIBYTE;
  consumer.reserve();
  await world.settle();
  assert.deepEqual(consumer.takeChunks(), []);
  consumer.connection.bufferedBytes = 0;
  consumer.session.drained();
  await world.settle();
  assert.equal(consumer.takeChunks().length, 1);
});

test('what a connection that breaks never heard of goes to others, and not to its own reservation that waits', async () => {
  const world = await QueueWorld.start({ ...FROM_STORE, chunkDisconnectsMax: 1 });
  await world.insertDirect([Uint8Array.of(5)]);
  const untold = await world.insert('untold', 1);
  const consumer = world.consumer(undefined, { concurrency: 2 });
  consumer.clear();
  for (let i = 0; i < 3; i++) consumer.reserve();
  // It takes the first answer and no more.
  consumer.connection.bufferedBytes = 9 * MEBIBYTE;
  await world.settle();
  assert.equal(consumer.takeChunks().length, 1);
  consumer.disconnect();
  await world.settle();
  assert.equal(world.queue.stats.byQueue.of('').setbacks.disconnected, 1);
  assert.equal(await world.stateOf(untold), 'in_progress');
  assert.equal(world.queue.counts.chunksAvailable, 1);
});

test('small inputs are at hand: a reservation is answered at once, whatever the store does', async () => {
  const store = faultyStore(new MemoryStore(), (call) => (call === 'directContents' ? 'hang' : 'none'));
  const world = await QueueWorld.start({ store });
  await world.insertDirect([Uint8Array.of(5), null]);
  const consumer = world.consumer();
  assert.deepEqual(
    consumer.take(2).map(({ inputContent }) => inputContent),
    [Uint8Array.of(5), null],
  );
});

test('after a restart the inputs come from the store', async () => {
  const before = await QueueWorld.start();
  await before.insertDirect([Uint8Array.of(5)]);
  const world = await QueueWorld.start({ store: before.store });
  const consumer = world.consumer();
  consumer.clear();
  consumer.reserve();
  await world.settle();
  assert.deepEqual(
    consumer.takeChunks().map(({ inputContent }) => inputContent),
    [Uint8Array.of(5)],
  );
});

test('the inputs at hand are bounded, and forgotten with their submission', () => {
  const cache = new InputCache({ bytesMax: 10_000, bytes: 0 });
  cache.keep(1n, [new Uint8Array(5_000)]);
  cache.keep(2n, [new Uint8Array(5_000)]);
  cache.keep(3n, [new Uint8Array(1_000), null]);
  assert.equal(cache.input(1n, 0)?.length, 5_000);
  assert.equal(cache.input(2n, 0), undefined);
  assert.equal(cache.input(3n, 1), null);
  assert.ok(cache.bytes <= 10_000);
  cache.forget(1n);
  cache.forget(1n);
  assert.equal(cache.input(1n, 0), undefined);
  cache.forget(3n);
  assert.equal(cache.bytes, 0);
  const large = new InputCache({ bytesMax: 100 * MEBIBYTE, bytes: 0 });
  large.keep(1n, [new Uint8Array(2 * MEBIBYTE)]);
  assert.equal(large.bytes, 0, 'one large submission does not take the place of many small ones');
});

test('inputs of ended submissions are not kept', async () => {
  const world = await QueueWorld.start();
  const id = await world.insertDirect([Uint8Array.of(5)]);
  const open = world.queue.reads.open('', id);
  assert.ok(open);
  assert.deepEqual(world.queue.consumersOf('').inputAtHand(open, 0), Uint8Array.of(5));
  await world.queue.endings.cancel('', id);
  assert.equal(world.queue.consumersOf('').inputAtHand(open, 0), undefined);
});

/** A consumer that waits for the inputs of both chunks of a submission. */
async function waiting(features?: string) {
  const world = await QueueWorld.start({ ...FROM_STORE, reservationExpirationMs: 5_000 });
  const submissionId = await world.insertDirect([Uint8Array.of(1), Uint8Array.of(2)]);
  const consumer = world.consumer(features);
  consumer.clear();
  const nonce = consumer.reserve(2);
  return { world, consumer, nonce, chunk: (chunkIndex: number) => ({ submissionId, chunkIndex }) };
}

test('what is done by another one while its inputs are read is left out of the answer', async () => {
  const { world, consumer, chunk } = await waiting('dropped');
  world.consumer().complete(chunk(0));
  await world.settle();
  const messages = consumer.connection.takeMessages();
  assert.deepEqual(
    messages.map((message) => message.kind === 'reserved' && message.chunks.map((each) => each.chunk)),
    [[chunk(1)]],
  );
});

test('a reservation whose chunks are all done before it is answered waits for others', async () => {
  const { world, consumer, nonce, chunk } = await waiting();
  const other = world.consumer();
  other.complete(chunk(0));
  other.complete(chunk(1));
  await world.settle();
  assert.deepEqual(consumer.connection.takeMessages(), []);
  await world.insert('later', 1);
  const [answer, ...more] = consumer.connection.takeMessages();
  assert.deepEqual(more, []);
  assert.ok(answer?.kind === 'reserved' && answer.nonce === nonce && answer.chunks.length === 1);
});

test('one that was taken back meanwhile is answered with nothing', async () => {
  const { world, consumer, nonce, chunk } = await waiting('cancel_reserve');
  consumer.send({ kind: 'cancel_reserve', reserveNonce: nonce });
  const other = world.consumer();
  other.complete(chunk(0));
  other.complete(chunk(1));
  await world.settle();
  assert.deepEqual(consumer.connection.takeMessages(), [{ kind: 'reserved', nonce, chunks: [] }]);
});

test('a consumer is not notified of the expiry of a chunk that it was never sent, and may get it again', async () => {
  const { world, consumer, chunk } = await waiting();
  world.clock.advance(5_000);
  await world.settle();
  const messages = consumer.connection.takeMessages();
  assert.deepEqual(
    messages.map((message) => message.kind === 'reserved' && message.chunks.map((each) => each.chunk)),
    [[chunk(0), chunk(1)]],
  );
  consumer.fail(chunk(0));
  assert.deepEqual(
    consumer.take(2).map((each) => [each.chunk, each.retries]),
    [],
  );
  await world.settle();
  assert.deepEqual(
    consumer.takeChunks().map((each) => [each.chunk, each.retries]),
    [[chunk(0), 2]],
  );
});

test('a failure of a chunk that it was not told of again speaks of the reservation before', async () => {
  const { world, consumer, chunk } = await waiting();
  consumer.fail(chunk(0));
  await world.settle();
  assert.deepEqual(
    consumer.takeChunks().map((each) => each.retries),
    [0, 0],
  );
});

test('a connection that breaks before its chunk was sent is not counted as a disconnect', async () => {
  const { world, consumer, chunk } = await waiting();
  consumer.disconnect();
  for (let i = 0; i < 3; i++) {
    const next = world.consumer();
    next.reserve();
    next.disconnect();
  }
  // From the second counted one on, the chunk would wait.
  const last = world.consumer();
  last.clear();
  last.reserve(2);
  await world.settle();
  assert.deepEqual(
    last.takeChunks().map((each) => each.chunk),
    [chunk(0), chunk(1)],
  );
});
