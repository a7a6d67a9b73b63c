import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunksFailedError, OpError, ProducerClient } from '../../src/producer/index.ts';
import { FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { watchedStore } from '../support/fakes/watched-store.ts';
import { freshStore } from '../support/objects/fresh-store.ts';
import { RawWorker } from '../support/peers/raw-worker.ts';
import { TestServer } from '../support/queues/test-server.ts';

const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);
const COLLECT = { failureMode: 'collect', retry: { triesMax: 1 } } as const;

/** Operations that fail, as long as they are in there. */
function failingOn(...bad: readonly number[]) {
  const failing = new Set(bad);
  const run = (op: unknown) => {
    if (failing.has(Number(op))) throw new RangeError(`no ${op}`);
    return Number(op) * 10;
  };
  return { failing, run };
}

/** Numbers as they are, errors by the chunk that they name. */
function shown(results: readonly unknown[]): unknown[] {
  return results.map((result) => {
    if (!(result instanceof OpError)) return result;
    assert.equal(result.code, 'CHUNK_FAILED');
    return /^chunk [0-9]+ failed/.exec(result.message)?.[0];
  });
}

test('results have an error for each operation of a chunk that failed, in their places', async () => {
  const objects = freshStore();
  await using queue = await TestServer.start();
  await using _worker = await RawWorker.start(queue.port, objects, failingOn(4, 9).run);
  await using producer = new ProducerClient<number, number>(`localhost:${queue.port}`, objects);
  const expected = [
    0,
    10,
    20,
    'chunk 1 failed',
    'chunk 1 failed',
    'chunk 1 failed',
    60,
    70,
    80,
    'chunk 3 failed',
  ];
  for (const when of ['all-done', 'as-completed'] as const) {
    const run = producer.runSubmission(numbers(10), { chunkSize: 3, ...COLLECT, when });
    const results = await Array.fromAsync(run);
    assert.deepEqual(shown(results), expected);
    const [error] = results.filter((result) => result instanceof OpError);
    assert.match(error?.message ?? '', /no 4/);
  }
  // Another client does not know how many operations the last chunk has: its input tells.
  const id = await producer.insertSubmission(numbers(10), { chunkSize: 3, ...COLLECT });
  assert.equal((await producer.submission(id).done()).state, 'completed_with_failures');
  assert.deepEqual(shown(await Array.fromAsync(producer.submission(id).results())), expected);
  const chunks = await Array.fromAsync(producer.submission(id).chunks());
  chunks.sort((a, b) => a.chunkIndex - b.chunkIndex);
  assert.deepEqual(
    chunks.map(({ operationIndex, results }) => [operationIndex, shown(results)]),
    [
      [0, [0, 10, 20]],
      [3, expected.slice(3, 6)],
      [6, [60, 70, 80]],
      [9, ['chunk 3 failed']],
    ],
  );
  const now = await Array.fromAsync(producer.submission(id).chunks({ until: 'now' }));
  assert.deepEqual(
    now.map(({ chunkIndex }) => chunkIndex),
    [0, 2],
  );
});

test('so they have where the queue keeps the chunks', async () => {
  await using queue = await TestServer.start();
  await using _worker = await RawWorker.start(queue.port, null, failingOn(0, 4).run);
  await using producer = new ProducerClient<number, number>(`localhost:${queue.port}`, null);
  const id = await producer.insertSubmission(numbers(5), { chunkSize: 2, in: 'queue', ...COLLECT });
  const results = await Array.fromAsync(producer.submission(id).results());
  assert.deepEqual(shown(results), ['chunk 0 failed', 'chunk 0 failed', 20, 30, 'chunk 2 failed']);
});

test('with onFailedChunk: throw the others come, and then the error that names the first one', async () => {
  const objects = watchedStore(freshStore());
  await using queue = await TestServer.start();
  await using _worker = await RawWorker.start(queue.port, objects, failingOn(1, 3).run);
  await using producer = new ProducerClient<number, number>(`localhost:${queue.port}`, objects);
  for (const when of ['all-done', 'as-completed'] as const) {
    const results: unknown[] = [];
    const run = producer.runSubmission(numbers(5), {
      chunkSize: 1,
      ...COLLECT,
      when,
      onFailedChunk: 'throw',
    });
    const reading = (async () => {
      for await (const result of run) results.push(result);
    })();
    await assert.rejects(reading, (error: unknown) => {
      assert.ok(error instanceof ChunksFailedError);
      assert.deepEqual([error.chunksFailed, error.chunkIndex], [2, 1]);
      assert.match(error.message, /2 of 5 chunks failed; the first, chunk 1:.*no 1/s);
      return true;
    });
    assert.deepEqual(results, [0, 20, 40]);
  }
});

test('results as completed go past a chunk that was set aside, and progress moves with it', async () => {
  const objects = freshStore();
  await using queue = await TestServer.start();
  await using producer = new ProducerClient<number, number>(`localhost:${queue.port}`, objects);
  const submission = await producer.submit(numbers(3), { chunkSize: 1, ...COLLECT });
  const consumer = await queue.consumer();
  const [first] = await consumer.reserved(1);
  consumer.fail(first!.chunk, 'broken');
  const results = submission.results({ when: 'as-completed' });
  assert.deepEqual(shown([(await results.next()).value]), ['chunk 0 failed']);
  const details = await submission.details();
  assert.ok(details?.state === 'in_progress');
  assert.deepEqual([details.chunksFailed, details.failureMode], [1, 'collect']);
  await results.return();
});

test('chunks are not cleaned up after results with gaps: they can be tried again', async () => {
  const objects = watchedStore(freshStore());
  await using queue = await TestServer.start();
  await using _worker = await RawWorker.start(queue.port, objects, failingOn(1).run);
  await using producer = new ProducerClient<number, number>(`localhost:${queue.port}`, objects);
  const run = producer.runSubmission(numbers(3), { chunkSize: 1, ...COLLECT, cleanup: 'after-results' });
  assert.equal((await Array.fromAsync(run)).length, 3);
  assert.ok((await objects.keys()).length >= 5);
});

test('a queue that does not know it is refused before anything is uploaded', async () => {
  const objects = watchedStore(freshStore());
  await using queue = await FakeQueue.start({ features: [] });
  await using producer = new ProducerClient<number, number>(queue.url, objects);
  let reads = 0;
  const source = (function* () {
    for (; reads < 5; reads++) yield reads;
  })();
  await assert.rejects(producer.submit(source, { chunkSize: 1, ...COLLECT }), {
    code: 'QUEUE_UNSUPPORTED',
    feature: 'collect',
  });
  assert.equal(reads, 0);
  assert.deepEqual(await objects.keys(), []);
});

test('retryFailed tries again what failed, and nothing else; who and why are kept', async () => {
  const objects = watchedStore(freshStore());
  await using queue = await TestServer.start();
  const { failing, run } = failingOn(1, 4);
  const worked: unknown[] = [];
  await using _worker = await RawWorker.start(queue.port, objects, (op) => {
    worked.push(op);
    return run(op);
  });
  await using producer = new ProducerClient<number, number>(`localhost:${queue.port}`, objects);
  const submission = await producer.submit(numbers(6), { chunkSize: 1, ...COLLECT });
  assert.equal((await submission.done()).state, 'completed_with_failures');
  failing.clear();
  worked.length = 0;
  assert.equal(await submission.retryFailed({ by: 'ann@host', reason: 'fixed' }), 2);
  const ended = await submission.done();
  assert.equal(ended.state, 'completed');
  assert.deepEqual(worked.sort(), [1, 4]);
  assert.deepEqual(await Array.fromAsync(submission.results()), [0, 10, 20, 30, 40, 50]);
  assert.equal(await submission.retryFailed(), 0);
  // Nothing of it has failed: that, and not that its chunks are gone.
  await submission.delete();
  assert.equal(await submission.retryFailed(), 0);
});

test('progress counts what failed, also where a result comes late', async () => {
  await using queue = await TestServer.start();
  await using producer = new ProducerClient<number, number>(`localhost:${queue.port}`, null);
  const consumer = await queue.consumer();
  const submission = await producer.submit(numbers(3), { chunkSize: 1, ...COLLECT });
  const progress = submission.progress();
  const counts = async () => {
    const { value } = await progress.next();
    return value === undefined ? 'over' : [value.state, value.chunksDone, value.chunksFailed];
  };
  assert.deepEqual(await counts(), ['in_progress', 0, 0]);
  const [first, second, third] = (await consumer.reserved(3)).map(({ chunk }) => chunk);
  consumer.fail(first!, 'broken');
  assert.deepEqual(await counts(), ['in_progress', 0, 1]);
  consumer.complete(first!, Uint8Array.of(0x80));
  consumer.fail(second!, 'broken');
  assert.deepEqual(await counts(), ['in_progress', 1, 1]);
  consumer.complete(third!, Uint8Array.of(0x80));
  assert.deepEqual(await counts(), ['completed_with_failures', 2, 1]);
  assert.equal(await counts(), 'over');
});

test('the chunks that failed are listed with their failures, in pages, and those of other ends as well', async () => {
  await using queue = await TestServer.start();
  await using producer = new ProducerClient<number, number>(`localhost:${queue.port}`, null);
  const consumer = await queue.consumer();
  const submit = (options: object) =>
    producer.submit(numbers(1_300), { chunkSize: 1, retry: { triesMax: 1 }, ...options });
  const collecting = await submit(COLLECT);
  for (let taken = 0; taken < 1_300; taken += 650) {
    for (const { chunk } of await consumer.reserved(650)) {
      if (chunk.chunkIndex % 10 === 9) consumer.complete(chunk, Uint8Array.of(0x80));
      else consumer.fail(chunk, `no ${chunk.chunkIndex}`);
    }
  }
  assert.equal((await collecting.done()).failureMode, 'collect');
  const listed = await Array.fromAsync(collecting.failedChunks());
  assert.deepEqual(
    listed.map(({ chunkIndex, failure }) => `${chunkIndex}: ${failure}`),
    numbers(1_300).flatMap((at) => (at % 10 === 9 ? [] : [`${at}: no ${at}`])),
  );
  const failing = await submit({});
  const [reserved] = await consumer.reserved(1);
  consumer.fail(reserved!.chunk, 'broken');
  assert.equal((await failing.done()).failureMode, 'fail');
  const [only, ...others] = await Array.fromAsync(failing.failedChunks());
  assert.deepEqual([only?.chunkIndex, only?.failure, others], [0, 'broken', []]);
  const open = await submit({});
  assert.deepEqual(await Array.fromAsync(open.failedChunks()), []);
  for await (const { chunkIndex } of collecting.failedChunks()) {
    if (chunkIndex > 5) break;
  }
  await assert.rejects(producer.submission('5').failedChunks().next(), { code: 'SUBMISSION_NOT_FOUND' });
});

test('a submission that failed goes on where it was', async () => {
  const objects = freshStore();
  await using queue = await TestServer.start();
  const { failing, run } = failingOn(2);
  await using _worker = await RawWorker.start(queue.port, objects, run);
  await using producer = new ProducerClient<number, number>(`localhost:${queue.port}`, objects);
  const options = { chunkSize: 1, retry: { triesMax: 1 }, strategicMetadata: { night: 7 } };
  const submission = await producer.submit(numbers(6), options);
  assert.equal((await submission.done()).state, 'failed');
  failing.clear();
  const matching = { metadata: { night: 7 } };
  const dry = await producer.retry({ matching }, { dryRun: true });
  assert.deepEqual([dry.matched, dry.done, dry.ids], [1, 1, [submission.id]]);
  assert.equal((await submission.details())?.state, 'failed');
  assert.ok(((await producer.retry({ matching })).chunks ?? 0) > 0);
  assert.deepEqual(await Array.fromAsync(submission.results()), [0, 10, 20, 30, 40, 50]);
});

test('what was removed since, cancelled or never known cannot be retried, and says so', async () => {
  const objects = freshStore();
  await using queue = await TestServer.start();
  await using _worker = await RawWorker.start(queue.port, objects, failingOn(0).run);
  await using producer = new ProducerClient<number, number>(`localhost:${queue.port}`, objects);
  const submission = await producer.submit(numbers(2), { chunkSize: 1, ...COLLECT });
  await submission.done();
  await submission.delete();
  await assert.rejects(submission.retryFailed(), {
    code: 'CHANGE_REFUSED',
    message: /chunks of submission [0-9]+ are not in .* submit it again/,
  });
  const cancelled = await producer.submit(numbers(2), { chunkSize: 1, startAfter: new Date(4e12) });
  await cancelled.cancel();
  await assert.rejects(cancelled.retryFailed(), { code: 'SUBMISSION_ENDED' });
  await assert.rejects(producer.submission('5').retryFailed(), { code: 'SUBMISSION_NOT_FOUND' });
});
