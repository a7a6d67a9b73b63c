import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IncorrectUsageError, ProducerClient } from '../../src/producer/index.ts';
import { FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { type ScriptedHttp, scriptedHttp } from '../support/fakes/scripted-http.ts';
import { watchedStore } from '../support/fakes/watched-store.ts';
import { freshStore } from '../support/objects/fresh-store.ts';

test('wrong use throws at once, before anything is uploaded', async () => {
  const store = watchedStore(freshStore());
  const wrong: readonly (readonly [string, () => unknown])[] = [
    ['url', () => new ProducerClient('ftp://x', null)],
    ['object store url', () => new ProducerClient('x:1', 'nonsense')],
    ['object store scheme', () => new ProducerClient('x:1', 'ftp://bucket/x')],
    ['transfersMax', () => new ProducerClient('x:1', null, { transfersMax: 0 })],
    ['memoryBytesMax', () => new ProducerClient('x:1', null, { memoryBytesMax: Number.NaN })],
    ['codec', () => new ProducerClient('x:1', null, { codec: 'xml' as never })],
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
    { strategicMetadata: { '\ud800': 1 } },
    { strategicMetadata: [1, 2] },
    { strategicMetadata: new Set([1]) },
    { strategicMetadata: new Date(0) },
    { strategicMetadata: 5 },
    { strategicMetadata: new Map(Array.from({ length: 257 }, (_, i) => [`key ${i}`, i])) },
    { metadata: new Uint8Array(40_000_000) },
    { signal: {} },
    { signal: null },
    { onProgress: 'often' },
    { retryDelayMs: -1 },
    { retry: 5 },
    { retry: null },
    { retry: { delayMs: -1 } },
    { retry: { jitter: 2 } },
    { retry: { triesMax: 1.5 } },
    { retry: { delay: 5 } },
    { when: 'sometime' },
    { in: 'the sea' },
    { cleanup: 'never' },
    { compression: 'gzip' },
    { transfersMax: 1.5 },
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
  for (const options of [undefined, null, 5, 'chunkSize: 1']) {
    assert.throws(() => producer.runSubmission([1], loose(options)), /options must be an object/);
    await assert.rejects(producer.insertSubmission([1], loose(options)), /options must be an object/);
    await assert.rejects(producer.submit([1], loose(options)), /options must be an object/);
  }
  for (const source of [undefined, null, 5, {}, 'operations', { [Symbol.iterator]: 5 }]) {
    assert.throws(() => producer.runSubmission(loose(source), { chunkSize: 1 }), IncorrectUsageError);
  }
  for (const id of [5, '', 'x', '-1', '1.5', '9223372036854775808', -1n]) {
    assert.throws(() => producer.submission(loose(id)), /a submission id must be/);
  }
  await assert.rejects(producer.submissionByPrefix('../x'), IncorrectUsageError);
  await using storeless = new ProducerClient('127.0.0.1:1', null);
  assert.throws(
    () => storeless.runSubmission([1], { in: 'object-store', chunkSize: 1 }),
    /needs an object store/,
  );
  assert.deepEqual(store.puts, []);
});

test('wrong use of a call that asks throws before it asks', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const id = await producer.insertSubmission([1], { chunkSize: 1 });
  const asked = queue.paths.length;
  const wrong: readonly unknown[] = [null, 5, { signal: {} }];
  const calls: readonly ((options: never) => unknown)[] = [
    (options) => producer.submission(id).results(options),
    (options) => producer.submission(id).chunks(options),
    (options) => producer.submission(id).done(options),
    (options) => producer.submission(id).progress(options),
    (options) => producer.submission(id).details(options),
    (options) => producer.submission(id).cancel(options),
    (options) => producer.countSubmissions(options),
    (options) => producer.endedSubmissions('failed', options),
    (options) => producer.submissionByPrefix('x', options),
    (options) => producer.submissionsInProgress({}, options),
    (options) => producer.knownPrefixes(['x'], options),
    (options) => producer.queues(options),
    (options) => producer.serverVersion(options),
    (options) => producer.submission(id).delete(options),
    (options) => new ProducerClient(queue.url, null, options === null ? options : (5 as never)),
  ];
  for (const call of calls) {
    for (const options of wrong) {
      await assert.rejects(async () => call(options as never), IncorrectUsageError, String(call));
    }
  }
  const soon = 'soon' as never;
  assert.throws(() => producer.submission(id).results({ when: soon }), /when must be/);
  assert.throws(() => producer.submission(id).chunks({ until: soon }), /until must be/);
  await assert.rejects(producer.endedSubmissions(soon), /state must be/);
  await assert.rejects(producer.countSubmissions({ state: soon }), /state must be/);
  assert.throws(() => producer.submission(id).results({ onProgress: 5 as never }), /onProgress must/);
  await assert.rejects(producer.submission(id).done({ onProgress: 5 as never }), /onProgress must/);
  assert.equal(queue.paths.length, asked);
});

test('metadata is that of the call, whatever becomes of its buffer during the upload', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const metadata = Uint8Array.of(7);
  const inserted = producer.insertSubmission([1], { chunkSize: 1, metadata });
  metadata[0] = 8;
  await inserted;
  assert.deepEqual(queue.only().record.metadata, Uint8Array.of(7));
});

test('any object with pairs, and any AbortSignal, will do', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const pairs = Object.assign(Object.create(null), { a: 1, ü: 2n });
  const { signal } = new AbortController();
  // Such as that of a test environment with globals of its own.
  const foreign = { aborted: false, addEventListener() {}, removeEventListener() {} };
  for (const strategicMetadata of [pairs, new Map(Object.entries(pairs))]) {
    await producer.insertSubmission([1], { chunkSize: 1, strategicMetadata, signal });
    await producer.insertSubmission([1], { chunkSize: 1, strategicMetadata, signal: foreign as never });
  }
  for (const { record } of queue.submissions.values()) {
    assert.deepEqual([...record.strategicMetadata], Object.entries({ a: 1n, ü: 2n }));
  }
});

test('a chunk that is no Uint8Array ends the call, submits nothing, and does not hold up close()', async () => {
  const store = watchedStore(freshStore());
  await using queue = await FakeQueue.start();
  const producer = new ProducerClient(queue.url, store, { codec: 'raw' });
  for (const odd of [undefined, null, 5, 'text', [1, 2], new ArrayBuffer(8)]) {
    const content = odd as unknown as Uint8Array;
    const codec = { encode: () => content, decode: () => [] };
    const chunks = [Uint8Array.of(1), content];
    const asyncChunks = async function* () {
      yield* chunks;
    };
    await using encoding = new ProducerClient(queue.url, store, { codec });
    const options = { chunkSize: 1 };
    const calls: readonly (readonly [RegExp, () => Promise<unknown>])[] = [
      [/codec\.encode/, () => encoding.insertSubmission([1], options)],
      [/codec\.encode/, () => encoding.runSubmission([1], options).next()],
      [/codec\.encode/, () => encoding.insertSubmission([1], { ...options, in: 'queue' })],
      [/chunk 1 of/, () => producer.insertSubmission(chunks, options)],
      [/chunk 1 of/, () => producer.insertSubmission(asyncChunks(), options)],
      [/chunk 1 of/, () => producer.runSubmission(chunks, options).next()],
      [/chunk 1 of/, () => producer.insertSubmission(chunks, { ...options, in: 'queue' })],
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
    return await producer.submission(1n).details();
  };
  for (const reply of replies) {
    await using server = await scriptedHttp(() => reply);
    await assert.rejects(use(server), /json|InProgress|no such page/i);
  }
});

test('a direct submission of more chunks than the queue keeps is refused as soon as they are too many', async (t) => {
  const producer = new ProducerClient('localhost:1', null, { codec: 'raw' });
  t.after(() => producer.close());
  let asked = 0;
  function* endless(): Generator<Uint8Array> {
    for (;;) {
      asked++;
      yield Uint8Array.of(1);
    }
  }
  await assert.rejects(producer.insertSubmission(endless(), { in: 'queue', chunkSize: 1 }), {
    code: 'INCORRECT_USAGE',
    message: /100001 chunks are more than the 100000/,
  });
  assert.equal(asked, 100_001);
});
