import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { StoreError, startServer } from '../../src/server/index.ts';
import { TestServer } from '../support/queues/test-server.ts';

let folder = '';
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'opsqueue-restart-'));
});
after(() => rmSync(folder, { recursive: true, force: true }));

test('after a restart everything is as it was, and nothing is reserved', async () => {
  const databaseFilename = join(folder, 'queue.db');
  let open = 0n;
  let completed = 0n;
  let cancelled = 0n;
  {
    await using queue = await TestServer.start({ databaseFilename });
    open = await queue.insert('open', 5_000, {
      chunk_size: 7,
      metadata: [1, 2, 255],
      strategic_metadata: { least: -9007199254740991, k: 1 },
    });
    completed = await queue.insert('completed', 1);
    cancelled = await queue.insert('cancelled', 2);
    await queue.post(`/producer/submissions/cancel/${cancelled}`, '');
    const consumer = await queue.consumer();
    const [first, second, third] = await consumer.reserved(3);
    consumer.complete(first!.chunk);
    consumer.fail(second!.chunk);
    consumer.complete({ submissionId: completed, chunkIndex: 0 });
    assert.match(await queue.status(completed, '?wait_ms=10000'), /^\{"Completed"/);
    assert.equal(third?.chunk.chunkIndex, 2);
  }
  await using queue = await TestServer.start({ databaseFilename });
  const status = await queue.status(open);
  assert.match(status, /"chunks_total":5000,"chunks_done":1,"chunk_size":7,"metadata":\[1,2,255\]/);
  assert.match(status, /"least":-9007199254740991/);
  assert.match(await queue.status(completed), /^\{"Completed"/);
  assert.match(await queue.status(cancelled), /^\{"Cancelled"/);
  const consumer = await queue.consumer();
  const chunks = await consumer.reserved(3);
  assert.deepEqual(
    chunks.map(({ chunk, retries }) => [chunk.chunkIndex, retries]),
    [
      [1, 1],
      [2, 0],
      [3, 0],
    ],
  );
  assert.ok((await queue.insert('later', 1)) > open);
});

test('contents of direct submissions survive a restart', async () => {
  const databaseFilename = join(folder, 'direct.db');
  let id = 0n;
  {
    await using queue = await TestServer.start({ databaseFilename });
    id = await queue.insertDirect([[1], [2], null]);
    const consumer = await queue.consumer();
    const [first] = await consumer.reserved(1);
    consumer.complete(first!.chunk, Uint8Array.of(11));
    await queue.get(`/producer/submissions/${id}/chunks_done?known=0&wait_ms=10000`);
  }
  await using queue = await TestServer.start({ databaseFilename });
  const consumer = await queue.consumer();
  const chunks = await consumer.reserved(3);
  assert.deepEqual(
    chunks.map(({ chunk, inputContent }) => [chunk.chunkIndex, inputContent && [...inputContent]]),
    [
      [1, [2]],
      [2, null],
    ],
  );
  const outputs = await queue.get(`/producer/submissions/${id}/direct_outputs`);
  assert.equal(outputs.body.toString('hex'), '83410bf6f6');
});

test('two servers on one database, or a file that is not a database, are refused by name', async () => {
  const databaseFilename = join(folder, 'shared.db');
  await using _queue = await TestServer.start({ databaseFilename });
  const isRefusal = (error: unknown) =>
    error instanceof StoreError && error.storeClass === 'unusable' && error.message.includes('.db');
  await assert.rejects(startServer({ databaseFilename, port: 0 }), isRefusal);
  const text = join(folder, 'text.db');
  writeFileSync(
    text,
    'this is no database, whatever its name says, and it is longer than a header of one hundred bytes, too',
  );
  await assert.rejects(startServer({ databaseFilename: text, port: 0 }), isRefusal);
});
