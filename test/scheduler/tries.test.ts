import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Strategy } from '../../src/model/strategy.ts';
import { Scene } from './scheduler-scene.ts';

const OLDEST = Strategy.oldest();

test('a failure counts in retries, and the one that reaches the limit fails the submission', () => {
  const scene = new Scene({ chunkRetriesMax: 2 });
  scene.insert(1, { chunksTotal: 3 });
  const [a, b, c] = [scene.consumer('A'), scene.consumer('B'), scene.consumer('C')];
  scene.reserve(a, OLDEST);
  scene.reserve(b, OLDEST);
  assert.equal(scene.fail(a, '1#0'), 'retry');
  assert.deepEqual(scene.takeTold(), ['tries of 1#0: 1, 0']);
  assert.deepEqual(scene.reserve(c, OLDEST), ['1#0']);
  assert.equal(scene.answers.at(-1)!.chunks[0]!.retries, 1);
  assert.equal(scene.fail(c, '1#0'), 'failed');
  assert.deepEqual(scene.takeTold(), [
    'tries of 1#0: 2, 0',
    'submission_ended 1#1 to B',
    '1 failed at 0: 1#0 went wrong',
  ]);
  assert.equal(scene.reserve(a, OLDEST), null);
  assert.equal(b.chunksReserved, 0);
});

test('a failure that is not worth a retry fails the submission at once', () => {
  const scene = new Scene();
  scene.insert(1);
  const a = scene.consumer('A');
  scene.reserve(a, OLDEST);
  assert.equal(scene.fail(a, '1#0', { retryable: false }), 'failed');
  assert.equal(scene.ends.get(1n)?.state, 'failed');
});

test('only the failure of the holder counts', () => {
  const scene = new Scene();
  scene.insert(1);
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  scene.reserve(a, OLDEST);
  assert.equal(scene.fail(b, '1#0'), 'stale');
  assert.equal(scene.fail(a, '1#1'), 'stale');
  assert.equal(scene.fail(a, '1#99'), 'stale');
  assert.equal(scene.fail(a, '2#0'), 'stale');
  assert.equal(scene.release(b, '1#0'), false);
  assert.deepEqual(scene.takeTold(), []);
  assert.equal(a.chunksReserved, 1);
});

test('tries known from before a restart go on counting', () => {
  const scene = new Scene({ chunkRetriesMax: 3 });
  const { done } = new Scene().insert(1, { chunksTotal: 3 });
  done.add(0);
  scene.insert(1, { chunksTotal: 3 }, { done, tries: new Map([[1, { retries: 2, disconnects: 1 }]]) });
  const a = scene.consumer('A');
  assert.deepEqual(scene.reserve(a, OLDEST, 5), ['1#1', '1#2']);
  assert.equal(scene.answers[0]!.chunks[0]!.retries, 2);
  assert.equal(scene.fail(a, '1#1'), 'failed');
  assert.deepEqual(scene.tries.get('1#1'), { retries: 3, disconnects: 1 });
});

test('a failed chunk waits for the longer of its own delay and that of its submission', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 1, retryDelayMs: 200 });
  const a = scene.consumer('A');
  for (const [delayMs, expected] of [
    [0, 200],
    [500, 500],
  ] as const) {
    scene.reserve(a, OLDEST);
    scene.fail(a, '1#0', { delayMs });
    assert.equal(scene.scheduler.counts.chunksDelayed, 1);
    assert.equal(scene.scheduler.counts.chunksAvailable, 0);
    assert.equal(scene.scheduler.nextDeadlineMs(), scene.nowMs + expected);
    scene.pass(expected);
    assert.equal(scene.scheduler.counts.chunksAvailable, 1);
  }
});

test('an expiry counts as a retry, is delayed like a failure, and can fail the submission', () => {
  const scene = new Scene({ chunkRetriesMax: 2 });
  scene.insert(1, { chunksTotal: 2, retryDelayMs: 50 });
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  scene.reserve(a, OLDEST);
  scene.pass(1_000);
  assert.deepEqual(scene.takeTold(), ['expired 1#0 to A', 'tries of 1#0: 1, 0']);
  assert.equal(scene.scheduler.counts.chunksDelayed, 1);
  scene.pass(50);
  scene.reserve(b, OLDEST);
  scene.nowMs += 1;
  assert.deepEqual(scene.reserve(a, OLDEST), ['1#1']);
  scene.pass(999);
  assert.deepEqual(scene.takeTold(), [
    'expired 1#0 to B',
    'tries of 1#0: 2, 0',
    'submission_ended 1#1 to A',
    'submission_ended 1#0 to A',
    'submission_ended 1#0 to B',
    '1 failed at 0: Reservation expired',
  ]);
});

test('an expired chunk is not given to the same connection before it has answered', () => {
  const scene = new Scene({ chunkRetriesMax: 10 });
  scene.insert(1, { chunksTotal: 1 });
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  scene.reserve(a, OLDEST);
  scene.pass(1_000);
  assert.equal(scene.reserve(a, OLDEST), null);
  assert.deepEqual(scene.reserve(b, OLDEST), ['1#0']);
  // Its answer is no second try, although somebody holds the chunk by now.
  scene.takeTold();
  assert.equal(scene.fail(a, '1#0'), 'stale');
  assert.deepEqual(scene.takeTold(), []);
  scene.takeAnswers();
  scene.release(b, '1#0');
  assert.deepEqual(scene.takeAnswers(), ['A: 1#0']);
  // From here on its failure is one.
  assert.equal(scene.fail(a, '1#0'), 'retry');
  assert.equal(scene.tries.get('1#0')?.retries, 2);
});

test('others of the submission, and the chunk for others, stay available while it is barred for one', () => {
  for (const strategy of [OLDEST, Strategy.random(), Strategy.preferDistinct('key', OLDEST)]) {
    const scene = new Scene();
    scene.insert(1, { chunksTotal: 4 });
    scene.insert(2, { chunksTotal: 1, meta: { key: 1 } });
    const [a, b] = [scene.consumer('A'), scene.consumer('B')];
    assert.deepEqual(scene.reserve(a, OLDEST, 2), ['1#0', '1#1']);
    scene.pass(1_000);
    assert.deepEqual(scene.reserve(a, strategy, 9)!.sort(), ['1#2', '1#3', '2#0']);
    scene.scheduler.checkInvariants();
    assert.deepEqual([scene.reserve(b, strategy), scene.reserve(b, strategy)], [['1#0'], ['1#1']]);
  }
});

test('a chunk that is barred for two is so until each of them has answered', () => {
  const scene = new Scene({ chunkRetriesMax: 10 });
  scene.insert(1, { chunksTotal: 1 });
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  for (const consumer of [a, b]) {
    scene.reserve(consumer, OLDEST);
    scene.pass(1_000);
  }
  scene.takeAnswers();
  assert.equal(scene.reserve(a, OLDEST), null);
  assert.equal(scene.reserve(b, OLDEST), null);
  scene.fail(b, '1#0');
  assert.deepEqual(scene.takeAnswers(), ['B: 1#0']);
  scene.release(b, '1#0');
  assert.deepEqual(scene.takeAnswers(), []);
  scene.scheduler.checkInvariants();
});

test('a client that does not answer expiries may get the chunk again at once', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 1 });
  const a = scene.consumer('A', { silentOnExpiry: true });
  scene.reserve(a, OLDEST);
  scene.pass(1_000);
  assert.deepEqual(scene.reserve(a, OLDEST), ['1#0']);
});

test('reservations expire one by one, and those handed back in time do not', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 5 });
  const a = scene.consumer('A');
  for (let i = 0; i < 5; i++) {
    scene.reserve(a, OLDEST);
    scene.nowMs += 10;
  }
  scene.complete(a, '1#1');
  scene.release(a, '1#3');
  scene.pass(970);
  assert.deepEqual(
    scene.takeTold().filter((text) => text.startsWith('expired')),
    ['expired 1#0 to A', 'expired 1#2 to A'],
  );
  assert.equal(scene.scheduler.nextDeadlineMs(), 1_040);
});

test('deadlines are announced when they come nearer, and anew after each advance', () => {
  const scene = new Scene();
  scene.insert(1, { retryDelayMs: 20 });
  const a = scene.consumer('A');
  assert.equal(scene.scheduler.nextDeadlineMs(), null);
  scene.reserve(a, OLDEST, 2);
  assert.equal(scene.deadlinesAnnounced, 1);
  scene.nowMs = 5;
  scene.reserve(a, OLDEST);
  assert.equal(scene.deadlinesAnnounced, 1);
  scene.fail(a, '1#0');
  assert.equal(scene.deadlinesAnnounced, 2);
  assert.equal(scene.scheduler.nextDeadlineMs(), 25);
  scene.pass(20);
  assert.equal(scene.deadlinesAnnounced, 3);
  assert.equal(scene.scheduler.nextDeadlineMs(), 1_000);
});

test('a reservation that its holder extends expires that much later, and after those made before', () => {
  const scene = new Scene({ reservationExpirationMs: 1_000 });
  scene.insert(1, { chunksTotal: 2 });
  const [holder, other] = [scene.consumer('holder'), scene.consumer('other')];
  scene.reserve(holder, OLDEST, 2);
  scene.pass(900);
  assert.equal(scene.extend(other, '1#0'), false);
  assert.equal(scene.extend(holder, '1#0'), true);
  scene.takeTold();
  scene.pass(900);
  assert.deepEqual(scene.takeTold(), ['expired 1#1 to holder', 'tries of 1#1: 1, 0']);
  assert.equal(scene.scheduler.nextDeadlineMs(), 1_900);
  scene.pass(100);
  assert.equal(scene.extend(holder, '1#0'), false);
  assert.deepEqual(scene.takeTold(), ['expired 1#0 to holder', 'tries of 1#0: 1, 0']);
});
