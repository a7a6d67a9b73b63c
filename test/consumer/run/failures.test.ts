import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { NonRetryableError, OpError, RetryLaterError } from '../../../src/consumer/index.ts';
import { THROWN_CHARS_MAX, traceOf } from '../../../src/model/thrown.ts';
import { fakeChunk, fakeSubmission } from '../../support/fakes/fake-queue.ts';
import { cbor, quietly, Scene } from '../../support/peers/consumer-scene.ts';

/** Runs the callback on chunk 0, then on a good chunk 1, and answers how chunk 0 failed. */
async function failureOf(
  scene: Scene,
  run: Promise<unknown>,
  chunk = scene.chunk(0, [1, 2, 3]),
): Promise<string> {
  void quietly(run);
  const connection = await scene.serve(await chunk);
  const { failure } = await connection.until('fail');
  // The consumer lives on.
  const reserve = connection.received.findLast((each) => each.kind === 'reserve');
  const again = reserve && reserve.nonce !== 0 ? reserve : await connection.until('reserve');
  connection.answer(again.nonce, [await scene.chunk(1, [10])]);
  assert.equal((await connection.until('complete')).chunk.chunkIndex, 1);
  return failure;
}

test('a callback that throws fails its chunk with the stack of the error', async () => {
  await using scene = await Scene.open();
  const failure = await failureOf(
    scene,
    scene.consumer.runEachOp(function breaks(op: number) {
      if (op === 2) throw new TypeError('two is too much', { cause: new Error('the deeper reason') });
      return op;
    }),
  );
  assert.match(failure, /operation 1 \(of 3 in the chunk\) failed/);
  assert.match(failure, /TypeError: two is too much\n +at breaks .*failures\.test\.ts/);
  assert.match(failure, /Caused by: Error: the deeper reason/);
});

test('a promise that rejects fails its chunk, whatever it rejects with', async () => {
  await using scene = await Scene.open();
  const failure = await failureOf(
    scene,
    scene.consumer.runEachOp(async (op: number) => {
      if (op === 3) throw 'just a text';
      return op;
    }),
  );
  assert.match(failure, /operation 2 .*\nCaused by: just a text/);
});

const oddities: [string, () => unknown, RegExp][] = [
  ['an object without a prototype', () => Object.assign(Object.create(null), { why: 'x' }), /\{"why":"x"\}/],
  [
    'an object that is no text',
    () => ({ toString: () => ({}), toJSON: () => undefined }),
    /\[object Object\]/,
  ],
  ['a symbol', () => Symbol('odd'), /Symbol\(odd\)/],
  ['undefined', () => undefined, /undefined/],
  ['an object that does not let itself be looked at', revoked, /a value that cannot be shown/],
  [
    'an error whose message is a symbol',
    () => Object.assign(new Error(), { message: Symbol('m') }),
    /cannot be shown/,
  ],
];

for (const [name, make, expected] of oddities) {
  for (const how of ['throws', 'rejects with'] as const) {
    test(`a callback that ${how} ${name} fails its chunk`, async () => {
      await using scene = await Scene.open();
      const run = scene.consumer.runEachChunk((ops: number[]) => {
        if (ops.length < 3) return ops;
        if (how === 'throws') throw make();
        return Promise.reject(make());
      });
      assert.match(await failureOf(scene, run), expected);
    });
  }

  test(`onOpError 'record' keeps ${name} as the result of the operation`, async () => {
    await using scene = await Scene.open();
    const over = scene.consumer.runEachOp(
      (op: number) => {
        if (op === 2) throw make();
        return op;
      },
      { onOpError: 'record' },
    );
    void quietly(over);
    const connection = await scene.serve(await scene.chunk(0, [1, 2]));
    await connection.until('complete');
    const [first, second] = await scene.results(0);
    assert.equal(first, 1);
    assert.ok(OpError.fromWire(second));
  });
}

function revoked(): object {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  return proxy;
}

test('a wrong number of results fails the chunk', async () => {
  await using scene = await Scene.open();
  const run = scene.consumer.runEachChunk((ops: number[]) => (ops.length === 3 ? [1, 2] : ops));
  assert.match(await failureOf(scene, run), /the callback returned 2 results for 3 operations/);
});

test('results that never end fail the chunk', async () => {
  await using scene = await Scene.open();
  function* endless() {
    // Ends after all: a test that fails is to end, too.
    for (let n = 0; n < 1_000_000; n++) yield n;
  }
  const run = scene.consumer.runEachChunk((ops: number[]) => (ops.length === 3 ? endless() : ops));
  assert.match(await failureOf(scene, run), /the callback returned more than 3 results for 3 operations/);
});

test('results that are no list fail the chunk', async () => {
  await using scene = await Scene.open();
  const run = scene.consumer.runEachChunk((ops: number[]) => (ops.length === 3 ? (7 as never) : ops));
  assert.match(await failureOf(scene, run), /returned a number instead of 3 results/);
});

test('a result that cannot be encoded fails the chunk', async () => {
  await using scene = await Scene.open();
  const run = scene.consumer.runEachOp((op: number) => (op === 2 ? () => op : op));
  assert.match(await failureOf(scene, run), /the results of chunk prefix-\d+\/0-in\.bin cannot be encoded/);
});

for (const how of ['at once', 'later'] as const) {
  test(`a codec that encodes results to something else than bytes fails the chunk, answered ${how}`, async () => {
    await using scene = await Scene.open();
    const codec = {
      encode: (results: readonly unknown[]) =>
        results.length === 3 ? ('text' as never) : cbor.encode(results),
      decode: (content: Uint8Array) => cbor.decode(content),
    };
    const run = scene.consumer.runEachOp((op) => (how === 'at once' ? op : Promise.resolve(op)), { codec });
    assert.match(
      await failureOf(scene, run),
      /chunk prefix-\d+\/0-in\.bin cannot be encoded: the codec returned a string instead of a Uint8Array/,
    );
  });
}

test('what is a promise only by its looks fails the chunk, or is waited for as a promise is', async () => {
  await using scene = await Scene.open();
  // biome-ignore lint/suspicious/noThenProperty: that is what it is about
  const odd = { then: (_: unknown, reject: (error: Error) => void) => void reject(new Error('no promise')) };
  const run = scene.consumer.runEachChunkRaw((input) => (input.length > 3 ? (odd as never) : input));
  assert.match(await failureOf(scene, run), /Error: no promise/);
});

test('a raw callback that returns no bytes fails the chunk', async () => {
  await using scene = await Scene.open();
  const run = scene.consumer.runEachChunkRaw((input) => (input.length > 3 ? ('text' as never) : input));
  assert.match(await failureOf(scene, run), /returned a string instead of a Uint8Array/);
});

test('an input that is missing fails the chunk, naming its key', async () => {
  await using scene = await Scene.open();
  const run = scene.consumer.runEachOp((op) => op);
  const failure = await failureOf(scene, run, Promise.resolve(fakeChunk(scene.submission, 0)));
  assert.match(failure, /could not read the chunk's body prefix-\d+\/0-in\.bin \[OBJECT_NOT_FOUND\]/);
});

test('an input that cannot be decoded fails the chunk, naming its key', async () => {
  await using scene = await Scene.open();
  const run = scene.consumer.runEachOp((op) => op);
  await scene.objects.putInput(scene.submission.prefix ?? '', 0, Uint8Array.of(0x83, 1));
  const failure = await failureOf(scene, run, Promise.resolve(fakeChunk(scene.submission, 0)));
  assert.match(failure, /the input of chunk prefix-\d+\/0-in\.bin \(2 bytes\) could not be decoded/);
});

test('an output that cannot be uploaded fails the chunk, naming its key and the cause', async () => {
  await using scene = await Scene.open();
  // A folder stands where the object should be.
  await mkdir(join(scene.objects.folder, scene.submission.prefix ?? '', '0-out.bin', 'x'), {
    recursive: true,
  });
  const failure = await failureOf(
    scene,
    scene.consumer.runEachOp((op) => op),
  );
  assert.match(failure, /could not write the chunk's body prefix-\d+\/0-out\.bin \[OBJECT_\w+\]: .*/);
});

test('a prefix that tries to leave the store fails the chunk and is not read', async () => {
  await using scene = await Scene.open();
  const evil = fakeSubmission({ prefix: '../../etc' });
  const run = scene.consumer.runEachOp((op) => op);
  const failure = await failureOf(scene, run, Promise.resolve(fakeChunk(evil, 0)));
  assert.match(failure, /prefix "\.\.\/\.\.\/etc"/);
});

test('a chunk with neither prefix nor content fails', async () => {
  await using scene = await Scene.open();
  const run = scene.consumer.runEachOp((op) => op);
  const empty = fakeChunk(fakeSubmission({ prefix: null }), 0);
  assert.match(await failureOf(scene, run, Promise.resolve(empty)), /neither a content nor the prefix/);
});

test('a failure text is bounded: its beginning and its end are kept', () => {
  const error = new Error('x');
  error.stack = `Error: x, the beginning\n${'at somewhere\n'.repeat(100_000)}the end`;
  const text = traceOf(error);
  assert.ok(text.length < THROWN_CHARS_MAX + 100);
  assert.match(text, /^Error: x, the beginning/);
  assert.match(text, /characters left out[\s\S]*the end$/);
});

test("onOpError 'record' keeps the other results and an OpError in place", async () => {
  await using scene = await Scene.open();
  const run = scene.consumer.runEachOp(
    (op: number) => {
      if (op === 2) throw new RangeError('not two');
      return op;
    },
    { onOpError: 'record' },
  );
  void quietly(run);
  const connection = await scene.serve(await scene.chunk(0, [1, 2, 3]));
  await connection.until('complete');
  const results = await scene.results(0);
  assert.deepEqual([results[0], results[2]], [1, 3]);
  const error = OpError.fromWire(results[1]);
  assert.equal(error?.message, 'not two');
  assert.match(error?.stack ?? '', /RangeError: not two\n +at/);
});

test("onOpError 'record' works for promises, and passes NonRetryableError on", async () => {
  await using scene = await Scene.open();
  const run = scene.consumer.runEachOp(
    async (op: number) => {
      if (op === 2) throw new Error('not two');
      if (op === 3) throw new NonRetryableError('never three');
      return op;
    },
    { onOpError: 'record' },
  );
  void quietly(run);
  const connection = await scene.serve(await scene.chunk(0, [1, 2]));
  await connection.until('complete');
  assert.equal(OpError.fromWire((await scene.results(0))[1])?.message, 'not two');
  const reserve = connection.received.findLast((each) => each.kind === 'reserve');
  connection.answer(reserve?.nonce ?? 0, [await scene.chunk(1, [3])]);
  assert.equal((await connection.until('fail')).retryable, false);
});

test('NonRetryableError and RetryLaterError reach a queue that understands them, and fail the chunk elsewhere', async () => {
  const cases = [
    { error: new NonRetryableError('hopeless'), retryable: false, delayMs: undefined },
    { error: new RetryLaterError(1_500), retryable: undefined, delayMs: 1_500 },
    { error: new Error('wrapped', { cause: new RetryLaterError(7) }), retryable: undefined, delayMs: 7 },
  ];
  for (const { error, retryable, delayMs } of cases) {
    for (const features of [undefined, []]) {
      await using scene = await Scene.open(features === undefined ? {} : { features });
      void quietly(
        scene.consumer.runEachOp(() => {
          throw error;
        }),
      );
      const fail = await (await scene.serve(await scene.chunk(0, [1]))).until('fail');
      const expected = features === undefined ? { retryable, delayMs } : {};
      assert.equal(fail.retryable ?? true, expected.retryable ?? true);
      assert.equal(fail.delayMs ?? 0, expected.delayMs ?? 0);
      assert.match(fail.failure, new RegExp(error.message));
    }
  }
});

test('an object that is cut short fails the chunk', async () => {
  await using scene = await Scene.open();
  const whole = cbor.encode(['some', 'operations']);
  await scene.objects.putInput(scene.submission.prefix ?? '', 0, whole.subarray(0, whole.length - 4));
  const run = scene.consumer.runEachOp((op) => op);
  const failure = await failureOf(scene, run, Promise.resolve(fakeChunk(scene.submission, 0)));
  assert.match(failure, /0-in\.bin .* could not be decoded/);
});
