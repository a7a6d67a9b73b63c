/** What a program does with a consumer besides working: waits for it, pauses it, watches it, lets it end when there is nothing to do. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import {
  ConsumerClient,
  type ConsumerEvents,
  IncorrectUsageError,
  OpError,
} from '../../src/consumer/index.ts';
import { ProducerClient } from '../../src/producer/index.ts';
import { withParts } from '../../src/system/parts.ts';
import { FakeQueue, fakeChunk } from '../support/fakes/fake-queue.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { quietly, Scene } from '../support/peers/consumer-scene.ts';
import { Inbox } from '../support/peers/inbox.ts';
import { realQueue } from '../support/queues/real-queue.ts';
import { eventually } from '../support/time/eventually.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

/** A callback whose operations wait until they are let go. */
function gate() {
  const begun = new Inbox<number>();
  const { promise, resolve } = Promise.withResolvers<void>();
  const callback = async (op: number) => {
    begun.put(op);
    await promise;
    return op;
  };
  return { begun, callback, open: resolve };
}

test('connect resolves when there is a connection, and again at once', async () => {
  await using scene = await Scene.open({ startTransport: 'thread' });
  assert.equal(scene.consumer.isHealthy(), false);
  await scene.consumer.connect();
  assert.equal(scene.consumer.isHealthy(), true);
  await scene.consumer.connect();
  assert.equal(scene.queue.connectionsTotal, 1);
});

test('connect waits for a queue that is not there, until its signal fires or the client is closed', async () => {
  const consumer = new ConsumerClient('127.0.0.1:1', null, { logger: null });
  const controller = new AbortController();
  const connecting = consumer.connect({ signal: controller.signal });
  controller.abort(new Error('too long'));
  await assert.rejects(connecting, /too long/);
  const closed = assert.rejects(consumer.connect(), { code: 'CLIENT_CLOSED' });
  await consumer.close();
  await closed;
  await assert.rejects(consumer.connect(), { code: 'CLIENT_CLOSED' });
});

test('pause finishes what runs, gives back the rest and asks for nothing until resume', async () => {
  await using scene = await Scene.open();
  const { begun, callback, open } = gate();
  void quietly(scene.consumer.runEachOp(callback, { prefetch: 1 }));
  const connection = await scene.serve(await scene.chunk(0, [0]), await scene.chunk(1, [1]));
  await begun.take();
  let isQuiet = false;
  const paused = scene.consumer.pause().then(() => {
    isQuiet = true;
  });
  const { chunks } = await connection.until('release');
  assert.deepEqual(
    chunks.map(({ chunkIndex }) => chunkIndex),
    [1],
  );
  assert.equal(isQuiet, false);
  assert.deepEqual(
    { ...scene.consumer.stats() },
    { isConnected: true, isPaused: true, chunksRunning: 1, chunksCompleted: 0, chunksFailed: 0 },
  );
  open();
  await paused;
  assert.equal((await connection.until('complete')).chunk.chunkIndex, 0);
  const reserves = connection.received.filter(({ kind }) => kind === 'reserve').length;
  scene.consumer.resume();
  const { nonce } = await connection.until('reserve');
  assert.equal(connection.received.filter(({ kind }) => kind === 'reserve').length, reserves + 1);
  connection.answer(nonce, [await scene.chunk(2, [2])]);
  assert.equal((await connection.until('complete')).chunk.chunkIndex, 2);
});

test('a call that begins while the client is paused waits for resume', async () => {
  await using queue = await realQueue();
  const consumer = queue.consume();
  await consumer.connect();
  await consumer.pause();
  const calls: unknown[] = [];
  const over = consumer.runEachOp((op) => {
    calls.push(op);
    return op;
  });
  const results = Array.fromAsync(queue.producer.runSubmission([1, 2], { chunkSize: 1 }));
  const other = queue.consume();
  assert.equal((await other.reserveChunks()).length, 1);
  await other.stop();
  assert.deepEqual(calls, []);
  consumer.resume();
  assert.deepEqual(await results, [1, 2]);
  await consumer.stop();
  await over;
});

test('a paused client stops', async () => {
  await using queue = await realQueue();
  const consumer = queue.consume();
  const over = consumer.runEachOp((op) => op);
  await consumer.connect();
  await consumer.pause();
  await consumer.stop();
  await over;
});

test('untilIdleMs ends the call when the queue has had nothing for that long, and all work is done', async () => {
  await using queue = await realQueue();
  const ops = Array.from({ length: 50 }, (_, i) => i);
  const id = await queue.producer.insertSubmission(ops, { chunkSize: 1 });
  // Time passes when all is done: on a busy machine an answer may take longer than any idleness.
  const clock = new ManualClock();
  const consumer = queue.consume(withParts({}, { clock }));
  let isOver = false;
  const over = consumer
    .runEachOp((op) => op, { untilIdleMs: 100 })
    .then(() => {
      isOver = true;
    });
  await eventually(() => consumer.stats().chunksCompleted === 50);
  assert.equal(isOver, false);
  await eventually(() => {
    clock.advance(100);
    return isOver;
  });
  await over;
  const results = await Array.fromAsync(queue.producer.submission(id).results());
  assert.deepEqual(results, ops);
  assert.deepEqual(consumer.stats().chunksCompleted, 50);
  await consumer.stop();
});

test('a callback that works, and a queue that cannot be reached, are no idleness', async () => {
  const clock = new ManualClock();
  await using scene = await Scene.open({ clock });
  const { begun, callback, open } = gate();
  let isOver = false;
  const over = scene.consumer.runEachOp(callback, { untilIdleMs: 1_000 }).then(() => {
    isOver = true;
  });
  const stillRunning = async () => {
    clock.advance(10_000);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isOver, false);
  };
  const connection = await scene.serve(await scene.chunk(0, [0]));
  await begun.take();
  await stillRunning();
  const disconnected = once(scene.consumer, 'disconnected');
  connection.cut();
  await disconnected;
  open();
  await eventually(() => scene.consumer.stats().chunksCompleted === 1);
  await stillRunning();
  const idle = once(scene.consumer, 'idle');
  await (await scene.queue.connection()).until('complete');
  await eventually(() => {
    clock.advance(1_000);
    return isOver;
  });
  await idle;
  await over;
});

test('events: connected, chunkFailed, and disconnected at the end', async () => {
  await using queue = await realQueue();
  const consumer = queue.consume({ logger: null });
  const events: string[] = [];
  consumer.on('connected', ({ serverVersion }) => events.push(`connected ${serverVersion !== ''}`));
  consumer.on('disconnected', ({ reason }) => events.push(`disconnected ${reason !== ''}`));
  const failed = once(consumer, 'chunkFailed');
  const over = consumer.runEachOp(() => {
    throw new Error('not today');
  });
  const retry = { triesMax: 1 };
  const id = await queue.producer.insertSubmission([1], { chunkSize: 1, retry });
  const [event] = (await failed) as ConsumerEvents['chunkFailed'];
  assert.equal(String(event.submissionId), String(id));
  assert.equal(event.chunkIndex, 0);
  assert.match(event.failure, /not today/);
  assert.equal(consumer.stats().chunksFailed, 1);
  await consumer.stop();
  await over;
  assert.deepEqual(events, ['connected true', 'disconnected true']);
});

test('a chunk whose body cannot be read is a failed one as well', async () => {
  await using scene = await Scene.open();
  const failed = once(scene.consumer, 'chunkFailed');
  void quietly(scene.consumer.runEachOp((op) => op));
  await scene.serve(fakeChunk(scene.submission, 9));
  const [{ chunkIndex, failure }] = (await failed) as ConsumerEvents['chunkFailed'];
  assert.equal(chunkIndex, 9);
  assert.match(failure, /9-in\.bin/);
});

test('a connection that breaks is announced, and so is the next one', async () => {
  await using scene = await Scene.open();
  const events = new Inbox<string>();
  scene.consumer.on('connected', () => events.put('connected'));
  scene.consumer.on('disconnected', () => events.put('disconnected'));
  void quietly(scene.consumer.runEachOp((op) => op));
  assert.equal(await events.take(), 'connected');
  (await scene.queue.connection()).cut();
  assert.equal(await events.take(), 'disconnected');
  assert.equal(await events.take(), 'connected');
});

test('idle is announced once, when there is nothing to do, and again after there was', async () => {
  await using queue = await realQueue();
  const consumer = queue.consume();
  let idles = 0;
  consumer.on('idle', () => idles++);
  const over = consumer.runEachOp((op) => op);
  await once(consumer, 'idle');
  assert.deepEqual(await Array.fromAsync(queue.producer.runSubmission([1], { chunkSize: 1 })), [1]);
  await once(consumer, 'idle');
  assert.equal(idles, 2);
  await consumer.stop();
  await over;
});

test('a listener that throws or rejects hurts neither the other ones nor the work, and is logged', async () => {
  await using queue = await realQueue();
  const logger = recordingLogger();
  const consumer = queue.consume({ logger });
  const heard: string[] = [];
  consumer.on('connected', () => {
    throw new Error('a bad listener');
  });
  consumer.once('connected', async () => {
    throw new Error('a worse one');
  });
  consumer.on('connected', () => heard.push('connected'));
  const over = consumer.runEachOp((op) => op);
  assert.deepEqual(await Array.fromAsync(queue.producer.runSubmission([1], { chunkSize: 1 })), [1]);
  assert.deepEqual(heard, ['connected']);
  const logged = logger.lines.filter(({ message }) => message === 'a listener of the consumer failed');
  assert.equal(logged.length, 2);
  assert.equal(consumer.listenerCount('connected'), 2);
  await consumer.stop();
  await over;
});

test('a consumer without an object store works on direct submissions, and leaves others to others', async () => {
  await using queue = await realQueue();
  await using direct = new ConsumerClient(queue.url, null, { logger: null });
  const over = direct.runEachOp((op: number) => op + 1);
  assert.deepEqual(
    await Array.fromAsync(queue.producer.runSubmission([1, 2], { chunkSize: 1, in: 'queue' })),
    [2, 3],
  );
  const failed = once(direct, 'chunkFailed');
  const results = Array.fromAsync(queue.producer.runSubmission([1], { chunkSize: 1, retry: { delayMs: 0 } }));
  const [{ failure }] = (await failed) as ConsumerEvents['chunkFailed'];
  assert.match(failure, /was made without an object store/);
  await direct.stop();
  await over;
  const other = queue.consume();
  const otherOver = other.runEachOp((op: number) => op + 1);
  assert.deepEqual(await results, [2]);
  await other.stop();
  await otherOver;
});

test('chunks that are reserved by hand are decoded, and their results encoded, as everywhere', async () => {
  await using queue = await realQueue();
  for (const codec of ['cbor', 'json'] as const) {
    await using consumer = new ConsumerClient(queue.url, queue.objects.url, { codec });
    await using producer = new ProducerClient(queue.url, queue.objects.url, { codec });
    const results = Array.fromAsync(producer.runSubmission(['a', 'b', 'c'], { chunkSize: 3 }));
    const [chunk] = await consumer.reserveChunks({ max: 5 });
    assert.ok(chunk);
    assert.deepEqual(chunk.ops, ['a', 'b', 'c']);
    await assert.rejects(consumer.completeChunk(chunk, ['A']), (error) => {
      assert.ok(error instanceof IncorrectUsageError);
      assert.match(error.message, /as many as its 3 operations, got 1/);
      return true;
    });
    await assert.rejects(consumer.completeChunk(chunk, 'ABC' as never), IncorrectUsageError);
    await consumer.completeChunk(chunk, ['A', new OpError('no b', { code: 'B' }), 'C']);
    const [first, second, third] = await results;
    assert.deepEqual([first, third], ['A', 'C']);
    assert.equal((second as OpError).code, 'B');
  }
});

test('a chunk reserved by hand that cannot be decoded fails, and the call waits on', async () => {
  await using scene = await Scene.open();
  const reserved = scene.consumer.reserveChunks();
  await scene.objects.putInput(scene.submission.prefix ?? '', 0, Uint8Array.of(0x83, 1));
  const chunk = await scene.chunk(1, [1]);
  const connection = await scene.serve({ ...chunk, chunk: { ...chunk.chunk, chunkIndex: 0 } });
  assert.match((await connection.until('fail')).failure, /could not be decoded/);
  connection.answer((await connection.until('reserve')).nonce, [chunk]);
  assert.deepEqual((await reserved)[0]?.ops, [1]);
});

test('listeners and stats leave nothing behind', async () => {
  await using queue = await FakeQueue.start();
  const consumer = new ConsumerClient(queue.url, null);
  const over = quietly(consumer.runEachOp((op) => op, { untilIdleMs: 60_000 }));
  await (await queue.connection()).next('reserve');
  await consumer.stop();
  await over;
  await eventually(() => queue.connectionsOpen === 0);
  assert.equal(consumer.stats().isConnected, false);
});

test('what a callback gets survives JSON.stringify, ids included', async () => {
  await using queue = await realQueue();
  const consumer = queue.consume();
  const contexts: string[] = [];
  const over = consumer.runEachOp((op, { submission, submissionId, chunkIndex, operationIndex, retries }) => {
    contexts.push(JSON.stringify({ submission, submissionId, chunkIndex, operationIndex, retries }));
    return op;
  });
  const strategicMetadata = { customer: 7 };
  const submission = await queue.producer.submit([1, 2, 3], { chunkSize: 2, strategicMetadata });
  await submission.done();
  const read = contexts.map((text) => JSON.parse(text)).sort((a, b) => a.chunkIndex - b.chunkIndex);
  assert.deepEqual(
    read.map((each) => [each.submissionId, each.chunkIndex, each.operationIndex]),
    [
      [submission.id, 0, 0],
      [submission.id, 0, 1],
      [submission.id, 1, 0],
    ],
  );
  assert.equal(read[0].submission.id, submission.id);
  assert.deepEqual(read[0].submission.strategicMetadata, strategicMetadata);
  await consumer.stop();
  await over;
});
