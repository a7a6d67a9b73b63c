import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RETRY_DEFAULT, type RetryPolicy } from '../../src/model/retry.ts';
import { OpError, type OperationCodec, ProducerClient } from '../../src/producer/index.ts';
import { isCompressedChunk } from '../../src/protocol/chunk/compression.ts';
import { ALL_FEATURES, FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { workChunk, workEverything } from '../support/fakes/fake-queue-worker.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { watchedStore } from '../support/fakes/watched-store.ts';
import { freshStore } from '../support/objects/fresh-store.ts';
import { MODES, runInMode } from '../support/peers/run-in-mode.ts';
import { realQueue } from '../support/queues/real-queue.ts';
import { eventually } from '../support/time/eventually.ts';

const increment = (op: unknown) => Number(op) + 1;
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);

async function* asyncOf<T>(items: Iterable<T>) {
  for (const item of items) {
    await Promise.resolve();
    yield item;
  }
}

const sources: readonly (readonly [string, (n: number) => Iterable<number> | AsyncIterable<number>])[] = [
  ['an array', numbers],
  ['a set', (n) => new Set(numbers(n))],
  ['a generator', (n) => numbers(n).values()],
  ['an async generator', (n) => asyncOf(numbers(n))],
];

for (const [name, source] of sources) {
  test(`gives the results of ${name} in order, whatever the chunk size`, async () => {
    const store = freshStore();
    await using queue = await FakeQueue.start({ onInsert: workEverything(store, increment) });
    await using producer = new ProducerClient(queue.url, store);
    for (const count of [0, 1, 5, 6, 23]) {
      for (const chunkSize of [1, 3, 100]) {
        const results = await Array.fromAsync(producer.runSubmission(source(count), { chunkSize }));
        assert.deepEqual(results, numbers(count).map(increment));
      }
    }
    for (const { record } of queue.submissions.values()) assert.ok([1, 3, 100].includes(record.chunkSizeOps));
  });
}

test('does nothing for no operations but to insert an empty submission', async () => {
  const store = watchedStore(freshStore());
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store);
  await using raw = new ProducerClient(queue.url, store, { codec: 'raw' });
  for (const mode of MODES) {
    assert.deepEqual(await Array.fromAsync(runInMode(producer, mode, [], { chunkSize: 10 })), []);
  }
  assert.deepEqual(await Array.fromAsync(raw.runSubmission([], { chunkSize: 1 })), []);
  assert.equal(queue.submissions.size, 4);
  assert.deepEqual(store.puts, []);
});

test("gives results in order as soon as the leading chunks are done with 'as-completed'", async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store);
  const work = async (...chunks: number[]) => {
    for (const chunk of chunks) await workChunk(queue, store, queue.only(), chunk, increment);
  };
  const submission = await producer.submit(numbers(8), { chunkSize: 2 });
  await work(1);
  const results = submission.results({ when: 'as-completed' });
  const first = results.next();
  while (!queue.paths.some((path) => path.includes('known=1'))) await new Promise(setImmediate);
  await work(0);
  assert.deepEqual(await first, { done: false, value: 1 });
  for (const value of [2, 3, 4]) assert.deepEqual(await results.next(), { done: false, value });
  await work(3, 2);
  assert.deepEqual(await Array.fromAsync(results), [5, 6, 7, 8]);
  assert.equal(queue.only().end?.state, 'completed');
});

test('gives chunks as they are done, with their places', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store);
  const submission = await producer.submit(numbers(7), { chunkSize: 3 });
  const results = submission.chunks();
  await workChunk(queue, store, queue.only(), 2, increment);
  assert.deepEqual((await results.next()).value, { chunkIndex: 2, operationIndex: 6, results: [7] });
  await workChunk(queue, store, queue.only(), 0, increment);
  assert.deepEqual((await results.next()).value, { chunkIndex: 0, operationIndex: 0, results: [1, 2, 3] });
  await workChunk(queue, store, queue.only(), 1, increment);
  assert.deepEqual((await results.next()).value, { chunkIndex: 1, operationIndex: 3, results: [4, 5, 6] });
  assert.equal((await results.next()).done, true);
});

test('gives everything at the end, and says so once, where the queue does not tell which chunks are done', async () => {
  const store = freshStore();
  const onInsert = workEverything(store, increment, (indexes) => indexes.reverse());
  await using queue = await FakeQueue.start({ features: [], onInsert });
  const logger = recordingLogger();
  await using producer = new ProducerClient(queue.url, store, { logger });
  for (let run = 0; run < 2; run++) {
    const ordered = producer.runSubmission(numbers(9), { chunkSize: 2, when: 'as-completed' });
    assert.deepEqual(await Array.fromAsync(ordered), numbers(9).map(increment));
    const submission = await producer.submit(numbers(9), { chunkSize: 2 });
    const chunks = await Array.fromAsync(submission.chunks());
    assert.deepEqual(
      chunks.map(({ operationIndex }) => operationIndex),
      [0, 2, 4, 6, 8],
    );
  }
  assert.equal(logger.lines.filter(({ message }) => message.includes('which chunks are done')).length, 1);
});

test('carries metadata, strategic metadata, chunk size and retry delay', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const pairs = { company_id: 42, big: 2n ** 63n - 1n };
  for (const strategicMetadata of [pairs, new Map<string, number | bigint>(Object.entries(pairs))]) {
    const id = await producer.insertSubmission([1, 2], {
      chunkSize: 7,
      metadata: Uint8Array.of(1, 255),
      strategicMetadata,
      retryDelayMs: 1500,
    });
    const { record } = queue.submissions.get(BigInt(id))!;
    assert.deepEqual([...record.metadata!], [1, 255]);
    assert.deepEqual(
      [...record.strategicMetadata],
      [
        ['company_id', 42n],
        ['big', 2n ** 63n - 1n],
      ],
    );
    assert.equal(record.chunkSizeOps, 7);
    assert.equal(record.retryDelayMs, 1500);
  }
});

test('tells its retry policy, that it wants the default one, or neither where each retry waits a fixed time', async () => {
  await using queue = await realQueue();
  const policies: (RetryPolicy | null)[] = [];
  for (const options of [
    {},
    { retry: { triesMax: 3, jitter: 0 } },
    { retryDelayMs: 5 },
    { retry: { delayMs: 0 } },
  ]) {
    const id = await queue.producer.insertSubmission([1], { chunkSize: 1, ...options });
    for await (const piece of queue.store.load([0])) {
      policies.push(
        ...piece.filter(({ record }) => record.id === BigInt(id)).map(({ record }) => record.retry),
      );
    }
  }
  assert.deepEqual(policies, [
    RETRY_DEFAULT,
    { ...RETRY_DEFAULT, triesMax: 3, jitter: 0 },
    null,
    { ...RETRY_DEFAULT, delayMs: 0 },
  ]);
});

test('says so when the queue does not know the retry policy that it was given', async () => {
  await using queue = await FakeQueue.start({ features: [] });
  const logger = recordingLogger();
  await using producer = new ProducerClient(queue.url, freshStore(), { logger });
  await producer.insertSubmission([1], { chunkSize: 1 });
  assert.equal(logger.lines.length, 0);
  await producer.insertSubmission([1], { chunkSize: 1, retry: { triesMax: 3 } });
  assert.match(logger.lines[0]!.message, /the option retry/);
});

test('says so when the queue does not know retry delays', async () => {
  await using queue = await FakeQueue.start({ features: [] });
  const logger = recordingLogger();
  await using producer = new ProducerClient(queue.url, freshStore(), { logger });
  await producer.insertSubmission([1], { chunkSize: 1, retryDelayMs: 5 });
  assert.match(logger.lines[0]!.message, /retryDelayMs/);
});

test('takes JSON and any other codec', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({
    onInsert: async (submission, self) => {
      const key = `${submission.record.prefix}/0-`;
      await store.put(`${key}out.bin`, await store.get(`${key}in.bin`));
      self.complete(submission, 0);
    },
  });
  const shout: OperationCodec = {
    encode: (ops) => new TextEncoder().encode(ops.join('!')),
    decode: (content) => new TextDecoder().decode(content).split('!'),
  };
  await using producer = new ProducerClient(queue.url, store, { codec: 'json' });
  assert.deepEqual(await Array.fromAsync(producer.runSubmission(['a', 'b'], { chunkSize: 2 })), ['a', 'b']);
  await using shouting = new ProducerClient(queue.url, store, { codec: shout });
  const shouted = shouting.runSubmission(['a', 'b'], { chunkSize: 2 });
  assert.deepEqual(await Array.fromAsync(shouted), ['a', 'b']);
  const bodies: string[] = [];
  for await (const { key } of store.list('')) bodies.push(Buffer.from(await store.get(key)).toString());
  assert.deepEqual(bodies.sort(), ['["a","b"]', '["a","b"]', 'a!b', 'a!b']);
});

test('gives an OpError in the place of the result of an operation that failed', async () => {
  const store = freshStore();
  const operation = (op: unknown) => (op === 2 ? new OpError('no two', { stack: 'at work' }).toWire() : op);
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, operation) });
  await using producer = new ProducerClient(queue.url, store);
  const others = [{ a: 1 }, [1], null, 'x'];
  const results = producer.runSubmission([1, 2, ...others], { chunkSize: 4 });
  assert.deepEqual(await Array.fromAsync(results), [
    1,
    new OpError('no two', { stack: 'at work' }),
    ...others,
  ]);
});

test('packs chunks on request, and unpacks results that are packed', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({
    onInsert: async (submission, self) => {
      const packed = await store.get(`${submission.record.prefix}/0-in.bin`);
      assert.equal(isCompressedChunk(packed), true);
      await store.put(`${submission.record.prefix}/0-out.bin`, packed);
      self.complete(submission, 0);
    },
  });
  await using producer = new ProducerClient(queue.url, store);
  const ops = Array.from({ length: 1000 }, () => 'the same again');
  const results = producer.runSubmission(ops, { chunkSize: 1000, compression: 'zstd' });
  assert.deepEqual(await Array.fromAsync(results), ops);
});

test("leaves nothing behind with cleanup: 'after-results', but only once the last result was given out", async () => {
  const store = watchedStore(freshStore());
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, increment) });
  await using producer = new ProducerClient(queue.url, store);
  const options = { chunkSize: 2, cleanup: 'after-results' } as const;
  const results = producer.runSubmission(numbers(6), options);
  for (const expected of numbers(6).map(increment)) assert.equal((await results.next()).value, expected);
  assert.equal((await store.keys()).length, 6);
  assert.equal((await results.next()).done, true);
  assert.deepEqual(await store.keys(), []);
  for await (const _ of producer.runSubmission(numbers(6), options)) break;
  assert.equal((await store.keys()).length, 6);
});

test('runs raw chunks', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({
    onInsert: async (submission, self) => {
      for (let index = 0; index < submission.record.chunksTotal; index++) {
        const key = `${submission.record.prefix}/${index}`;
        const [first = 0] = await store.get(`${key}-in.bin`);
        await store.put(`${key}-out.bin`, Uint8Array.of(first + 1));
        self.complete(submission, index);
      }
    },
  });
  await using producer = new ProducerClient<Uint8Array, Uint8Array>(queue.url, store, { codec: 'raw' });
  const chunks = [Uint8Array.of(1), Uint8Array.of(2), Uint8Array.of(3)];
  const results: Uint8Array[] = await Array.fromAsync(
    producer.runSubmission(asyncOf(chunks), { chunkSize: 1 }),
  );
  assert.deepEqual(results.map(Number), [2, 3, 4]);
  const submission = await producer.submit(chunks, { chunkSize: 10 });
  for await (const { chunkIndex, operationIndex, results: contents } of submission.chunks()) {
    assert.deepEqual(contents.map(Number), [chunkIndex + 2]);
    assert.equal(operationIndex, chunkIndex * 10);
  }
  assert.deepEqual(
    [...queue.submissions.values()].map(({ record }) => record.chunkSizeOps),
    [1, 10],
  );
});

test('gives results a chunk at a time with batches()', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, increment) });
  await using producer = new ProducerClient(queue.url, store);
  const results = producer.runSubmission(numbers(5), { chunkSize: 2 });
  assert.deepEqual(await Array.fromAsync(results.batches()), [[1, 2], [3, 4], [5]]);
});

test('runs small work without an object store', async () => {
  await using queue = await FakeQueue.start({ onInsert: workEverything(null, increment) });
  await using producer = new ProducerClient(queue.url, null);
  for (const when of ['all-done', 'as-completed'] as const) {
    const run = producer.runSubmission(numbers(700), { in: 'queue', chunkSize: 1, when });
    assert.deepEqual(await Array.fromAsync(run), numbers(700).map(increment));
  }
  const submission = await producer.submit([1, 2], { chunkSize: 2 });
  assert.deepEqual(await Array.fromAsync(submission.chunks()), [
    { chunkIndex: 0, operationIndex: 0, results: [2, 3] },
  ]);
  const id = await producer.insertSubmission([7], { in: 'queue', chunkSize: 1 });
  assert.deepEqual(await Array.fromAsync(producer.submission(id).results()), [8]);
  assert.match(String(queue.submissions.get(BigInt(id))?.headers['idempotency-key']), /^[0-9a-f-]{36}$/);
});

test('says that the original queue keeps the results of direct submissions to itself', async () => {
  await using queue = await FakeQueue.start({ features: [], onInsert: workEverything(null, increment) });
  await using producer = new ProducerClient(queue.url, null);
  await assert.rejects(Array.fromAsync(producer.runSubmission([1], { in: 'queue', chunkSize: 1 })), {
    code: 'QUEUE_UNSUPPORTED',
    feature: 'direct_outputs',
  });
  assert.equal(queue.submissions.size, 0);
});

test('tells the progress, to the end, in every mode', async () => {
  const store = freshStore();
  for (const features of [ALL_FEATURES, []]) {
    await using queue = await FakeQueue.start({ features, onInsert: workEverything(store, increment) });
    await using producer = new ProducerClient(queue.url, store);
    for (const mode of MODES) {
      const told: number[] = [];
      let last: unknown;
      await Array.fromAsync(
        runInMode(producer, mode, numbers(9), {
          chunkSize: 2,
          onProgress: (progress) => {
            told.push(progress.chunksDone);
            last = { ...progress, perSecond: 0 };
          },
        }),
      );
      assert.deepEqual(
        told,
        told.toSorted((a, b) => a - b),
      );
      const whole = {
        state: 'completed',
        chunksDone: 5,
        chunksFailed: 0,
        chunksTotal: 5,
        opsDone: 9,
        perSecond: 0,
        msLeft: 0,
      };
      assert.deepEqual(last, whole);
    }
  }
});

for (const mode of MODES) {
  test(`an onProgress that throws ends the run at once with its error (${mode})`, async () => {
    const store = freshStore();
    await using queue = await FakeQueue.start({
      onInsert: (submission, self) => void workChunk(self, store, submission, 0, increment),
    });
    await using producer = new ProducerClient(queue.url, store);
    const onProgress = ({ chunksDone }: { chunksDone: number }) => {
      if (chunksDone === 1) throw new Error('the screen is gone');
    };
    const run = runInMode(producer, mode, numbers(4), { chunkSize: 2, onProgress });
    await assert.rejects(Array.fromAsync(run), /the screen is gone/);
    assert.equal(queue.only().end, null);
    await eventually(() => queue.http.connections <= 1);
  });
}

test('an onProgress that throws withholds what was read ahead', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({
    onInsert: (submission, self) => void workChunk(self, store, submission, 0, increment),
  });
  await using producer = new ProducerClient(queue.url, store);
  const told = Promise.withResolvers<void>();
  const results = producer.runSubmission(numbers(4), {
    chunkSize: 2,
    when: 'as-completed',
    onProgress: ({ chunksDone }) => {
      if (chunksDone < 2) return;
      told.resolve();
      throw new Error('the screen is gone');
    },
  });
  assert.equal((await results.next()).value, 1);
  await workChunk(queue, store, queue.only(), 1, increment);
  await told.promise;
  await assert.rejects(results.next(), /the screen is gone/);
  assert.equal((await results.next()).done, true);
});
