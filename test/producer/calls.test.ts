import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  ClientClosedError,
  ProducerClient,
  type Submission,
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
const idsOf = (submissions: readonly Submission[]) => submissions.map(({ id }) => id);
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
  assert.equal(await producer.countSubmissions({ state: 'completed' }), 1);
  assert.deepEqual(idsOf(await producer.submissionsInProgress({ customer: 1 })), [first]);
  assert.deepEqual(idsOf(await producer.submissionsInProgress()), [first, third]);
  assert.deepEqual(await producer.submissionsInProgress(new Map([['customer', 9n]])), []);
  await producer.insertSubmission([3], options(2));
  await assert.rejects(producer.submissionsInProgress({ all: 1 }), (error) => {
    assert.ok(error instanceof TooManyMatchingSubmissionsError);
    assert.equal(error.max, 2);
    return true;
  });
  const status = await producer.submission(first).details();
  assert.equal(status?.state, 'in_progress');
  assert.equal(status?.chunksTotal, 2);
  const { prefix } = status;
  assert.equal((await producer.submissionByPrefix(prefix!))?.id, first);
  assert.equal(await producer.submissionByPrefix('nobody'), null);
  assert.deepEqual(await producer.knownPrefixes([prefix!, 'nobody']), [true, false]);
  assert.equal((await producer.submission(second).details())?.state, 'completed');
  assert.equal(await producer.submission(5n).details(), null);
});

test('cancels once, and says why it cannot', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const id = await producer.insertSubmission([1], { chunkSize: 1 });
  await producer.submission(id).cancel();
  assert.equal((await producer.submission(id).details())?.state, 'cancelled');
  await assert.rejects(producer.submission(id).cancel(), (error) => {
    assert.ok(error instanceof SubmissionNotCancellableError);
    assert.equal(error.submission.state, 'cancelled');
    return true;
  });
  await assert.rejects(producer.submission(5n).cancel(), SubmissionNotFoundError);
});

test('a cancel whose answer was lost has cancelled', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const id = await producer.insertSubmission([1], { chunkSize: 1 });
  queue.http.cutNext();
  await producer.submission(id).cancel();
  assert.equal(queue.paths.filter((path) => path.includes('/cancel/')).length, 2);
});

test('streams the results of a submission that another client inserted', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, double) });
  await using inserting = new ProducerClient(queue.url, store);
  const id = await inserting.insertSubmission(numbers(5), { chunkSize: 2 });
  await using producer = new ProducerClient(queue.url, store);
  assert.deepEqual(await Array.fromAsync(producer.submission(id).results()), numbers(5).map(double));
  await using raw = new ProducerClient<Uint8Array, Uint8Array>(queue.url, store, { codec: 'raw' });
  const chunks: Uint8Array[] = await Array.fromAsync(raw.submission(id).results());
  assert.deepEqual(chunks.map(Buffer.from), [
    Buffer.of(0x82, 0, 2),
    Buffer.of(0x82, 4, 6),
    Buffer.of(0x81, 8),
  ]);
  await assert.rejects(producer.submission(5n).results().next(), SubmissionNotFoundError);
});

test('the state of a submission is found without waiting, and with it whether there are results', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store);
  const submission = await producer.submit(numbers(3), { chunkSize: 2 });
  assert.equal((await submission.details())?.state, 'in_progress');
  for (const index of [0, 1]) await workChunk(queue, store, queue.only(), index, double);
  assert.equal((await submission.details())?.state, 'completed');
  assert.deepEqual(await Array.fromAsync(submission.results()), [0, 2, 4]);
});

test('a submission is the same by its id, as text, and survives JSON', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, double) });
  await using producer = new ProducerClient(queue.url, store);
  const submitted = await producer.submit(numbers(3), {
    chunkSize: 2,
    strategicMetadata: { a: 5, b: 2n ** 60n },
  });
  assert.equal(submitted.id, String(queue.only().record.id));
  const { id }: { id: string } = JSON.parse(JSON.stringify(submitted));
  for (const same of [id, `${id}\n`, BigInt(id)]) {
    const submission = producer.submission(same);
    assert.equal(submission.id, submitted.id);
    assert.deepEqual(await Array.fromAsync(submission.results({ when: 'as-completed' })), [0, 2, 4]);
  }
  const details = await submitted.details();
  assert.deepEqual(details?.strategicMetadata, { a: 5, b: 2n ** 60n });
  assert.equal(details.id, id);
  assert.equal(details.chunkSize, 2);
});

for (const features of [undefined, []]) {
  const whose = features === undefined ? 'ours' : 'the original';
  test(`gives what was done in a submission that is in progress, failed or cancelled (${whose})`, async () => {
    const store = freshStore();
    await using queue = await FakeQueue.start(features === undefined ? {} : { features });
    await using producer = new ProducerClient(queue.url, store);
    const id = await producer.insertSubmission(numbers(10), { chunkSize: 2 });
    const submission = queue.submissions.get(BigInt(id))!;
    for (const index of [3, 1]) await workChunk(queue, store, submission, index, double);
    const expected = [
      { chunkIndex: 1, operationIndex: 2 as number | null, results: [4, 6] },
      { chunkIndex: 3, operationIndex: 6, results: [12, 14] },
    ];
    const done = () => Array.fromAsync(producer.submission(id).chunks({ until: 'now' }));
    assert.deepEqual(await done(), expected);
    queue.fail(submission, 0, 'boom');
    // The original does not tell the chunk size of what has ended.
    if (features !== undefined) for (const chunk of expected) chunk.operationIndex = null;
    assert.deepEqual(await done(), expected);
    queue.cancel(submission);
    assert.deepEqual(await done(), expected);
    queue.forget(submission);
    await assert.rejects(done(), SubmissionNotFoundError);
  });
}

test('a reader of what was done who is slower than the ageing is told so', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, null);
  const id = await producer.insertSubmission(numbers(2000), { in: 'queue', chunkSize: 1 });
  const submission = queue.submissions.get(BigInt(id))!;
  for (const index of numbers(1000)) await workChunk(queue, store, submission, index, double);
  queue.cancel(submission);
  const results = producer.submission(id).chunks({ until: 'now' });
  for (let read = 0; read < 300; read++) await results.next();
  queue.forget(submission);
  await assert.rejects(Array.fromAsync(results), SubmissionForgottenError);
});

test('waits for the end of a submission, however it ends', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const ends = [
    ['completed', (id: string) => queue.complete(queue.submissions.get(BigInt(id))!, 0)],
    ['failed', (id: string) => queue.fail(queue.submissions.get(BigInt(id))!, 0, 'boom')],
    ['cancelled', (id: string) => queue.cancel(queue.submissions.get(BigInt(id))!)],
  ] as const;
  for (const [state, end] of ends) {
    const id = await producer.insertSubmission([1], { chunkSize: 1 });
    const ended = producer.submission(id).done();
    while (queue.held === 0) await new Promise(setImmediate);
    end(id);
    assert.equal((await ended).state, state);
  }
  await assert.rejects(producer.submission(5n).done(), SubmissionNotFoundError);
});

test('progress that is awaited ends at once when its reader returns, and so does the question to the queue', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, freshStore());
  const id = await producer.insertSubmission([1], { chunkSize: 1 });
  const asked = queue.paths.length;
  const unread = producer.submission(id).progress();
  assert.deepEqual(await unread.return?.(), { done: true, value: undefined });
  assert.equal(queue.paths.length, asked);
  const progress = producer.submission(id).progress();
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
  const aborted = producer.submission(id).progress({ signal: controller.signal });
  const closed = producer.submission(id).progress();
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
  for await (const { state, chunksDone, chunksTotal, opsDone, msLeft } of producer
    .submission(id)
    .progress()) {
    told.push([state, chunksDone, chunksTotal, opsDone, msLeft === null ? null : Math.sign(msLeft)]);
    if (chunksDone < 3) await workChunk(queue, store, queue.only(), chunksDone, double);
  }
  assert.deepEqual(told, [
    ['in_progress', 0, 3, 0, null],
    ['in_progress', 1, 3, 2, 1],
    ['in_progress', 2, 3, 4, 1],
    ['completed', 3, 3, 6, 0],
  ]);
  await assert.rejects(producer.submission(5n).progress().next(), SubmissionNotFoundError);
  const other = await producer.insertSubmission([1], { chunkSize: 1 });
  for await (const _ of producer.submission(other).progress()) break;
  await producer.close();
});

test('deletes the data of a submission that has ended, and of no other', async () => {
  const store = watchedStore(freshStore());
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, store);
  const id = await producer.insertSubmission(numbers(1200), { chunkSize: 1 });
  const kept = await producer.insertSubmission([1], { chunkSize: 1 });
  await workChunk(queue, store, queue.submissions.get(BigInt(id))!, 7, double);
  await assert.rejects(producer.submission(id).delete(), /in progress/);
  await producer.submission(id).cancel();
  assert.equal((await store.keys()).length, 1202);
  await producer.submission(id).delete();
  assert.deepEqual(await store.keys(), [`${queue.submissions.get(BigInt(kept))?.record.prefix}/0-in.bin`]);
  await producer.submission(id).delete();
  await assert.rejects(producer.submission(5n).delete(), SubmissionNotFoundError);
});
