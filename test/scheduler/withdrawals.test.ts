import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ChunkSet } from '../../src/model/chunk-set.ts';
import { Strategy } from '../../src/model/strategy.ts';
import { PAUSED, Scene } from './scheduler-scene.ts';

const OLDEST = Strategy.oldest();

function progressOf(size: number, done: readonly number[], failed: readonly number[] = []) {
  const [doneSet, failedSet] = [new ChunkSet(size), new ChunkSet(size)];
  for (const index of done) doneSet.add(index);
  for (const index of failed) failedSet.add(index);
  return { done: doneSet, tries: new Map([[2, { retries: 1, disconnects: 1 }]]), failed: failedSet };
}

test('a submission that is withdrawn leaves nothing, and may be inserted anew', () => {
  const scene = new Scene();
  const { scheduler } = scene;
  const { counts } = scheduler;
  const none = { ...counts };
  const insertAll = () => {
    scene.insert(1, { chunksTotal: 3, meta: { a: 1 } });
    scene.insert(2, { chunksTotal: 5, meta: { a: 1 }, retryDelayMs: 50 }, progressOf(5, [0], [1]));
    scene.insert(3, { chunksTotal: 5 }, undefined, PAUSED);
    scene.insert(4, { chunksTotal: 5 }, undefined, { startAfterMs: 2_000, deadlineMs: 3_000 });
    // Both end at once.
    scene.insert(5, { chunksTotal: 1 }, progressOf(1, [0]));
    scene.insert(6, { chunksTotal: 1 }, undefined, { deadlineMs: -1 });
  };
  insertAll();
  for (const id of [1n, 2n, 3n, 4n, 5n, 6n]) scheduler.withdraw(id);
  scheduler.checkInvariants();
  assert.deepEqual([{ ...counts }, scheduler.hasSubmissions], [none, false]);
  assert.deepEqual(scene.takeTold(), []);
  scene.pass(1_000);
  assert.deepEqual(scene.takeTold(), []);
  insertAll();
  scheduler.checkInvariants();
  assert.deepEqual([...scene.ends.keys()], [5n, 6n]);
  scene.pass(50);
  assert.deepEqual(scene.reserve(scene.consumer('A'), OLDEST, 100), [
    '1#0',
    '1#1',
    '1#2',
    '2#2',
    '2#3',
    '2#4',
  ]);
});

test('there is a timer for what comes after one that was due sooner, and was withdrawn', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 5, retryDelayMs: 50 }, progressOf(5, []));
  scene.scheduler.withdraw(1n);
  assert.equal(scene.deadlinesAnnounced, 1);
  scene.insert(2, { chunksTotal: 1 }, undefined, { deadlineMs: 3_000 });
  assert.equal(scene.deadlinesAnnounced, 2);
  scene.reserve(scene.consumer('A'), OLDEST);
  assert.equal(scene.deadlinesAnnounced, 3);
});

test('what else follows is not lost with it', () => {
  const scene = new Scene();
  for (const id of [1, 2, 3]) scene.insert(id, { chunksTotal: 1 }, progressOf(1, [0]));
  scene.scheduler.withdraw(2n);
  assert.deepEqual(scene.takeTold(), ['1 completed', '3 completed']);
});

test('nothing is withdrawn once somebody has asked for chunks', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 1 });
  scene.reserve(scene.consumer('A'), OLDEST);
  assert.throws(() => scene.scheduler.withdraw(1n), { code: 'INVARIANT' });
});
