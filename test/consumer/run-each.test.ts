import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConsumerClient } from '../../src/consumer/index.ts';
import { cborChunkCodec } from '../../src/protocol/chunk-codec.ts';
import { FakeQueue, fakeChunk, fakeSubmission } from '../support/fake-queue.ts';
import { TempStore } from '../support/temp-store.ts';

const codec = cborChunkCodec();

test('a synchronous callback gets each operation, and the results are where the producer looks for them', async () => {
  await using queue = await FakeQueue.start();
  await using objects = await TempStore.create();
  await using consumer = new ConsumerClient(queue.url, objects.url);
  const submission = fakeSubmission();
  await objects.putInput(submission.prefix ?? '', 3, codec.encode(['a', 'b', 'c']));
  const over = consumer.runEachOp((op: string) => op.toUpperCase());

  const connection = await queue.connection();
  const reserve = await connection.next('reserve');
  assert.deepEqual([reserve.max, reserve.strategy], [1, { kind: 'random' }]);
  connection.answer(reserve.nonce, [fakeChunk(submission, 3)]);
  const complete = await connection.until('complete');
  assert.deepEqual(complete.chunk, { submissionId: submission.id, chunkIndex: 3 });
  assert.equal(complete.outputContent, null);
  assert.deepEqual(codec.decode(await objects.readOutput(submission.prefix ?? '', 3)), ['A', 'B', 'C']);
  await consumer.stop();
  await over;
});
