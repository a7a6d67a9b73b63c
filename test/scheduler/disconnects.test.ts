import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkSet } from '../../src/model/chunk-set.ts';
import { Strategy } from '../../src/model/strategy.ts';
import { Scene } from './scheduler-scene.ts';

const OLDEST = Strategy.oldest();

test('a broken connection counts for what was running, and its retries stay as they were', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 5 });
  const a = scene.consumer('A', { concurrency: 2 });
  scene.reserve(a, OLDEST, 5);
  scene.complete(a, '1#0');
  scene.remove(a, 'broken');
  // Its first two unfinished ones were running; the others had only been reserved.
  assert.deepEqual(scene.takeTold(), ['page of 1', 'tries of 1#1: 0, 1', 'tries of 1#2: 0, 1']);
  assert.equal(scene.scheduler.counts.chunksAvailable, 4);
  assert.equal(scene.scheduler.counts.consumers, 0);
});

test('one chunk runs at a time on a client that does not say; the order is that of the hand-out', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 3 });
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  scene.reserve(b, OLDEST, 1);
  scene.reserve(a, OLDEST, 2);
  scene.release(b, '1#0');
  scene.reserve(a, OLDEST, 1);
  scene.remove(a, 'broken');
  assert.deepEqual(scene.takeTold(), ['tries of 1#1: 0, 1']);
});

test('a consumer that stops in good order gives everything back, and nothing counts', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 3 });
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  scene.reserve(a, OLDEST, 2);
  scene.remove(a, 'orderly');
  assert.deepEqual(scene.takeTold(), []);
  assert.deepEqual(scene.reserve(b, OLDEST, 3), ['1#0', '1#1', '1#2']);
});

/** Breaks the connection that runs `1#0`, and says how long the chunk waits then. */
function breakOnce(scene: Scene): number {
  const consumer = scene.consumer('A');
  assert.deepEqual(scene.reserve(consumer, OLDEST), ['1#0']);
  scene.remove(consumer, 'broken');
  if (scene.scheduler.counts.chunksDelayed === 0) return 0;
  const delayMs = scene.scheduler.nextDeadlineMs()! - scene.nowMs;
  scene.pass(delayMs);
  return delayMs;
}

test('from the second broken connection on a chunk waits, doubling and jittered', () => {
  const delays = [0.999_999, 0].map((draw) => {
    const scene = new Scene({ chunkDisconnectsMax: 0, random: { next: () => draw } });
    scene.insert(1, { chunksTotal: 1 });
    return Array.from({ length: 5 }, () => Math.round(breakOnce(scene)));
  });
  assert.deepEqual(delays, [
    [0, 100, 200, 400, 800],
    [0, 50, 100, 200, 400],
  ]);
});

test('too many broken connections fail the submission', () => {
  const scene = new Scene({ chunkDisconnectsMax: 3 });
  scene.insert(1, { chunksTotal: 2 });
  breakOnce(scene);
  breakOnce(scene);
  const holder = scene.consumer('B');
  const victim = scene.consumer('C');
  scene.reserve(victim, OLDEST);
  scene.reserve(holder, OLDEST);
  scene.takeTold();
  scene.remove(victim, 'broken');
  assert.deepEqual(scene.takeTold(), [
    'tries of 1#0: 0, 3',
    'submission_ended 1#1 to B',
    '1 failed at 0: The connection of the consumer broke while the chunk was running',
  ]);
});

test('0 as the limit means never, and the wait stops doubling after some time', () => {
  const scene = new Scene({ chunkDisconnectsMax: 0 });
  scene.insert(1, { chunksTotal: 1 });
  let delayMs = 0;
  for (let i = 0; i < 60; i++) delayMs = breakOnce(scene);
  assert.equal(scene.scheduler.counts.submissionsOpen, 1);
  assert.ok(delayMs >= 450_000 && delayMs <= 900_000);
});

test('a chunk that ends its submission takes its neighbours on the same connection with it, silently', () => {
  const scene = new Scene({ chunkDisconnectsMax: 1 });
  scene.insert(1, { chunksTotal: 2 });
  scene.insert(2, { chunksTotal: 2 });
  const a = scene.consumer('A', { concurrency: 2 });
  scene.reserve(a, OLDEST, 4);
  scene.remove(a, 'broken');
  // Two ran: the first one ended its submission, the second one went with it; 2#0 did not run.
  assert.deepEqual(scene.takeTold(), [
    'tries of 1#0: 0, 1',
    '1 failed at 0: The connection of the consumer broke while the chunk was running',
  ]);
  assert.equal(scene.scheduler.counts.chunksAvailable, 2);
  scene.scheduler.checkInvariants();
});

test('a broken connection gives up its bars', () => {
  const scene = new Scene();
  const submission = scene.insert(1, { chunksTotal: 1 });
  const a = scene.consumer('A');
  scene.reserve(a, OLDEST);
  scene.pass(1_000);
  scene.remove(a, 'broken');
  scene.scheduler.checkInvariants();
  assert.deepEqual(scene.reserve(scene.consumer('A again'), OLDEST), ['1#0']);
  assert.equal(submission.chunksReserved, 1);
});

test('consumers that are preempted now and then fail nothing: after an hour a broken connection does not count', () => {
  const scene = new Scene({ chunkDisconnectsMax: 3, reservationExpirationMs: 10 * 3_600_000 });
  scene.insert(1, { chunksTotal: 1 });
  for (let i = 0; i < 30; i++) {
    breakOnce(scene);
    scene.pass(31 * 60_000);
  }
  assert.equal(scene.ends.size, 0);
  assert.deepEqual(scene.tries.get('1#0'), { retries: 0, disconnects: 2 });
  breakOnce(scene);
  breakOnce(scene);
  assert.equal(scene.ends.get(1n)?.state, 'failed');
});

test('of broken connections before a restart the number is known, not the times: they count for another hour', () => {
  const scene = new Scene({ chunkDisconnectsMax: 3 });
  const tries = new Map([[0, { retries: 1, disconnects: 2 }]]);
  for (const id of [1, 2]) scene.insert(id, { chunksTotal: 1 }, { done: new ChunkSet(1), tries });
  breakOnce(scene);
  assert.equal(scene.ends.get(1n)?.state, 'failed');
  scene.pass(3_600_001);
  const late = scene.consumer('late');
  assert.deepEqual(scene.reserve(late, OLDEST), ['2#0']);
  scene.remove(late, 'broken');
  assert.deepEqual(scene.tries.get('2#0'), { retries: 1, disconnects: 1 });
});
