import assert from 'node:assert/strict';
import { readdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { chunkKey } from '../../src/objects/keys.ts';
import {
  collectGarbage,
  IncorrectUsageError,
  OpsqueueError,
  ProducerClient,
} from '../../src/producer/index.ts';
import { uuidV7 } from '../../src/system/random.ts';
import { TempStore } from '../support/objects/temp-store.ts';
import { TestServer } from '../support/queues/test-server.ts';

const WEEK_MS = 7 * 86_400_000;

/** Makes everything in the store look as if it had been written long ago. */
function age(objects: TempStore): void {
  for (const folder of readdirSync(objects.folder)) {
    for (const name of readdirSync(join(objects.folder, folder))) {
      utimesSync(join(objects.folder, folder, name), new Date(0), new Date(1_000));
    }
  }
}

test('chunks that no queue knows are collected, those of any known submission stay', async () => {
  await using objects = await TempStore.create();
  await using one = await TestServer.start();
  await using other = await TestServer.start();
  const prefixes: string[] = [];
  for (const { port } of [one, other]) {
    await using producer = new ProducerClient(`localhost:${port}`, objects.url);
    await producer.insertSubmission([1, 2, 3], { chunkSize: 1 });
    const cancelled = await producer.insertSubmission([1, 2], { chunkSize: 1 });
    await producer.submission(cancelled).cancel();
  }
  prefixes.push(...readdirSync(objects.folder));
  assert.equal(prefixes.length, 4);
  // Uploaded, and then its producer died.
  const lost = uuidV7(0);
  await objects.store.put(chunkKey(lost, 0, 'in'), new Uint8Array(100));
  age(objects);

  const options = { objectStore: objects.url, olderThanMs: WEEK_MS };
  const urls = [one, other].map(({ port }) => `localhost:${port}`);
  const found: string[] = [];
  const dry = await collectGarbage({
    ...options,
    queueUrls: urls,
    onFolder: ({ prefix }) => found.push(prefix),
  });
  assert.deepEqual([dry.known, dry.garbage, dry.garbageBytes, dry.deletedObjects], [4, 1, 100, 0]);
  assert.deepEqual(found, [lost]);
  assert.equal(readdirSync(objects.folder).length, 5);

  const report = await collectGarbage({ ...options, queueUrls: urls, delete: true });
  assert.deepEqual([report.known, report.garbage, report.deletedObjects], [4, 1, 1]);
  assert.deepEqual(readdirSync(objects.folder).sort(), prefixes.sort());

  // Why every queue has to be named: this one alone knows half of them.
  const alone = await collectGarbage({ ...options, queueUrls: urls.slice(0, 1) });
  assert.deepEqual([alone.known, alone.garbage], [2, 2]);
});

test('nothing is deleted while a queue is away', async () => {
  await using objects = await TempStore.create();
  await using queue = await TestServer.start();
  const gone = await TestServer.start();
  const url = `localhost:${gone.port}`;
  await gone[Symbol.asyncDispose]();
  const lost = uuidV7(0);
  await objects.store.put(chunkKey(lost, 0, 'in'), new Uint8Array(100));
  age(objects);
  const collecting = collectGarbage({
    objectStore: objects.url,
    olderThanMs: WEEK_MS,
    delete: true,
    queueUrls: [`localhost:${queue.port}`, url],
    retryForMs: 0,
  });
  await assert.rejects(
    collecting,
    (error) => error instanceof OpsqueueError && error.code === 'QUEUE_UNREACHABLE',
  );
  assert.deepEqual(readdirSync(objects.folder), [lost]);
});

test('wrong use is refused', async () => {
  const options = { objectStore: 'memory:///gc', queueUrls: ['localhost:1'], olderThanMs: WEEK_MS };
  await assert.rejects(collectGarbage({ ...options, queueUrls: [] }), IncorrectUsageError);
  await assert.rejects(collectGarbage({ ...options, olderThanMs: 1_000 }), /less than an hour/);
  await assert.rejects(collectGarbage({ ...options, olderThanMs: Number.NaN }), /less than an hour/);
  await assert.rejects(collectGarbage({ ...options, objectStore: 'nowhere' }), IncorrectUsageError);
});
