import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ObjectStoreError } from '../../../src/objects/errors.ts';
import {
  type ChunkUnencodableError,
  ProducerClient,
  QueueRefusedError,
  QueueUnreachableError,
} from '../../../src/producer/index.ts';
import { FakeQueue } from '../../support/fakes/fake-queue-http.ts';
import { recordingLogger } from '../../support/fakes/recording-logger.ts';
import { watchedStore } from '../../support/fakes/watched-store.ts';
import { freshStore } from '../../support/objects/fresh-store.ts';
import { eventually } from '../../support/time/eventually.ts';

const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);
const chunkSize = 2;

function* failingAfter(count: number) {
  yield* numbers(count);
  throw new Error('the source is broken');
}

async function* failingAsyncAfter(count: number) {
  yield* failingAfter(count);
}

test('submits nothing and removes what was uploaded when the source throws', async () => {
  const store = watchedStore(freshStore());
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store);
  for (const source of [failingAfter(51), failingAsyncAfter(51)]) {
    await assert.rejects(producer.insertSubmission(source, { chunkSize }), /the source is broken/);
  }
  for (const source of [failingAfter(51), failingAsyncAfter(51)]) {
    await assert.rejects(Array.fromAsync(producer.runSubmission(source, { chunkSize })), /source is broken/);
  }
  assert.equal(store.puts.length, 100);
  assert.deepEqual(await store.keys(), []);
  assert.deepEqual(queue.paths, []);
});

test('submits nothing and removes what was uploaded when an operation cannot be encoded', async () => {
  const store = watchedStore(freshStore());
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store, { codec: 'json' });
  const circle: unknown[] = [];
  circle.push(circle);
  let closed = false;
  async function* endless() {
    try {
      for (;;) yield circle;
    } finally {
      closed = true;
    }
  }
  for (const source of [[1, 2, 3, circle], endless()]) {
    await assert.rejects(producer.insertSubmission(source, { chunkSize }), /circular|cycl/i);
  }
  assert.equal(closed, true);
  assert.deepEqual(await store.keys(), []);
  assert.deepEqual(queue.paths, []);
});

test('an operation that cannot be encoded is named by its position in the source, however it is cut', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const operations = [1, 2, 3, 4, { at: [0, () => 1] }];
  for (const size of [1, 2, 3, 100]) {
    for (const source of [operations, new Set(operations)]) {
      await assert.rejects(
        producer.insertSubmission(source, { chunkSize: size }),
        (error: ChunkUnencodableError) =>
          error.path === '[4].at[1]' && error.message.startsWith('[4].at[1] '),
      );
    }
  }
});

test('submits nothing, closes the source and removes what was uploaded when an upload fails', async () => {
  const store = watchedStore(freshStore(), {
    put: async (key) => {
      if (!key.endsWith('/7-in.bin')) return undefined;
      throw new ObjectStoreError('OBJECT_DENIED', key, `object ${key}: denied`);
    },
  });
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store);
  let closed = 0;
  function* endless() {
    try {
      for (;;) yield 1;
    } finally {
      closed++;
    }
  }
  async function* endlessAsync() {
    yield* endless();
  }
  for (const source of [endless(), endlessAsync()]) {
    await assert.rejects(producer.insertSubmission(source, { chunkSize }), { code: 'OBJECT_DENIED' });
  }
  await eventually(() => closed === 2);
  assert.deepEqual(await store.keys(), []);
  assert.deepEqual(queue.paths, []);
});

for (const [how, end] of [
  ['throws', () => assert.fail('from return')],
  ['rejects', () => Promise.reject(new Error('from return'))],
  ['succeeds', () => Promise.resolve({ done: true, value: undefined })],
] as const) {
  test(`a source whose return() ${how} is closed once, and what ended it is told`, async () => {
    await using queue = await FakeQueue.start();
    await using producer = new ProducerClient(queue.url, freshStore());
    let closed = 0;
    const sourceOf = (next: () => unknown): AsyncIterable<unknown> => ({
      [Symbol.asyncIterator]: () => ({
        next: async () => ({ done: false, value: next() }),
        return: () => {
          closed++;
          return end();
        },
      }),
    });
    const abortedWhile = async (when: 'read' | 'uploaded') => {
      const controller = new AbortController();
      const abort = () => controller.abort(new Error('enough'));
      const source = sourceOf(() => void (when === 'read' ? abort() : setImmediate(abort)));
      const options = { chunkSize: 1, transfersMax: 1, signal: controller.signal };
      await assert.rejects(producer.insertSubmission(source, options), /enough/);
    };
    await abortedWhile('read');
    assert.equal(closed, 1);
    await abortedWhile('uploaded');
    assert.equal(closed, 2);
    const unencodable = sourceOf(() => () => 'a function');
    await assert.rejects(producer.insertSubmission(unencodable, { chunkSize }), {
      code: 'CHUNK_UNENCODABLE',
    });
    assert.equal(closed, 3);
  });
}

test('an upload that fails is told at once, although the source hangs', async () => {
  const store = watchedStore(freshStore(), { put: () => Promise.reject(new Error('no disk')) });
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store);
  async function* hanging() {
    yield 1;
    yield 2;
    await new Promise(() => {});
  }
  await assert.rejects(producer.insertSubmission(hanging(), { chunkSize }), /no disk/);
});

test('removes what was uploaded when the queue refuses the submission', async () => {
  const store = watchedStore(freshStore());
  await using queue = await FakeQueue.start({ fault: () => ({ status: 422, body: 'chunk_size: too odd' }) });
  await using producer = new ProducerClient(queue.url, store);
  await assert.rejects(producer.insertSubmission(numbers(9), { chunkSize }), (error) => {
    assert.ok(error instanceof QueueRefusedError);
    assert.match(error.message, /too odd/);
    return true;
  });
  assert.deepEqual(await store.keys(), []);
});

test('keeps what was uploaded when it is not known whether the queue has the submission', async () => {
  const store = watchedStore(freshStore());
  await using queue = await FakeQueue.start({ fault: () => 'cut' });
  const logger = recordingLogger();
  await using producer = new ProducerClient(queue.url, store, { retryForMs: 0, logger });
  await assert.rejects(producer.insertSubmission([1], { chunkSize }), QueueUnreachableError);
  assert.equal((await store.keys()).length, 1);
  assert.match(logger.lines.at(-1)!.message, /insert outcome unknown/);
});

for (const features of [undefined, []]) {
  const whose = features === undefined ? 'a queue of ours' : 'the original';
  test(`does not insert twice where the answer of ${whose} was lost`, async () => {
    const store = freshStore();
    let lost = 0;
    await using queue = await FakeQueue.start({
      ...(features === undefined ? {} : { features }),
      onInsert: (_submission, self) => {
        if (lost++ === 0) self.http.cutNext();
      },
    });
    await using producer = new ProducerClient(queue.url, store);
    const id = await producer.insertSubmission([1], { chunkSize });
    assert.equal(id, String(queue.only().record.id));
    assert.equal(queue.submissions.size, 1);
    assert.equal(lost, 1);
  });
}

test('inserts a direct submission once, and does not repeat it where that could be twice', async () => {
  let lost = 0;
  const onInsert = (_submission: unknown, self: FakeQueue) => {
    if (lost++ === 0) self.http.cutNext();
  };
  await using ours = await FakeQueue.start({ onInsert });
  await using producer = new ProducerClient(ours.url, null);
  await producer.insertSubmission([1], { in: 'queue', chunkSize });
  assert.equal(ours.submissions.size, 1);
  lost = 0;
  await using original = await FakeQueue.start({ features: [], onInsert });
  await using second = new ProducerClient(original.url, null);
  await assert.rejects(second.insertSubmission([1], { in: 'queue', chunkSize }), /not known/);
  assert.equal(original.submissions.size, 1);
});

test('a submission that was not inserted and whose chunks cannot be removed is named in the log', async () => {
  const store = Object.assign(watchedStore(freshStore()), {
    delete: () => Promise.reject(new Error('read-only')),
  });
  await using queue = await FakeQueue.start();
  const logger = recordingLogger();
  await using producer = new ProducerClient(queue.url, store, { logger });
  await assert.rejects(producer.insertSubmission(failingAfter(3), { chunkSize }), /the source is broken/);
  assert.deepEqual(logger.lines[0]?.fields, { prefix: store.puts[0]?.split('/')[0] });
});
