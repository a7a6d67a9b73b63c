import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConsumerClient } from '../../src/consumer/index.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';
import { openObjectStore } from '../../src/objects/open.ts';
import { cbor, quietly } from '../support/consumer-scene.ts';
import { FakeQueue, fakeChunk, fakeSubmission } from '../support/fake-queue.ts';

test('memory: stores are read and written on the calling thread', async () => {
  await using queue = await FakeQueue.start();
  const url = `memory:///${process.pid}-local-store`;
  const store = await openObjectStore(url);
  await using consumer = new ConsumerClient(queue.url, url);
  await works(queue, consumer, store);
});

test('an object store of the user is used on the calling thread', async () => {
  await using queue = await FakeQueue.start();
  const store = await openObjectStore('memory:///of-the-user');
  let isClosed = false;
  const wrapped: ObjectStore = {
    url: 'mine://',
    put: (key, body, options) => store.put(key, body, options),
    get: (key, options) => store.get(key, options),
    delete: (keys, options) => store.delete(keys, options),
    list: (folder, options) => store.list(folder, options),
    listFolders: (folder, options) => store.listFolders(folder, options),
    close: async () => {
      isClosed = true;
    },
  };
  await using consumer = new ConsumerClient(queue.url, wrapped);
  await works(queue, consumer, store);
  await consumer.close();
  assert.equal(isClosed, false, 'it is the user who closes it');
});

test('a store on the calling thread that fails fails the chunk, naming the key', async () => {
  await using queue = await FakeQueue.start();
  const store = await openObjectStore('memory:///failing');
  const failing = Object.create(store, {
    put: { value: () => Promise.reject(new Error('the disk is on fire')) },
    get: { value: (key: string) => store.get(key) },
  }) as ObjectStore;
  await using consumer = new ConsumerClient(queue.url, failing);
  const submission = fakeSubmission();
  void quietly(consumer.runEachOp((op) => op));
  const connection = await queue.connection();
  connection.answer((await connection.next('reserve')).nonce, [fakeChunk(submission, 0)]);
  const missing = await connection.until('fail');
  assert.match(missing.failure, /could not read the chunk's body prefix-\d+\/0-in\.bin/);
  await store.put(`${submission.prefix}/1-in.bin`, cbor.encode([1]));
  const reserve = connection.received.findLast((message) => message.kind === 'reserve');
  connection.answer(reserve?.nonce ?? 0, [fakeChunk(submission, 1)]);
  const unwritten = await connection.until('fail');
  assert.match(unwritten.failure, /could not write the chunk's body .*1-out\.bin: the disk is on fire/);
});

async function works(queue: FakeQueue, consumer: ConsumerClient, store: ObjectStore): Promise<void> {
  const submission = fakeSubmission();
  const prefix = submission.prefix ?? '';
  for (const index of [0, 1, 2]) await store.put(`${prefix}/${index}-in.bin`, cbor.encode([index]));
  const over = consumer.runEachOp((op: number) => op + 100, { memoryBytesMax: 1 });
  over.catch(() => {});
  const connection = await queue.connection();
  connection.answer(
    (await connection.next('reserve')).nonce,
    [0, 1].map((index) => fakeChunk(submission, index)),
  );
  await connection.until('complete');
  await connection.until('complete');
  assert.deepEqual(cbor.decode(await store.get(`${prefix}/1-out.bin`)), [101]);

  await using other = new ConsumerClient(queue.url, store);
  const reserved = other.reserveChunks();
  const second = await queue.connection();
  second.answer((await second.next('reserve')).nonce, [fakeChunk(submission, 2)]);
  const [chunk] = await reserved;
  assert.ok(chunk);
  assert.deepEqual(cbor.decode(chunk.input), [2]);
  await other.completeChunk(chunk, cbor.encode([7]));
  await second.until('complete');
  assert.deepEqual(cbor.decode(await store.get(`${prefix}/2-out.bin`)), [7]);
}
