import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ConsumerClient } from '../../src/consumer/index.ts';
import type { ObjectStore } from '../../src/objects/object-store.ts';
import { openObjectStore } from '../../src/objects/open.ts';
import {
  collectGarbage,
  ObjectStoreError,
  ProducerClient,
  SubmissionFailedError,
} from '../../src/producer/index.ts';
import { startFakeDav } from '../support/fakes/fake-dav.ts';
import { TestServer } from '../support/queues/test-server.ts';

const root = mkdtempSync(join(tmpdir(), 'opsqueue-other-store-'));
after(() => rmSync(root, { recursive: true, force: true }));
const folderUrl = (name: string) => pathToFileURL(join(root, name));

describe('a consumer with another object store than the producer', () => {
  test('fails its chunks with the place where it looks, and says that both must be the same', async () => {
    await using queue = await TestServer.start({ chunkRetriesMax: 0 });
    const dav = await startFakeDav({ basic: 'me:secret' });
    const address = `127.0.0.1:${queue.port}`;
    const shown = `${dav.origin}/elsewhere`;
    const withPassword = shown.replace('http://', 'http://me:secret@');
    await using producer = new ProducerClient(address, folderUrl('here').href);
    await using consumer = new ConsumerClient(address, withPassword, {
      objectStoreOptions: { allow_http: true },
    });
    consumer.runEachOp((op) => op).catch(() => {});
    await assert.rejects(Array.fromAsync(producer.runSubmission([1], { chunkSize: 1 })), (error) => {
      assert.ok(error instanceof SubmissionFailedError);
      assert.ok(error.failure.includes(`this consumer reads from ${shown}: the producer must use`));
      assert.match(error.failure, /-in\.bin \[OBJECT_NOT_FOUND\]/);
      assert.doesNotMatch(error.failure, /secret/);
      return true;
    });
    await dav.stop();
  });

  test('that writes to it: the producer says where it looks', async () => {
    await using queue = await TestServer.start();
    const address = `127.0.0.1:${queue.port}`;
    const store = folderUrl('mine').href;
    await using producer = new ProducerClient(address, store);
    await using consumer = new ConsumerClient(address, await readsOnly(store));
    consumer.runEachOp((op) => op).catch(() => {});
    await assert.rejects(Array.fromAsync(producer.runSubmission([1], { chunkSize: 1 })), (error) => {
      assert.ok(error instanceof ObjectStoreError);
      assert.equal(error.code, 'OBJECT_NOT_FOUND');
      assert.ok(error.message.includes(`this producer reads from ${store}: the consumer must use`));
      return true;
    });
  });

  test('a reader of chunks that are gone learns what has likely become of them, by the state of the submission', async () => {
    await using queue = await TestServer.start();
    const address = `127.0.0.1:${queue.port}`;
    const [store, elsewhere] = [folderUrl('mine-too').href, folderUrl('elsewhere').href];
    await using producer = new ProducerClient(address, store);
    await using stranger = new ProducerClient(address, elsewhere);
    await using consumer = new ConsumerClient(address, store);
    const id = await producer.insertSubmission([1, 2], { chunkSize: 1 });
    let hold = () => {};
    const held = new Promise<void>((resolve) => {
      hold = resolve;
    });
    consumer.runEachOp((op) => (op === 1 ? op : held.then(() => op))).catch(() => {});
    const reads = (client: ProducerClient, when?: 'as-completed') => client.submission(id).results({ when });
    await assert.rejects(reads(stranger, 'as-completed').next(), {
      code: 'OBJECT_NOT_FOUND',
      message: new RegExp(
        `chunks are there: this producer reads from ${elsewhere}, and must use the same .*or they`,
      ),
    });
    hold();
    assert.deepEqual(
      await Array.fromAsync(producer.submission(id).results({ cleanup: 'after-results' })),
      [1, 2],
    );
    await assert.rejects(reads(producer).next(), {
      code: 'OBJECT_NOT_FOUND',
      message: new RegExp(
        `is completed, and its chunks were probably removed .*; if not: .* ${store}, and must`,
      ),
    });
  });
});

/** An object store that loses what is written. */
async function readsOnly(url: string): Promise<ObjectStore> {
  const store = await openObjectStore(url);
  return {
    url,
    get: store.get.bind(store),
    put: async () => {},
    delete: store.delete.bind(store),
    list: store.list.bind(store),
    listFolders: store.listFolders.bind(store),
    close: async () => {},
  };
}

test('URL objects are taken for queue and object store, by producer, consumer and clean-up', async () => {
  await using queue = await TestServer.start();
  const address = new URL(`http://127.0.0.1:${queue.port}`);
  for (const objectStore of [folderUrl('url objects'), new URL(`memory:///${process.pid}-url-objects`)]) {
    await using producer = new ProducerClient(address, objectStore);
    await using consumer = new ConsumerClient(address, objectStore);
    consumer.runEachOp((op) => op).catch(() => {});
    assert.deepEqual(await Array.fromAsync(producer.runSubmission([1, 2], { chunkSize: 1 })), [1, 2]);
    const report = await collectGarbage({ objectStore, queueUrls: [address], olderThanMs: 3_600_000 });
    assert.equal(report.known, 1);
  }
});
