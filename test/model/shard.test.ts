import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SHARDS, shardOfQueue } from '../../src/model/shard.ts';

test('the shard of a queue never changes: what is stored goes by it', () => {
  const names = ['', 'a', 'b', 'images', 'video-1', 'video-2', 'nightly.report_2', 'x'.repeat(63), 'é'];
  assert.deepEqual(names.map(shardOfQueue), [0, 51, 50, 27, 48, 34, 42, 41, 7]);
});

test('names that differ in little are spread over all shards', () => {
  const counts = new Array<number>(SHARDS).fill(0);
  for (let i = 0; i < 100 * SHARDS; i++) counts[shardOfQueue(`queue-${i}`)]!++;
  assert.ok(Math.min(...counts) > 60 && Math.max(...counts) < 140, counts.join());
});
