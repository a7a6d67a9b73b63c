/** A FIFO that nobody reads or writes stands for a file on a disk that hangs: opening it never ends. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { chunkKey } from '../../src/objects/keys.ts';
import { ProducerClient } from '../../src/producer/index.ts';
import { withParts } from '../../src/system/parts.ts';
import { type Clock, systemClock } from '../../src/system/time/clock.ts';
import { FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { freshStore } from '../support/objects/fresh-store.ts';
import { TempStore } from '../support/objects/temp-store.ts';
import { eventually } from '../support/time/eventually.ts';

/** Nobody waits as long as usual for what was stopped. */
const impatient: Clock = {
  ...systemClock,
  after: (delayMs, run, options) => systemClock.after(delayMs === 3_000 ? 50 : delayMs, run, options),
};

/** A store whose every call hangs, and knows when it was called. */
function hangingStore() {
  let calls = 0;
  const hang = () => {
    calls++;
    return new Promise<never>(() => {});
  };
  const store = Object.assign(freshStore(), { put: hang, get: hang, delete: hang });
  return { store, calls: () => calls };
}

test('an insert whose uploads hang heeds its signal, and close; what it may have uploaded is left to gc', async () => {
  const { store, calls } = hangingStore();
  await using queue = await FakeQueue.start();
  const logger = recordingLogger();
  const producer = new ProducerClient(queue.url, store, withParts({ logger }, { clock: impatient }));
  const abort = new AbortController();
  const inserted = producer.insertSubmission([1, 2, 3], { chunkSize: 1, signal: abort.signal });
  await eventually(() => calls() === 3);
  abort.abort(new Error('never mind'));
  await assert.rejects(inserted, { message: 'never mind' });
  assert.ok(logger.lines.some(({ message }) => message.includes('could not remove the uploaded chunks')));
  const closed = producer.insertSubmission([1], { chunkSize: 1 });
  await eventually(() => calls() === 4);
  const rejected = assert.rejects(closed, { code: 'CLIENT_CLOSED' });
  await producer.close();
  await rejected;
  assert.equal(queue.submissions.size, 0);
});

test('a transfer that takes longer than transferMsMax fails its call, naming the key and the time', async () => {
  const { store } = hangingStore();
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(
    queue.url,
    store,
    withParts({ transferMsMax: 20 }, { clock: impatient }),
  );
  await assert.rejects(producer.insertSubmission([1], { chunkSize: 1 }), {
    code: 'OBJECT_UNREACHABLE',
    message: /longer than 20 ms/,
  });
});

test('results on a file that hangs: the reader heeds its signal, and the time that a transfer may take', async () => {
  await using objects = await TempStore.create();
  await using queue = await FakeQueue.start({ onInsert: (submission) => queue.complete(submission, 0) });
  await using uploader = new ProducerClient(queue.url, objects.url);
  const id = await uploader.insertSubmission([1], { chunkSize: 1 });
  // One of its own: it has not found the disk fast yet, and reads by the thread pool.
  await using producer = new ProducerClient(queue.url, objects.url, { transferMsMax: 100 });
  const path = join(objects.folder, chunkKey(queue.only().record.prefix ?? '', 0, 'out'));
  mkdirSync(dirname(path), { recursive: true });
  execFileSync('mkfifo', [path]);
  try {
    const abort = new AbortController();
    const aborted = producer.submission(id).results({ signal: abort.signal }).next();
    abort.abort(new Error('never mind'));
    await assert.rejects(aborted, { message: 'never mind' });
    await assert.rejects(producer.submission(id).results().next(), { code: 'OBJECT_UNREACHABLE' });
  } finally {
    const fd = openSync(path, 'r+');
    systemClock.after(50, () => closeSync(fd));
  }
});

test('delete() heeds its signal while the disk hangs', async () => {
  const { store, calls } = hangingStore();
  await using queue = await FakeQueue.start({ onInsert: (submission) => queue.complete(submission, 0) });
  await using uploader = new ProducerClient(queue.url, freshStore());
  const id = await uploader.insertSubmission([1], { chunkSize: 1 });
  await using producer = new ProducerClient(queue.url, store);
  const abort = new AbortController();
  const deleted = producer.submission(id).delete({ signal: abort.signal });
  await eventually(() => calls() === 1);
  abort.abort(new Error('never mind'));
  await assert.rejects(deleted, { message: 'never mind' });
});
