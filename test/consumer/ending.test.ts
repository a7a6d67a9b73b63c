import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ClientClosedError, ConsumerClient } from '../../src/consumer/index.ts';
import { quietly, Scene } from '../support/peers/consumer-scene.ts';
import { Inbox } from '../support/peers/inbox.ts';
import { eventually } from '../support/time/eventually.ts';

/** A consumer with chunk 0 in its callback, chunk 1 reserved, and a reservation that waits. */
async function busy(scene: Scene) {
  const begun = new Inbox<{ readonly op: number; readonly signal: AbortSignal }>();
  const gate = Promise.withResolvers<void>();
  const controller = new AbortController();
  const over = scene.consumer.runEachOp(
    async (op: number, { signal }) => {
      begun.put({ op, signal });
      await gate.promise;
      return op;
    },
    { prefetch: 2, signal: controller.signal },
  );
  over.catch(() => {});
  const connection = await scene.serve(await scene.chunk(0, [0]), await scene.chunk(1, [1]));
  const { signal } = await begun.take();
  const waiting = await connection.until('reserve');
  return { connection, waiting, over, begun, gate, signal, controller };
}

test('stop finishes what runs, gives back what is only reserved and takes back what waits', async () => {
  await using scene = await Scene.open();
  const { connection, waiting, over, begun, gate, signal } = await busy(scene);
  const stopped = scene.consumer.stop();
  // A chunk on its way between the threads goes back after the reservation is taken back.
  const given = await connection.until('release');
  assert.deepEqual(
    given.chunks.map(({ chunkIndex }) => chunkIndex),
    [1],
  );
  const cancelled =
    connection.received.find((message) => message.kind === 'cancel_reserve') ??
    (await connection.next('cancel_reserve'));
  assert.equal(cancelled.reserveNonce, waiting.nonce);
  assert.equal(signal.aborted, false);
  gate.resolve();
  assert.equal((await connection.until('complete')).chunk.chunkIndex, 0);
  assert.equal(await connection.closed, 1000);
  await Promise.all([stopped, over]);
  assert.equal(begun.size, 0);
  assert.deepEqual(await scene.results(0), [0]);
});

test('a reservation that is answered as it is taken back is given back', async () => {
  await using scene = await Scene.open();
  const { connection, waiting, gate } = await busy(scene);
  const stopped = scene.consumer.stop();
  await connection.until('cancel_reserve');
  connection.answer(waiting.nonce, [await scene.chunk(9, [9])]);
  const released: number[] = [];
  while (!released.includes(9)) {
    const { chunks } = await connection.until('release');
    released.push(...chunks.map(({ chunkIndex }) => chunkIndex));
  }
  gate.resolve();
  await stopped;
});

test('stop leaves an old queue by ending the connection after the last result', async () => {
  await using scene = await Scene.open({ features: [] });
  const { connection, over, gate } = await busy(scene);
  const stopped = scene.consumer.stop();
  gate.resolve();
  await Promise.all([stopped, over, connection.closed]);
  assert.deepEqual(
    connection.received.map(({ kind }) => kind),
    ['reserve', 'reserve', 'complete'],
  );
});

test('close abandons: the signal fires, the run rejects, nothing is reported as failed', async () => {
  await using scene = await Scene.open();
  const { connection, over, signal } = await busy(scene);
  await scene.consumer.close();
  assert.equal(signal.aborted, true);
  await assert.rejects(over, ClientClosedError);
  assert.equal(await connection.closed, 1000);
  assert.ok(!connection.received.some(({ kind }) => kind === 'fail' || kind === 'complete'));
});

test("the run's signal abandons only that run: it rejects with the reason, and its chunks go back", async () => {
  await using scene = await Scene.open();
  const { connection, over, signal, controller } = await busy(scene);
  controller.abort(new Error('enough'));
  await assert.rejects(over, /enough/);
  assert.equal(signal.aborted, true);
  const released: number[] = [];
  while (released.length < 2) {
    const { chunks } = await connection.until('release');
    released.push(...chunks.map(({ chunkIndex }) => chunkIndex));
  }
  assert.deepEqual(released.sort(), [0, 1]);
  const again = scene.consumer.runEachOp((op) => op);
  connection.answer((await connection.until('reserve')).nonce, [await scene.chunk(2, [2])]);
  await connection.until('complete');
  await scene.consumer.stop();
  await again;
});

test('a signal that has fired already begins nothing', async () => {
  await using scene = await Scene.open();
  const signal = AbortSignal.abort(new Error('too late'));
  await assert.rejects(
    scene.consumer.runEachOp((op) => op, { signal }),
    /too late/,
  );
  await assert.rejects(scene.consumer.reserveChunks({ max: 1, signal, raw: true }), /too late/);
  assert.equal(scene.queue.connectionsTotal, 0);
});

test('stop and close may be called at any time and any number of times', async () => {
  await using scene = await Scene.open();
  const early = new ConsumerClient(scene.queue.url, scene.objects.url);
  await Promise.all([early.stop(), early.close(), early.stop(), early[Symbol.asyncDispose]()]);
  await assert.rejects(
    early.runEachOp((op) => op),
    ClientClosedError,
  );
  await assert.rejects(early.reserveChunks({ raw: true }), ClientClosedError);
  assert.equal(early.isHealthy(), false);

  const { over, gate } = await busy(scene);
  const ends = [scene.consumer.stop(), scene.consumer.stop()];
  gate.resolve();
  await Promise.all([...ends, over]);
  await scene.consumer.close();
  await scene.consumer.stop();
});

test('close cuts a stop short that waits for a callback', async () => {
  await using scene = await Scene.open();
  const { over, signal } = await busy(scene);
  const stopped = scene.consumer.stop();
  await scene.consumer.close();
  assert.equal(signal.aborted, true);
  await stopped;
  await quietly(over);
});

test('isHealthy tells whether the connection is up', async () => {
  await using scene = await Scene.open();
  assert.equal(scene.consumer.isHealthy(), false);
  void quietly(scene.consumer.runEachOp((op) => op));
  const connection = await scene.queue.connection();
  await connection.next('reserve');
  await eventually(() => scene.consumer.isHealthy());
  connection.cut();
  await eventually(() => !scene.consumer.isHealthy());
  await eventually(() => scene.consumer.isHealthy());
});
