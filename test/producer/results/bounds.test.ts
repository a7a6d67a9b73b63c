import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProducerClient } from '../../../src/producer/index.ts';
import { FakeQueue } from '../../support/fakes/fake-queue-http.ts';
import { workEverything } from '../../support/fakes/fake-queue-worker.ts';
import { watchedStore } from '../../support/fakes/watched-store.ts';
import { freshStore } from '../../support/objects/fresh-store.ts';
import { eventually } from '../../support/time/eventually.ts';

const same = (op: unknown) => op;
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A store whose puts (or gets) wait until they are let go, one by one. */
function gatedStore(kind: 'put' | 'get', inner = freshStore()) {
  const waiting: (() => void)[] = [];
  const gate = (_key: string, second?: Uint8Array | AbortSignal, third?: AbortSignal) =>
    new Promise<undefined>((resolve, reject) => {
      const signal = second instanceof AbortSignal ? second : third;
      signal?.addEventListener('abort', () => reject(signal.reason));
      waiting.push(() => resolve(undefined));
    });
  return { inner, waiting, store: watchedStore(inner, { [kind]: gate }) };
}

for (const kind of ['sync', 'async'] as const) {
  test(`reads no more of a ${kind} source than its uploads have room for`, async () => {
    const { store, waiting } = gatedStore('put');
    await using queue = await FakeQueue.start();
    await using producer = new ProducerClient(queue.url, store, { transfersMax: 4 });
    let pulled = 0;
    function* counted() {
      for (const number of numbers(1000)) {
        pulled++;
        yield number;
      }
    }
    async function* countedAsync() {
      yield* counted();
    }
    const inserted = producer.insertSubmission(kind === 'sync' ? counted() : countedAsync(), {
      chunkSize: 10,
    });
    for (let done = 0; done < 96; done++) {
      await eventually(() => waiting.length === 4);
      await turn();
      assert.ok(pulled <= (done + 4) * 10 + 1, `${pulled} operations pulled after ${done} uploads`);
      waiting.shift()!();
    }
    void eventually(() => waiting.length === 4).then(() => waiting.splice(0).forEach((go) => void go()));
    await inserted;
    assert.equal(pulled, 1000);
    assert.equal(store.runningMax, 4);
    assert.equal(store.puts.length, 100);
  });
}

test('bounds the bytes under way as well as their number', async () => {
  const store = watchedStore(freshStore(), {
    put: async () => {
      await turn();
      return undefined;
    },
  });
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store, { codec: 'raw' });
  const chunks = Array.from({ length: 50 }, () => new Uint8Array(1000));
  await producer.insertSubmission(chunks, { chunkSize: 1, memoryBytesMax: 5000 });
  assert.ok(store.bytesRunningMax <= 5000 && store.runningMax === 5, `${store.bytesRunningMax} bytes`);
  await producer.insertSubmission([new Uint8Array(20_000), new Uint8Array(1)], {
    chunkSize: 1,
    memoryBytesMax: 5000,
  });
  assert.equal(store.bytesRunningMax, 20_000);
});

test('downloads ahead of the reader, within bounds, in order', async () => {
  const { inner, store, waiting } = gatedStore('get');
  await using queue = await FakeQueue.start({ onInsert: workEverything(inner, same) });
  await using producer = new ProducerClient(queue.url, store, { transfersMax: 5 });
  const results = producer.runSubmission(numbers(40), { chunkSize: 2 });
  const first = results.next();
  await eventually(() => waiting.length === 5);
  await turn();
  assert.equal(waiting.length, 5);
  // The last comes first, and waits for the others.
  waiting.splice(4, 1)[0]!();
  await turn();
  assert.equal(store.gets.length, 5);
  waiting.splice(0, 1)[0]!();
  assert.equal((await first).value, 0);
  const rest: unknown[] = [];
  const reading = (async () => {
    for await (const number of results) rest.push(number);
  })();
  while (rest.length < 39) {
    waiting.splice(0).forEach((go) => void go());
    await turn();
  }
  await reading;
  assert.deepEqual(rest, numbers(40).slice(1));
  assert.ok(store.runningMax <= 5);
});

test('holds no more bytes of results than it may', async () => {
  const inner = freshStore();
  const store = watchedStore(inner);
  await using queue = await FakeQueue.start({
    onInsert: async (submission, self) => {
      for (let index = 0; index < submission.record.chunksTotal; index++) {
        await inner.put(`${submission.record.prefix}/${index}-out.bin`, new Uint8Array(1000));
        self.complete(submission, index);
      }
    },
  });
  await using producer = new ProducerClient(queue.url, store, { codec: 'raw' });
  const chunks = Array.from({ length: 60 }, () => new Uint8Array(1));
  const results = producer.runSubmission(chunks, { chunkSize: 1, memoryBytesMax: 4000, transfersMax: 50 });
  let read = 0;
  // How large chunks are is known from the first one on.
  for await (const _ of results) {
    read += 1;
    await turn();
    await turn();
    assert.ok(read < 50 || store.gets.length - read <= 4, `${store.gets.length} asked for, ${read} read`);
  }
  assert.equal(read, 60);
});

test('leaving the loop early stops the downloads and closes nothing but that', async () => {
  const inner = freshStore();
  let late = 0;
  const store = watchedStore(inner, {
    get: (key, signal) =>
      key.endsWith('/0-out.bin')
        ? Promise.resolve(undefined)
        : new Promise((_, reject) => {
            late++;
            signal?.addEventListener('abort', () => reject(signal.reason));
          }),
  });
  await using queue = await FakeQueue.start({ onInsert: workEverything(inner, same) });
  await using producer = new ProducerClient(queue.url, store);
  for await (const number of producer.runSubmission(numbers(40), { chunkSize: 2 })) {
    assert.equal(number, 0);
    await eventually(() => late > 0);
    break;
  }
  await eventually(() => store.running === 0);
  assert.equal(queue.only().end?.state, 'completed');
  assert.equal(await producer.countSubmissions(), 0);
});

test('leaving while the end is awaited takes the question back', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const results = producer.runSubmission([1], { chunkSize: 1 });
  const pending = results.next();
  await eventually(() => queue.held === 1);
  await results.return();
  assert.deepEqual(await pending, { done: true, value: undefined });
  // The one that the insert came by is kept.
  await eventually(() => queue.http.connections === 1);
});

test('close ends every call with its error and waits until they are through', async () => {
  const { store } = gatedStore('put');
  await using queue = await FakeQueue.start();
  const producer = new ProducerClient(queue.url, store);
  const uploading = producer.insertSubmission(numbers(40), { chunkSize: 2 });
  const waiting = producer.runSubmission([1], { in: 'queue', chunkSize: 1 }).next();
  const source = (async function* () {
    yield* numbers(3);
    await new Promise(() => {});
  })();
  const reading = producer.insertSubmission(source, { chunkSize: 2 });
  await eventually(() => queue.held === 1 && store.running > 0);
  const settled = Promise.allSettled([uploading, waiting, reading]);
  await Promise.all([producer.close(), producer.close()]);
  assert.equal(store.running, 0);
  for (const each of await settled) {
    assert.equal(each.status, 'rejected');
    assert.equal(each.status === 'rejected' && each.reason.code, 'CLIENT_CLOSED');
  }
  await assert.rejects(producer.insertSubmission([1], { chunkSize: 1 }), { code: 'CLIENT_CLOSED' });
  await assert.rejects(producer.serverVersion(), { code: 'CLIENT_CLOSED' });
  await assert.rejects(producer.runSubmission([1], { chunkSize: 1 }).next(), { code: 'CLIENT_CLOSED' });
  await eventually(() => queue.http.connections === 0);
});

test('close waits for transfers that cannot be stopped, and for what was uploaded to be removed', async () => {
  const inner = freshStore();
  const letGo: (() => void)[] = [];
  const store = watchedStore(inner, {
    put: () => new Promise((resolve) => letGo.push(() => resolve(undefined))),
  });
  const deaf = { ...store, put: (key: string, body: Uint8Array) => store.put(key, body) };
  await using queue = await FakeQueue.start();
  const producer = new ProducerClient(queue.url, deaf);
  const inserted = assert.rejects(producer.insertSubmission([1], { chunkSize: 1 }), {
    code: 'CLIENT_CLOSED',
  });
  await eventually(() => letGo.length === 1);
  let isClosed = false;
  const closed = producer.close().then(() => {
    isClosed = true;
  });
  await turn();
  assert.equal(isClosed, false);
  letGo[0]!();
  await closed;
  assert.deepEqual(await store.keys(), []);
  await inserted;
});

test('a sync source without end leaves other work its turn', async () => {
  await using queue = await FakeQueue.start();
  const inner = freshStore();
  // Such a store never waits for anything, so that its promises settle before any timer's turn.
  await using producer = new ProducerClient(queue.url, { ...watchedStore(inner), put: async () => {} });
  const controller = new AbortController();
  const endless = function* () {
    for (let i = 0; ; i++) yield i;
  };
  setTimeout(() => controller.abort(new Error('my turn')), 5);
  const { signal } = controller;
  await assert.rejects(producer.insertSubmission(endless(), { chunkSize: 1000, signal }), /my turn/);
});
