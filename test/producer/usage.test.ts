import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IncorrectUsageError, ProducerClient } from '../../src/producer/index.ts';
import { FakeQueue } from '../support/fake-queue-http.ts';
import { freshStore } from '../support/fresh-store.ts';
import { type ScriptedHttp, scriptedHttp } from '../support/scripted-http.ts';
import { watchedStore } from '../support/watched-store.ts';

test('wrong use throws at once, before anything is uploaded', async () => {
  const store = watchedStore(freshStore());
  const wrong: readonly (readonly [string, () => unknown])[] = [
    ['url', () => new ProducerClient('ftp://x', null)],
    ['object store url', () => new ProducerClient('x:1', 'nonsense')],
    ['object store scheme', () => new ProducerClient('x:1', 'ftp://bucket/x')],
    ['concurrency', () => new ProducerClient('x:1', null, { concurrency: 0 })],
    ['memoryBytesMax', () => new ProducerClient('x:1', null, { memoryBytesMax: Number.NaN })],
    ['retryForMs', () => new ProducerClient('x:1', null, { retryForMs: -1 })],
  ];
  for (const [name, call] of wrong) assert.throws(call, IncorrectUsageError, name);
  await using producer = new ProducerClient('127.0.0.1:1', store);
  const loose = (value: unknown): never => value as never;
  for (const chunkSize of [0, -1, 1.5, Number.NaN, '10', undefined]) {
    assert.throws(() => producer.runSubmission([1], loose({ chunkSize })), /chunkSize must be/);
    await assert.rejects(producer.insertSubmission([1], loose({ chunkSize })), /chunkSize must be/);
  }
  for (const options of [
    { metadata: 'text' },
    { strategicMetadata: { a: 1.5 } },
    { strategicMetadata: { a: 2n ** 63n } },
    { strategicMetadata: { ['k'.repeat(300)]: 1 } },
    { retryDelayMs: -1 },
    { codec: 'xml' },
    { results: 'sometime' },
    { cleanup: 'never' },
    { compression: 'gzip' },
    { concurrency: 1.5 },
  ]) {
    assert.throws(
      () => producer.runSubmission([1], loose({ chunkSize: 1, ...options })),
      (error) => {
        assert.ok(error instanceof IncorrectUsageError);
        assert.match(error.message, new RegExp(Object.keys(options)[0]!));
        return true;
      },
    );
  }
  for (const source of [undefined, null, 5, {}]) {
    assert.throws(() => producer.runSubmission(loose(source), { chunkSize: 1 }), IncorrectUsageError);
  }
  await assert.rejects(producer.getSubmissionStatus(loose(5)), IncorrectUsageError);
  await assert.rejects(producer.lookupSubmissionIdByPrefix('../x'), IncorrectUsageError);
  await using storeless = new ProducerClient('127.0.0.1:1', null);
  assert.throws(() => storeless.runSubmission([1], { chunkSize: 1 }), /needs an object store/);
  assert.deepEqual(store.puts, []);
});

test('a chunk that is no Uint8Array ends the call, submits nothing, and does not hold up close()', async () => {
  const store = watchedStore(freshStore());
  await using queue = await FakeQueue.start();
  const producer = new ProducerClient(queue.url, store);
  for (const odd of [undefined, null, 5, 'text', [1, 2], new ArrayBuffer(8)]) {
    const content = odd as unknown as Uint8Array;
    const codec = { encode: () => content, decode: () => [] };
    const chunks = [Uint8Array.of(1), content];
    const asyncChunks = async function* () {
      yield* chunks;
    };
    const calls: readonly (readonly [RegExp, () => Promise<unknown>])[] = [
      [/codec\.encode/, () => producer.insertSubmission([1], { chunkSize: 1, codec })],
      [/codec\.encode/, () => producer.runSubmission([1], { chunkSize: 1, codec }).next()],
      [/codec\.encode/, () => producer.insertSubmissionDirect([1], { chunkSize: 1, codec })],
      [/chunk 1 of/, () => producer.insertSubmissionChunks(chunks)],
      [/chunk 1 of/, () => producer.insertSubmissionChunks(asyncChunks())],
      [/chunk 1 of/, () => producer.runSubmissionChunks(chunks).next()],
      [/chunk 1 of/, () => producer.insertSubmissionDirectChunks(chunks)],
    ];
    for (const [where, call] of calls) {
      await assert.rejects(call(), (error) => {
        assert.ok(error instanceof IncorrectUsageError);
        assert.match(error.message, where);
        return true;
      });
    }
  }
  await producer.close();
  assert.equal(queue.submissions.size, 0);
  assert.deepEqual(await store.keys(), []);
});

test('an answer that is no answer of a queue is an error with its words, not a wait', async () => {
  const replies = [
    { status: 200, body: 'not json' },
    { status: 200, body: '{"InProgress":5}' },
    { status: 404, body: '<html>no such page</html>' },
  ];
  const use = async (server: ScriptedHttp) => {
    await using producer = new ProducerClient(server.url, null);
    return await producer.getSubmissionStatus(1n);
  };
  for (const reply of replies) {
    await using server = await scriptedHttp(() => reply);
    await assert.rejects(use(server), /json|InProgress|no such page/i);
  }
});
