/** The last chunks of a job, on the real queue: all consumers get some of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Inbox } from '../../support/peers/inbox.ts';
import { realQueue } from '../../support/queues/real-queue.ts';

test('consumers that are warm from quick chunks all get some of a few slow ones', async () => {
  await using queue = await realQueue();
  const slow = new Inbox<{ readonly consumer: number; readonly finish: () => void }>();
  const consumers = Array.from({ length: 4 }, () => queue.consume());
  // The first of them may be through with all that is quick before the last one's thread has started.
  await Promise.all(consumers.map((consumer) => consumer.connect()));
  const runs = consumers.map((consumer, number) =>
    consumer.runEachOp((op: string) =>
      op === 'quick'
        ? number
        : new Promise((resolve) => slow.put({ consumer: number, finish: () => resolve(number) })),
    ),
  );
  const quick = Array.from({ length: 400 }, () => 'quick');
  const by = await Array.fromAsync(queue.producer.runSubmission(quick, { chunkSize: 1 }));
  assert.equal(new Set(by).size, 4, 'all are warm');
  const results = Array.fromAsync(
    queue.producer.runSubmission(
      Array.from({ length: 60 }, () => 'slow'),
      { chunkSize: 1 },
    ),
  );
  // Nobody finishes before all four have begun.
  const first = [await slow.take(), await slow.take(), await slow.take(), await slow.take()];
  assert.equal(new Set(first.map(({ consumer }) => consumer)).size, 4);
  for (const { finish } of first) finish();
  for (let left = 60 - first.length; left > 0; left--) (await slow.take()).finish();
  const done = await results;
  const counts = [0, 1, 2, 3].map((number) => done.filter((each) => each === number).length);
  assert.ok(Math.max(...counts) <= 30, `no one works on more than half of them: ${counts}`);
  await Promise.all(consumers.map((consumer) => consumer.stop()));
  await Promise.all(runs);
});
