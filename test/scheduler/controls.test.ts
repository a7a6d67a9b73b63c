import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Strategy } from '../../src/model/strategy.ts';
import { PAUSED, Scene, UNIX_ZERO_MS } from './scheduler-scene.ts';

const OLDEST = Strategy.oldest();

test('of a paused submission nothing is handed out; what runs may finish', () => {
  const scene = new Scene();
  const worker = scene.consumer('worker');
  scene.insert(1, { chunksTotal: 3 });
  scene.insert(2, { chunksTotal: 1 });
  assert.deepEqual(scene.reserve(worker, OLDEST), ['1#0']);
  assert.equal(scene.control(1, PAUSED), true);
  const { counts } = scene.scheduler;
  assert.deepEqual([counts.submissionsPaused, counts.chunksPaused, counts.chunksAvailable], [1, 2, 1]);
  assert.equal(scene.complete(worker, '1#0'), true);
  assert.deepEqual(scene.reserve(worker, OLDEST, 5), ['2#0']);
  assert.equal(scene.reserve(worker, OLDEST), null);
  scene.scheduler.checkInvariants();
});

test('a resumed submission serves those who wait, with what came back meanwhile', () => {
  const scene = new Scene();
  const worker = scene.consumer('worker');
  const other = scene.consumer('other');
  scene.insert(1, { chunksTotal: 2 });
  assert.deepEqual(scene.reserve(worker, OLDEST), ['1#0']);
  scene.control(1, PAUSED);
  scene.release(worker, '1#0');
  scene.ask(worker, OLDEST);
  scene.ask(other, OLDEST);
  scene.takeAnswers();
  scene.control(1, {});
  assert.deepEqual(scene.takeAnswers(), ['worker: 1#0', 'other: 1#1']);
  assert.equal(scene.scheduler.counts.submissionsPaused, 0);
});

test('a failed chunk of a paused submission waits out its delay, and the pause', () => {
  const scene = new Scene();
  const worker = scene.consumer('worker');
  scene.insert(1, { chunksTotal: 1 });
  scene.reserve(worker, OLDEST);
  scene.control(1, PAUSED);
  scene.fail(worker, '1#0', { delayMs: 50 });
  scene.ask(worker, OLDEST);
  scene.pass(60);
  scene.takeAnswers();
  assert.equal(scene.scheduler.counts.chunksPaused, 1);
  scene.control(1, {});
  assert.deepEqual(scene.takeAnswers(), ['worker: 1#0']);
});

test('a submission is not handed out before its start, and cancelled by its deadline', () => {
  const scene = new Scene();
  const worker = scene.consumer('worker');
  scene.insert(1, { chunksTotal: 2 }, undefined, { startAfterMs: 100, deadlineMs: 300 });
  scene.ask(worker, OLDEST);
  assert.deepEqual(scene.takeAnswers(), []);
  assert.equal(scene.scheduler.nextDeadlineMs(), 100);
  scene.pass(99);
  assert.deepEqual(scene.takeAnswers(), []);
  scene.pass(1);
  assert.deepEqual(scene.takeAnswers(), ['worker: 1#0']);
  scene.pass(200);
  assert.deepEqual(scene.ends.get(1n), {
    state: 'cancelled',
    by: 'opsqueue',
    reason: 'its deadline passed',
  });
  assert.deepEqual(scene.takeTold(), [
    '1 begins',
    'submission_ended 1#0 to worker',
    '1 cancelled: its deadline passed',
  ]);
  assert.equal(scene.scheduler.nextDeadlineMs(), null);
});

test('a deadline that passed while the queue was down ends the submission as it is loaded', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 2 }, undefined, { deadlineMs: -1 });
  assert.equal(scene.ends.get(1n)?.state, 'cancelled');
});

test('a deadline ends what is paused, or has not started, as well', () => {
  const scene = new Scene();
  scene.insert(1, {}, undefined, { ...PAUSED, deadlineMs: 10 });
  scene.insert(2, {}, undefined, { startAfterMs: 20, deadlineMs: 10 });
  scene.pass(10);
  assert.deepEqual([...scene.ends.keys()], [1n, 2n]);
  scene.scheduler.checkInvariants();
});

test('a deadline can be moved and taken away', () => {
  const scene = new Scene();
  scene.insert(1, {}, undefined, { deadlineMs: 10 });
  scene.control(1, { deadlineMs: 30 });
  scene.pass(20);
  assert.equal(scene.ends.size, 0);
  scene.control(1, {});
  scene.pass(100);
  assert.equal(scene.ends.size, 0);
  assert.equal(scene.scheduler.nextDeadlineMs(), null);
});

test('the wall clock counts: it may be set, and is looked at once a minute', () => {
  const scene = new Scene();
  const worker = scene.consumer('worker');
  scene.insert(1, { chunksTotal: 1 }, undefined, { startAfterMs: 3_600_000 });
  scene.ask(worker, OLDEST);
  assert.equal(scene.scheduler.nextDeadlineMs(), 60_000);
  scene.nowMs = 60_000;
  // The machine slept for an hour, or the clock was wrong when it started.
  scene.scheduler.advance(scene.nowMs, UNIX_ZERO_MS + 3_600_000);
  assert.deepEqual(scene.takeAnswers(), ['worker: 1#0']);
});

test('metadata that is set moves a submission, with what is in flight of it', () => {
  const scene = new Scene();
  const worker = scene.consumer('worker', { concurrency: 9 });
  const spread = Strategy.preferDistinct('customer', OLDEST);
  scene.insert(1, { chunksTotal: 9, meta: { customer: 1 } });
  scene.insert(2, { chunksTotal: 9, meta: { customer: 2 } });
  assert.deepEqual(scene.reserve(worker, spread, 2), ['1#0', '2#0']);
  // Both count for customer 2 now, and customer 1 has nothing in flight: a new submission of it comes first.
  scene.control(1, { strategicMetadata: new Map([['customer', 2n]]) });
  scene.insert(3, { chunksTotal: 9, meta: { customer: 1 } });
  scene.scheduler.checkInvariants();
  assert.deepEqual(scene.reserve(worker, spread, 3), ['3#0', '3#1', '1#1']);
  assert.deepEqual(scene.scheduler.find(new Map([['customer', 2n]]), 9), [1n, 2n]);
  assert.deepEqual(scene.scheduler.get(1n)?.record.strategicMetadata, new Map([['customer', 2n]]));
  // As it was inserted.
  scene.control(1, {});
  assert.deepEqual(scene.scheduler.find(new Map([['customer', 1n]]), 9), [1n, 3n]);
  scene.scheduler.checkInvariants();
});

test('the whole schedule is paused apart from its submissions and from a store that is stuck', () => {
  const scene = new Scene();
  const { scheduler } = scene;
  const worker = scene.consumer('worker');
  scene.insert(1, { chunksTotal: 1 });
  scheduler.pause(true, 0);
  scheduler.holdHandOut(true, 0);
  scene.ask(worker, OLDEST);
  scene.control(1, PAUSED);
  scheduler.holdHandOut(false, 0);
  scene.control(1, {});
  assert.deepEqual(scene.takeAnswers(), []);
  scheduler.pause(false, 0);
  assert.deepEqual(scene.takeAnswers(), ['worker: 1#0']);
});

test('what has ended, or is not known, has no control', () => {
  const scene = new Scene();
  scene.insert(1);
  scene.scheduler.cancel(1n, 0, { by: 'ann@host', reason: 'wrong file' });
  assert.deepEqual(scene.ends.get(1n), { state: 'cancelled', by: 'ann@host', reason: 'wrong file' });
  assert.equal(scene.control(1, PAUSED), false);
  assert.equal(scene.control(2, PAUSED), false);
});
