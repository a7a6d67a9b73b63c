import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { ConsumerClient, TransportLostError } from '../../../src/consumer/index.ts';
import type { TransportHandle } from '../../../src/consumer/thread/handle.ts';
import { inlineTransport } from '../../support/fakes/inline-transport.ts';
import { quietly, Scene } from '../../support/peers/consumer-scene.ts';
import { Inbox } from '../../support/peers/inbox.ts';
import { eventually } from '../../support/time/eventually.ts';

/** Transports that crash when told to. */
function crashing() {
  const crashes: (() => Promise<void>)[] = [];
  const start: typeof inlineTransport = (setup, listener) => {
    let isCrashed = false;
    const inner: TransportHandle = inlineTransport(setup, {
      event: (event) => {
        if (!isCrashed) listener.event(event);
      },
      crashed: listener.crashed,
    });
    crashes.push(async () => {
      isCrashed = true;
      listener.crashed(new Error('out of memory'));
      await inner.close();
    });
    return inner;
  };
  return { start, crashes };
}

test('a transport that crashes is started again: runs and reservations go on, what ran is completed', async () => {
  const { start, crashes } = crashing();
  await using scene = await Scene.open({ startTransport: start });
  const begun = new Inbox<number>();
  const gate = Promise.withResolvers<void>();
  const over = scene.consumer.runEachOp(
    async (op: number) => {
      begun.put(op);
      await gate.promise;
      return op;
    },
    { prefetch: 1 },
  );
  const first = await scene.serve(await scene.chunk(0, [0]), await scene.chunk(1, [1]));
  assert.equal(await begun.take(), 0);
  await crashes[0]?.();
  await first.closed;
  assert.ok(scene.logger.lines.some(({ level, fields }) => level === 'error' && 'error' in fields));
  const second = await scene.queue.connection();
  const reserve = await second.next('reserve');
  gate.resolve();
  assert.equal((await second.until('complete')).chunk.chunkIndex, 0);
  second.answer(reserve.nonce, [await scene.chunk(2, [2])]);
  assert.equal((await second.until('complete')).chunk.chunkIndex, 2);
  await scene.consumer.stop();
  await over;
});

test('a reservation survives the crash, a result that was on its way is reported as lost', async () => {
  const { start, crashes } = crashing();
  await using scene = await Scene.open({ startTransport: start });
  const reserved = scene.consumer.reserveChunks({ raw: true });
  await (await scene.queue.connection()).next('reserve');
  const completed = scene.consumer.completeChunk(
    { submissionId: 1n, submissionPrefix: null, chunkIndex: 0 },
    Uint8Array.of(1),
  );
  const lost = assert.rejects(completed, /transport thread ended before the result was sent: out of memory/);
  await crashes[0]?.();
  await lost;
  await scene.serve(await scene.chunk(0, ['x']));
  assert.equal((await reserved).length, 1);
});

test('a transport that crashes again and again is given up with an error', async () => {
  await using scene = await Scene.open({
    startTransport: (_, listener) => {
      setImmediate(() => listener.crashed(new Error('no such thing')));
      return { post() {}, flush() {}, keepAlive() {}, close: () => Promise.resolve() };
    },
  });
  await assert.rejects(
    scene.consumer.runEachOp((op) => op),
    (error) => error instanceof TransportLostError && /6 times in a row.*no such thing/.test(error.message),
  );
  await assert.rejects(scene.consumer.reserveChunks({ raw: true }), TransportLostError);
});

test('a transport whose program or package is missing is given up at once', async () => {
  let starts = 0;
  await using scene = await Scene.open({
    startTransport: (_, listener) => {
      starts++;
      const error = Object.assign(new Error("Cannot find package 'ws'"), { code: 'ERR_MODULE_NOT_FOUND' });
      setImmediate(() => listener.crashed(error));
      return { post() {}, flush() {}, keepAlive() {}, close: () => Promise.resolve() };
    },
  });
  await assert.rejects(
    scene.consumer.runEachOp((op) => op),
    (error) => error instanceof TransportLostError && /cannot be loaded: .*'ws'/.test(error.message),
  );
  assert.equal(starts, 1);
});

test('the real thread: its end is noticed, and the client works on', async (t) => {
  await using scene = await Scene.open({ startTransport: 'thread' });
  const workers: Worker[] = [];
  // The thread's handle is the client's own; what it posts to is what is to die.
  const { postMessage } = Worker.prototype;
  t.mock.method(
    Worker.prototype,
    'postMessage',
    function (this: Worker, ...args: Parameters<typeof postMessage>) {
      if (!workers.includes(this)) workers.push(this);
      return postMessage.apply(this, args);
    },
  );
  const over = scene.consumer.runEachOp((op: number) => op);
  const first = await scene.queue.connection();
  await first.next('reserve');
  await workers[0]?.terminate();
  await first.closed;
  const second = await scene.serve(await scene.chunk(0, [5]));
  await second.until('complete');
  await scene.consumer.stop();
  await over;
  assert.equal(workers.length, 2);
});

test('an object store that cannot be opened is an error of every call', async () => {
  await using scene = await Scene.open();
  const consumer = new ConsumerClient(scene.queue.url, scene.objects.url, {
    objectStoreOptions: { file_durable: 'perhaps' },
  });
  await assert.rejects(
    consumer.runEachOp((op) => op),
    /durable/,
  );
  await quietly(consumer.reserveChunks({ raw: true }));
  await consumer.close();
  await eventually(() => scene.queue.connectionsOpen === 0);
});
