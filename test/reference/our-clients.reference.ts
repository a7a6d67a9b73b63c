import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { ConsumerClient, Strategy } from '../../src/consumer/index.ts';
import { ProducerClient, SubmissionCancelledError, SubmissionFailedError } from '../../src/producer/index.ts';
import { freePort } from '../support/network/free-port.ts';
import { inFolder, startQueue } from './support.ts';

test('our clients do all they offer with the original server', async () => {
  await inFolder(async (folder) => {
    const port = await freePort();
    const flags = ['--max-chunk-retries', '2'];
    const queue = await startQueue('original', { port, database: join(folder, 'queue.db'), flags });
    const where = [`localhost:${port}`, `file://${folder}/objects`] as const;
    const producer = new ProducerClient(...where);
    const consumer = new ConsumerClient(...where);
    const work = (op: unknown): number => {
      if (typeof op !== 'number') throw new Error(`no luck with ${op}`);
      return op + 1;
    };
    const run = consumer.runEachOp(work, {
      strategy: Strategy.preferDistinct('customer', Strategy.random()),
    });

    assert.match(await producer.serverVersion(), /^v0\.40/);
    for (const chunkSize of [1, 7, 1000]) {
      const ops = Array.from({ length: 500 }, (_, i) => i);
      assert.deepEqual(await collected(producer.runSubmission(ops, { chunkSize })), ops.map(work));
    }
    assert.deepEqual(await collected(producer.runSubmission([], { chunkSize: 10 })), []);
    const falling = producer.runSubmission([1, 2, 3], { chunkSize: 1, when: 'as-completed' });
    assert.deepEqual(await collected(falling), [2, 3, 4], 'falls back to results when all is complete');
    await assert.rejects(
      collected(producer.runSubmission(['a'], { chunkSize: 1 })),
      (error) => error instanceof SubmissionFailedError && /no luck with a/.test(error.failure),
    );

    const strategicMetadata = { customer: 2n ** 62n, shop: -5 };
    const id = await producer.insertSubmission([1, 2], { chunkSize: 2, strategicMetadata });
    assert.deepEqual(await collected(producer.submission(id).results()), [2, 3]);
    const status = await producer.submission(id).details();
    assert.equal(status?.state, 'completed');
    assert.deepEqual(status?.strategicMetadata, { customer: 2n ** 62n, shop: -5 });
    assert.equal(await producer.submission(12345n).details(), null);

    await consumer.stop();
    await run;
    const waiting = await producer.insertSubmission([1], {
      chunkSize: 1,
      strategicMetadata: { customer: 9 },
    });
    assert.equal(await producer.countSubmissions(), 1);
    const found = await producer.submissionsInProgress({ customer: 9 });
    assert.deepEqual(
      found.map((each) => each.id),
      [waiting],
    );
    await producer.submission(waiting).cancel();
    await assert.rejects(collected(producer.submission(waiting).results()), SubmissionCancelledError);
    await consumer.close();
    await producer.close();
    await queue.kill();
  });
});

async function collected(results: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const result of results) all.push(result);
  return all;
}
