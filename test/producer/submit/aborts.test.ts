import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ObjectStoreError } from '../../../src/objects/errors.ts';
import { ClientClosedError, ProducerClient } from '../../../src/producer/index.ts';
import { FakeQueue } from '../../support/fakes/fake-queue-http.ts';
import { workEverything } from '../../support/fakes/fake-queue-worker.ts';
import { recordingLogger } from '../../support/fakes/recording-logger.ts';
import { watchedStore } from '../../support/fakes/watched-store.ts';
import { freshStore } from '../../support/objects/fresh-store.ts';
import { eventually } from '../../support/time/eventually.ts';

const same = (op: unknown) => op;
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);
const chunkSize = 2;

test('an abort in the upload submits nothing, removes what was uploaded and gives the reason', async () => {
  const store = watchedStore(freshStore());
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store);
  const hangs = async function* () {
    yield* numbers(100);
    await new Promise(() => {});
  };
  const endless = function* () {
    for (let i = 0; ; i++) yield i;
  };
  for (const source of [hangs(), endless()]) {
    const puts = store.puts.length;
    const controller = new AbortController();
    const inserted = producer.insertSubmission(source, { chunkSize, signal: controller.signal });
    void eventually(() => store.puts.length > puts + 30).then(() => controller.abort(new Error('enough')));
    await assert.rejects(inserted, /enough/);
  }
  assert.deepEqual(await store.keys(), []);
  assert.deepEqual(queue.paths, []);
});

test('an abort before the start uploads nothing', async () => {
  const store = watchedStore(freshStore());
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store);
  const signal = AbortSignal.abort(new Error('never'));
  await assert.rejects(producer.insertSubmission([1], { chunkSize, signal }), /never/);
  await assert.rejects(Array.fromAsync(producer.runSubmission([1], { chunkSize, signal })), /never/);
  assert.deepEqual(store.puts, []);
});

for (const place of ['object-store', 'queue'] as const) {
  test(`close() ends a submit into the ${place} that has a signal, although its source hangs`, async () => {
    await using queue = await FakeQueue.start();
    const asked = Promise.withResolvers<void>();
    const hangs = async function* () {
      yield 1;
      asked.resolve();
      await new Promise(() => {});
    };
    const producer = new ProducerClient(queue.url, freshStore());
    const { signal } = new AbortController();
    const inserted = producer.submit(hangs(), { chunkSize, in: place, signal });
    await asked.promise;
    await Promise.all([assert.rejects(inserted, ClientClosedError), producer.close()]);
    assert.deepEqual(queue.paths, []);
  });

  test(`a submit into the ${place} whose signal was aborted before does not touch its source`, async () => {
    await using producer = new ProducerClient('127.0.0.1:1', freshStore());
    let asked = 0;
    const source = {
      [Symbol.asyncIterator]: () => {
        asked++;
        return { next: async () => ({ done: true, value: undefined }) as const };
      },
    };
    const signal = AbortSignal.abort(new Error('never'));
    await assert.rejects(producer.submit(source, { chunkSize, in: place, signal }), /never/);
    assert.equal(asked, 0);
  });
}

test('an abort while the queue is awaited removes what was uploaded', async () => {
  const store = watchedStore(freshStore());
  const queue = await FakeQueue.start();
  await queue.http.stop();
  const logger = recordingLogger();
  await using producer = new ProducerClient(queue.url, store, { logger });
  const controller = new AbortController();
  const inserted = producer.insertSubmission(numbers(9), { chunkSize, signal: controller.signal });
  await eventually(() => logger.lines.length > 0);
  controller.abort(new Error('enough'));
  await assert.rejects(inserted, /enough/);
  assert.deepEqual(await store.keys(), []);
});

test('an abort while the answer to the insert is awaited cancels what the queue has', async () => {
  const store = watchedStore(freshStore());
  const controller = new AbortController();
  await using queue = await FakeQueue.start({ onInsert: () => controller.abort(new Error('enough')) });
  await using producer = new ProducerClient(queue.url, store);
  await assert.rejects(producer.insertSubmission([1], { chunkSize, signal: controller.signal }), /enough/);
  assert.equal(queue.only().end?.state, 'cancelled');
  assert.deepEqual(await store.keys(), []);
});

test('an abort while the end is awaited gives the reason and leaves the submission', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  for (const when of ['all-done', 'as-completed'] as const) {
    const controller = new AbortController();
    const { signal } = controller;
    const next = producer.runSubmission([1], { chunkSize, signal, when }).next();
    await eventually(() => queue.held === 1);
    controller.abort(new Error('enough'));
    await assert.rejects(next, /enough/);
    for (const each of queue.submissions.values()) queue.complete(each, 0);
    await eventually(() => queue.held === 0);
  }
});

test('an abort gives the reason whatever the store makes of it', async () => {
  const store = freshStore();
  let controller = new AbortController();
  const oddly = (key: string, signal?: AbortSignal) =>
    new Promise<undefined>((_, reject) => {
      signal?.addEventListener('abort', () => reject(new ObjectStoreError('OBJECT_FAILED', key, 'odd')));
      setImmediate(() => controller.abort(new Error('enough')));
    });
  let gets = 0;
  const oddPuts = watchedStore(store, { put: (key, _body, signal) => oddly(key, signal) });
  // The first one is truncated: it is the second one that is aborted.
  const oddGets = watchedStore(store, {
    get: async (key, signal) => (gets++ === 0 ? Uint8Array.of(0x82) : oddly(key, signal)),
  });
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, same) });
  for (const odd of [oddPuts, oddGets]) {
    await using producer = new ProducerClient(queue.url, odd);
    controller = new AbortController();
    const { signal } = controller;
    await assert.rejects(producer.runSubmission([1], { chunkSize, signal }).next(), /enough/);
  }
  await using producer = new ProducerClient(queue.url, oddPuts);
  controller = new AbortController();
  const { signal } = controller;
  await assert.rejects(producer.insertSubmission([1], { chunkSize, signal }), /enough/);
});

test('an abort between two results is told by the next one', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, same) });
  await using producer = new ProducerClient(queue.url, store);
  const controller = new AbortController();
  const results = producer.runSubmission(numbers(100), { chunkSize: 100, signal: controller.signal });
  await results.next();
  controller.abort(new Error('enough'));
  await assert.rejects(results.next(), /enough/);
  assert.equal((await results.next()).done, true);
});
