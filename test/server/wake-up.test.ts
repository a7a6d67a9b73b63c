import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ReservedChunkMessage } from '../../src/protocol/consumer/types.ts';
import { QueueWorld, type WorldConsumer } from '../support/queues/queue-world.ts';

/** One consumer holds the only chunk, the other waits for one. */
async function oneHoldsOneWaits(options: Parameters<typeof QueueWorld.start>[0] = {}): Promise<{
  readonly world: QueueWorld;
  readonly id: bigint;
  readonly holder: WorldConsumer;
  readonly waiter: WorldConsumer;
  readonly held: ReservedChunkMessage;
}> {
  const world = await QueueWorld.start(options);
  const id = await world.insert('a', 1);
  const holder = world.consumer('release,dropped');
  const waiter = world.consumer();
  const [held] = holder.take();
  assert.ok(held);
  assert.deepEqual(waiter.take(), []);
  return { world, id, holder, waiter, held };
}

test('an insert wakes who waits', async () => {
  const world = await QueueWorld.start();
  const waiter = world.consumer();
  const nonce = waiter.reserve();
  await world.insert('a', 1);
  const [answer] = waiter.connection.takeMessages().filter(({ kind }) => kind === 'reserved');
  assert.ok(answer?.kind === 'reserved');
  assert.equal(answer.nonce, nonce);
});

test('a failure wakes who waits', async () => {
  const { holder, waiter, held } = await oneHoldsOneWaits();
  holder.fail(held.chunk);
  assert.deepEqual(
    waiter.takeChunks().map(({ chunk, retries }) => ({ chunk, retries })),
    [{ chunk: held.chunk, retries: 1 }],
  );
});

test('a chunk that is given back wakes who waits, and counts as no try', async () => {
  const { holder, waiter, held } = await oneHoldsOneWaits();
  holder.send({ kind: 'release', chunks: [held.chunk] });
  assert.deepEqual(
    waiter.takeChunks().map(({ chunk, retries }) => ({ chunk, retries })),
    [{ chunk: held.chunk, retries: 0 }],
  );
});

for (const orderly of [true, false]) {
  test(`a connection that ends ${orderly ? 'in good order' : 'by breaking'} wakes who waits`, async () => {
    const { holder, waiter, held } = await oneHoldsOneWaits();
    holder.disconnect(orderly);
    assert.deepEqual(
      waiter.takeChunks().map(({ chunk, retries }) => ({ chunk, retries })),
      [{ chunk: held.chunk, retries: 0 }],
    );
  });
}

test('a consumer that is not heard of any more wakes who waits', async () => {
  const { world, holder, waiter, held } = await oneHoldsOneWaits();
  for (let i = 0; i < 4; i++) {
    await world.passes(9_999);
    waiter.session.alive();
  }
  await world.passes(10);
  assert.ok(holder.connection.takeKinds().includes('terminate'));
  assert.deepEqual(
    waiter.takeChunks().map(({ chunk }) => chunk),
    [held.chunk],
  );
});

test('an expired reservation serves a waiting consumer, and its holder is notified', async () => {
  const { world, holder, waiter, held } = await oneHoldsOneWaits({ reservationExpirationMs: 5_000 });
  await world.passes(4_999);
  assert.deepEqual(waiter.takeChunks(), []);
  await world.passes(1);
  assert.deepEqual(
    waiter.takeChunks().map(({ chunk, retries }) => ({ chunk, retries })),
    [{ chunk: held.chunk, retries: 1 }],
  );
  assert.deepEqual(
    holder.connection.takeMessages().map((message) => message.kind === 'expired' && message.chunk),
    [held.chunk],
  );
});

test('the end of a retry delay wakes who waits', async () => {
  const { world, holder, waiter, held } = await oneHoldsOneWaits();
  holder.send({ kind: 'fail', chunk: held.chunk, failure: 'later', delayMs: 1_000 });
  await world.passes(999);
  assert.deepEqual(waiter.takeChunks(), []);
  await world.passes(1);
  assert.equal(waiter.takeChunks().length, 1);
});

test("a submission's own retry delay holds for every failure", async () => {
  const world = await QueueWorld.start();
  await world.insert('a', 1, { retryDelayMs: 3_000 });
  const consumer = world.consumer();
  const [held] = consumer.take();
  consumer.fail(held!.chunk);
  assert.deepEqual(consumer.take(), []);
  await world.passes(2_999);
  assert.deepEqual(consumer.takeChunks(), []);
  await world.passes(1);
  assert.equal(consumer.takeChunks().length, 1);
});

test('garbage from the holder wakes who waits', async () => {
  const { holder, waiter, held } = await oneHoldsOneWaits();
  holder.session.message(Uint8Array.of(0xff));
  assert.ok(holder.connection.takeKinds().includes('close 1007'));
  assert.deepEqual(
    waiter.takeChunks().map(({ chunk }) => chunk),
    [held.chunk],
  );
});

test('a queue that stops hands out nothing of what its connections held', async () => {
  const { world, holder, waiter } = await oneHoldsOneWaits();
  const stopped = world.queue.stop(1_000);
  holder.disconnect();
  await stopped;
  assert.deepEqual(waiter.takeChunks(), []);
});
