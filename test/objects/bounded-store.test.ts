import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { BoundedStore } from '../../src/objects/bounded-store.ts';
import { ObjectStoreError } from '../../src/objects/errors.ts';
import { ProducerClient } from '../../src/producer/index.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { freshStore } from '../support/objects/fresh-store.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

const { signal } = new AbortController();

/** Options with which the first opening of a store fails. */
function failingOnce(folder: string) {
  const file = join(folder, 'credentials.mjs');
  const first = `if (calls++ === 0) throw new Error('the vault is sealed')`;
  writeFileSync(file, `let calls = 0;\nexport default () => { ${first}; return undefined; };\n`);
  // Nobody listens there: what matters is that a call is made.
  const closed = { endpoint: 'http://127.0.0.1:1', allow_http: true, max_retries: 0 };
  return { ...closed, credentials_module: pathToFileURL(file).href };
}

test('a store whose opening failed is opened again by the next call', async () => {
  await using folder = await temporaryFolder();
  const options = failingOnce(folder.path);
  const context = { clock: systemClock };
  const store = new BoundedStore({ store: 's3://bucket/base', options, transferMsMax: 60_000, context });
  await assert.rejects(store.get('p/0-in.bin', { signal }), { message: 'the vault is sealed' });
  await assert.rejects(store.get('p/0-in.bin', { signal }), { key: 'p/0-in.bin' });
  await store.close();
});

test('a producer whose store could not be opened reads nothing of its source, and tries again', async () => {
  await using folder = await temporaryFolder();
  await using queue = await FakeQueue.start();
  const objectStoreOptions = failingOnce(folder.path);
  await using producer = new ProducerClient(queue.url, 's3://bucket/base', { objectStoreOptions });
  let read = 0;
  const source = () => [1].values().map((op) => op + read++);
  await assert.rejects(producer.insertSubmission(source(), { chunkSize: 1 }), /the vault is sealed/);
  assert.equal(read, 0);
  await assert.rejects(producer.insertSubmission(source(), { chunkSize: 1 }), { name: 'ObjectStoreError' });
  assert.equal(read, 1);
});

test('calls that hang end after the time limit, all in one way', async () => {
  const hang = () => new Promise<never>(() => {});
  const inner = Object.assign(freshStore(), { put: hang, get: hang, delete: hang });
  const clock = new ManualClock();
  const store = new BoundedStore({ store: inner, options: {}, transferMsMax: 500, context: { clock } });
  for (const call of [
    () => store.get('p/0-in.bin', { signal }),
    () => store.put('p/0-in.bin', new Uint8Array(1), { signal }),
    () => store.delete(['p/0-in.bin', 'p/1-in.bin'], { signal }),
  ]) {
    const failed = assert.rejects(call(), (error) => {
      assert.ok(error instanceof ObjectStoreError);
      assert.deepEqual([error.code, error.key, error.retryable], ['OBJECT_UNREACHABLE', 'p/0-in.bin', true]);
      assert.match(error.message, /p\/0-in\.bin: it took longer than 500 ms \(transferMsMax\)/);
      return true;
    });
    clock.advance(500);
    await failed;
  }
  assert.equal(clock.timersPending, 0);
});

test('the URL that a store shows has no credentials, before it is opened and after', async () => {
  const { url } = new BoundedStore({
    store: 'https://user:secret@dav.example/base',
    options: {},
    transferMsMax: 1,
    context: { clock: systemClock },
  });
  assert.equal(url, 'https://dav.example/base');
});
