import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nextSubmissionId, submissionIdShard } from '../../src/model/ids.ts';
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

test('ids of two shards never meet, whatever the highest was before, and also when the clock is behind', () => {
  const seen = new Set<bigint>();
  for (const shard of [0, 1, 63]) {
    // As after a move, for all shards the same: with the bits of shard 0, and ahead of the clock.
    let last = (2_000n << 22n) | 0xffen;
    for (let i = 0; i < 10_000; i++) {
      const next = nextSubmissionId(last, 1_000, shard);
      assert.ok(next > last && !seen.has(next));
      assert.equal(submissionIdShard(next), shard);
      seen.add(next);
      last = next;
    }
  }
});
