import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { OpError, type OpRunOptions } from '../../../src/consumer/index.ts';
import { SubmissionFailedError } from '../../../src/producer/index.ts';
import { quietly } from '../../support/peers/consumer-scene.ts';
import { realQueue } from '../../support/queues/real-queue.ts';

type Queue = Awaited<ReturnType<typeof realQueue>>;

/** How a submission fails whose callback does this, and how often the callback was called. */
async function failureOf(queue: Queue, callback: (op: unknown) => unknown, options: OpRunOptions = {}) {
  let calls = 0;
  const consumer = queue.consume();
  const counted = (op: unknown) => {
    calls++;
    return callback(op);
  };
  const over = quietly(consumer.runEachOp(counted, options));
  const codec = options.codec ?? 'cbor';
  const error = await Array.fromAsync(queue.produce({ codec }).runSubmission([1], { chunkSize: 1 })).then(
    () => assert.fail('it completed'),
    (reason: unknown) => reason,
  );
  await consumer.stop();
  await over;
  assert.ok(error instanceof SubmissionFailedError, inspect(error));
  return { error, failure: error.failure, calls };
}

for (const codec of ['cbor', 'json'] as const) {
  test(`promises among operations and results are awaited, in ${codec}`, async () => {
    await using queue = await realQueue();
    const run = quietly(
      queue.consume().runEachChunk((ops: number[]) => ops.map(async (op) => op * 2), { codec }),
    );
    const sources = [
      [Promise.resolve(1), 2, Promise.resolve(3)],
      new Set([Promise.resolve(1), 2, Promise.resolve(3)]),
      (function* () {
        yield Promise.resolve(1);
        yield 2;
        yield Promise.resolve(3);
      })(),
    ];
    for (const source of sources) {
      const results = queue.produce({ codec }).runSubmission(source, { chunkSize: 2 });
      assert.deepEqual(await Array.fromAsync(results), [2, 4, 6]);
    }
    await queue[Symbol.asyncDispose]();
    await run;
  });
}

test('promises from an iterable of results are awaited one after the other', async () => {
  await using queue = await realQueue();
  let running = 0;
  const consumer = queue.consume();
  const run = quietly(
    consumer.runEachChunk(function* (ops: number[]) {
      for (const op of ops) {
        yield op === 1
          ? op
          : (async () => {
              assert.equal(++running, 1);
              await Promise.resolve();
              running--;
              return op;
            })();
      }
    }),
  );
  const results = queue.producer.runSubmission([1, 2, 3, 4], { chunkSize: 4 });
  assert.deepEqual(await Array.fromAsync(results), [1, 2, 3, 4]);
  await consumer.stop();
  await run;
});

test('a promise among the results that rejects is an operation that fails, whatever the others do', async () => {
  await using queue = await realQueue({ chunkRetriesMax: 1 });
  const consumer = queue.consume();
  const run = quietly(
    consumer.runEachChunk((ops: number[]) =>
      ops.map((op) => (op === 1 ? Promise.resolve(op) : Promise.reject(new Error(`not ${op}`)))),
    ),
  );
  await assert.rejects(
    Array.fromAsync(queue.producer.runSubmission([1, 2, 3], { chunkSize: 3 })),
    /operation 1 \(of 3 in the chunk\) failed[\s\S]*not 2/,
  );
  await consumer.stop();
  await run;
});

test('a promise among the operations that rejects is a source that breaks, before or in its turn', async () => {
  await using queue = await realQueue();
  const broken = new Error('broken');
  const sources = [
    () => [1, Promise.resolve(2), Promise.reject(broken)],
    () => [new Promise((resolve) => setImmediate(resolve)), Promise.reject(broken)],
    function* () {
      yield 1;
      yield Promise.reject(broken);
    },
  ];
  for (const source of sources) {
    const run = queue.producer.runSubmission(source(), { chunkSize: 1 });
    await assert.rejects(Array.fromAsync(run), broken);
  }
});

test('a promise that never settles does not hold up the signal', async () => {
  await using queue = await realQueue();
  const controller = new AbortController();
  const source = [new Promise(() => controller.abort(new Error('enough')))];
  const { signal } = controller;
  await assert.rejects(queue.producer.insertSubmission(source, { chunkSize: 1, signal }), /enough/);
});

test('chunks that are promises are awaited', async () => {
  await using queue = await realQueue();
  const consumer = queue.consume();
  const run = quietly(consumer.runEachChunkRaw(async (input) => input));
  const source = [Promise.resolve(new Uint8Array([1])), new Uint8Array([2])];
  const chunks = await Array.fromAsync(
    queue.produce({ codec: 'raw' }).runSubmission(source, { chunkSize: 1 }),
  );
  assert.deepEqual(chunks, [new Uint8Array([1]), new Uint8Array([2])]);
  await consumer.stop();
  await run;
});

test('a result that cannot be encoded fails the submission at once', async () => {
  await using queue = await realQueue();
  for (const codec of ['cbor', 'json'] as const) {
    const { failure, calls } = await failureOf(queue, () => ({ at: [/x/] }), { codec });
    assert.equal(calls, 1);
    assert.match(failure, /\[0\]\.at\[0\] cannot be encoded: a RegExp/);
  }
});

test("onOpError 'record' keeps an OpError in the place of a result that cannot be encoded", async () => {
  await using queue = await realQueue();
  for (const codec of ['cbor', 'json'] as const) {
    const consumer = queue.consume();
    const run = quietly(
      consumer.runEachOp((op) => (op === 2 ? () => op : op), { codec, onOpError: 'record' }),
    );
    const [first, second, third] = await Array.fromAsync(
      queue.produce({ codec }).runSubmission([1, 2, 3], { chunkSize: 3 }),
    );
    assert.deepEqual([first, third], [1, 3]);
    assert.ok(second instanceof OpError);
    assert.equal(second.message, '[1] cannot be encoded: a function');
    await consumer.stop();
    await run;
  }
});

test("onOpError 'record' keeps messages of any length and with half an emoji", async () => {
  await using queue = await realQueue();
  for (const codec of ['cbor', 'json'] as const) {
    const consumer = queue.consume();
    const run = quietly(
      consumer.runEachOp(
        (op) => {
          throw new Error(op === 1 ? 'cut: 👍'.slice(0, -1) : 'x'.repeat(1_000_000));
        },
        { codec, onOpError: 'record' },
      ),
    );
    const errors = await Array.fromAsync(
      queue.produce<number, OpError>({ codec }).runSubmission([1, 2], { chunkSize: 2 }),
    );
    assert.equal(errors[0]?.message, 'cut: \ufffd');
    for (const { message, stack } of errors) assert.ok(message.length + (stack?.length ?? 0) < 40_000);
    await consumer.stop();
    await run;
  }
});

const thrown: [name: string, make: () => unknown, expected: RegExp][] = [
  ['undefined', () => undefined, /the callback threw undefined/],
  ['null', () => null, /the callback threw null/],
  ["''", () => '', /an empty text/],
  ['an object', () => ({ status: 503 }), /an object \(not an Error\): {"status":503}/],
  ['an instance', () => new Map(), /an instance of Map \(not an Error\)/],
  ['an object of getters that throw', () => hostile(), /failed/],
  [
    'a proxy that throws',
    () => new Proxy({}, { get: refuse, getPrototypeOf: refuse, has: refuse }),
    /failed/,
  ],
  ['a text of megabytes', () => 'x'.repeat(3_000_000), /xxx[\s\S]*characters left out/],
  ['many errors', () => new AggregateError([new Error('one'), new Error('two')], 'both'), /one[\s\S]*two/],
];

function refuse(): never {
  throw new Error('do not touch');
}

function hostile(): object {
  return Object.defineProperties(new Error('x'), {
    message: { get: refuse },
    stack: { get: refuse },
    cause: { get: refuse },
    toString: { value: refuse },
  });
}

test('what a callback throws is what the producer reads, whatever it is', async () => {
  await using queue = await realQueue({ chunkRetriesMax: 1 });
  for (const [name, make, expected] of thrown) {
    const { failure } = await failureOf(queue, () => {
      throw make();
    });
    assert.match(failure, expected, name);
    assert.ok(failure.length < 20_000, name);
  }
});

test('a submission that failed shows the trace of its consumer once, and keeps it in a field', async () => {
  await using queue = await realQueue({ chunkRetriesMax: 1 });
  const { error } = await failureOf(queue, () => {
    throw new Error('a rare sentence', { cause: new AggregateError([new Error('inner')], 'all') });
  });
  assert.equal(inspect(error, { depth: 10 }).split('Error: a rare sentence').length - 1, 1);
  assert.match(error.failure, /a rare sentence[\s\S]*all[\s\S]*inner/);
  assert.equal(error.submission.failedChunk.failure, error.failure);
});
