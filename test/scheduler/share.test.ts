import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Strategy } from '../../src/model/strategy.ts';
import { Scene } from './scheduler-scene.ts';

const OLDEST = Strategy.oldest();

/** Consumers that ask for as much as they can get, again and again, as soon as they got something. */
function greedy(scene: Scene, count: number) {
  return Array.from({ length: count }, (_, i) => {
    const consumer = scene.consumer(`${i}`);
    return { consumer, ask: () => scene.ask(consumer, OLDEST, 64) };
  });
}

test('the last chunks go to all that ask in nearly equal parts, however early and often each asks', () => {
  const scene = new Scene();
  const all = greedy(scene, 4);
  for (const { ask } of all) ask();
  scene.insert(1, { chunksTotal: 60 });
  while (scene.scheduler.counts.chunksAvailable > 0) {
    for (const { ask } of all) if (scene.scheduler.counts.chunksAvailable > 0) ask();
  }
  const held = all.map(({ consumer }) => consumer.chunksReserved);
  assert.ok(
    held.every((each) => each >= 10 && each <= 18),
    `nearly equal parts: ${held}`,
  );
  scene.scheduler.checkInvariants();
});

test('a newcomer gets a part of what is available, not of what others work on', () => {
  const scene = new Scene();
  const busy = scene.consumer('busy');
  scene.insert(1, { chunksTotal: 110 });
  assert.equal(scene.reserve(busy, OLDEST, 100)?.length, 100, 'alone it gets whatever it asks for');
  const [one, other] = greedy(scene, 2);
  one!.ask();
  assert.equal(one!.consumer.chunksReserved, 5);
  other!.ask();
  assert.equal(other!.consumer.chunksReserved, 2);
});

test('every request gets at least one chunk, as long as there is one', () => {
  const scene = new Scene();
  const all = greedy(scene, 10);
  scene.insert(1, { chunksTotal: 3 });
  for (const { ask } of all) ask();
  assert.deepEqual(
    all.map(({ consumer }) => consumer.chunksReserved),
    [3, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    'the first one was the only one to ask',
  );
  scene.insert(2, { chunksTotal: 3 });
  assert.deepEqual(
    all.map(({ consumer }) => consumer.chunksReserved),
    [3, 1, 1, 1, 0, 0, 0, 0, 0, 0],
  );
});

test('those who never asked, and those who have gone, take no part', () => {
  const scene = new Scene();
  const [first, second, gone] = greedy(scene, 3);
  scene.consumer('only looks on');
  for (const each of [first!, second!, gone!]) each.ask();
  scene.remove(gone!.consumer, 'orderly');
  scene.insert(1, { chunksTotal: 10 });
  assert.equal(first!.consumer.chunksReserved, 5);
});
