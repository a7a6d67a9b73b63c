import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { BroadcastChannel, threadId } from 'node:worker_threads';
import { ClientClosedError, IncorrectUsageError } from '../../../src/consumer/index.ts';
import { Scene } from '../../support/peers/consumer-scene.ts';
import { eventually } from '../../support/time/eventually.ts';

const double = new URL('../../support/programs/double.ts', import.meta.url);
const loading = new URL('../../support/programs/loading.ts', import.meta.url);
const exits = new URL('../../support/programs/exits.ts', import.meta.url);
const noFunction = new URL('../../support/programs/no-function.ts', import.meta.url);

test('a module runs in threads: results, failures and their verdicts come back', async () => {
  await using scene = await Scene.open();
  const over = scene.consumer.runEachOp(double, { threads: 2, prefetch: 2 });
  over.catch(() => {});
  const connection = await scene.queue.connection();
  const { nonce, max } = await connection.next('reserve');
  assert.equal(max, 4);
  assert.equal(connection.headers['opsqueue-concurrency'], '2');
  connection.answer(nonce, [
    await scene.chunk(0, [1, 2, 3]),
    await scene.chunk(1, ['thread']),
    await scene.chunk(2, ['what']),
    await scene.chunk(3, ['never']),
  ]);
  const ends = new Map<
    number,
    { readonly kind: string; readonly failure?: string; readonly retryable?: boolean }
  >();
  await eventually(() => {
    for (const message of connection.received) {
      if (message.kind === 'complete' || message.kind === 'fail') ends.set(message.chunk.chunkIndex, message);
    }
    return ends.size === 4;
  });
  assert.deepEqual(await scene.results(0), [2, 4, 6]);
  assert.notEqual((await scene.results(1))[0], threadId);
  assert.match(ends.get(2)?.failure ?? '', /TypeError: what is what\?\n +at .*double\.ts/);
  assert.equal(ends.get(3)?.retryable, false);
  await scene.consumer.stop();
  await over;
});

test('a thread that dies fails its chunk; the pool goes on', async () => {
  await using scene = await Scene.open();
  const over = scene.consumer.runEachOp(double, { threads: 1, prefetch: 1 });
  over.catch(() => {});
  const connection = await scene.serve(await scene.chunk(0, ['die']), await scene.chunk(1, [4]));
  const fail = await connection.until('fail');
  assert.equal(fail.chunk.chunkIndex, 0);
  assert.equal((await connection.until('complete')).chunk.chunkIndex, 1);
  assert.deepEqual(await scene.results(1), [8]);
  await scene.consumer.stop();
  await over;
});

test('the signal of a dropped chunk reaches the thread, with its reason', async () => {
  const channel = new BroadcastChannel('opsqueue-test-waiting');
  const isWaiting = once(channel, 'message');
  await using scene = await Scene.open();
  const over = scene.consumer.runEachOp(double, { threads: 1, prefetch: 1 });
  over.catch(() => {});
  const connection = await scene.serve(await scene.chunk(0, ['wait']), await scene.chunk(1, [4]));
  await isWaiting;
  const told = once(channel, 'message');
  connection.send({
    kind: 'dropped',
    chunk: { submissionId: scene.submission.id, chunkIndex: 0 },
    reason: 'submission_ended',
  });
  const [{ data }] = await told;
  channel.close();
  assert.deepEqual(data, { code: 'CHUNK_DROPPED', reason: 'submission_ended' });
  assert.equal((await connection.until('complete')).chunk.chunkIndex, 1);
  await scene.consumer.stop();
  await over;
});

test('close ends the threads, whatever they do', async () => {
  await using scene = await Scene.open();
  const over = scene.consumer.runEachOp(double, { threads: 1 });
  const rejected = assert.rejects(over, ClientClosedError);
  await scene.serve(await scene.chunk(0, ['wait']));
  await scene.consumer.close();
  await rejected;
});

for (const how of ['stop', 'close', 'the signal'] as const) {
  test(`${how} ends a run whose module is still being loaded`, async () => {
    await using scene = await Scene.open();
    const channel = new BroadcastChannel('opsqueue-test-loading');
    const isLoading = once(channel, 'message');
    const controller = new AbortController();
    const over = scene.consumer.runEachOp(loading, { threads: 1, signal: controller.signal });
    const reason = new Error('enough');
    const ended =
      how === 'stop'
        ? over
        : assert.rejects(over, (error) =>
            how === 'close' ? error instanceof ClientClosedError : error === reason,
          );
    await isLoading;
    channel.close();
    if (how === 'the signal') controller.abort(reason);
    else await scene.consumer[how]();
    await ended;
    assert.equal(scene.queue.connectionsTotal, 0);
  });
}

test('a module that cannot be used is refused before anything is reserved', async () => {
  await using scene = await Scene.open();
  const missing = new URL('./no-such-module.ts', import.meta.url);
  const cases: [URL, RegExp][] = [
    [missing, /no-such-module/],
    [exits, /cannot be used/],
    [noFunction, /default export .* must be a function, got "no function"/],
  ];
  for (const [module, message] of cases) {
    await assert.rejects(
      scene.consumer.runEachOp(module, { threads: 1 }),
      (error) => error instanceof IncorrectUsageError && message.test(error.message),
    );
  }
  const codec = { encode: () => new Uint8Array(), decode: () => [] };
  await assert.rejects(scene.consumer.runEachOp(double, { codec }), /codec must be 'cbor' or 'json' where/);
  await assert.rejects(scene.consumer.runEachOp(double, { threads: 0 }), /threads must be an integer from 1/);
  assert.equal(scene.queue.connectionsTotal, 0);
});
