import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProducerClient, SubmissionCancelledError, SubmissionFailedError } from '../../src/producer/index.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { withParts } from '../../src/system/parts.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { watchedStore } from '../support/fakes/watched-store.ts';
import { freePort } from '../support/network/free-port.ts';
import { freshStore } from '../support/objects/fresh-store.ts';
import { RawWorker } from '../support/peers/raw-worker.ts';
import { TestServer } from '../support/queues/test-server.ts';
import { eventually } from '../support/time/eventually.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

const increment = (op: unknown) => Number(op) + 1;
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);

test('every mode gives every result once', async () => {
  const objects = watchedStore(freshStore());
  await using queue = await TestServer.start();
  await using _one = await RawWorker.start(queue.port, objects, increment);
  await using _two = await RawWorker.start(queue.port, objects, increment);
  await using producer = new ProducerClient(`localhost:${queue.port}`, objects);
  const expected = numbers(2000).map(increment);
  for (const compression of [undefined, 'zstd'] as const) {
    const options = {
      chunkSize: 3,
      ...(compression === undefined ? {} : { compression }),
    };
    for (const when of ['all-done', 'as-completed'] as const) {
      const run = producer.runSubmission(numbers(2000), { ...options, cleanup: 'after-results', when });
      assert.deepEqual(await Array.fromAsync(run), expected);
    }
    const submission = await producer.submit(numbers(2000), options);
    const chunks = await Array.fromAsync(submission.chunks());
    await submission.delete();
    chunks.sort((a, b) => a.operationIndex! - b.operationIndex!);
    assert.deepEqual(
      chunks.flatMap(({ results }) => results),
      expected,
    );
  }
  assert.deepEqual(await objects.keys(), []);
});

test('small work needs no object store', async () => {
  await using queue = await TestServer.start();
  await using _worker = await RawWorker.start(queue.port, null, increment);
  await using producer = new ProducerClient(`localhost:${queue.port}`, null);
  for (const when of ['all-done', 'as-completed'] as const) {
    const run = producer.runSubmission(numbers(1000), { in: 'queue', chunkSize: 1, when });
    assert.deepEqual(await Array.fromAsync(run), numbers(1000).map(increment));
  }
});

test('the end of a submission is seen at once', async () => {
  // Time stands still on both sides: a client that polls would sleep for ever, a request that is held be held for ever.
  const clock = new ManualClock();
  await using queue = await TestServer.start(withParts({}, { clock }));
  const consumer = await queue.consumer();
  await using producer = new ProducerClient(
    `localhost:${queue.port}`,
    freshStore(),
    withParts({}, { clock }),
  );
  const id = await producer.insertSubmission([1], { chunkSize: 1 });
  const [reserved] = await consumer.reserved();
  const { timersPending } = clock;
  const ended = producer.submission(id).done();
  // One of the request at the client, one of the queue, which holds it.
  await eventually(() => clock.timersPending >= timersPending + 2);
  consumer.complete(reserved!.chunk);
  assert.equal((await ended).state, 'completed');
});

test('a chunk that fails for good fails the run, with the stack of the consumer; what was done can be read', async () => {
  const objects = freshStore();
  await using queue = await TestServer.start({ chunkRetriesMax: 2 });
  await using _worker = await RawWorker.start(queue.port, objects, (op) => {
    if (op === 7) throw new RangeError('no sevens');
    return increment(op);
  });
  await using producer = new ProducerClient(`localhost:${queue.port}`, objects);
  const submission = await producer.submit(numbers(10), { chunkSize: 2 });
  await assert.rejects(Array.fromAsync(submission.results()), (error) => {
    assert.ok(error instanceof SubmissionFailedError);
    assert.equal(error.chunkIndex, 3);
    assert.match(error.failure, /RangeError: no sevens\n {4}at /);
    return true;
  });
  const done = await Array.fromAsync(submission.chunks({ until: 'now' }));
  assert.deepEqual(done.slice(0, 3), [
    { chunkIndex: 0, operationIndex: 0, results: [1, 2] },
    { chunkIndex: 1, operationIndex: 2, results: [3, 4] },
    { chunkIndex: 2, operationIndex: 4, results: [5, 6] },
  ]);
});

test('a cancelled run throws', async () => {
  await using queue = await TestServer.start();
  await using producer = new ProducerClient(`localhost:${queue.port}`, freshStore());
  const submission = await producer.submit([1], { chunkSize: 1 });
  const first = submission.results().next();
  await submission.cancel();
  await assert.rejects(first, SubmissionCancelledError);
});

test('a run goes on when the queue restarts, in every mode', async () => {
  for (const when of ['all-done', 'as-completed'] as const) {
    const objects = freshStore();
    const database = new MemoryDatabase();
    const logger = recordingLogger();
    const port = await freePort();
    const first = await TestServer.start({ store: new MemoryStore({ database }), port });
    await using producer = new ProducerClient(`127.0.0.1:${port}`, objects, { logger });
    const all = Array.fromAsync(producer.runSubmission(numbers(50), { chunkSize: 5, when }));
    const consumer = await first.consumer();
    await consumer.reserved();
    await first.server.stop();
    await eventually(() =>
      logger.lines.some(({ message }) => message.startsWith(`no queue at 127.0.0.1:${port} (`)),
    );
    await using _second = await TestServer.start({ store: new MemoryStore({ database }), port });
    await using _worker = await RawWorker.start(port, objects, increment);
    assert.deepEqual(await all, numbers(50).map(increment));
  }
});

test('look-ups, counts and cancelling agree with the queue', async () => {
  await using queue = await TestServer.start();
  await using producer = new ProducerClient(`http://127.0.0.1:${queue.port}`, freshStore());
  const options = { chunkSize: 1, strategicMetadata: { customer: -5n } };
  const id = await producer.insertSubmission(numbers(3), options);
  const found = await producer.submissionsInProgress({ customer: -5 });
  assert.deepEqual(
    found.map((each) => each.id),
    [id],
  );
  const status = await producer.submission(id).details();
  const prefix = status?.prefix ?? '';
  assert.equal((await producer.submissionByPrefix(prefix))?.id, id);
  assert.deepEqual(await producer.knownPrefixes([prefix, 'x']), [true, false]);
  assert.equal(await producer.countSubmissions(), 1);
  await producer.submission(id).cancel();
  await assert.rejects(producer.submission(id).cancel(), { code: 'SUBMISSION_NOT_CANCELLABLE' });
  await assert.rejects(producer.submission(1n).cancel(), { code: 'SUBMISSION_NOT_FOUND' });
  assert.equal(await producer.countSubmissions(), 0);
  assert.equal(await producer.countSubmissions({ state: 'completed' }), 0);
  await producer.submission(id).delete();
  assert.match(await producer.serverVersion(), /^v[0-9]+\./);
});

test('the details have the retries that a submission was made with, in every state', async () => {
  await using queue = await TestServer.start();
  await using producer = new ProducerClient(`localhost:${queue.port}`, freshStore());
  const own = await producer.submit([1], { chunkSize: 1, retry: { triesMax: 3, delayMs: 50 } });
  const fixed = await producer.submit([1], { chunkSize: 1, retryDelayMs: 70 });
  const byDefault = await producer.submit([1], { chunkSize: 1 });
  const usual = { triesMax: null, delayMs: 1_000, factor: 2, delayMsMax: 60_000, jitter: 0.5 };
  const expected = [
    [{ ...usual, triesMax: 3, delayMs: 50 }, 0],
    [null, 70],
    [usual, 0],
  ];
  const told = () =>
    Promise.all(
      [own, fixed, byDefault].map(async (submission) => {
        const details = await submission.details();
        return [details?.retry, details?.retryDelayMs];
      }),
    );
  assert.deepEqual(await told(), expected);
  for (const submission of [own, fixed, byDefault]) await submission.cancel();
  assert.deepEqual(await told(), expected);
});
