import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestServer } from '../support/queues/test-server.ts';

test('a submission is inserted, reserved, completed, and then its status says so', async () => {
  await using queue = await TestServer.start();
  const id = await queue.insert('main-job', 3, { chunk_size: 7 });
  assert.match(
    await queue.status(id),
    /^\{"InProgress":\{"id":[0-9]+,"prefix":"main-job","chunks_total":3,"chunks_done":0,"chunk_size":7/,
  );
  const consumer = await queue.consumer();
  const chunks = await consumer.reserved(10);
  assert.deepEqual(
    chunks.map(({ chunk }) => chunk),
    [0, 1, 2].map((chunkIndex) => ({ submissionId: id, chunkIndex })),
  );
  for (const { chunk } of chunks) consumer.complete(chunk);
  assert.match(await queue.status(id, '?wait_ms=10000'), /^\{"Completed":/);
});

test('small work goes through the queue itself: inputs in, outputs out', async () => {
  await using queue = await TestServer.start();
  const id = await queue.insertDirect([[1, 2], null, []]);
  const consumer = await queue.consumer();
  const chunks = await consumer.reserved(10);
  assert.deepEqual(
    chunks.map(({ inputContent }) => inputContent && [...inputContent]),
    [[1, 2], null, []],
  );
  for (const { chunk } of chunks) consumer.complete(chunk, Uint8Array.of(chunk.chunkIndex));
  assert.match(await queue.status(id, '?wait_ms=10000'), /^\{"Completed":/);
  const outputs = await queue.get(`/producer/submissions/${id}/direct_outputs`);
  assert.equal(outputs.body.toString('hex'), '83410041014102');
});
