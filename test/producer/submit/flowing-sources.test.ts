// In a process of its own: it measures the heap.
/** Sources that flow whether or not they are read, and sources that break before they are. */
import assert from 'node:assert/strict';
import { EventEmitter, on } from 'node:events';
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { ProducerClient, type Source } from '../../../src/producer/index.ts';
import { FakeQueue } from '../../support/fakes/fake-queue-http.ts';
import { recordingLogger } from '../../support/fakes/recording-logger.ts';
import { freshStore } from '../../support/objects/fresh-store.ts';
import { startGsServer } from '../../support/objects/object-servers.ts';
import { RawWorker } from '../../support/peers/raw-worker.ts';
import { TestServer } from '../../support/queues/test-server.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { eventually } from '../../support/time/eventually.ts';

const linesOf = (path: string) => createInterface({ input: createReadStream(path) });

async function lineFile(folder: string, count: number): Promise<string> {
  const path = join(folder, `${count}.txt`);
  await writeFile(path, Array.from({ length: count }, (_, at) => `line ${at}\n`).join(''));
  return path;
}

/** A call, and what makes it act: nothing for those that act at once. */
interface Call {
  readonly name: string;
  /** Settles when the source was read. */
  start(producer: ProducerClient, source: Source<never>, signal?: AbortSignal): Promise<unknown>;
}

const first = (results: AsyncIterator<unknown>) => results.next();
const CALLS: readonly Call[] = (['object-store', 'queue'] as const).flatMap((place): Call[] => {
  const options = { chunkSize: 2, in: place };
  return [
    {
      name: `runSubmission in the ${place}`,
      start: (p, s, signal) => first(p.runSubmission(s, { ...options, signal })),
    },
    {
      name: `insertSubmission in the ${place}`,
      start: (p, s, signal) => p.insertSubmission(s, { ...options, signal }),
    },
    { name: `submit in the ${place}`, start: (p, s, signal) => p.submit(s, { ...options, signal }) },
  ];
});

for (const count of [5, 200_000]) {
  test(`all ${count} lines that readline reads of a file come back, however late they are asked for`, async () => {
    await using folder = await temporaryFolder();
    const path = await lineFile(folder.path, count);
    await using queue = await TestServer.start();
    await using _worker = await RawWorker.start(queue.port, null, (op) => op);
    await using producer = new ProducerClient(`localhost:${queue.port}`, null);
    const lines = linesOf(path);
    // The file is closed, or nothing more is read of it before somebody takes its lines.
    const flowed = Promise.race([
      new Promise((r) => lines.once('close', r)),
      new Promise((r) => lines.once('pause', r)),
    ]);
    const run = producer.runSubmission(lines, { in: 'queue', chunkSize: 1000 });
    await flowed;
    let at = 0;
    for await (const line of run) assert.equal(line, `line ${at++}`);
    assert.equal(at, count);
  });
}

test('no line is lost while the object store loads its SDK', async () => {
  await using folder = await temporaryFolder();
  await using stack = new AsyncDisposableStack();
  const server = await startGsServer();
  stack.defer(() => server.stop());
  await using queue = await FakeQueue.start();
  const { url, options } = server.place('q');
  await using producer = new ProducerClient(queue.url, url, { objectStoreOptions: options });
  await producer.insertSubmission(linesOf(await lineFile(folder.path, 5)), { chunkSize: 1 });
  assert.equal(queue.only().record.chunksTotal, 5);
});

for (const { name, start } of CALLS) {
  test(`${name} takes the iterator of its source at once`, async () => {
    await using queue = await FakeQueue.start();
    await using producer = new ProducerClient(queue.url, freshStore());
    let isTaken = false;
    const source = {
      [Symbol.asyncIterator]() {
        isTaken = true;
        return { next: async () => Promise.reject(new RangeError('it broke')) };
      },
    };
    const call = start(producer, source);
    assert.ok(isTaken);
    await assert.rejects(call, { message: 'it broke' });
  });

  test(`${name} ends with the error of a source that breaks before it is read`, async () => {
    await using queue = await FakeQueue.start();
    await using producer = new ProducerClient(queue.url, freshStore());
    const missing = join(import.meta.dirname, 'there-is-no-such-file');
    await assert.rejects(start(producer, createReadStream(missing) as AsyncIterable<never>), {
      code: 'ENOENT',
    });
    await assert.rejects(start(producer, linesOf(missing) as AsyncIterable<never>), { code: 'ENOENT' });
    const emitter = new EventEmitter();
    const events = start(producer, on(emitter, 'operation') as AsyncIterable<never>);
    emitter.emit('error', new RangeError('an event'));
    await assert.rejects(events, { message: 'an event' });
    const web = new ReadableStream({
      start: (controller) => controller.error(new RangeError('a web stream')),
    });
    await assert.rejects(start(producer, web as AsyncIterable<never>), { message: 'a web stream' });
    assert.equal(queue.submissions.size, 0);
  });

  test(`${name} lets go of its source when it is aborted before it reads`, async () => {
    await using queue = await FakeQueue.start();
    await using producer = new ProducerClient(queue.url, freshStore());
    const stream = Readable.from([]);
    const abort = new AbortController();
    const call = start(producer, stream as AsyncIterable<never>, abort.signal);
    abort.abort(new Error('never mind'));
    await assert.rejects(call, { message: 'never mind' });
    await eventually(() => stream.destroyed);
  });
}

/** An async source that counts how often it was let go of. */
function watchedSource() {
  let returned = 0;
  const iterator = {
    next: async () => ({ done: false, value: 1 }) as const,
    async return() {
      returned++;
      return { done: true, value: undefined } as const;
    },
    [Symbol.asyncIterator]: () => iterator,
  };
  return { source: iterator, returned: () => returned };
}

test('a run that nobody reads lets go of its source when it is ended, aborted, or its client is closed', async () => {
  await using queue = await FakeQueue.start();
  const producer = new ProducerClient(queue.url, null);
  const ended = watchedSource();
  await producer.runSubmission(ended.source, { in: 'queue', chunkSize: 1 }).return();
  assert.equal(ended.returned(), 1);
  const aborted = watchedSource();
  const abort = new AbortController();
  const run = producer.runSubmission(aborted.source, { in: 'queue', chunkSize: 1, signal: abort.signal });
  abort.abort(new Error('never mind'));
  assert.equal(aborted.returned(), 1);
  await assert.rejects(run.next(), { message: 'never mind' });
  const closed = watchedSource();
  const left = producer.runSubmission(closed.source, { in: 'queue', chunkSize: 1 });
  await producer.close();
  assert.equal(closed.returned(), 1);
  await assert.rejects(left.next(), { code: 'CLIENT_CLOSED' });
  assert.equal(closed.returned(), 1);
});

test('a run that is dropped without having been read lets go of its source', async () => {
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, null);
  const { source, returned } = watchedSource();
  const drop = () => void producer.runSubmission(source, { in: 'queue', chunkSize: 1 });
  drop();
  await eventually(() => {
    collect();
    return returned() === 1;
  });
});

test('what is wrong with a call is found before its source is touched', async () => {
  await using queue = await FakeQueue.start();
  await using producer = new ProducerClient(queue.url, null);
  let isTaken = false;
  const source = {
    [Symbol.asyncIterator](): AsyncIterator<never> {
      isTaken = true;
      throw new Error('taken');
    },
  };
  assert.throws(() => producer.runSubmission(source, { in: 'queue', chunkSize: 0 }), {
    code: 'INCORRECT_USAGE',
  });
  const cleanup: string = 'sometimes';
  const wrong = { chunkSize: 1, cleanup: cleanup as 'after-results' };
  assert.throws(() => producer.runSubmission(source, wrong), { code: 'INCORRECT_USAGE' });
  assert.ok(!isTaken);
});

for (const end of ['stop', 'close'] as const) {
  test(`a run that was never read when its client ends is warned of once (${end})`, async () => {
    await using queue = await FakeQueue.start();
    const logger = recordingLogger();
    const producer = new ProducerClient(queue.url, null, { logger });
    const abort = new AbortController();
    producer.runSubmission([1], { chunkSize: 1 });
    producer.runSubmission([2], { chunkSize: 1 });
    producer.runSubmission([3], { chunkSize: 1, signal: abort.signal });
    await producer.runSubmission([4], { chunkSize: 1 }).return();
    abort.abort();
    assert.deepEqual(logger.lines, []);
    await producer[end]();
    assert.deepEqual(
      logger.lines.map(({ level, message }) => [level, message]),
      [
        [
          'warn',
          'a run was never read, so nothing was submitted: iterate the results of runSubmission, or use submit',
        ],
      ],
    );
    assert.equal(queue.submissions.size, 0);
  });
}

test('a run that was read, and one that was aborted or left, is not warned of', async () => {
  await using queue = await FakeQueue.start();
  const logger = recordingLogger();
  await using producer = new ProducerClient(queue.url, null, { logger });
  assert.deepEqual(await Array.fromAsync(producer.runSubmission([], { chunkSize: 1 })), []);
  const signal = AbortSignal.abort();
  producer.runSubmission([1], { chunkSize: 1, signal });
  await producer.runSubmission([1], { chunkSize: 1 }).return();
  await producer.stop();
  assert.deepEqual(logger.lines, []);
});
