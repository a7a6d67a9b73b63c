import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ShardLines } from '../../src/node/shard-lines.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

test('what happens to shards after the rest was told at the end of a node is told as well', () => {
  const clock = new ManualClock();
  const logger = recordingLogger();
  const lines = new ShardLines({ clock, logger, isActive: () => true });
  const told = () => logger.lines.map(({ fields }) => Object.values(fields)[0]);
  lines.taken(1);
  clock.advance(0);
  lines.taken(2);
  assert.deepEqual(told(), [[1]]);
  lines.stop();
  assert.deepEqual(told(), [[1], [2]]);
  lines.taken(3);
  clock.advance(0);
  assert.deepEqual(told(), [[1], [2], [3]]);
});
