import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkSet } from '../../src/model/chunk-set.ts';
import { RETRY_DEFAULT, type RetryPolicy } from '../../src/model/retry.ts';
import { Strategy } from '../../src/model/strategy.ts';
import { Scene } from './scheduler-scene.ts';

const OLDEST = Strategy.oldest();

/** Fails the only chunk of a submission `times` times, and gives the waits in between. */
function waitsOf(retry: RetryPolicy, draw: number, times: number): number[] {
  const scene = new Scene({ chunkRetriesMax: 100, random: { next: () => draw } });
  scene.insert(1, { chunksTotal: 1, retry });
  const a = scene.consumer('A');
  return Array.from({ length: times }, () => {
    assert.deepEqual(scene.reserve(a, OLDEST), ['1#0']);
    scene.fail(a, '1#0');
    if (scene.scheduler.counts.chunksDelayed === 0) return 0;
    const waitMs = scene.scheduler.nextDeadlineMs()! - scene.nowMs;
    scene.pass(waitMs);
    return waitMs;
  });
}

test('the waits before retries double up to a minute, and chance takes half of them at most', () => {
  assert.deepEqual(
    waitsOf(RETRY_DEFAULT, 0, 8),
    [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000],
  );
  assert.deepEqual(waitsOf(RETRY_DEFAULT, 1, 3), [500, 1_000, 2_000]);
});

test('a policy has its own waits, or none', () => {
  assert.deepEqual(
    waitsOf({ ...RETRY_DEFAULT, delayMs: 10, factor: 3, delayMsMax: 50, jitter: 0 }, 1, 4),
    [10, 30, 50, 50],
  );
  assert.deepEqual(waitsOf({ ...RETRY_DEFAULT, delayMs: 0 }, 0.5, 3), [0, 0, 0]);
  assert.deepEqual(waitsOf({ ...RETRY_DEFAULT, delayMs: 10, factor: 1_000, delayMsMax: 0 }, 0.5, 2), [0, 0]);
});

test('a policy may allow fewer tries than the queue, or more', () => {
  for (const triesMax of [1, 5]) {
    const scene = new Scene({ chunkRetriesMax: 3 });
    scene.insert(1, { chunksTotal: 1, retry: { ...RETRY_DEFAULT, triesMax, delayMs: 0 } });
    const a = scene.consumer('A');
    for (let i = 0; i < triesMax; i++) {
      assert.equal(scene.ends.size, 0);
      scene.reserve(a, OLDEST);
      scene.fail(a, '1#0');
    }
    assert.equal(scene.ends.get(1n)?.state, 'failed');
  }
});

test('the longest of all waits holds: that of the policy, the least of the submission, what the consumer asked for', () => {
  const scene = new Scene({ chunkRetriesMax: 10 });
  const retry = { ...RETRY_DEFAULT, delayMs: 100, jitter: 0 };
  scene.insert(1, { chunksTotal: 1, retry, retryDelayMs: 150 });
  const a = scene.consumer('A');
  for (const [delayMs, waitMs] of [
    [0, 150],
    [170, 200],
    [700, 700],
  ] as const) {
    scene.reserve(a, OLDEST);
    scene.fail(a, '1#0', { delayMs });
    assert.equal(scene.scheduler.nextDeadlineMs(), scene.nowMs + waitMs);
    scene.pass(waitMs);
  }
});

test('an expired reservation waits as a failure does', () => {
  const scene = new Scene({ random: { next: () => 0 } });
  scene.insert(1, { chunksTotal: 1, retry: RETRY_DEFAULT });
  scene.reserve(scene.consumer('A', { silentOnExpiry: true }), OLDEST);
  scene.pass(1_000);
  assert.equal(scene.scheduler.nextDeadlineMs(), 2_000);
});

test('after a restart chunks that had failed wait anew; the order stays, and nothing is handed out twice', () => {
  const scene = new Scene({ random: { next: () => 0 } });
  const tries = new Map([1, 3].map((index) => [index, { retries: index, disconnects: 0 }]));
  scene.insert(1, { chunksTotal: 5, retry: RETRY_DEFAULT }, { done: new ChunkSet(5), tries });
  assert.deepEqual({ ...scene.scheduler.counts }.chunksDelayed, 2);
  const a = scene.consumer('A', { silentOnExpiry: true });
  assert.deepEqual(scene.reserve(a, OLDEST, 1), ['1#0']);
  scene.complete(a, '1#0');
  scene.pass(1_000);
  assert.deepEqual(scene.reserve(a, OLDEST, 2), ['1#1', '1#2']);
  scene.complete(a, '1#3');
  scene.complete(a, '1#1');
  scene.complete(a, '1#2');
  assert.deepEqual(scene.reserve(a, OLDEST, 9), ['1#4']);
  scene.scheduler.checkInvariants();
  scene.complete(a, '1#4');
  assert.equal(scene.ends.get(1n)?.state, 'completed');
});
