/**
 * Callbacks that take longer than --reservation-expiration, against the real queue: reservations are extended, unless
 * the queue is too old for that.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BroadcastChannel } from 'node:worker_threads';
import { CallbackTimeoutError, type ChunkContext, IncorrectUsageError } from '../../../src/consumer/index.ts';
import type { ServerOptions } from '../../../src/server/index.ts';
import { withParts } from '../../../src/system/parts.ts';
import { recordingLogger } from '../../support/fakes/recording-logger.ts';
import { cbor } from '../../support/peers/consumer-scene.ts';
import { Inbox } from '../../support/peers/inbox.ts';
import slow from '../../support/programs/slow.ts';
import { realQueue } from '../../support/queues/real-queue.ts';
import { ManualClock } from '../../support/time/manual-clock.ts';

const EXPIRATION_MS = 100;
/** Many times as long: with an expiry for each of them the submission would fail. */
const OPS = [
  { ms: 4 * EXPIRATION_MS, value: 1 },
  { ms: 0, value: 2 },
];
const SETTINGS: ServerOptions = { reservationExpirationMs: EXPIRATION_MS };

for (const mode of ['a function', 'a module in a pool of threads']) {
  test(`a callback slower than the expiration completes its submission, with one expiry, on a queue that extends nothing: ${mode}`, async () => {
    // Time passes from the callback's beginning: on a busy machine a reservation would be over before it.
    const clock = new ManualClock();
    await using queue = await realQueue(withParts({ ...SETTINGS, chunkRetriesMax: 2 }, { clock }));
    const consumer = await queue.consumeUnextended();
    const begun = new BroadcastChannel('slow');
    begun.unref();
    begun.onmessage = () => tick(clock, mode === 'a function' ? 0 : OPS[0]!.ms);
    const aside = new URL('../../support/programs/slow.ts', import.meta.url);
    // It holds up the queue's thread, too.
    const blocking = (op: (typeof OPS)[number]) => {
      clock.advance(op.ms);
      return slow(op);
    };
    const over =
      mode === 'a function'
        ? consumer.runEachOp(blocking, { prefetch: 2 })
        : consumer.runEachOp(aside, { threads: 1, prefetch: 2 });
    const results = await Array.fromAsync(queue.producer.runSubmission(OPS, { chunkSize: 2 }));
    assert.deepEqual(results, [10, 20]);
    begun.close();
    await consumer.stop();
    await over;
  });
}

/** Lets so much time pass, step by step. */
function tick(clock: ManualClock, leftMs: number): void {
  if (leftMs <= 0) return;
  clock.advance(EXPIRATION_MS / 2);
  setTimeout(() => tick(clock, leftMs - EXPIRATION_MS / 2), EXPIRATION_MS / 4);
}

test('what is reserved by hand and completed too late completes its submission', async () => {
  await using queue = await realQueue(SETTINGS);
  const consumer = queue.consume();
  const results = Array.fromAsync(queue.producer.runSubmission([1, 2], { chunkSize: 2 }));
  const [first] = await consumer.reserveChunks({ raw: true });
  // The chunk comes again because its first reservation has expired.
  const [second] = await consumer.reserveChunks({ raw: true });
  assert.ok(first && second);
  assert.equal(second.retries, 1);
  await consumer.completeChunk(first, cbor.encode(['one', 'two']));
  assert.deepEqual(await results, ['one', 'two']);
});

test('a failure after the expiry is not a second try', async () => {
  // Time passes in the callback only: on a busy machine the first reservation would be over before it begins.
  const clock = new ManualClock();
  await using queue = await realQueue(withParts(SETTINGS, { clock }));
  const consumer = await queue.consumeUnextended();
  const retries: number[] = [];
  const callback = async (op: string, context: ChunkContext) => {
    retries.push(context.retries);
    if (context.retries > 0) return op.toUpperCase();
    clock.advance(EXPIRATION_MS);
    // Long enough for the consumer to hear of it; a failure that is told before counts as little.
    await new Promise((resolve) => setTimeout(resolve, EXPIRATION_MS));
    throw new Error('too late');
  };
  const over = consumer.runEachOp(callback, { prefetch: 2 });
  const options = { chunkSize: 1, retry: { delayMs: 0 } };
  assert.deepEqual(await Array.fromAsync(queue.producer.runSubmission(['a'], options)), ['A']);
  // Its own failure would have counted, too.
  assert.deepEqual(retries, [0, 1]);
  await consumer.stop();
  await over;
});

test('another consumer gets the chunk; the first one completes it, and the other is notified', async () => {
  await using queue = await realQueue(SETTINGS);
  const signals = new Inbox<AbortSignal>();
  const first = await queue.consumeUnextended();
  const over = first.runEachOp(async (op: string, { signal }) => {
    signals.put(signal);
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    return op;
  });
  const results = Array.fromAsync(queue.producer.runSubmission(['a'], { chunkSize: 1 }));
  const signal = await signals.take();
  const second = await queue.consumeUnextended();
  const secondOver = second.runEachOp((op: string) => op.toUpperCase());
  assert.deepEqual(await results, ['A']);
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
  assert.equal(signal.reason.reason, 'completed_elsewhere');
  for (const each of [first, second]) await each.stop();
  await Promise.all([over, secondOver]);
});

test('a submission that is cancelled after the expiry fires the signal', async () => {
  await using queue = await realQueue(SETTINGS);
  const signals = new Inbox<AbortSignal>();
  const consumer = await queue.consumeUnextended();
  const over = consumer.runEachOp(async (op: string, { signal }) => {
    signals.put(signal);
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    return op;
  });
  const id = await queue.producer.insertSubmission(['a'], { chunkSize: 1 });
  const signal = await signals.take();
  // Another one gets the chunk, so the reservation of the first has expired.
  await queue.consume().reserveChunks({ raw: true });
  assert.equal(signal.aborted, false);
  await queue.producer.submission(id).cancel();
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
  assert.equal(signal.reason.reason, 'submission_ended');
  await consumer.stop();
  await over;
});

test('a live consumer keeps what it works on, however long it takes', async () => {
  // One expiry would fail the submission.
  const settings = { reservationExpirationMs: 300, heartbeatIntervalMs: 200, chunkRetriesMax: 1 };
  await using queue = await realQueue(settings);
  const logger = recordingLogger();
  const begun = new Inbox<number>();
  const free = Promise.withResolvers<void>();
  using _free = { [Symbol.dispose]: free.resolve };
  const consumers = Array.from({ length: 2 }, () => queue.consume({ logger }));
  const runs = consumers.map((consumer) =>
    consumer.runEachOp(
      async (op: number) => {
        begun.put(op);
        await free.promise;
        return op * 10;
      },
      { prefetch: 0 },
    ),
  );
  const results = Array.fromAsync(queue.producer.runSubmission([1, 2], { chunkSize: 1 }));
  await begun.take();
  await begun.take();
  // What is reserved by hand expires, again and again: so much time has passed for the others, too.
  const retry = { triesMax: 10, delayMs: 0 };
  const other = await queue.producer.insertSubmission([3], { chunkSize: 1, retry });
  for (const retries of [0, 1, 2, 3]) {
    const [chunk] = await queue.consume().reserveChunks({ raw: true });
    assert.deepEqual([chunk?.submissionId, chunk?.retries], [other, retries]);
  }
  free.resolve();
  assert.deepEqual(await results, [10, 20]);
  // The queue has nothing to say to those that only extend, and is not taken for dead.
  assert.deepEqual(
    logger.lines.filter(({ level }) => level === 'warn'),
    [],
  );
  await Promise.all(consumers.map((consumer) => consumer.stop()));
  await Promise.all(runs);
});

test('a callback that never settles loses its chunk after callbackMsMax, and its place is free again', async () => {
  await using queue = await realQueue(SETTINGS);
  const consumer = queue.consume();
  const reasons: unknown[] = [];
  const over = consumer.runEachOp(
    async (op: string, { retries, signal }: ChunkContext) => {
      if (retries > 0) return op.toUpperCase();
      signal.addEventListener('abort', () => reasons.push(signal.reason));
      return new Promise<never>(() => {});
    },
    { callbackMsMax: 50 },
  );
  assert.deepEqual(await Array.fromAsync(queue.producer.runSubmission(['a'], { chunkSize: 1 })), ['A']);
  assert.ok(reasons[0] instanceof CallbackTimeoutError);
  await consumer.stop();
  await over;
});

test('a thread of a pool whose callback never settles is replaced after callbackMsMax', async () => {
  await using queue = await realQueue(SETTINGS);
  const consumer = queue.consume();
  const module = new URL('../../support/programs/stuck.ts', import.meta.url);
  const over = consumer.runEachOp(module, { threads: 1, callbackMsMax: 200 });
  assert.deepEqual(await Array.fromAsync(queue.producer.runSubmission(['a'], { chunkSize: 1 })), ['A']);
  await consumer.stop();
  await over;
});

test('stop with a grace gives up a callback that never settles: the chunk goes to others, uncounted', async () => {
  await using queue = await realQueue({ chunkRetriesMax: 1 });
  const logger = recordingLogger();
  const stuck = queue.consume({ logger });
  const signals = new Inbox<AbortSignal>();
  const over = stuck.runEachOp((_op: string, { signal }) => {
    signals.put(signal);
    return new Promise(() => {});
  });
  const results = Array.fromAsync(queue.producer.runSubmission(['a'], { chunkSize: 1 }));
  const signal = await signals.take();
  const ending = stuck.stop();
  await stuck.stop({ graceMs: 10 });
  await Promise.all([ending, over]);
  assert.equal(signal.reason.reason, 'abandoned');
  assert.ok(logger.lines.some(({ message }) => message === 'stop gives up a callback that has not finished'));
  const second = queue.consume();
  const secondOver = second.runEachOp((op: string) => op.toUpperCase());
  assert.deepEqual(await results, ['A']);
  await second.stop({ graceMs: 60_000 });
  await secondOver;
});

test('a limit or a grace that makes no sense is refused', async () => {
  await using queue = await realQueue();
  const consumer = queue.consume();
  await assert.rejects(
    consumer.runEachOp((op) => op, { callbackMsMax: 0 }),
    IncorrectUsageError,
  );
  assert.throws(() => void consumer.stop({ graceMs: -1 }), IncorrectUsageError);
});
