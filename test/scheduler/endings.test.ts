import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkSet } from '../../src/model/chunk-set.ts';
import { Strategy } from '../../src/model/strategy.ts';
import { Scene } from './scheduler-scene.ts';

const OLDEST = Strategy.oldest();

test('a submission whose chunks are all done has completed, and is there until it is forgotten', () => {
  const scene = new Scene();
  const submission = scene.insert(1, { chunksTotal: 2 });
  const a = scene.consumer('A');
  scene.reserve(a, OLDEST, 2);
  assert.equal(scene.complete(a, '1#1'), true);
  assert.equal(submission.done.count, 1);
  assert.equal(scene.complete(a, '1#0'), true);
  assert.deepEqual(scene.takeTold(), ['page of 1', 'page of 1', '1 completed']);
  assert.equal(scene.scheduler.get(1n)?.state, 'ending');
  assert.equal(scene.scheduler.counts.submissionsOpen, 0);
  scene.scheduler.forget(1n);
  assert.equal(scene.scheduler.get(1n), undefined);
});

test('a completion counts once, from any consumer', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 9 });
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  scene.reserve(a, OLDEST, 2);
  assert.equal(scene.complete(b, '1#0'), true);
  assert.deepEqual(scene.takeTold(), ['completed_elsewhere 1#0 to A', 'page of 1']);
  assert.equal(a.chunksReserved, 1);
  assert.equal(scene.complete(a, '1#0'), false);
  assert.equal(scene.complete(null, '1#1'), true);
  assert.deepEqual(scene.takeTold(), ['completed_elsewhere 1#1 to A', 'page of 1']);
  // Never handed out; and it is not handed out any more.
  assert.equal(scene.complete(null, '1#3'), true);
  assert.deepEqual(scene.reserve(a, OLDEST, 3), ['1#2', '1#4', '1#5']);
});

test('a chunk that came back, or is delayed, and is done meanwhile is not handed out again', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 4 });
  const a = scene.consumer('A');
  scene.reserve(a, OLDEST, 3);
  scene.release(a, '1#0');
  scene.release(a, '1#1');
  scene.fail(a, '1#2', { delayMs: 10 });
  assert.equal(scene.complete(null, '1#0'), true);
  assert.equal(scene.complete(a, '1#2'), true);
  assert.equal(scene.scheduler.nextDeadlineMs(), null);
  scene.pass(10);
  assert.deepEqual(scene.reserve(a, OLDEST, 9), ['1#1', '1#3']);
});

test('the late completion of an expired chunk counts and lifts the bar', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 2 });
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  scene.reserve(a, OLDEST);
  scene.pass(1_000);
  scene.reserve(b, OLDEST);
  scene.takeTold();
  assert.equal(scene.complete(a, '1#0'), true);
  assert.deepEqual(scene.takeTold(), ['completed_elsewhere 1#0 to B', 'page of 1']);
  scene.scheduler.checkInvariants();
});

test('a consumer still working on an expired chunk hears that it is done, or that its submission has ended', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 2 });
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  const silent = scene.consumer('S', { silentOnExpiry: true });
  scene.reserve(a, OLDEST);
  scene.reserve(silent, OLDEST);
  scene.pass(1_000);
  for (let i = 0; i < 2; i++) scene.reserve(b, OLDEST);
  scene.takeTold();
  scene.complete(b, '1#0');
  assert.deepEqual(scene.takeTold(), ['completed_elsewhere 1#0 to A', 'page of 1']);
  scene.pass(1_000);
  scene.takeTold();
  scene.scheduler.cancel(1n, 2_000);
  assert.deepEqual(scene.takeTold(), ['submission_ended 1#1 to B', '1 cancelled']);
  scene.scheduler.checkInvariants();
});

test('what is unknown, outside or over is not completed', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 2 });
  scene.insert(2, { chunksTotal: 2 });
  scene.scheduler.cancel(2n, 0);
  scene.takeTold();
  for (const chunk of ['3#0', '1#2', '1#-1', '1#0.5', '1#4294967296', '2#0']) {
    assert.equal(scene.complete(null, chunk), false, chunk);
  }
  assert.deepEqual(scene.takeTold(), []);
});

test('a cancelled submission leaves the schedule, and its holders are told', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 4, meta: { customer: 1 } });
  scene.insert(2, { chunksTotal: 9, meta: { customer: 1 } });
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  scene.reserve(a, OLDEST, 2);
  scene.reserve(b, OLDEST, 1);
  scene.fail(a, '1#1', { delayMs: 77 });
  scene.takeTold();
  assert.equal(scene.scheduler.cancel(1n, 0), 'ending');
  assert.deepEqual(scene.takeTold(), [
    'submission_ended 1#0 to A',
    'submission_ended 1#2 to B',
    '1 cancelled',
  ]);
  const { chunksReserved, chunksDelayed, chunksInBacklog, submissionsOpen } = scene.scheduler.counts;
  assert.deepEqual(
    { chunksReserved, chunksDelayed, chunksInBacklog, submissionsOpen },
    { chunksReserved: 0, chunksDelayed: 0, chunksInBacklog: 9, submissionsOpen: 1 },
  );
  assert.equal(scene.scheduler.nextDeadlineMs(), null);
  scene.scheduler.checkInvariants();
  assert.equal(scene.fail(a, '1#0'), 'stale');
  assert.equal(scene.scheduler.cancel(1n, 0), 'already_ending');
  scene.scheduler.forget(1n);
  assert.equal(scene.scheduler.cancel(1n, 0), 'unknown');
  assert.deepEqual(scene.reserve(a, OLDEST), ['2#0']);
});

test('after a restart everything that is not done is available', () => {
  const scene = new Scene();
  const done = new ChunkSet(5);
  for (const index of [0, 2]) done.add(index);
  const tries = new Map([[3, { retries: 1, disconnects: 2 }]]);
  const submission = scene.insert(1, { chunksTotal: 5 }, { done, tries });
  assert.equal(submission.done.count, 2);
  assert.equal(scene.scheduler.counts.chunksAvailable, 3);
  assert.deepEqual(scene.reserve(scene.consumer('A'), OLDEST, 9), ['1#1', '1#3', '1#4']);
});

test('a submission that comes back with everything done has completed at once', () => {
  const scene = new Scene();
  const done = new ChunkSet(2);
  done.setPage(0, 'full');
  const submission = scene.insert(1, { chunksTotal: 2 }, { done, tries: new Map() });
  assert.equal(submission.state, 'ending');
  assert.deepEqual(scene.takeTold(), ['1 completed']);
  assert.equal(scene.scheduler.counts.submissionsOpen, 0);
  scene.scheduler.checkInvariants();
});

test('finds the open submissions that carry all pairs, ids ascending, up to a limit', () => {
  const scene = new Scene();
  for (const id of [5, 1, 4, 2, 3]) {
    scene.insert(id, { chunksTotal: 1, meta: { all: 1, odd: id % 2, id } });
  }
  const find = (pairs: Record<string, number>, limit = 10) =>
    scene.scheduler.find(new Map(Object.entries(pairs).map(([key, value]) => [key, BigInt(value)])), limit);
  assert.deepEqual(find({ all: 1 }), [1n, 2n, 3n, 4n, 5n]);
  assert.deepEqual(find({ all: 1 }, 2), [1n, 2n]);
  assert.deepEqual(find({ all: 1, odd: 1 }), [1n, 3n, 5n]);
  assert.deepEqual(find({ odd: 1, id: 4 }), []);
  assert.deepEqual(find({ nothing: 1 }), []);
  assert.deepEqual(find({}, 3), [1n, 2n, 3n]);
  scene.scheduler.cancel(3n, 0);
  scene.complete(null, '5#0');
  assert.deepEqual(find({ odd: 1 }), [1n]);
});
