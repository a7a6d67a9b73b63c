/** Against the real queue: what both sides must agree on. */
import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  type ChunkContext,
  NonRetryableError,
  OpError,
  ReservationRefusedError,
  RetryLaterError,
  Strategy,
} from '../../src/consumer/index.ts';
import { SubmissionFailedError } from '../../src/producer/index.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { blockingConsumer } from '../support/peers/blocking-consumer.ts';
import { consumerProcess } from '../support/peers/consumer-process.ts';
import { Inbox } from '../support/peers/inbox.ts';
import { realQueue } from '../support/queues/real-queue.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

test('a callback that blocks for longer than all missable heartbeats keeps its chunk, and no other consumer gets it', async () => {
  const heartbeatIntervalMs = 100;
  const missableHeartbeatsMax = 3;
  const holdMs = heartbeatIntervalMs * (missableHeartbeatsMax + 1) * 2;
  await using queue = await realQueue({ heartbeatIntervalMs, missableHeartbeatsMax });
  await using program = await blockingConsumer(queue.url, queue.objects.url);
  const results = Array.fromAsync(queue.producer.runSubmission(['hold'], { chunkSize: 1 }));
  await program.said('begun');
  // Another consumer asks all the time while the first one is blocked.
  const seen: unknown[] = [];
  const other = queue.consume();
  const over = other.runEachOp((op) => {
    seen.push(op);
    return 'of the other one';
  });
  await new Promise((resolve) => setTimeout(resolve, holdMs));
  program.release();
  await program.said('done');
  assert.deepEqual(await results, ['hold']);
  assert.deepEqual(seen, []);
  await other.stop();
  await over;
});

test('the chunks of a consumer process that is killed go to another one', async () => {
  await using queue = await realQueue();
  await using program = await blockingConsumer(queue.url, queue.objects.url);
  const results = Array.fromAsync(queue.producer.runSubmission(['a', 'hold', 'b'], { chunkSize: 1 }));
  await program.said('begun');
  program.child.kill('SIGKILL');
  const other = queue.consume();
  const over = other.runEachOp((op: string) => op.toUpperCase());
  assert.deepEqual(
    (await results).map((result) => String(result).toUpperCase()),
    ['A', 'HOLD', 'B'],
  );
  await other.stop();
  await over;
});

test('work goes round: a hundred thousand operations, all results in order', async () => {
  await using queue = await realQueue();
  const consumer = queue.consume();
  const over = consumer.runEachOp((op: number) => op * 2);
  const total = 100_000;
  let next = 0;
  for await (const result of queue.producer.runSubmission(Array(total).keys(), { chunkSize: 1_000 })) {
    assert.equal(result, next * 2);
    next++;
  }
  assert.equal(next, total);
  await consumer.stop();
  await over;
});

test('a cancelled submission fires the signal of the callback that works on it', async () => {
  await using queue = await realQueue();
  const signals = new Inbox<AbortSignal>();
  const consumer = queue.consume();
  const over = consumer.runEachOp(async (op: number, { signal }: ChunkContext) => {
    signals.put(signal);
    await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
    return op;
  });
  const id = await queue.producer.insertSubmission([1], { chunkSize: 1 });
  const signal = await signals.take();
  await queue.producer.submission(id).cancel();
  if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve));
  assert.equal(signal.reason.reason, 'submission_ended');
  await consumer.stop();
  await over;
});

test('NonRetryableError fails the submission at once, with the stack of the callback', async () => {
  await using queue = await realQueue();
  const consumer = queue.consume();
  let calls = 0;
  const over = consumer.runEachOp(() => {
    calls++;
    throw new NonRetryableError('no way');
  });
  await assert.rejects(
    Array.fromAsync(queue.producer.runSubmission([1], { chunkSize: 1 })),
    (error) =>
      error instanceof SubmissionFailedError && /NonRetryableError: no way\n +at/.test(error.failure),
  );
  assert.equal(calls, 1);
  await consumer.stop();
  await over;
});

test('what is only reserved when a consumer stops goes to the next one without a try', async () => {
  await using queue = await realQueue();
  const gate = Promise.withResolvers<void>();
  const begun = new Inbox<number>();
  const first = queue.consume();
  const over = first.runEachOp(
    async (op: number) => {
      begun.put(op);
      await gate.promise;
      return op;
    },
    { prefetch: 3 },
  );
  const results = Array.fromAsync(queue.producer.runSubmission([0, 1, 2, 3], { chunkSize: 1 }));
  await begun.take();
  const stopped = first.stop();
  const retries: number[] = [];
  const second = queue.consume();
  const secondOver = second.runEachOp((op: number, context) => {
    retries.push(context.retries);
    if (retries.length === 3) gate.resolve();
    return op;
  });
  assert.deepEqual(await results, [0, 1, 2, 3]);
  assert.deepEqual(retries, [0, 0, 0]);
  await stopped;
  await over;
  await second.stop();
  await secondOver;
});

test("with onOpError 'record' the producer gets an OpError in the place of the operation that failed", async () => {
  await using queue = await realQueue();
  const consumer = queue.consume();
  const over = consumer.runEachOp(
    (op: number) => {
      if (op === 2) throw new RangeError('not two', { cause: { code: 'E2' } });
      return op * 10;
    },
    { onOpError: 'record' },
  );
  const results = await Array.fromAsync(queue.producer.runSubmission([1, 2, 3], { chunkSize: 3 }));
  const [first, failed, third] = results;
  assert.deepEqual([first, third], [10, 30]);
  assert.ok(failed instanceof OpError);
  assert.match(failed.stack ?? '', /RangeError: not two\n +at /);
  assert.deepEqual([failed.name, failed.code], ['RangeError', null]);
  assert.match(failed.cause?.message ?? '', /"code":"E2"/);
  await consumer.stop();
  await over;
});

test('one consumer process of five that fails everything at once fails no submission; it is slowed down and named', async () => {
  const logger = recordingLogger();
  await using queue = await realQueue({ logger });
  await using folder = await temporaryFolder();
  await using stack = new AsyncDisposableStack();
  // Healthy from the start: the file that ends their failures is there. That of the sick one never is.
  const consumers = ['never', ...Array(4).fill('.')].map((until) =>
    stack.use(consumerProcess('failing-consumer', queue.url, queue.objects.url, join(folder.path, until))),
  );
  for (const { said } of consumers) assert.equal(await said.take(), 'connected');
  const ops = Array.from({ length: 200 }, (_, i) => i);
  const slowed = () => logger.lines.find(({ message }) => message.includes('slowing it down'));
  for (let runs = 0; runs < 2 || slowed() === undefined; runs++) {
    const retry = runs % 2 === 0 ? undefined : { delayMs: 0 };
    assert.deepEqual(await Array.fromAsync(queue.producer.runSubmission(ops, { chunkSize: 1, retry })), ops);
  }
  assert.equal(slowed()?.level, 'warn');
});

test('what a callback needs is away: the submission completes, and its chunks wait longer before each retry', async () => {
  await using queue = await realQueue();
  await using folder = await temporaryFolder();
  const until = join(folder.path, 'back');
  await using consumer = consumerProcess('failing-consumer', queue.url, queue.objects.url, until);
  assert.equal(await consumer.said.take(), 'connected');
  const ops = Array.from({ length: 20 }, (_, i) => i);
  const results = Array.fromAsync(queue.producer.runSubmission(ops, { chunkSize: 1 }));
  const triesMs = new Map<number, number[]>();
  const failed = (times: number) => ops.every((op) => (triesMs.get(op)?.length ?? 0) >= times);
  while (!failed(2)) {
    const { op, atMs } = (await consumer.said.take()) as { readonly op: number; readonly atMs: number };
    triesMs.set(op, [...(triesMs.get(op) ?? []), atMs]);
  }
  await writeFile(until, '');
  assert.deepEqual(await results, ops);
  for (const [op, times] of triesMs) {
    // The wait before the n-th retry is at least half of 1 s, 2 s, 4 s, ...; timers may be early by a fraction.
    for (let retry = 1; retry < times.length; retry++) {
      const waitedMs = times[retry]! - times[retry - 1]!;
      assert.ok(
        waitedMs > 500 * 2 ** (retry - 1) - 20,
        `operation ${op}, retry ${retry}: after ${waitedMs} ms`,
      );
    }
  }
});

test('RetryLaterError and the retry delay of a submission space the tries out', async () => {
  const delayMs = 200;
  await using queue = await realQueue();
  const consumer = queue.consume();
  const tries = new Map<string, number[]>();
  const over = consumer.runEachOp((op: string) => {
    const times = tries.get(op) ?? [];
    tries.set(op, [...times, performance.now()]);
    if (times.length > 0) return op;
    throw op === 'later' ? new RetryLaterError(delayMs) : new Error('not now');
  });
  const run = (op: string, options: { readonly retryDelayMs?: number } = {}) =>
    Array.fromAsync(queue.producer.runSubmission([op], { chunkSize: 1, ...options }));
  await Promise.all([run('later'), run('delayed', { retryDelayMs: delayMs })]);
  for (const [op, [first = 0, second = 0]] of tries) {
    // Timers may be early by a fraction.
    assert.ok(second - first > delayMs - 2, `${op}: ${second - first} ms between the tries`);
  }
  assert.equal(tries.size, 2);
  await consumer.stop();
  await over;
});

test('strategies that are invented one after the other are refused in the end; those in use go on', async () => {
  await using queue = await realQueue();
  const consumer = queue.consume();
  const ops = Array.from({ length: 100 }, (_, i) => i);
  await queue.producer.insertSubmission(ops, { chunkSize: 1, strategicMetadata: { customer: 1 } });
  const take = async (key: string) => {
    const [chunk] = await consumer.reserveChunks({
      max: 1,
      strategy: Strategy.preferDistinct(key, Strategy.oldest()),
      raw: true,
    });
    await consumer.completeChunk(chunk!, new Uint8Array(1));
  };
  for (let i = 0; i < 32; i++) await take(i === 0 ? 'customer' : `key ${i}`);
  await assert.rejects(take('one more'), (error) => {
    assert.ok(error instanceof ReservationRefusedError);
    assert.match(error.message, /32 different strategies within 60 seconds/);
    return true;
  });
  for (let i = 0; i < 10; i++) await take('customer');
});
