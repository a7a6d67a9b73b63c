/** The reservation expires while the callback is still busy: the work is done, so its result counts. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NonRetryableError } from '../../../src/consumer/index.ts';
import type { Nonce } from '../../../src/protocol/consumer/types.ts';
import { ALL_FEATURES, type FakeConnection } from '../../support/fakes/fake-queue.ts';
import { quietly, Scene } from '../../support/peers/consumer-scene.ts';
import { Inbox } from '../../support/peers/inbox.ts';
import { eventually } from '../../support/time/eventually.ts';

interface Call {
  readonly op: number;
  readonly signal: AbortSignal;
  readonly finish: (error?: Error) => void;
}

/** A run whose callback ends when the test says so. */
function run(scene: Scene, options: { readonly prefetch?: number } = {}): Inbox<Call> {
  const calls = new Inbox<Call>();
  const callback = (op: number, { signal }: { readonly signal: AbortSignal }) =>
    new Promise((resolve, reject) => {
      const finish = (error?: Error) => (error === undefined ? resolve(op * 10) : reject(error));
      calls.put({ op, signal, finish });
    });
  void quietly(scene.consumer.runEachOp(callback, options));
  return calls;
}

/** Resolves when the consumer has heard of it. */
async function expire(scene: Scene, connection: FakeConnection, chunkIndex = 0): Promise<void> {
  connection.send({ kind: 'expired', chunk: { submissionId: scene.submission.id, chunkIndex } });
  const { pongs } = connection;
  connection.ping();
  await eventually(() => connection.pongs > pongs);
  await new Promise(setImmediate);
}

/** The nonce of a reservation that was made after that one; waits for it. */
async function asked(connection: FakeConnection, after: Nonce = 0): Promise<Nonce> {
  const latest = () => connection.received.findLast(({ kind, nonce }) => kind === 'reserve' && nonce > after);
  await eventually(() => latest() !== undefined);
  return latest()?.nonce ?? after;
}

/** The ends of chunks that the queue was told, such as `fail 0: Reservation expired`. */
function ends(connection: FakeConnection): string[] {
  return connection.received.flatMap((message) => {
    if (message.kind === 'complete') return [`complete ${message.chunk.chunkIndex}`];
    if (message.kind !== 'fail') return [];
    return [`fail ${message.chunk.chunkIndex}: ${message.failure.split('\n')[0]}`];
  });
}

for (const features of [ALL_FEATURES, []]) {
  const isOld = features.length === 0;
  const queue = isOld ? 'an old queue' : 'our queue';
  // An old queue gives the chunk to nobody before this answer; on ours the callback's end is the answer.
  const answer = isOld ? ['fail 0: Reservation expired'] : [];

  test(`the callback goes on, and its result is uploaded and told: ${queue}`, async () => {
    await using scene = await Scene.open({ features });
    const calls = run(scene);
    const connection = await scene.serve(await scene.chunk(0, [1]));
    const call = await calls.take();
    await expire(scene, connection);
    assert.equal(call.signal.aborted, false);
    assert.deepEqual(ends(connection), answer);
    call.finish();
    assert.equal((await connection.until('complete')).chunk.chunkIndex, 0);
    assert.deepEqual(await scene.results(0), [10]);
    // The run goes on as before.
    connection.answer(await asked(connection), [await scene.chunk(1, [2])]);
    (await calls.take()).finish();
    await connection.until('complete');
    assert.deepEqual(ends(connection), [...answer, 'complete 0', 'complete 1']);
  });

  test(`its failure is told to answer the expiry, or not at all: ${queue}`, async () => {
    await using scene = await Scene.open({ features });
    const calls = run(scene);
    const connection = await scene.serve(await scene.chunk(0, [1]));
    const call = await calls.take();
    await expire(scene, connection);
    call.finish(new Error('too late'));
    connection.answer(await asked(connection), [await scene.chunk(1, [2])]);
    (await calls.take()).finish();
    await connection.until('complete');
    const late = isOld ? answer : ['fail 0: OpFailedError: operation 0 (of 1 in the chunk) failed'];
    assert.deepEqual(ends(connection), [...late, 'complete 1']);
  });

  test(`a chunk that expires before the callback is called is answered at once: ${queue}`, async () => {
    await using scene = await Scene.open({ features });
    const calls = run(scene, { prefetch: 1 });
    const connection = await scene.serve(await scene.chunk(0, [1]), await scene.chunk(1, [2]));
    const first = await calls.take();
    await expire(scene, connection, 1);
    await eventually(() => connection.received.some(({ kind }) => kind === 'fail' || kind === 'release'));
    first.finish();
    connection.answer(await asked(connection), [await scene.chunk(2, [3])]);
    const next = await calls.take();
    assert.equal(next.op, 3);
    next.finish();
    await connection.until('complete');
    await connection.until('complete');
  });
}

test('a chunk that comes back to the one who works on it is not begun twice', async () => {
  await using scene = await Scene.open({ features: [] });
  const calls = run(scene, { prefetch: 1 });
  const chunk = await scene.chunk(0, [1]);
  const connection = await scene.serve(chunk);
  const call = await calls.take();
  await expire(scene, connection);
  const nonce = await asked(connection);
  connection.answer(nonce, [chunk]);
  await asked(connection, nonce);
  call.finish();
  await connection.until('complete');
  assert.equal(calls.size, 0);
  assert.deepEqual(ends(connection), ['fail 0: Reservation expired', 'complete 0']);
});

test('when it has come back, the failure of the first try is not one of the second, which begins then', async () => {
  await using scene = await Scene.open({ features: [] });
  const calls = run(scene, { prefetch: 1 });
  const chunk = await scene.chunk(0, [1]);
  const connection = await scene.serve(chunk);
  const first = await calls.take();
  await expire(scene, connection);
  const nonce = await asked(connection);
  connection.answer(nonce, [chunk]);
  await asked(connection, nonce);
  first.finish(new Error('the first one'));
  const second = await calls.take();
  assert.deepEqual(ends(connection), ['fail 0: Reservation expired']);
  second.finish(new NonRetryableError('the second one'));
  await eventually(() => ends(connection).length === 2);
  const told = connection.received.findLast((message) => message.kind === 'fail');
  assert.match(told?.failure ?? '', /the second one/);
});

test('a broken connection forgets what came back: the failure is not reported', async () => {
  await using scene = await Scene.open({ features: [] });
  const calls = run(scene, { prefetch: 1 });
  const chunk = await scene.chunk(0, [1]);
  const first = await scene.serve(chunk);
  const call = await calls.take();
  await expire(scene, first);
  const nonce = await asked(first);
  first.answer(nonce, [chunk]);
  await asked(first, nonce);
  first.cut();
  const second = await scene.queue.connection();
  call.finish(new Error('unheard'));
  second.answer(await asked(second, -1), [await scene.chunk(1, [2])]);
  (await calls.take()).finish();
  await second.until('complete');
  assert.deepEqual(ends(second), ['complete 1']);
});

test('a consumer that stops finishes expired chunks, too', async () => {
  await using scene = await Scene.open();
  const calls = run(scene);
  const connection = await scene.serve(await scene.chunk(0, [1]));
  const call = await calls.take();
  await expire(scene, connection);
  const stopped = scene.consumer.stop();
  call.finish();
  await stopped;
  await connection.closed;
  assert.deepEqual(ends(connection), ['complete 0']);
});

test('what has expired is dropped when its submission ends', async () => {
  await using scene = await Scene.open();
  const calls = run(scene);
  const connection = await scene.serve(await scene.chunk(0, [1]));
  const { signal } = await calls.take();
  await expire(scene, connection);
  const chunk = { submissionId: scene.submission.id, chunkIndex: 0 };
  connection.send({ kind: 'dropped', chunk, reason: 'submission_ended' });
  await eventually(() => signal.aborted);
  assert.equal(signal.reason.reason, 'submission_ended');
});
