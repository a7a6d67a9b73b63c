import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { ClientClosedError, ConsumerClient } from '../../src/consumer/index.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';
import { openObjectStore } from '../../src/objects/open.ts';
import { FakeQueue, fakeChunk, fakeSubmission } from '../support/fakes/fake-queue.ts';
import { cbor, quietly } from '../support/peers/consumer-scene.ts';
import { Inbox } from '../support/peers/inbox.ts';

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
  const reserved = other.reserveChunks({ raw: true });
  const second = await queue.connection();
  second.answer((await second.next('reserve')).nonce, [fakeChunk(submission, 2)]);
  const [chunk] = await reserved;
  assert.ok(chunk);
  assert.deepEqual(cbor.decode(chunk.input), [2]);
  await other.completeChunk(chunk, cbor.encode([7]));
  await second.until('complete');
  assert.deepEqual(cbor.decode(await store.get(`${prefix}/2-out.bin`)), [7]);
}

/** A store of the user whose reads of inputs, or writes of results, hang: they know nothing of signals. */
async function hangingStore(what: 'get' | 'put', from: number) {
  const store = await openObjectStore(`memory:///hanging-${what}-${from}`);
  const begun = new Inbox<string>();
  let calls = 0;
  const hang = (key: string) => {
    begun.put(key);
    return ++calls > from ? new Promise<never>(() => {}) : null;
  };
  const hanging: ObjectStore = {
    url: 'mine://',
    put: (key, body) => (what === 'put' && key.includes('-out') && hang(key)) || store.put(key, body),
    get: (key) => (what === 'get' && hang(key)) || store.get(key),
    delete: (keys) => store.delete(keys),
    list: (folder) => store.list(folder),
    listFolders: (folder) => store.listFolders(folder),
    close: async () => {},
  };
  return { store, hanging, begun };
}

test('stop gives back chunks that are only being read', async () => {
  await using queue = await FakeQueue.start();
  const { store, hanging, begun } = await hangingStore('get', 1);
  await using consumer = new ConsumerClient(queue.url, hanging);
  const submission = fakeSubmission();
  for (const index of [0, 1]) await store.put(`${submission.prefix}/${index}-in.bin`, cbor.encode([index]));
  const over = consumer.runEachOp((op) => op, { prefetch: 1 });
  const connection = await queue.connection();
  connection.answer((await connection.next('reserve')).nonce, [
    fakeChunk(submission, 0),
    fakeChunk(submission, 1),
  ]);
  assert.equal((await connection.until('complete')).chunk.chunkIndex, 0);
  assert.deepEqual([await begun.take(), await begun.take()].length, 2);
  await consumer.stop();
  await over;
  assert.deepEqual(
    (await connection.until('release')).chunks.map(({ chunkIndex }) => chunkIndex),
    [1],
  );
});

test('what was read of a chunk that pause gives back takes no memory any more', async () => {
  await using queue = await FakeQueue.start();
  const store = await openObjectStore('memory:///pause-gives-back');
  const submission = fakeSubmission();
  const ops = ['running', 'x'.repeat(100), 'after the pause'];
  for (const [index, op] of ops.entries()) {
    await store.put(`${submission.prefix}/${index}-in.bin`, cbor.encode([op]));
  }
  const reads = new Inbox<Promise<Uint8Array>>();
  const watched = Object.create(store, {
    get: {
      value(key: string) {
        const read = store.get(key);
        reads.put(read);
        return read;
      },
    },
    put: { value: (key: string, body: Uint8Array) => store.put(key, body) },
  }) as ObjectStore;
  await using consumer = new ConsumerClient(queue.url, watched);
  const begun = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const callback = async (op: unknown) => {
    begun.resolve();
    await gate.promise;
    return op;
  };
  void quietly(consumer.runEachOp(callback, { prefetch: 1, memoryBytesMax: 50 }));
  const connection = await queue.connection();
  connection.answer((await connection.next('reserve')).nonce, [
    fakeChunk(submission, 0),
    fakeChunk(submission, 1),
  ]);
  await begun.promise;
  await Promise.all([await reads.take(), await reads.take()]);
  await setImmediate();
  const paused = consumer.pause();
  await connection.until('release');
  gate.resolve();
  await paused;
  consumer.resume();
  connection.answer((await connection.until('reserve')).nonce, [fakeChunk(submission, 2)]);
  assert.equal((await connection.until('complete')).chunk.chunkIndex, 2);
});

test('stop waits for the result that completeChunk is uploading, and for its message', async () => {
  await using queue = await FakeQueue.start();
  const store = await openObjectStore('memory:///stop-while-uploading');
  const uploading = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const slow = Object.create(store, {
    put: {
      async value(key: string, body: Uint8Array) {
        uploading.resolve();
        await gate.promise;
        return store.put(key, body);
      },
    },
    get: { value: (key: string) => store.get(key) },
  }) as ObjectStore;
  await using consumer = new ConsumerClient(queue.url, slow);
  const reserved = consumer.reserveChunks({ raw: true });
  const connection = await queue.connection();
  const direct = fakeChunk(fakeSubmission({ prefix: null }), 0, { inputContent: Uint8Array.of(1) });
  connection.answer((await connection.next('reserve')).nonce, [direct]);
  await reserved;
  const completed = consumer.completeChunk(reference(3), Uint8Array.of(1));
  await uploading.promise;
  const stopped = consumer.stop();
  gate.resolve();
  await completed;
  await stopped;
  assert.equal((await connection.until('complete')).chunk.chunkIndex, 3);
});

test('close ends a completeChunk that is uploading, with a ClientClosedError', async () => {
  await using queue = await FakeQueue.start();
  const { hanging, begun } = await hangingStore('put', 0);
  const consumer = new ConsumerClient(queue.url, hanging);
  const completed = consumer.completeChunk(reference(0), Uint8Array.of(1));
  const rejected = assert.rejects(completed, ClientClosedError);
  await begun.take();
  await consumer.close();
  await rejected;
});

test("the output of completeChunk stays the caller's while it is uploaded", async () => {
  await using queue = await FakeQueue.start();
  const store = await openObjectStore('memory:///output-of-the-caller');
  const gate = Promise.withResolvers<void>();
  const slow = Object.create(store, {
    put: {
      async value(key: string, body: Uint8Array) {
        await gate.promise;
        return store.put(key, body);
      },
    },
  }) as ObjectStore;
  await using consumer = new ConsumerClient(queue.url, slow);
  const output = Uint8Array.of(1, 2, 3);
  const completed = consumer.completeChunk(reference(0), output);
  output.fill(9);
  gate.resolve();
  await completed;
  assert.deepEqual([...(await store.get('some-prefix/0-out.bin'))], [1, 2, 3]);
});

for (const how of ['the signal', 'close', 'stop'] as const) {
  test(`${how} ends a reserveChunks that reads inputs; the chunks go back`, async () => {
    await using queue = await FakeQueue.start();
    const { store, hanging, begun } = await hangingStore('get', 1);
    const submission = fakeSubmission();
    for (const index of [0, 1]) await store.put(`${submission.prefix}/${index}-in.bin`, cbor.encode([index]));
    const consumer = new ConsumerClient(queue.url, hanging);
    const controller = new AbortController();
    const reserved = consumer.reserveChunks({ max: 2, signal: controller.signal, raw: true });
    const reason = new Error('enough');
    const rejected = assert.rejects(reserved, (error) =>
      how === 'the signal' ? error === reason : error instanceof ClientClosedError,
    );
    const connection = await queue.connection();
    connection.answer((await connection.next('reserve')).nonce, [
      fakeChunk(submission, 0),
      fakeChunk(submission, 1),
    ]);
    await begun.take();
    await begun.take();
    if (how === 'the signal') controller.abort(reason);
    else await consumer[how]();
    await rejected;
    if (how !== 'close') {
      const given = [...(await connection.until('release')).chunks];
      if (given.length < 2) given.push(...(await connection.until('release')).chunks);
      assert.deepEqual(given.map(({ chunkIndex }) => chunkIndex).sort(), [0, 1]);
    }
    await consumer.close();
  });
}

function reference(chunkIndex: number) {
  return { submissionId: 42n, submissionPrefix: 'some-prefix', chunkIndex };
}
