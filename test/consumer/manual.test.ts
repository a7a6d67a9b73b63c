import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  ChunkNotCompletedError,
  ClientClosedError,
  ReservationRefusedError,
  Strategy,
} from '../../src/consumer/index.ts';
import { fakeChunk, fakeSubmission, initMessage } from '../support/fakes/fake-queue.ts';
import { cbor, Scene } from '../support/peers/consumer-scene.ts';
import { eventually } from '../support/time/eventually.ts';

test('chunks are reserved, completed, failed and released by hand', async () => {
  await using scene = await Scene.open({ startTransport: 'thread' });
  const reserved = scene.consumer.reserveChunks({ max: 3, strategy: Strategy.newest(), raw: true });
  const connection = await scene.queue.connection();
  const reserve = await connection.next('reserve');
  assert.deepEqual([reserve.max, reserve.strategy], [3, { kind: 'newest' }]);
  connection.answer(reserve.nonce, [
    await scene.chunk(0, ['a']),
    await scene.chunk(1, ['b']),
    await scene.chunk(2, ['c']),
  ]);
  const [first, second, third] = await reserved;
  assert.ok(first && second && third);
  assert.deepEqual(cbor.decode(first.input), ['a']);
  assert.equal(first.submissionPrefix, scene.submission.prefix);
  await scene.consumer.completeChunk(first, cbor.encode(['A']));
  assert.equal((await connection.next('complete')).chunk.chunkIndex, 0);
  assert.deepEqual(await scene.results(0), ['A']);
  await scene.consumer.failChunk(second, 'no luck', { retryable: false, delayMs: 5 });
  const fail = await connection.next('fail');
  assert.deepEqual(
    [fail.chunk.chunkIndex, fail.failure, fail.retryable, fail.delayMs],
    [1, 'no luck', false, 5],
  );
  await scene.consumer.releaseChunk(third);
  assert.deepEqual((await connection.next('release')).chunks, [
    { submissionId: scene.submission.id, chunkIndex: 2 },
  ]);
});

test("the output of completeChunk stays the caller's", async () => {
  await using scene = await Scene.open({ startTransport: 'thread' });
  const reserved = scene.consumer.reserveChunks({ raw: true });
  const connection = await scene.serve(await scene.chunk(0, ['a']));
  const [chunk] = await reserved;
  assert.ok(chunk);
  const output = new Uint8Array(100_000).fill(7);
  await scene.consumer.completeChunk(chunk, output);
  await connection.until('complete');
  assert.equal(output.length, 100_000);
});

test('a chunk of a Direct submission is completed with its output', async () => {
  await using scene = await Scene.open();
  const reserved = scene.consumer.reserveChunks({ raw: true });
  const direct = fakeSubmission({ prefix: null });
  const connection = await scene.serve(fakeChunk(direct, 0, { inputContent: Uint8Array.of(5) }));
  const [chunk] = await reserved;
  assert.deepEqual([...(chunk?.input ?? [])], [5]);
  await scene.consumer.completeChunk(
    { submissionId: direct.id, submissionPrefix: null, chunkIndex: 0 },
    Uint8Array.of(6),
  );
  assert.deepEqual([...((await connection.until('complete')).outputContent ?? [])], [6]);
});

test('a chunk may be completed by its name alone, by any client that has the result', async () => {
  await using scene = await Scene.open();
  const chunk = { submissionId: 42n, submissionPrefix: 'some-prefix', chunkIndex: 3 };
  const completed = scene.consumer.completeChunk(chunk, Uint8Array.of(1));
  const connection = await scene.queue.connection();
  assert.deepEqual((await connection.next('complete')).chunk, { submissionId: 42n, chunkIndex: 3 });
  await completed;
  assert.deepEqual([...(await scene.objects.readOutput('some-prefix', 3))], [1]);
});

test('a completion by hand reaches the queue although the reservation expired or the connection broke', async () => {
  await using scene = await Scene.open();
  const connecting = scene.consumer.reserveChunks({ max: 2, raw: true });
  const first = await scene.serve(await scene.chunk(0, ['a']), await scene.chunk(1, ['b']));
  const [expired, cut] = await connecting;
  assert.ok(expired && cut);
  first.send({ kind: 'expired', chunk: { submissionId: scene.submission.id, chunkIndex: 0 } });
  // What comes in behind the expiry tells that the expiry has come.
  const another = scene.consumer.reserveChunks({ max: 1, raw: true });
  first.answer((await first.until('reserve')).nonce, [await scene.chunk(2, ['c'])]);
  await another;
  await scene.consumer.completeChunk(expired, cbor.encode(['A']));
  assert.equal((await first.until('complete')).chunk.chunkIndex, 0);
  first.cut();
  const second = await scene.queue.connection();
  await scene.consumer.completeChunk(cut, cbor.encode(['B']));
  assert.equal((await second.until('complete')).chunk.chunkIndex, 1);
  assert.deepEqual(await scene.results(1), ['B']);
});

test('an output that cannot be uploaded fails the chunk and rejects', async () => {
  await using scene = await Scene.open();
  await mkdir(join(scene.objects.folder, 'blocked', '0-out.bin', 'x'), { recursive: true });
  const chunk = { submissionId: 42n, submissionPrefix: 'blocked', chunkIndex: 0 };
  const connecting = scene.queue.connection();
  await assert.rejects(
    scene.consumer.completeChunk(chunk, Uint8Array.of(1)),
    (error) => error instanceof ChunkNotCompletedError && /blocked\/0-out\.bin/.test(error.message),
  );
  await connecting;
});

test('chunks that cannot be read fail; the call goes on waiting for others', async () => {
  await using scene = await Scene.open();
  const reserved = scene.consumer.reserveChunks({ max: 2, raw: true });
  const connection = await scene.serve(fakeChunk(scene.submission, 7), fakeChunk(scene.submission, 8));
  const failed = [await connection.until('fail'), await connection.until('fail')];
  assert.deepEqual(failed.map(({ chunk }) => chunk.chunkIndex).sort(), [7, 8]);
  connection.answer((await connection.until('reserve')).nonce, [await scene.chunk(1, ['x'])]);
  assert.deepEqual(
    (await reserved).map(({ chunkIndex }) => chunkIndex),
    [1],
  );
});

test('a reservation made without a connection waits for it, and so does one whose connection breaks', async () => {
  await using scene = await Scene.open();
  const reserved = scene.consumer.reserveChunks({ raw: true });
  const first = await scene.queue.connection();
  await first.next('reserve');
  first.cut();
  await scene.serve(await scene.chunk(0, ['a']));
  assert.equal((await reserved).length, 1);
});

test('a signal takes a reservation back', async () => {
  await using scene = await Scene.open();
  const controller = new AbortController();
  const reserved = scene.consumer.reserveChunks({ max: 1, signal: controller.signal, raw: true });
  const connection = await scene.queue.connection();
  const { nonce } = await connection.next('reserve');
  controller.abort(new Error('changed my mind'));
  await assert.rejects(reserved, /changed my mind/);
  assert.equal((await connection.next('cancel_reserve')).reserveNonce, nonce);
});

test('stop ends a reservation that waits', async () => {
  await using scene = await Scene.open();
  const reserved = scene.consumer.reserveChunks({ raw: true });
  await (await scene.queue.connection()).next('reserve');
  const rejected = assert.rejects(reserved, ClientClosedError);
  await scene.consumer.stop();
  await rejected;
});

test('a refused reservation rejects with the words of the queue; so does a run', async () => {
  await using scene = await Scene.open();
  const reserved = scene.consumer.reserveChunks({ raw: true });
  const connection = await scene.queue.connection();
  const { nonce } = await connection.next('reserve');
  connection.send({ kind: 'reserve_refused', nonce, reason: 'a strategy like that' });
  await assert.rejects(
    reserved,
    (error) => error instanceof ReservationRefusedError && error.reason === 'a strategy like that',
  );
  const over = scene.consumer.runEachOp((op) => op);
  const again = await connection.next('reserve');
  connection.send({ kind: 'reserve_refused', nonce: again.nonce, reason: null });
  await assert.rejects(over, ReservationRefusedError);
});

test('chunks that are reserved and not completed go back when the client stops', async () => {
  await using scene = await Scene.open();
  const reserved = scene.consumer.reserveChunks({ raw: true });
  const connection = await scene.serve(await scene.chunk(0, ['a']));
  await reserved;
  await scene.consumer.stop();
  // In good order: a close frame, so that nothing counts as a try.
  assert.equal(await connection.closed, 1000);
  await eventually(() => scene.queue.connectionsOpen === 0);
});

for (const how of ['completeChunk', 'failChunk'] as const) {
  const call = (scene: Scene) => {
    const chunk = { submissionId: 42n, submissionPrefix: null, chunkIndex: 3 };
    return how === 'completeChunk'
      ? scene.consumer.completeChunk(chunk, Uint8Array.of(1))
      : scene.consumer.failChunk(chunk, 'no luck');
  };

  test(`${how} resolves only once the queue was told, on the next connection if need be`, async () => {
    await using scene = await Scene.open({ saysInit: false });
    let isResolved = false;
    const told = call(scene).then(() => {
      isResolved = true;
    });
    const connection = await scene.queue.connection();
    connection.cut();
    await connection.closed;
    const second = await scene.queue.connection();
    assert.equal(isResolved, false);
    second.send(initMessage());
    const message = await second.next(how === 'completeChunk' ? 'complete' : 'fail');
    assert.equal(message.chunk.chunkIndex, 3);
    await told;
  });

  for (const end of ['stop', 'close'] as const) {
    test(`${how} rejects if ${end} comes before the queue could be told`, async () => {
      await using scene = await Scene.open({ saysInit: false });
      const rejected = assert.rejects(call(scene), ClientClosedError);
      await scene.queue.connection();
      await scene.consumer[end]();
      await rejected;
    });
  }
}
