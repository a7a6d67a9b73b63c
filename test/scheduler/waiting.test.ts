import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Strategy } from '../../src/model/strategy.ts';
import { InvariantError } from '../../src/scheduler/invariant.ts';
import { Scene } from './scheduler-scene.ts';

const OLDEST = Strategy.oldest();

/** A scene in which A holds `1#0`, the only chunk, and B and C wait, B first. */
function waitingFor(options: { retryDelayMs?: number } = {}) {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 1, ...options });
  const [a, b, c] = [scene.consumer('A'), scene.consumer('B'), scene.consumer('C')];
  assert.deepEqual(scene.reserve(a, OLDEST), ['1#0']);
  scene.takeAnswers();
  assert.equal(scene.reserve(b, OLDEST), null);
  assert.equal(scene.reserve(c, Strategy.random(), 5), null);
  assert.equal(scene.scheduler.counts.requestsWaiting, 2);
  return { scene, a, b, c };
}

test('an insert serves those who wait, in the order of their arrival', () => {
  const { scene } = waitingFor();
  scene.insert(2, { chunksTotal: 6 });
  // A share of the five that are left then, for three who ask.
  assert.deepEqual(scene.takeAnswers(), ['B: 2#0', 'C: 2#1 2#2']);
  assert.equal(scene.scheduler.counts.requestsWaiting, 0);
});

test('a failure serves the first who waits', () => {
  const { scene, a } = waitingFor();
  assert.equal(scene.fail(a, '1#0'), 'retry');
  assert.deepEqual(scene.takeAnswers(), ['B: 1#0']);
});

test('an expiry serves the first who waits', () => {
  const { scene } = waitingFor();
  scene.pass(1_000);
  assert.deepEqual(scene.takeAnswers(), ['B: 1#0']);
});

test('a consumer that goes serves the first who waits, in whichever manner it goes', () => {
  for (const manner of ['orderly', 'broken'] as const) {
    const { scene, a } = waitingFor();
    scene.remove(a, manner);
    assert.deepEqual(scene.takeAnswers(), ['B: 1#0']);
  }
});

test('a release serves the first who waits', () => {
  const { scene, a } = waitingFor();
  assert.equal(scene.release(a, '1#0'), true);
  assert.deepEqual(scene.takeAnswers(), ['B: 1#0']);
});

test('the end of a delay serves the first who waits', () => {
  const { scene, a } = waitingFor({ retryDelayMs: 300 });
  scene.fail(a, '1#0');
  assert.deepEqual(scene.takeAnswers(), []);
  scene.pass(299);
  assert.deepEqual(scene.takeAnswers(), []);
  scene.pass(1);
  assert.deepEqual(scene.takeAnswers(), ['B: 1#0']);
});

test('nothing is handed out while that is held; the end of it serves all in order', () => {
  const scene = new Scene();
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  scene.scheduler.holdHandOut(true, 0);
  assert.equal(scene.reserve(a, OLDEST), null);
  scene.insert(1, { chunksTotal: 2 });
  assert.equal(scene.reserve(b, OLDEST), null);
  assert.deepEqual(scene.takeAnswers(), []);
  assert.equal(scene.complete(null, '1#0'), true);
  scene.scheduler.checkInvariants();
  scene.scheduler.holdHandOut(false, 0);
  assert.deepEqual(scene.takeAnswers(), ['A: 1#1']);
});

test('the answer to an expiry serves the one that was barred until then', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 1 });
  const a = scene.consumer('A');
  scene.reserve(a, OLDEST);
  scene.pass(1_000);
  scene.takeAnswers();
  assert.equal(scene.reserve(a, OLDEST), null);
  assert.equal(scene.fail(a, '1#0'), 'stale');
  assert.deepEqual(scene.takeAnswers(), ['A: 1#0']);
});

test('one who cannot be served does not keep the next one waiting', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 2 });
  const [a, b, c] = [scene.consumer('A'), scene.consumer('B'), scene.consumer('C')];
  scene.reserve(a, OLDEST);
  scene.reserve(b, OLDEST);
  scene.takeAnswers();
  assert.equal(scene.reserve(a, OLDEST, 2), null);
  assert.equal(scene.reserve(c, OLDEST), null);
  // Only 1#0 expires: B has released its own meanwhile and got it back with a later end.
  scene.nowMs = 500;
  scene.release(b, '1#1');
  assert.deepEqual(scene.takeAnswers(), ['A: 1#1']);
  assert.equal(scene.reserve(a, OLDEST), null);
  scene.pass(500);
  // A waits since before C, but the only chunk is barred for it.
  assert.deepEqual(scene.takeAnswers(), ['C: 1#0']);
  assert.equal(scene.scheduler.counts.requestsWaiting, 1);
});

test('a consumer that goes no longer waits', () => {
  const { scene, b } = waitingFor();
  scene.remove(b, 'orderly');
  assert.equal(scene.scheduler.counts.requestsWaiting, 1);
  scene.insert(2, { chunksTotal: 1 });
  assert.deepEqual(scene.takeAnswers(), ['C: 2#0']);
});

test('a request that waits can be taken back, once', () => {
  const { scene, b } = waitingFor();
  const request = scene.ask(b, OLDEST);
  assert.equal(scene.scheduler.cancelReserve(b, request), true);
  assert.equal(scene.scheduler.cancelReserve(b, request), false);
  assert.equal(scene.scheduler.counts.requestsWaiting, 2);
});

test('a request that was answered cannot be taken back', () => {
  const scene = new Scene();
  scene.insert(1);
  const a = scene.consumer('A');
  assert.equal(scene.scheduler.cancelReserve(a, scene.ask(a, OLDEST)), false);
});

test('an answer does not wait for as many as were asked for', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 2 });
  assert.deepEqual(scene.reserve(scene.consumer('A'), OLDEST, 50), ['1#0', '1#1']);
});

test('counts are right when the effects of a call can be seen', () => {
  const counted: number[] = [];
  const scene = new Scene();
  const look = () => {
    if (scene.scheduler.effects.length === 0) return;
    scene.takeTold();
    scene.scheduler.checkInvariants();
    const { chunksAvailable, chunksReserved, chunksDelayed, chunksInBacklog } = scene.scheduler.counts;
    assert.equal(chunksAvailable + chunksReserved + chunksDelayed, chunksInBacklog);
    counted.push(chunksInBacklog);
  };
  const [a, b] = [scene.consumer('A'), scene.consumer('B', { concurrency: 2 })];
  for (const call of [
    () => scene.insert(1, { chunksTotal: 6, retryDelayMs: 10 }),
    () => scene.scheduler.reserve(a, { nonce: 1, max: 2, strategy: OLDEST }, scene.nowMs),
    () => scene.scheduler.reserve(b, { nonce: 2, max: 3, strategy: OLDEST }, scene.nowMs),
    () => scene.complete(a, '1#2'),
    () => scene.fail(a, '1#0'),
    () => scene.remove(b, 'broken'),
    () => scene.pass(1_000),
    () => scene.pass(1_000),
    () => scene.fail(a, '1#1'),
    () => scene.scheduler.cancel(1n, scene.nowMs),
  ]) {
    call();
    look();
  }
  assert.ok(counted.length > 6, String(counted.length));
});

test('a call that threw is the last one', () => {
  const scene = new Scene();
  scene.insert(1);
  assert.throws(() => scene.insert(1), InvariantError);
  assert.throws(() => scene.scheduler.advance(1), InvariantError);
});

test('effects are gone once they were taken, and what they kept in memory with them', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 3_000 });
  const a = scene.consumer('A');
  for (let i = 0; i < 3_000; i++) scene.scheduler.reserve(a, { nonce: i, max: 1, strategy: OLDEST }, 0);
  const { effects } = scene.scheduler;
  assert.equal(effects.length, 3_001);
  effects.clear();
  assert.equal(effects.length, 0);
  scene.complete(a, '1#0');
  assert.equal(effects.length, 1);
  assert.equal(effects.at(0).kind, 'completed');
});

test('refuses wrong use', () => {
  const refused = (wrong: (scene: Scene) => void) => {
    const scene = new Scene();
    scene.insert(1);
    assert.throws(() => wrong(scene), InvariantError);
  };
  refused((scene) => scene.insert(1));
  refused((scene) => scene.insert(2, { chunksTotal: 0 }));
  refused((scene) => scene.ask(scene.consumer('A'), OLDEST, 0));
  refused((scene) => scene.consumer('A', { concurrency: 0 }));
  refused((scene) => scene.scheduler.forget(1n));
  refused((scene) => scene.scheduler.forget(2n));
  refused((scene) => {
    scene.pass(10);
    scene.scheduler.advance(9);
  });
  refused((scene) => scene.scheduler.advance(Number.NaN));
  refused((scene) => {
    const a = scene.consumer('A');
    scene.remove(a, 'orderly');
    scene.ask(a, OLDEST);
  });
});
