/** A contract: its types, codec, store and schemas on the consumer's side. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import {
  type ChunkContext,
  ConsumerClient,
  defineContract,
  IncorrectUsageError,
  OpError,
} from '../../src/consumer/index.ts';
import { ProducerClient, SubmissionFailedError } from '../../src/producer/index.ts';
import { realQueue } from '../support/queues/real-queue.ts';

/** Compiles only where both types are the same. */
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const isTrue = <_ extends true>() => {};

/** Never run: what is tested is that it compiles. */
export async function typed(): Promise<void> {
  const contract = defineContract({
    operation: v.object({ word: v.string(), times: v.optional(v.number(), 1) }),
    result: v.pipe(v.string(), v.transform(Number)),
  });
  const consumer = new ConsumerClient('localhost:1', contract);
  isTrue<Same<typeof consumer, ConsumerClient<{ word: string; times: number }, string>>>();
  void consumer.runEachOp((op, { operationIndex }) => {
    isTrue<Same<typeof op, { word: string; times: number }>>();
    isTrue<Same<typeof operationIndex, number>>();
    return op.word;
  });
  void consumer.runEachOp(async ({ word }) => word, { opConcurrency: 2 });
  void consumer.runEachChunk((ops) => ops.map(({ word }) => word));
  void consumer.runEachOp(new URL('file:///work.js'));
  // @ts-expect-error: a result of another type
  void consumer.runEachOp(({ times }) => times);
  // @ts-expect-error: an operation of another type
  void consumer.runEachOp((op: number) => String(op));
  // @ts-expect-error: results of another type
  void consumer.runEachChunk((ops) => ops.map(({ times }) => times));
  const [chunk] = await consumer.reserveChunks({ max: 2 });
  isTrue<Same<NonNullable<typeof chunk>['ops'], { word: string; times: number }[]>>();
  const [raw] = await consumer.reserveChunks({ raw: true });
  isTrue<Same<NonNullable<typeof raw>['input'], Uint8Array>>();
  await consumer.completeChunk(chunk!, ['a']);
  // @ts-expect-error: results of another type
  await consumer.completeChunk(chunk!, [1]);
  // @ts-expect-error: a contract for other operations
  new ConsumerClient<number, string>('localhost:1', contract);

  const untyped = new ConsumerClient('localhost:1', 'memory:///types');
  isTrue<Same<typeof untyped, ConsumerClient<unknown, unknown>>>();
  void untyped.runEachOp((n: number) => n * 2);
  void untyped.runEachOp((word: string, { signal }: ChunkContext) => [word, signal.aborted]);
  void untyped.runEachChunk((words: string[]) => words.map((word) => word.length));
  const given = new ConsumerClient<string, number>('localhost:1', null);
  void given.runEachOp((word) => word.length);
  // @ts-expect-error: a result of another type
  void given.runEachOp((word) => word);
}

const words = {
  operation: v.pipe(v.string(), v.nonEmpty('it is empty')),
  result: v.number('it is not a number'),
};

for (const isAsync of [false, true]) {
  test(`operations are checked before the callback, results after it (${isAsync ? 'asynchronous' : 'synchronous'} schemas)`, async () => {
    await using queue = await realQueue();
    const operation = isAsync
      ? v.pipeAsync(
          words.operation,
          v.checkAsync(async () => true),
        )
      : words.operation;
    const lenient = defineContract<string, number>({ store: queue.objects.url });
    const strict = defineContract({ store: queue.objects.url, operation, result: words.result });
    await using producer = new ProducerClient(queue.url, lenient);
    await using consumer = new ConsumerClient(queue.url, strict, { logger: null });
    const calls: string[] = [];
    const over = consumer.runEachOp((word) => {
      calls.push(word);
      return word === 'bad' ? ('text' as never) : word.length;
    });
    const run = (ops: string[]) => Array.fromAsync(producer.runSubmission(ops, { chunkSize: 2 }));
    assert.deepEqual(await run(['a', 'bb', 'ccc']), [1, 2, 3]);
    const failed = (text: RegExp) => (error: unknown) =>
      error instanceof SubmissionFailedError && text.test(error.failure);
    await assert.rejects(
      run(['a', 'bb', 'c', '']),
      failed(/: operation 3 does not match the contract: it is empty/),
    );
    await assert.rejects(
      run(['a', 'bad']),
      failed(/the result of operation 1 does not match .* it is not a number/),
    );
    assert.ok(!calls.includes(''));
    await consumer.stop();
    await over;
  });
}

test("with onOpError 'record' only the operation that is invalid fails", async () => {
  await using queue = await realQueue();
  const store = queue.objects.url;
  await using producer = new ProducerClient<string, number | OpError>(queue.url, store);
  for (const opConcurrency of [undefined, 2]) {
    await using consumer = new ConsumerClient(queue.url, defineContract({ store, ...words }));
    const over = consumer.runEachOp((word) => (word === 'bad' ? ('text' as never) : word.length), {
      onOpError: 'record',
      opConcurrency,
    });
    const results = await Array.fromAsync(producer.runSubmission(['a', '', 'bad', 'dd'], { chunkSize: 4 }));
    const seen = results.map((result) => (result instanceof OpError ? [result.name, result.code] : result));
    const violation = ['ContractViolationError', 'CONTRACT_VIOLATION'];
    assert.deepEqual(seen, [1, violation, violation, 2]);
    await consumer.stop();
    await over;
  }
});

test('a callback for chunks gets the outputs of the schema, and what is reserved by hand is the same', async () => {
  await using queue = await realQueue();
  const contract = defineContract({
    store: queue.objects.url,
    codec: 'json',
    operation: v.pipe(v.string(), v.transform(Number)),
    result: v.number(),
  });
  await using producer = new ProducerClient(queue.url, contract);
  await using consumer = new ConsumerClient(queue.url, contract);
  const first = Array.fromAsync(producer.runSubmission(['1', '2'], { chunkSize: 2 }));
  const [chunk] = await consumer.reserveChunks();
  assert.deepEqual(chunk?.ops, [1, 2]);
  await assert.rejects(consumer.completeChunk(chunk!, [1, 'two' as never]), { code: 'CONTRACT_VIOLATION' });
  await consumer.completeChunk(chunk!, [10, 20]);
  assert.deepEqual(await first, [10, 20]);
  const over = consumer.runEachChunk((numbers) => numbers.map((n) => n * 2));
  assert.deepEqual(await Array.fromAsync(producer.runSubmission(['3'], { chunkSize: 1 })), [6]);
  await consumer.stop();
  await over;
});

test('a module exports the contract, where its schemas cannot be given to threads', async () => {
  await using queue = await realQueue();
  const contract = defineContract({ store: queue.objects.url, ...words });
  await using producer = new ProducerClient(queue.url, queue.objects.url);
  await using consumer = new ConsumerClient(queue.url, contract, { logger: null });
  const missing = new URL('../support/programs/double.ts', import.meta.url);
  await assert.rejects(
    consumer.runEachOp(missing, { threads: 1 }),
    (error) =>
      error instanceof IncorrectUsageError &&
      /the export `contract` of the callback's module/.test(error.message),
  );
  const module = new URL('../support/programs/with-contract.ts', import.meta.url);
  const over = consumer.runEachOp(module, { threads: 1, onOpError: 'record' });
  const [length, invalid] = await Array.fromAsync(producer.runSubmission(['four', ''], { chunkSize: 2 }));
  assert.equal(length, 4);
  assert.equal((invalid as OpError).code, 'CONTRACT_VIOLATION');
  await consumer.stop();
  await over;
});

test('raw: the operation is the content of the chunk, and so is the result', async () => {
  await using queue = await realQueue();
  const contract = defineContract({ store: queue.objects.url, codec: 'raw' });
  await using producer = new ProducerClient(queue.url, contract);
  await using consumer = new ConsumerClient(queue.url, contract);
  const over = consumer.runEachOp((bytes) => bytes.map((byte) => byte + 1));
  const results = await Array.fromAsync(producer.runSubmission([Uint8Array.of(1, 2)], { chunkSize: 1 }));
  assert.deepEqual([...results[0]!], [2, 3]);
  await consumer.stop();
  await over;
});

test('the codec is that of the contract, and is not given twice', async () => {
  const contract = defineContract({ store: 'memory:///contract', codec: 'json' });
  const refused = (error: unknown) => error instanceof IncorrectUsageError && /codec/.test(error.message);
  assert.throws(() => new ConsumerClient('localhost:1', contract, { codec: 'cbor' }), refused);
  await using consumer = new ConsumerClient('localhost:1', contract);
  const codec = 'cbor';
  await assert.rejects(
    consumer.runEachOp((op) => op, { codec }),
    refused,
  );
  await assert.rejects(
    consumer.runEachChunk((ops) => ops, { codec }),
    refused,
  );
  await assert.rejects(consumer.reserveChunks({ codec }), refused);
});
