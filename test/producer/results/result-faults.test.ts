import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ObjectStoreError } from '../../../src/objects/errors.ts';
import {
  ChunkContentError,
  ProducerClient,
  SubmissionCancelledError,
  SubmissionFailedError,
  SubmissionForgottenError,
} from '../../../src/producer/index.ts';
import { withParts } from '../../../src/system/parts.ts';
import { systemClock } from '../../../src/system/time/clock.ts';
import { FakeQueue, type FakeSubmission } from '../../support/fakes/fake-queue-http.ts';
import { workEverything } from '../../support/fakes/fake-queue-worker.ts';
import { recordingLogger } from '../../support/fakes/recording-logger.ts';
import { watchedStore } from '../../support/fakes/watched-store.ts';
import { freshStore } from '../../support/objects/fresh-store.ts';
import { MODES, runInMode } from '../../support/peers/run-in-mode.ts';
import { eventually } from '../../support/time/eventually.ts';

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

test('a failed submission throws with the chunk and what its consumer said', async () => {
  await using queue = await FakeQueue.start({
    onInsert: (submission, self) => self.fail(submission, 1, 'Error: boom\n    at work (x.js:1:1)'),
  });
  await using producer = new ProducerClient(queue.url, freshStore());
  for (const mode of MODES) {
    const run = runInMode(producer, mode, [1, 2, 3], { chunkSize });
    await assert.rejects(Array.fromAsync(run), (error) => {
      assert.ok(error instanceof SubmissionFailedError);
      assert.equal(error.chunkIndex, 1);
      assert.match(error.message, /boom\n {4}at work/);
      return true;
    });
  }
});

test('a cancelled submission throws, a forgotten one too', async () => {
  const ends = [
    [SubmissionCancelledError, (submission: FakeSubmission, self: FakeQueue) => self.cancel(submission)],
    [SubmissionForgottenError, (submission: FakeSubmission, self: FakeQueue) => self.forget(submission)],
  ] as const;
  for (const [error, onInsert] of ends) {
    await using queue = await FakeQueue.start({ onInsert });
    await using producer = new ProducerClient(queue.url, freshStore());
    for (const mode of MODES) {
      await assert.rejects(Array.fromAsync(runInMode(producer, mode, [1], { chunkSize })), error);
    }
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
  const results = producer.runSubmission([1, 2], { chunkSize: 1, when: 'as-completed' });
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
  for (const when of ['all-done', 'as-completed'] as const) {
    const all = Array.fromAsync(producer.runSubmission(numbers(4), { chunkSize, when }));
    await eventually(() => queue.held === 1);
    const said = logger.lines.length;
    await queue.http.stop();
    await eventually(() => logger.lines.length > said);
    await queue.http.listen();
    workEverything(store, same)([...queue.submissions.values()].at(-1)!, queue);
    assert.deepEqual(await all, numbers(4));
  }
});

test('a run that fails while its progress is watched leaves no question behind', async () => {
  await using queue = await FakeQueue.start({ onInsert: (submission, self) => self.complete(submission, 0) });
  await using producer = new ProducerClient(queue.url, freshStore());
  const run = producer.runSubmission([1, 2], {
    chunkSize: 1,
    when: 'as-completed',
    onProgress: () => {},
  });
  await assert.rejects(run.next(), { code: 'OBJECT_NOT_FOUND' });
  // The one that the insert came by may be kept.
  await eventually(() => queue.http.connections <= 1, 2_000);
});

test('a reader who takes his time keeps the interest of the queue awake', async () => {
  const store = freshStore();
  await using queue = await FakeQueue.start({ onInsert: workEverything(store, same) });
  const clock = new LeapingClock();
  await using producer = new ProducerClient(queue.url, store, withParts({}, { clock }));
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
