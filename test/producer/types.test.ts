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
  type ResultsOptions,
  type RunSubmissionOptions,
  type SubmitOptions,
  type WatchOptions,
} from '../../src/producer/index.ts';
import { FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { workEverything } from '../support/fakes/fake-queue-worker.ts';
import { freshStore } from '../support/objects/fresh-store.ts';

/** What a program has that passes on what it was given, under `exactOptionalPropertyTypes`. */
const unset = {
  signal: undefined,
  transfersMax: undefined,
  memoryBytesMax: undefined,
} as const;
const unsetOfClient: ProducerClientOptions = {
  codec: undefined,
  transfersMax: undefined,
  memoryBytesMax: undefined,
  objectStoreOptions: undefined,
  requestTimeoutMs: undefined,
  retryForMs: undefined,
  logger: undefined,
};
const unsetOfSubmit: SubmitOptions = {
  ...unset,
  chunkSize: 1,
  in: undefined,
  metadata: undefined,
  strategicMetadata: undefined,
  retryDelayMs: undefined,
  retry: undefined,
  compression: undefined,
};
const unsetOfRun: RunSubmissionOptions = {
  ...unsetOfSubmit,
  onProgress: undefined,
  when: undefined,
  cleanup: undefined,
};

test('an option that is undefined is one that was left out, in the types as well', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, (op) => op) });
  await using producer = new ProducerClient(queue.url, store, unsetOfClient);
  const watch: WatchOptions = { onProgress: undefined };
  assert.deepEqual(await Array.fromAsync(producer.runSubmission([1], unsetOfRun)), [1]);
  const submission = await producer.submit([1], unsetOfSubmit);
  await submission.done({ signal: undefined, ...watch });
  const options = { ...unset, ...watch };
  assert.deepEqual(await Array.fromAsync(submission.results(options)), [1]);
  assert.equal((await Array.fromAsync(submission.chunks({ ...options, until: undefined }))).length, 1);
  assert.equal(await producer.countSubmissions({ state: undefined }), 0);
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
  };
  await assert.rejects(collectGarbage(garbage), IncorrectUsageError);
});

for (const when of ['all-done', 'as-completed'] as readonly ResultsOptions['when'][]) {
  test(`a choice that only the program knows can be given to every run (${when})`, async () => {
    const store = freshStore();
    await using queue = await FakeQueue.start({ onInsert: workEverything(store, (op) => op) });
    await using producer = new ProducerClient<number, number>(queue.url, store);
    const results: number[] = await Array.fromAsync(producer.runSubmission([1, 2], { chunkSize: 2, when }));
    assert.deepEqual(results, [1, 2]);
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
