import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ObjectStoreError } from '../../src/objects/errors.ts';
import {
  ChunkContentError,
  IncorrectUsageError,
  ProducerClient,
  QueueRefusedError,
  QueueUnreachableError,
  SubmissionCancelledError,
  SubmissionFailedError,
  SubmissionForgottenError,
} from '../../src/producer/index.ts';
import { systemClock } from '../../src/system/clock.ts';
import { eventually } from '../support/eventually.ts';
import { FakeQueue } from '../support/fake-queue-http.ts';
import { workEverything } from '../support/fake-queue-worker.ts';
import { freshStore } from '../support/fresh-store.ts';
import { recordingLogger } from '../support/recording-logger.ts';
import { type ScriptedHttp, scriptedHttp } from '../support/scripted-http.ts';
import { watchedStore } from '../support/watched-store.ts';

const same = (op: unknown) => op;
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);
const chunkSize = 2;

/** The clock of the machine, which a test sets forward. */
class LeapingClock {
  leapMs = 0;
  readonly nowMs = systemClock.nowMs;
  readonly after = systemClock.after;
  readonly soon = systemClock.soon;
  monotonicMs(): number {
    return systemClock.monotonicMs() + this.leapMs;
  }
}

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
  for (const results of ['when-complete', 'as-completed'] as const) {
    const controller = new AbortController();
    const { signal } = controller;
    const next = producer.runSubmission([1], { chunkSize, signal, results }).next();
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
  assert.match(logger.lines.at(-1)!.message, /not known whether/);
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
    assert.equal(id, queue.only().record.id);
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
  await producer.insertSubmissionDirect([1], { chunkSize });
  assert.equal(ours.submissions.size, 1);
  lost = 0;
  await using original = await FakeQueue.start({ features: [], onInsert });
  await using second = new ProducerClient(original.url, null);
  await assert.rejects(second.insertSubmissionDirect([1], { chunkSize }), /not known/);
  assert.equal(original.submissions.size, 1);
});

test('a failed submission throws with the chunk and what its consumer said', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  for (const results of ['when-complete', 'as-completed', 'unordered'] as const) {
    const run = producer.runSubmission([1, 2, 3], {
      chunkSize,
      results,
      onInserted: (id) => queue.fail(queue.submissions.get(id)!, 1, 'Error: boom\n    at work (x.js:1:1)'),
    });
    await assert.rejects(Array.fromAsync(run), (error) => {
      assert.ok(error instanceof SubmissionFailedError);
      assert.equal(error.chunkIndex, 1);
      assert.match(error.message, /boom\n {4}at work/);
      return true;
    });
  }
});

test('a cancelled submission throws, a forgotten one too', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  for (const results of ['when-complete', 'as-completed', 'unordered'] as const) {
    const cancelled = producer.runSubmission([1], {
      chunkSize,
      results,
      onInserted: (id) => queue.cancel(queue.submissions.get(id)!),
    });
    await assert.rejects(Array.fromAsync(cancelled), SubmissionCancelledError);
    const forgotten = producer.runSubmission([1], {
      chunkSize,
      results,
      onInserted: (id) => queue.forget(queue.submissions.get(id)!),
    });
    await assert.rejects(Array.fromAsync(forgotten), SubmissionForgottenError);
  }
});

test("what was done before a failure is given out first with 'as-completed'", async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({
    onInsert: async (submission, self) => {
      await store.put(`${submission.record.prefix}/0-out.bin`, Uint8Array.of(0x81, 7));
      self.complete(submission, 0);
      self.fail(submission, 1, 'boom');
    },
  });
  await using producer = new ProducerClient(queue.url, store);
  const results = producer.runSubmission([1, 2], { chunkSize: 1, results: 'as-completed' });
  assert.deepEqual(await results.next(), { done: false, value: 7 });
  await assert.rejects(results.next(), SubmissionFailedError);
});

test('a result that was truncated on its way is fetched again; one that stays so is named', async () => {
  const store = freshStore();
  let truncated = 0;
  const watched = watchedStore(store, {
    get: async (key) => {
      if (!key.endsWith('/1-out.bin') || truncated++ > 0) return undefined;
      return (await store.get(key)).subarray(0, -1);
    },
  });
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, String) });
  await using producer = new ProducerClient(queue.url, watched);
  const run = () => Array.fromAsync(producer.runSubmission(numbers(4), { chunkSize }));
  assert.deepEqual(await run(), ['0', '1', '2', '3']);
  assert.equal(truncated, 2);
  truncated = -1000;
  await assert.rejects(run(), (error) => {
    assert.ok(error instanceof ChunkContentError);
    assert.match(error.message, /^chunk [0-9a-f-]{36}\/1-out\.bin: /);
    assert.ok(error.cause instanceof Error);
    return true;
  });
});

test('a result that cannot be read is the error of the store, and the downloads ahead stop', async () => {
  const store = freshStore();
  const watched = watchedStore(store, {
    get: async (key, signal) => {
      if (key.endsWith('/0-out.bin')) throw new ObjectStoreError('OBJECT_DENIED', key, 'denied');
      return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
    },
  });
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, same) });
  await using producer = new ProducerClient(queue.url, watched);
  await assert.rejects(Array.fromAsync(producer.runSubmission(numbers(20), { chunkSize })), {
    code: 'OBJECT_DENIED',
  });
  await eventually(() => watched.running === 0);
});

test('a result that is gone because its submission was forgotten says so', async () => {
  const store = freshStore();
  const removed = watchedStore(store, {
    get: async (key) => {
      if (key.endsWith('/1-out.bin')) {
        queue.forget(queue.only());
        await store.delete([key]);
      }
      return undefined;
    },
  });
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, same) });
  await using producer = new ProducerClient(queue.url, removed);
  const results = producer.runSubmission(numbers(4), { chunkSize });
  await assert.rejects(Array.fromAsync(results), SubmissionForgottenError);
});

test('waits through a restart of the queue', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start();
  const logger = recordingLogger();
  await using producer = new ProducerClient(queue.url, store, { logger });
  for (const results of ['when-complete', 'as-completed'] as const) {
    const all = Array.fromAsync(producer.runSubmission(numbers(4), { chunkSize, results }));
    await eventually(() => queue.held === 1);
    const said = logger.lines.length;
    await queue.http.stop();
    await eventually(() => logger.lines.length > said);
    await queue.http.listen();
    workEverything(store, same)([...queue.submissions.values()].at(-1)!, queue);
    assert.deepEqual(await all, numbers(4));
  }
});

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

test('a run that fails while its progress is watched leaves no question behind', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const run = producer.runSubmission([1, 2], {
    chunkSize: 1,
    results: 'as-completed',
    onProgress: () => {},
    onInserted: (id) => queue.complete(queue.submissions.get(id)!, 0),
  });
  await assert.rejects(run.next(), { code: 'OBJECT_NOT_FOUND' });
  // The one that the insert came by may be kept.
  await eventually(() => queue.http.connections <= 1, 2_000);
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

test('a reader who takes his time keeps the interest of the queue awake', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, same) });
  const clock = new LeapingClock();
  await using producer = new ProducerClient(queue.url, store, { clock });
  const results = producer.runSubmission(numbers(6), { chunkSize: 1 });
  await results.next();
  const asked = queue.paths.length;
  clock.leapMs += 50_000;
  await results.next();
  assert.equal(queue.paths.length, asked);
  clock.leapMs += 50_000;
  await results.next();
  await eventually(() => queue.paths.length === asked + 1);
  assert.match(queue.paths.at(-1)!, /^GET \/[0-9]+$/);
});
