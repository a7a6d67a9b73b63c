import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { defineContract, IncorrectUsageError, OpError, ProducerClient } from '../../src/producer/index.ts';
import { FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { workEverything } from '../support/fakes/fake-queue-worker.ts';
import { freshStore } from '../support/objects/fresh-store.ts';

test('operations and results travel as they were given, and are used as the schema gives them', async () => {
  const store = freshStore();
  const contract = defineContract({
    store,
    operation: v.pipe(v.string(), v.transform(Number)),
    result: v.pipe(v.number(), v.transform(String)),
  });
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, (op) => Number(op) * 10) });
  await using producer = new ProducerClient(queue.url, contract);
  const results: string[] = [];
  for await (const result of producer.runSubmission(['1', '2', '3'], { chunkSize: 2 })) results.push(result);
  assert.deepEqual(results, ['10', '20', '30']);
});

for (const isAsync of [false, true]) {
  test(`an invalid operation ends the call, and nothing is inserted (${isAsync ? 'asynchronous' : 'synchronous'} schema)`, async () => {
    const store = freshStore();
    const positive = isAsync
      ? v.pipeAsync(
          v.number(),
          v.checkAsync(async (n) => n > 0, 'not positive'),
        )
      : v.pipe(
          v.number(),
          v.check((n) => n > 0, 'not positive'),
        );
    const contract = defineContract({ store, operation: positive });
    await using queue = await FakeQueue.start();
    await using producer = new ProducerClient(queue.url, contract);
    const sources = [[1, 2, 3, 4, -5], new Set([1, 2, 3, 4, -5]).values(), asynchronous([1, 2, 3, 4, -5])];
    for (const source of sources) {
      await assert.rejects(producer.insertSubmission(source, { chunkSize: 2 }), {
        code: 'CONTRACT_VIOLATION',
        what: 'operation',
        operationIndex: 4,
        issues: [{ path: '', message: 'not positive' }],
      });
    }
    assert.equal(queue.submissions.size, 0);
    assert.deepEqual(await Array.fromAsync(store.list('')), []);
  });
}

test('an invalid result ends the reading where it is, and errors that were recorded are passed on', async () => {
  const store = freshStore();
  const contract = defineContract({ store, operation: v.number(), result: v.number() });
  const work = (op: unknown) => (op === 2 ? new OpError('two').toWire() : op === 5 ? 'five' : op);
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, work) });
  await using producer = new ProducerClient<number, number | OpError>(queue.url, contract);
  const results: unknown[] = [];
  const reading = async () => {
    for await (const result of producer.runSubmission([1, 2, 3, 4, 5], { chunkSize: 2 }))
      results.push(result);
  };
  await assert.rejects(reading, { code: 'CONTRACT_VIOLATION', what: 'result', operationIndex: 4 });
  assert.deepEqual(results, [1, new OpError('two'), 3, 4]);
});

test('a schema that never answers does not hold up the signal of who reads', async () => {
  const store = freshStore();
  const reader = new AbortController();
  const hanging = v.pipeAsync(
    v.number(),
    v.checkAsync(() => {
      setImmediate(() => reader.abort(new Error('enough')));
      return new Promise<never>(() => {});
    }),
  );
  const contract = defineContract({ store, result: hanging });
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, (op) => op) });
  await using producer = new ProducerClient(queue.url, contract);
  const reading = producer.runSubmission([1, 2, 3], { chunkSize: 2, signal: reader.signal });
  await assert.rejects(Array.fromAsync(reading), /enough/);
});

for (const answer of [undefined, null, false, true, {}]) {
  test(`a schema that answers ${JSON.stringify(answer)} is not one`, async () => {
    const store = freshStore();
    const operation = v.number();
    const props = { ...operation['~standard'], validate: () => answer as never };
    const contract = defineContract({ store, operation: { '~standard': props } });
    await using queue = await FakeQueue.start();
    await using producer = new ProducerClient(queue.url, contract);
    await assert.rejects(producer.insertSubmission([1], { chunkSize: 2 }), IncorrectUsageError);
    assert.equal(queue.submissions.size, 0);
  });
}

test('the codec is that of the contract, and is not given twice', async () => {
  const contract = defineContract({ store: freshStore(), codec: 'json' });
  assert.throws(
    () => new ProducerClient('localhost:1', contract, { codec: 'cbor' }),
    (error) => error instanceof IncorrectUsageError && /codec/.test(error.message),
  );
});

async function* asynchronous<T>(items: readonly T[]): AsyncGenerator<T> {
  yield* items;
}
