import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ClientClosedError,
  ProducerClient,
  SubmissionForgottenError,
  SubmissionNotCancellableError,
  SubmissionNotFoundError,
  TooManyMatchingSubmissionsError,
} from '../../src/producer/index.ts';
import { FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { workChunk, workEverything } from '../support/fakes/fake-queue-worker.ts';
import { watchedStore } from '../support/fakes/watched-store.ts';
import { freshStore } from '../support/objects/fresh-store.ts';
import { eventually } from '../support/time/eventually.ts';

const double = (op: unknown) => Number(op) * 2;
const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);

test('tells status, counts, version and look-ups', async () => {
  await using queue = await FakeQueue.start({ returnedMax: 2 });
  await using producer = new ProducerClient(`http://${queue.url}/`, freshStore());
  assert.equal(await producer.serverVersion(), 'v9.9.9');
  const options = (customer: number) => ({ chunkSize: 1, strategicMetadata: { customer, all: 1 } });
  const first = await producer.insertSubmission([1, 2], options(1));
  const second = await producer.insertSubmission([], options(1));
  const third = await producer.insertSubmission([3], options(2));
  assert.equal(await producer.countSubmissions(), 2);
  assert.equal(await producer.countCompletedSubmissions(), 1);
  assert.deepEqual(await producer.lookupSubmissionIdsByStrategicMetadata({ customer: 1 }), [first]);
  assert.deepEqual(await producer.lookupSubmissionIdsByStrategicMetadata({}), [first, third]);
  assert.deepEqual(await producer.lookupSubmissionIdsByStrategicMetadata(new Map([['customer', 9n]])), []);
  await producer.insertSubmission([3], options(2));
  await assert.rejects(producer.lookupSubmissionIdsByStrategicMetadata({ all: 1 }), (error) => {
    assert.ok(error instanceof TooManyMatchingSubmissionsError);
    assert.equal(error.max, 2);
    return true;
  });
  const status = await producer.getSubmissionStatus(first);
  assert.equal(status?.state, 'in_progress');
  assert.equal(status?.record.chunksTotal, 2);
  const { prefix } = status.record;
  assert.equal(await producer.lookupSubmissionIdByPrefix(prefix!), first);
  assert.equal(await producer.lookupSubmissionIdByPrefix('nobody'), null);
  assert.deepEqual(await producer.knownPrefixes([prefix!, 'nobody']), [true, false]);
  assert.equal((await producer.getSubmissionStatus(second))?.state, 'completed');
  assert.equal(await producer.isCompleted(second), true);
  assert.equal(await producer.isCompleted(first), false);
  assert.equal(await producer.getSubmissionStatus(5n), null);
  await assert.rejects(producer.isCompleted(5n), SubmissionNotFoundError);
});

test('cancels once, and says why it cannot', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const id = await producer.insertSubmission([1], { chunkSize: 1 });
  await producer.cancelSubmission(id);
  assert.equal((await producer.getSubmissionStatus(id))?.state, 'cancelled');
  await assert.rejects(producer.cancelSubmission(id), (error) => {
    assert.ok(error instanceof SubmissionNotCancellableError);
    assert.equal(error.submission.state, 'cancelled');
    return true;
  });
  await assert.rejects(producer.cancelSubmission(5n), SubmissionNotFoundError);
});

test('a cancel whose answer was lost has cancelled', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const id = await producer.insertSubmission([1], { chunkSize: 1 });
  queue.http.cutNext();
  await producer.cancelSubmission(id);
  assert.equal(queue.paths.filter((path) => path.includes('/cancel/')).length, 2);
});

test('streams the results of a submission that another client inserted', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, double) });
  await using inserting = new ProducerClient(queue.url, store);
  const id = await inserting.insertSubmission(numbers(5), { chunkSize: 2 });
  await using producer = new ProducerClient(queue.url, store);
  assert.deepEqual(
    await Array.fromAsync(producer.streamCompletedSubmission<number>(id)),
    numbers(5).map(double),
  );
  const chunks: Uint8Array[] = await Array.fromAsync(producer.streamCompletedSubmissionChunks(id));
  assert.deepEqual(chunks.map(Buffer.from), [
    Buffer.of(0x82, 0, 2),
    Buffer.of(0x82, 4, 6),
    Buffer.of(0x81, 8),
  ]);
  await assert.rejects(producer.streamCompletedSubmission(5n).next(), SubmissionNotFoundError);
  await assert.rejects(
    Array.fromAsync(producer.streamCompletedSubmissionChunks(5n)),
    SubmissionNotFoundError,
  );
});

test('tries without waiting', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store);
  const id = await producer.insertSubmission(numbers(3), { chunkSize: 2 });
  assert.equal(await producer.tryStreamCompletedSubmission(id), null);
  assert.equal(await producer.tryStreamCompletedSubmissionChunks(id), null);
  for (const index of [0, 1]) await workChunk(queue, store, queue.only(), index, double);
  const results = await producer.tryStreamCompletedSubmission<number>(id);
  assert.deepEqual(await Array.fromAsync(results!), [0, 2, 4]);
  assert.equal((await Array.fromAsync((await producer.tryStreamCompletedSubmissionChunks(id))!)).length, 2);
  await assert.rejects(producer.tryStreamCompletedSubmission(5n), SubmissionNotFoundError);
  const failing = await producer.insertSubmission([1], { chunkSize: 1 });
  queue.fail(queue.submissions.get(failing)!, 0, 'boom');
  await assert.rejects(producer.tryStreamCompletedSubmission(failing), { code: 'SUBMISSION_FAILED' });
});

for (const features of [undefined, []]) {
  const whose = features === undefined ? 'ours' : 'the original';
  test(`gives what was done in a submission that is in progress, failed or cancelled (${whose})`, async () => {
    const store = freshStore();
    await using queue = await FakeQueue.start(features === undefined ? {} : { features });
    await using producer = new ProducerClient(queue.url, store);
    const id = await producer.insertSubmission(numbers(10), { chunkSize: 2 });
    const submission = queue.submissions.get(id)!;
    for (const index of [3, 1]) await workChunk(queue, store, submission, index, double);
    const expected = [
      { chunkIndex: 1, results: [4, 6] },
      { chunkIndex: 3, results: [12, 14] },
    ];
    const done = () => Array.fromAsync(producer.streamCompletedOperations<number>(id));
    assert.deepEqual(await done(), expected);
    queue.fail(submission, 0, 'boom');
    assert.deepEqual(await done(), expected);
    queue.cancel(submission);
    assert.deepEqual(await done(), expected);
    const chunks = await Array.fromAsync(producer.streamCompletedChunks(id));
    assert.deepEqual(
      chunks.map(({ chunkIndex, content }) => [chunkIndex, content.length]),
      [
        [1, 3],
        [3, 3],
      ],
    );
    queue.forget(submission);
    await assert.rejects(done(), SubmissionNotFoundError);
  });
}

test('a reader of what was done who is slower than the ageing is told so', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, null);
  const id = await producer.insertSubmissionDirect(numbers(2000), { chunkSize: 1 });
  const submission = queue.submissions.get(id)!;
  for (const index of numbers(1000)) await workChunk(queue, store, submission, index, double);
  queue.cancel(submission);
  const results = producer.streamCompletedChunks(id);
  for (let read = 0; read < 300; read++) await results.next();
  queue.forget(submission);
  await assert.rejects(Array.fromAsync(results), SubmissionForgottenError);
});

test('waits for the end of a submission, however it ends', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const ends = [
    ['completed', (id: bigint) => queue.complete(queue.submissions.get(id)!, 0)],
    ['failed', (id: bigint) => queue.fail(queue.submissions.get(id)!, 0, 'boom')],
    ['cancelled', (id: bigint) => queue.cancel(queue.submissions.get(id)!)],
  ] as const;
  for (const [state, end] of ends) {
    const id = await producer.insertSubmission([1], { chunkSize: 1 });
    const ended = producer.waitForCompletion(id);
    while (queue.held === 0) await new Promise(setImmediate);
    end(id);
    assert.equal((await ended).state, state);
  }
  await assert.rejects(producer.waitForCompletion(5n), SubmissionNotFoundError);
});

test('progress that is awaited ends at once when its reader returns, and so does the question to the queue', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const id = await producer.insertSubmission([1], { chunkSize: 1 });
  const asked = queue.paths.length;
  const unread = producer.progress(id);
  assert.deepEqual(await unread.return?.(), { done: true, value: undefined });
  assert.equal(queue.paths.length, asked);
  const progress = producer.progress(id);
  assert.equal((await progress.next()).value?.state, 'in_progress');
  const waiting = [progress.next(), progress.next()];
  await eventually(() => queue.held === 1);
  const ended = { done: true, value: undefined };
  assert.deepEqual(await progress.return?.(), ended);
  assert.deepEqual(await Promise.all(waiting), [ended, ended]);
  assert.deepEqual(await progress.next(), ended);
  await eventually(() => queue.http.connections <= 1);
});

test('an abort and close() end progress that is awaited', async () => {
  await using queue = await FakeQueue.start();
  const producer = new ProducerClient(queue.url, freshStore());
  const id = await producer.insertSubmission([1], { chunkSize: 1 });
  const controller = new AbortController();
  const aborted = producer.progress(id, { signal: controller.signal });
  const closed = producer.progress(id);
  for (const each of [aborted, closed]) await each.next();
  await eventually(() => queue.held === 2);
  const rest = [assert.rejects(aborted.next(), /enough/), assert.rejects(closed.next(), ClientClosedError)];
  controller.abort(new Error('enough'));
  await producer.close();
  await Promise.all(rest);
});

test('gives the progress of a submission as an iterable that ends with it', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store);
  const id = await producer.insertSubmission(numbers(6), { chunkSize: 2 });
  const told: unknown[] = [];
  for await (const { state, chunksDone, chunksTotal, opsDone, msLeft } of producer.progress(id)) {
    told.push([state, chunksDone, chunksTotal, opsDone, msLeft === null ? null : Math.sign(msLeft)]);
    if (chunksDone < 3) await workChunk(queue, store, queue.only(), chunksDone, double);
  }
  assert.deepEqual(told, [
    ['in_progress', 0, 3, 0, null],
    ['in_progress', 1, 3, 2, 1],
    ['in_progress', 2, 3, 4, 1],
    ['completed', 3, 3, 6, 0],
  ]);
  await assert.rejects(producer.progress(5n).next(), SubmissionNotFoundError);
  const other = await producer.insertSubmission([1], { chunkSize: 1 });
  for await (const _ of producer.progress(other)) break;
  await producer.close();
});

test('deletes the data of a submission that has ended, and of no other', async () => {
  const store = watchedStore(freshStore());
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store);
  const id = await producer.insertSubmission(numbers(1200), { chunkSize: 1 });
  const kept = await producer.insertSubmission([1], { chunkSize: 1 });
  await workChunk(queue, store, queue.submissions.get(id)!, 7, double);
  await assert.rejects(producer.deleteSubmissionData(id), /in progress/);
  await producer.cancelSubmission(id);
  assert.equal((await store.keys()).length, 1202);
  await producer.deleteSubmissionData(id);
  assert.deepEqual(await store.keys(), [`${queue.submissions.get(kept)?.record.prefix}/0-in.bin`]);
  await producer.deleteSubmissionData(id);
  await assert.rejects(producer.deleteSubmissionData(5n), SubmissionNotFoundError);
});
