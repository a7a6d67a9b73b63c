import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { ConsumerClient, defineContract, ProducerClient } from '../../src/index.ts';
import { realQueue } from '../support/queues/real-queue.ts';

for (const kind of ['operations', 'chunks'] as const) {
  test(`what a schema makes of a value takes effect once, where it is read (${kind})`, async () => {
    await using queue = await realQueue();
    // Neither schema takes what it makes.
    const contract = defineContract({
      store: queue.objects.url,
      operation: v.pipe(v.string(), v.transform(Number)),
      result: v.pipe(v.number(), v.transform(String)),
    });
    await using consumer = new ConsumerClient(queue.url, contract);
    const working =
      kind === 'operations'
        ? consumer.runEachOp((n) => n * 10)
        : consumer.runEachChunk((ops) => ops.map((n) => n * 10));
    await using producer = new ProducerClient(queue.url, contract);
    const results: string[] = await Array.fromAsync(
      producer.runSubmission(['1', '2', '3'], { chunkSize: 2 }),
    );
    assert.deepEqual(results, ['10', '20', '30']);
    await consumer.stop();
    await working;
  });
}
