import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FailureLog } from '../../src/consumer/failure-log.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { Scene } from '../support/peers/consumer-scene.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

const double = new URL('../support/programs/double.ts', import.meta.url);

test('the first failures are logged one by one, more of them once a minute as counts with the latest', () => {
  const [clock, logger] = [new ManualClock(), recordingLogger()];
  let completed = 0;
  const log = new FailureLog(clock, logger, () => completed);
  const fail = (chunkIndex: number, submissionId = '1') =>
    log.chunkFailed({ submissionId, chunkIndex }, `no ${chunkIndex}`);
  for (let chunk = 0; chunk < 5; chunk++) fail(chunk);
  assert.deepEqual(
    logger.lines.map(({ level, message, fields }) => [level, message, fields]),
    [0, 1, 2, 3, 4].map((chunk) => [
      'warn',
      'a chunk failed',
      { submission: '1', chunk, error: `no ${chunk}` },
    ]),
  );
  completed = 10;
  for (let chunk = 5; chunk < 5_000; chunk++) fail(chunk, String(chunk % 3));
  log.operationsFailed({ submissionId: '7', chunkIndex: 8 }, 20, 'no op');
  completed = 15;
  assert.equal(logger.lines.length, 5);
  clock.advance(60_000);
  assert.equal(logger.lines.length, 6);
  const { message, fields } = logger.lines.at(-1)!;
  assert.equal(message, 'more chunks or operations failed, of which this is the latest');
  assert.deepEqual(fields, {
    chunksFailed: 4_995,
    operationsFailed: 20,
    chunksCompleted: 5,
    submissions: 4,
    submission: '7',
    chunk: 8,
    error: 'no op',
  });
  // One a minute in full, and nothing while nothing fails.
  fail(1);
  assert.equal(logger.lines.length, 7);
  clock.advance(600_000);
  assert.equal(logger.lines.length, 7);
});

test('what was only counted is logged when the runs are over', async () => {
  await using scene = await Scene.open();
  const run = scene.consumer.runEachOp(() => {
    throw new Error('the database is down');
  });
  const chunks = await Promise.all(Array.from({ length: 8 }, (_, index) => scene.chunk(index, [1])));
  const connection = await scene.serve(...chunks);
  for (let i = 0; i < 8; i++) await connection.next('fail');
  assert.equal(scene.logger.lines.filter(({ message }) => message === 'a chunk failed').length, 5);
  await scene.consumer.stop();
  await run;
  const { fields } = await scene.logger.line(/^more chunks or operations failed/);
  const { chunksFailed, submission, error } = fields as Record<string, unknown>;
  assert.deepEqual([chunksFailed, submission], [3, String(scene.submission.id)]);
  assert.match(String(error), /the database is down/);
});

for (const [where, callback] of [
  ['in the thread of the program', doubled],
  ['in a pool', double],
] as const) {
  test(`operations whose errors are results are in the log as well, ${where}`, async () => {
    await using scene = await Scene.open();
    const run = scene.consumer.runEachOp(callback, { onOpError: 'record' });
    const connection = await scene.serve(await scene.chunk(3, [1, 'what', 'what']));
    await connection.until('complete');
    const { level, fields } = await scene.logger.line(/^operations failed$/);
    const { error, ...others } = fields as Record<string, unknown>;
    assert.deepEqual(
      [level, others],
      ['info', { submission: String(scene.submission.id), chunk: 3, operations: 2 }],
    );
    assert.match(String(error), /what is what\?/);
    await scene.consumer.stop();
    await run;
  });
}

function doubled(op: number | string): number {
  if (op === 'what') throw new TypeError('what is what?');
  return Number(op) * 2;
}
