import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LogBudget } from '../../src/system/log/log-budget.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { TestServer } from '../support/queues/test-server.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

test('a failed submission is a warning with its cause; the rest of its life is for debug', async () => {
  const logger = recordingLogger();
  await using queue = await TestServer.start({ chunkRetriesMax: 2, logger });
  const consumer = await queue.consumer();
  const id = await queue.insert('fails', 2);
  for (let i = 0; i < 2; i++) {
    const [reserved] = await consumer.reserved();
    consumer.fail(reserved!.chunk);
  }
  const failed = await logger.line(/^submission failed$/);
  assert.equal(failed.level, 'warn');
  const { submission, chunksTotal, failure } = failed.fields as Record<string, unknown>;
  assert.deepEqual([submission, chunksTotal, typeof failure], [String(id), 2, 'string']);
  const completed = await queue.insert('completes', 1);
  const [reserved] = await consumer.reserved();
  consumer.complete(reserved!.chunk);
  await logger.line(/^submission completed$/);
  const told = logger.lines.map(({ level, message }) => `${level}: ${message}`);
  for (const line of ['debug: submission inserted', 'debug: chunk failed', 'debug: submission completed']) {
    assert.ok(told.includes(line), line);
  }
  assert.ok(
    logger.lines.some(({ fields }) => (fields as { submission?: string }).submission === String(completed)),
  );
  assert.deepEqual(
    told.filter((line) => line.startsWith('info')),
    ['info: open submissions are loaded'],
  );
});

test('a budget of lines lets some through at once and then a few, and says how many it kept', () => {
  const clock = new ManualClock();
  const budget = new LogBudget(clock, { burst: 2, perSecond: 1 });
  assert.deepEqual([budget.take(), budget.take(), budget.take(), budget.take()], [0, 0, null, null]);
  clock.advance(1_000);
  assert.deepEqual([budget.take(), budget.take()], [2, null]);
  clock.advance(60_000);
  assert.deepEqual([budget.take(), budget.take(), budget.take()], [1, 0, null]);
});

test('consumers that are sick and well by turns are named, and do not flood the log', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 100_000 });
  await world.insert('a', 10_000);
  const well = world.consumer();
  const flapping = world.consumer();
  const lines = (level: string, words: string) =>
    world.log.filter((line) => line.level === level && line.message.includes(words)).length;
  for (let i = 0; i < 100; i++) {
    for (let failures = 0; failures < 5; failures++) {
      well.complete(well.take()[0]!.chunk);
      flapping.fail(flapping.take()[0]!.chunk);
    }
    flapping.reserve();
    await world.passes(1_000);
    flapping.complete(flapping.takeChunks()[0]!.chunk);
  }
  const named = lines('warn', 'slowing it down');
  // 20 at once, and one each five seconds of a hundred.
  assert(named >= 35 && named <= 41, `${named} lines`);
  assert.equal(lines('info', 'completes chunks again'), named);
  assert.equal(lines('debug', 'slowing it down'), 100 - named);
  assert(world.log.some(({ fields }) => 'sickUnlogged' in fields));
});
