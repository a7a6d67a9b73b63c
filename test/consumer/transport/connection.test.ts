// In a process of its own: it counts the timers of the process.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChunkDroppedError } from '../../../src/consumer/index.ts';
import { FakeQueue, fakeChunk, initMessage } from '../../support/fakes/fake-queue.ts';
import { freePort } from '../../support/network/free-port.ts';
import { blockingConsumer } from '../../support/peers/blocking-consumer.ts';
import { quietly, Scene } from '../../support/peers/consumer-scene.ts';
import { Inbox } from '../../support/peers/inbox.ts';
import { eventually } from '../../support/time/eventually.ts';

test('heartbeats are answered while the callback blocks its thread', async () => {
  const intervalMs = 50;
  await using scene = await Scene.open({ heartbeatIntervalMs: intervalMs, beats: true });
  await using program = await blockingConsumer(scene.queue.url, scene.objects.url);
  const connection = await scene.serve(await scene.chunk(0, ['hold']));
  await program.said('begun');
  const before = connection.pongs;
  // Far longer than a queue would wait.
  await eventually(() => connection.pongs - before >= 5);
  program.release();
  await program.said('done');
  assert.equal((await connection.until('complete')).chunk.chunkIndex, 0);
  assert.equal(scene.queue.connectionsTotal, 1);
});

test('a queue that is silent for too long is left, and another connection made', async () => {
  await using scene = await Scene.open({ heartbeatIntervalMs: 20, missableHeartbeatsMax: 1 });
  void quietly(scene.consumer.runEachOp((op) => op));
  const first = await scene.queue.connection();
  await first.closed;
  await scene.queue.connection();
  assert.ok(scene.logger.lines.some(({ fields }) => /no sign of life/.test(JSON.stringify(fields))));
});

test('a ping is a sign of life', async () => {
  await using scene = await Scene.open({ heartbeatIntervalMs: 30, missableHeartbeatsMax: 1 });
  void quietly(scene.consumer.runEachOp((op) => op));
  const connection = await scene.queue.connection();
  let isOpen = true;
  void connection.closed.then(() => {
    isOpen = false;
  });
  for (let beat = 1; beat <= 12; beat++) {
    connection.ping();
    await eventually(() => connection.pongs === beat || !isOpen);
    const beatMs = performance.now();
    await eventually(() => performance.now() - beatMs > 10);
  }
  assert.equal(isOpen, true);
});

test('a malformed message ends its connection; the next one works', async () => {
  const garbage: [string, (connection: Awaited<ReturnType<FakeQueue['connection']>>) => void][] = [
    ['a text', (connection) => connection.sendBytes('hello')],
    ['no CBOR', (connection) => connection.sendBytes(Uint8Array.of(0xff, 0xff))],
    ['a message before Init', (connection) => connection.answer(0, [])],
    [
      'a second Init',
      (connection) => {
        connection.send(initMessage());
        connection.send(initMessage());
      },
    ],
  ];
  await using scene = await Scene.open({ saysInit: false });
  void quietly(scene.consumer.runEachOp((op) => op));
  for (const [, send] of garbage) {
    const connection = await scene.queue.connection();
    send(connection);
    await connection.closed;
  }
  const good = await scene.queue.connection();
  good.send(initMessage());
  await good.next('reserve');
});

test('a consumer may start long before its queue', async () => {
  const port = await freePort();
  await using scene = await Scene.open({ port });
  await scene.queue.stop();
  void quietly(scene.consumer.runEachOp((op) => op));
  await eventually(() =>
    scene.logger.lines.some(({ message }) => message.startsWith(`no queue at 127.0.0.1:${port} (`)),
  );
  await using late = await FakeQueue.start({ port });
  await (await late.connection()).next('reserve');
});

test('what was reserved and not begun is dropped when the connection breaks; what runs is completed on the next one', async () => {
  await using scene = await Scene.open();
  const ran = new Inbox<number>();
  const gate = Promise.withResolvers<void>();
  void quietly(
    scene.consumer.runEachOp(
      async (op: number) => {
        ran.put(op);
        if (op === 0) await gate.promise;
        return op;
      },
      { prefetch: 1 },
    ),
  );
  const first = await scene.serve(await scene.chunk(0, [0]), await scene.chunk(1, [1]));
  assert.equal(await ran.take(), 0);
  first.cut();
  const second = await scene.queue.connection();
  const reserve = await second.next('reserve');
  gate.resolve();
  const complete = await second.until('complete');
  assert.equal(complete.chunk.chunkIndex, 0);
  second.answer(reserve.nonce, [await scene.chunk(2, [2])]);
  await second.until('complete');
  assert.equal(await ran.take(), 2);
});

test('a result that is ready while there is no connection is sent on the next one', async () => {
  await using scene = await Scene.open({ port: await freePort() });
  const begun = new Inbox<number>();
  const gate = Promise.withResolvers<void>();
  void quietly(
    scene.consumer.runEachOp(async (op: number) => {
      begun.put(op);
      await gate.promise;
      return op;
    }),
  );
  const first = await scene.serve(await scene.chunk(0, [0]));
  await begun.take();
  await scene.queue.stop();
  await first.closed;
  await eventually(() => !scene.consumer.isHealthy());
  gate.resolve();
  await eventually(() => scene.consumer.isHealthy() === false);
  await using queue = await FakeQueue.start({ port: scene.queue.port });
  const complete = await (await queue.connection()).until('complete');
  assert.equal(complete.chunk.chunkIndex, 0);
});

test('a chunk that comes back while it is still being worked on is not begun twice', async () => {
  await using scene = await Scene.open();
  const begun = new Inbox<number>();
  const gate = Promise.withResolvers<void>();
  void quietly(
    scene.consumer.runEachOp(
      async (op: number) => {
        begun.put(op);
        await gate.promise;
        return op;
      },
      { concurrency: 2, prefetch: 0 },
    ),
  );
  const chunk = await scene.chunk(0, [0]);
  const first = await scene.serve(chunk);
  await begun.take();
  first.cut();
  const second = await scene.serve(chunk);
  await second.until('reserve');
  gate.resolve();
  await second.until('complete');
  assert.equal(begun.size, 0);
});

test('a dropped chunk fires the signal of the callback, and its result is dropped', async () => {
  for (const reason of ['completed_elsewhere', 'submission_ended']) {
    await using scene = await Scene.open();
    const signals = new Inbox<AbortSignal>();
    void quietly(
      scene.consumer.runEachOp(async (op: number, { signal }) => {
        signals.put(signal);
        await new Promise((resolve) => signal.addEventListener('abort', resolve));
        return op;
      }),
    );
    const connection = await scene.serve(await scene.chunk(0, [0]));
    const signal = await signals.take();
    connection.send({ kind: 'dropped', chunk: { submissionId: scene.submission.id, chunkIndex: 0 }, reason });
    await eventually(() => signal.aborted);
    assert.equal((signal.reason as ChunkDroppedError).reason, reason);
    assert.equal((signal.reason as ChunkDroppedError).code, 'CHUNK_DROPPED');
    await connection.until('reserve');
    assert.deepEqual(
      connection.received.map(({ kind }) => kind),
      ['reserve', 'reserve'],
    );
  }
});

test('expiries and drops of chunks that are not held are ignored', async () => {
  await using scene = await Scene.open();
  void quietly(scene.consumer.runEachOp((op) => op));
  const connection = await scene.queue.connection();
  const reserve = await connection.next('reserve');
  connection.send({ kind: 'expired', chunk: { submissionId: 1n, chunkIndex: 0 } });
  connection.send({
    kind: 'dropped',
    chunk: { submissionId: 1n, chunkIndex: 0 },
    reason: 'submission_ended',
  });
  connection.answer(reserve.nonce, [await scene.chunk(0, [0])]);
  await connection.until('complete');
});

test('chunks without a waiting reservation are given back, uncounted', async () => {
  await using scene = await Scene.open();
  void quietly(scene.consumer.runEachOp((op) => op));
  const connection = await scene.queue.connection();
  await connection.next('reserve');
  connection.answer(77, [fakeChunk(scene.submission, 4), fakeChunk(scene.submission, 5)]);
  const { chunks } = await connection.next('release');
  assert.deepEqual(
    chunks.map(({ chunkIndex }) => chunkIndex),
    [4, 5],
  );
});

test('an old queue gets them back by the end of the connection, which costs no try', async () => {
  await using scene = await Scene.open({ features: [] });
  void quietly(scene.consumer.runEachOp((op) => op));
  const connection = await scene.queue.connection();
  await connection.next('reserve');
  connection.answer(77, [fakeChunk(scene.submission, 4)]);
  assert.equal(await connection.closed, 1000);
  await (await scene.queue.connection()).next('reserve');
  assert.deepEqual(
    connection.received.map(({ kind }) => kind),
    ['reserve'],
  );
});

test('connections that come and go leave nothing behind', async () => {
  await using scene = await Scene.open({ saysInit: false });
  void quietly(scene.consumer.runEachOp((op) => op));
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  // Connections that were up for less than a second are made again with growing pauses: these are given back.
  for (let round = 0; round < 30; round++) {
    const connection = await scene.queue.connection();
    connection.send(initMessage({ features: [] }));
    await connection.until('reserve');
    connection.answer(99, [fakeChunk(scene.submission, 0)]);
    await connection.closed;
  }
  await scene.consumer.close();
  await eventually(() => scene.queue.connectionsOpen === 0);
  await eventually(() => timers() <= before);
});
