import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  type ChunkCompression,
  collectGarbage,
  IncorrectUsageError,
  type ObjectCallOptions,
  type ObjectStore,
  ProducerClient,
  type ProducerClientOptions,
  type ResultChunk,
  type Results,
  type ResultsMode,
  type RunOptions,
  type WatchOptions,
} from '../../src/producer/index.ts';
import { FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { workEverything } from '../support/fakes/fake-queue-worker.ts';
import { freshStore } from '../support/objects/fresh-store.ts';

/** What a program has that passes on what it was given, under `exactOptionalPropertyTypes`. */
const unset = {
  signal: undefined,
  codec: undefined,
  concurrency: undefined,
  memoryBytesMax: undefined,
} as const;
const unsetOfClient: ProducerClientOptions = {
  codec: undefined,
  concurrency: undefined,
  memoryBytesMax: undefined,
  objectStoreOptions: undefined,
  requestTimeoutMs: undefined,
  retryForMs: undefined,
  logger: undefined,
  clock: undefined,
  random: undefined,
};
const unsetOfRun: RunOptions = {
  ...unset,
  chunkSize: 1,
  metadata: undefined,
  strategicMetadata: undefined,
  retryDelayMs: undefined,
  retry: undefined,
  onInserted: undefined,
  compression: undefined,
  onProgress: undefined,
  results: undefined,
  cleanup: undefined,
};

test('an option that is undefined is one that was left out, in the types as well', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, (op) => op) });
  await using producer = new ProducerClient(queue.url, store, unsetOfClient);
  const watch: WatchOptions = { onProgress: undefined };
  assert.deepEqual(await Array.fromAsync(producer.runSubmission([1], unsetOfRun)), [1]);
  const chunks = { ...unset, ...watch, chunkSize: undefined, results: undefined };
  const [chunk]: Uint8Array[] = await Array.fromAsync(
    producer.runSubmissionChunks([Uint8Array.of(0x80)], chunks),
  );
  assert.deepEqual(chunk, Uint8Array.of(0x80));
  const id = await producer.insertSubmission([1], unsetOfRun);
  await producer.waitForCompletion(id, { signal: undefined, ...watch });
  const options = { ...unset, ...watch };
  assert.deepEqual(await Array.fromAsync(producer.streamCompletedSubmission<number>(id, options)), [1]);
  const garbage = {
    objectStore: 'nonsense',
    objectStoreOptions: undefined,
    queueUrls: [queue.url],
    olderThanMs: 0,
    delete: undefined,
    onFolder: undefined,
    retryForMs: undefined,
    signal: undefined,
    logger: undefined,
    clock: undefined,
  };
  await assert.rejects(collectGarbage(garbage), IncorrectUsageError);
});

for (const mode of ['when-complete', 'as-completed', 'unordered'] as readonly ResultsMode[]) {
  test(`a mode of results that only the program knows can be given to every run (${mode})`, async () => {
    const store = freshStore();
    await using queue = await FakeQueue.start({ onInsert: workEverything(store, (op) => op) });
    await using producer = new ProducerClient(queue.url, store);
    const options = { chunkSize: 2, results: mode };
    const runs: readonly (Results<number> | Results<ResultChunk<number>>)[] = [
      producer.runSubmission<number>([1, 2], options),
      producer.runSubmissionDirect<number>([1, 2], options),
    ];
    const expected = mode === 'unordered' ? [{ chunkIndex: 0, operationIndex: 0, results: [1, 2] }] : [1, 2];
    for (const run of runs) {
      const results: (number | ResultChunk<number>)[] = [];
      for await (const result of run) results.push(result);
      assert.deepEqual(results, expected);
    }
  });
}

test('an object store of the user is written with the exported types', async () => {
  const inner = freshStore();
  const signals: (AbortSignal | undefined)[] = [];
  const store: ObjectStore = {
    url: inner.url,
    put: (key, body, options?: ObjectCallOptions) => {
      signals.push(options?.signal);
      return inner.put(key, body, options);
    },
    get: (key, options) => inner.get(key, options),
    delete: (keys, options) => inner.delete(keys, options),
    list: (folder, options) => inner.list(folder, options),
    listFolders: (folder, options) => inner.listFolders(folder, options),
    close: () => inner.close(),
  };
  const compression: ChunkCompression = 'zstd';
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store);
  await producer.insertSubmission([1], { chunkSize: 1, compression });
  assert.equal(signals[0]?.aborted, false);
});
