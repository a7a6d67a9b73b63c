import assert from 'node:assert/strict';
import { mock, test } from 'node:test';
import { realQueue } from '../support/queues/real-queue.ts';

test('a job runs to its end in a program whose timers and dates are replaced', {
  timeout: 30_000,
}, async () => {
  await using queue = await realQueue();
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'setImmediate', 'Date'] });
  try {
    const consumer = queue.consume();
    // Fails once, so that something has to wait as well.
    let failures = 0;
    const working = consumer.runEachOp((n: number) => {
      if (n === 3 && failures++ === 0) throw new Error('the first time');
      return n + 1;
    });
    const run = queue.producer.runSubmission([1, 2, 3], { chunkSize: 1, when: 'as-completed' });
    assert.deepEqual(await Array.fromAsync(run), [2, 3, 4]);
    await consumer.stop();
    await working;
  } finally {
    mock.timers.reset();
  }
});
