/** `opConcurrency`: operations of a chunk, and of the next ones, in progress at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  CallbackTimeoutError,
  NonRetryableError,
  type OpContext,
  OpError,
} from '../../../src/consumer/index.ts';
import { quietly, Scene } from '../../support/peers/consumer-scene.ts';
import { Inbox } from '../../support/peers/inbox.ts';
import { realQueue } from '../../support/queues/real-queue.ts';
import { ManualClock } from '../../support/time/manual-clock.ts';

interface Call {
  readonly op: number;
  readonly context: OpContext;
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** A callback whose calls the test answers. */
function callsOf() {
  const calls = new Inbox<Call>();
  const open = new Set<Call>();
  let most = 0;
  const callback = (op: number, context: OpContext): Promise<unknown> => {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    const call = { op, context, resolve, reject };
    const done = () => open.delete(call);
    promise.then(done, done);
    open.add(call);
    most = Math.max(most, open.size);
    calls.put(call);
    return promise;
  };
  const take = async (count: number) => {
    const taken: Call[] = [];
    while (taken.length < count) taken.push(await calls.take());
    return taken;
  };
  return { callback, take, open, most: () => most };
}

test('operations of a chunk run at once up to the limit, and results keep their order', async () => {
  await using scene = await Scene.open();
  const { callback, take, open, most } = callsOf();
  void quietly(scene.consumer.runEachOp(callback, { opConcurrency: 3 }));
  const connection = await scene.serve(await scene.chunk(0, [0, 1, 2, 3, 4]));
  const begun = await take(3);
  assert.equal(open.size, 3);
  for (const call of begun.reverse()) call.resolve(call.op * 10);
  const rest = await take(2);
  for (const call of rest.reverse()) call.resolve(call.op * 10);
  await connection.until('complete');
  assert.deepEqual(await scene.results(0), [0, 10, 20, 30, 40]);
  assert.equal(most(), 3);
  assert.deepEqual([...begun, ...rest].map(({ context }) => context.operationIndex).sort(), [0, 1, 2, 3, 4]);
});

test('operations of the next chunk begin while the last ones of this chunk are in progress', async () => {
  await using scene = await Scene.open();
  const { callback, take, most } = callsOf();
  void quietly(scene.consumer.runEachOp(callback, { opConcurrency: 3 }));
  const connection = await scene.serve(await scene.chunk(0, [0, 1]), await scene.chunk(1, [2, 3]));
  const [first, second, third] = await take(3);
  assert.deepEqual([first?.op, second?.op, third?.op], [0, 1, 2]);
  third?.resolve('third');
  const [fourth] = await take(1);
  fourth?.resolve('fourth');
  assert.equal((await connection.until('complete')).chunk.chunkIndex, 1);
  first?.resolve('first');
  second?.resolve('second');
  assert.equal((await connection.until('complete')).chunk.chunkIndex, 0);
  assert.deepEqual(
    [await scene.results(0), await scene.results(1)],
    [
      ['first', 'second'],
      ['third', 'fourth'],
    ],
  );
  assert.equal(most(), 3);
});

test('callbacks that return at once need no slot', async () => {
  await using scene = await Scene.open();
  void quietly(
    scene.consumer.runEachOp((op: number) => (op === 2 ? Promise.resolve(-2) : op), { opConcurrency: 1 }),
  );
  const connection = await scene.serve(await scene.chunk(0, [0, 1, 2, 3]));
  await connection.until('complete');
  assert.deepEqual(await scene.results(0), [0, 1, -2, 3]);
});

test('when an operation fails, no more begin, the signals of the others fire, and the chunk fails when they have ended', async () => {
  await using scene = await Scene.open();
  const { callback, take, open } = callsOf();
  void quietly(scene.consumer.runEachOp(callback, { opConcurrency: 3 }));
  const connection = await scene.serve(await scene.chunk(0, [0, 1, 2, 3, 4]));
  const [first, second, third] = await take(3);
  const { signal } = third!.context;
  second?.reject(new TypeError('not one'));
  first?.resolve('ignored');
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  assert.equal(signal.reason.reason, 'operation_failed');
  assert.equal(open.size, 1);
  assert.ok(!connection.received.some(({ kind }) => kind === 'fail'));
  third?.resolve('ignored as well');
  const { failure } = await connection.until('fail');
  assert.match(failure, /operation 1 \(of 5 in the chunk\) failed\nCaused by: TypeError: not one/);
});

test("onOpError 'record' keeps the results of the others, and takes a call beyond callbackMsMax for a failure", async () => {
  await using scene = await Scene.open();
  const reasons: unknown[] = [];
  void quietly(
    scene.consumer.runEachOp(
      (op: number, { signal }) => {
        if (op === 1) throw new RangeError('at once');
        if (op === 2) return Promise.reject(new RangeError('later'));
        if (op !== 3) return Promise.resolve(op);
        signal.addEventListener('abort', () => reasons.push(signal.reason));
        return new Promise<number>(() => {});
      },
      { opConcurrency: 2, onOpError: 'record', callbackMsMax: 20 },
    ),
  );
  const connection = await scene.serve(await scene.chunk(0, [0, 1, 2, 3, 4]));
  await connection.until('complete');
  const results = await scene.results(0);
  const messages = results.map((result) => OpError.fromWire(result)?.message ?? result);
  assert.deepEqual([messages[0], messages[1], messages[2], messages[4]], [0, 'at once', 'later', 4]);
  assert.match(String(messages[3]), /did not finish within 20 ms/);
  assert.ok(reasons[0] instanceof CallbackTimeoutError);
});

for (const opConcurrency of [undefined, 2]) {
  test(`a promise that cannot be awaited fails its operation only: opConcurrency ${opConcurrency}`, async () => {
    await using scene = await Scene.open();
    const hostile = Object.defineProperty(Promise.resolve(0), 'constructor', {
      get: () => {
        throw new RangeError('not for you');
      },
    });
    const callback = (op: number) => (op === 1 ? hostile : Promise.resolve(op));
    void quietly(scene.consumer.runEachOp(callback, { opConcurrency, onOpError: 'record' }));
    const connection = await scene.serve(await scene.chunk(0, [0, 1, 2]));
    await connection.until('complete');
    const [first, second, third] = await scene.results(0);
    assert.deepEqual([first, OpError.fromWire(second)?.message, third], [0, 'not for you', 2]);
  });
}

test('a verdict of the callback fails the chunk also where errors are recorded', async () => {
  await using scene = await Scene.open();
  const { callback, take } = callsOf();
  void quietly(scene.consumer.runEachOp(callback, { opConcurrency: 2, onOpError: 'record' }));
  const connection = await scene.serve(await scene.chunk(0, [0, 1, 2]));
  const [first, second] = await take(2);
  first?.reject(new NonRetryableError('never'));
  second?.resolve(1);
  assert.equal((await connection.until('fail')).retryable, false);
});

test('a chunk that is dropped begins no more operations, and its slots go to the next one when its calls end', async () => {
  await using scene = await Scene.open();
  const { callback, take, open } = callsOf();
  void quietly(scene.consumer.runEachOp(callback, { opConcurrency: 2 }));
  const connection = await scene.serve(await scene.chunk(0, [0, 1, 2]), await scene.chunk(1, [10]));
  const [first, second] = await take(2);
  const { signal } = first!.context;
  const chunk = { submissionId: scene.submission.id, chunkIndex: 0 };
  connection.send({ kind: 'dropped', chunk, reason: 'submission_ended' });
  await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  assert.equal(open.size, 2);
  first?.resolve('unwanted');
  const [next] = await take(1);
  assert.equal(next?.op, 10);
  second?.resolve('unwanted');
  next?.resolve('wanted');
  assert.equal((await connection.until('complete')).chunk.chunkIndex, 1);
  assert.deepEqual(await scene.results(1), ['wanted']);
});

test('callbackMsMax limits each call, not the chunk', async () => {
  const clock = new ManualClock();
  await using scene = await Scene.open({ clock });
  const { callback, take } = callsOf();
  void quietly(scene.consumer.runEachOp(callback, { callbackMsMax: 200 }));
  const ops = [0, 1, 2, 3, 4];
  const connection = await scene.serve(await scene.chunk(0, ops));
  for (const op of ops) {
    const [call] = await take(1);
    clock.advance(150);
    call?.resolve(op);
  }
  await connection.until('complete');
  assert.deepEqual(await scene.results(0), ops);
});

test('the announced concurrency is the most chunks that may be in progress', async () => {
  await using scene = await Scene.open();
  void quietly(scene.consumer.runEachOp((op) => op, { opConcurrency: 50 }));
  const connection = await scene.queue.connection();
  assert.equal(connection.headers['opsqueue-concurrency'], '51');
});

for (const chunkSize of [1, 10, 1_000]) {
  test(`a module's threads work on operations at once, in chunks of ${chunkSize}`, async () => {
    await using queue = await realQueue();
    const consumer = queue.consume();
    const module = new URL('../../support/programs/at-once.ts', import.meta.url);
    const over = consumer.runEachOp(module, { threads: 2, opConcurrency: 20 });
    const ops = Array.from({ length: chunkSize === 1 ? 60 : 400 }, (_, i) => i);
    const results = await Array.fromAsync(
      queue
        .produce<number, { readonly op: number; readonly most: number }>()
        .runSubmission(ops, { chunkSize }),
    );
    assert.deepEqual(
      results.map(({ op }) => op),
      ops,
    );
    assert.equal(Math.max(...results.map(({ most }) => most)), 10);
    await consumer.stop();
    await over;
  });
}

test('a thread whose operations run at once: one that never ends holds up no others, and the thread lives on', async () => {
  await using queue = await realQueue();
  const consumer = queue.consume();
  const module = new URL('../../support/programs/at-once.ts', import.meta.url);
  const options = { threads: 1, opConcurrency: 2, callbackMsMax: 50, onOpError: 'record' } as const;
  const over = consumer.runEachOp(module, options);
  const ops = ['quick', 'never', 'quick', 'quick', 'quick', 'quick'];
  const results = await Array.fromAsync(
    queue.produce<string, OpError | { readonly threadId: number }>().runSubmission(ops, { chunkSize: 4 }),
  );
  assert.match(String((results[1] as OpError).message), /did not finish within 50 ms/);
  const threads = new Set(results.map((result) => ('threadId' in result ? result.threadId : null)));
  assert.equal(threads.size, 2, 'one thread, and null for the error');
  await consumer.stop();
  await over;
});
