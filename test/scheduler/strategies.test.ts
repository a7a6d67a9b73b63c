import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Strategy } from '../../src/model/strategy.ts';
import { seededRandom } from '../../src/system/random.ts';
import { Scene } from './scheduler-scene.ts';

const OLDEST = Strategy.oldest();

/** Which submissions single reservations come from, in turn. */
function order(scene: Scene, strategy: Strategy, times: number): string[] {
  const consumer = scene.consumer('A');
  return Array.from({ length: times }, () => scene.reserve(consumer, strategy)![0]!.split('#')[0]!);
}

test('Oldest goes by id, then by chunk, whatever the order of insertion', () => {
  const scene = new Scene();
  for (const id of [2, 3, 1]) scene.insert(id, { chunksTotal: 2 });
  const consumer = scene.consumer('A');
  assert.deepEqual(scene.reserve(consumer, OLDEST, 9), ['1#0', '1#1', '2#0', '2#1', '3#0', '3#1']);
});

test('Newest goes by id descending, then by chunk ascending', () => {
  const scene = new Scene();
  for (const id of [2, 3, 1]) scene.insert(id, { chunksTotal: 2 });
  const consumer = scene.consumer('A');
  assert.deepEqual(scene.reserve(consumer, Strategy.newest(), 9), ['3#0', '3#1', '2#0', '2#1', '1#0', '1#1']);
});

test('ids order over all of their 63 bits', () => {
  const ids = [
    1n,
    2n ** 31n - 1n,
    2n ** 31n,
    2n ** 32n - 1n,
    2n ** 32n,
    2n ** 62n,
    2n ** 62n + 1n,
    2n ** 63n - 1n,
  ];
  const scene = new Scene();
  for (const id of [...ids].reverse()) scene.insert(id, { chunksTotal: 3, meta: { key: Number(id % 7n) } });
  const consumer = scene.consumer('B');
  const oldest = scene.reserve(consumer, OLDEST, 30)!.map((name) => BigInt(name.split('#')[0]!));
  assert.deepEqual([...new Set(oldest)], ids);
});

test('within a submission chunks go in ascending order, those that came back first, in every strategy', () => {
  for (const strategy of [OLDEST, Strategy.newest(), Strategy.random(), Strategy.preferDistinct('key')]) {
    const scene = new Scene();
    scene.insert(1, { chunksTotal: 10 });
    const consumer = scene.consumer('A');
    assert.deepEqual(scene.reserve(consumer, strategy, 5), ['1#0', '1#1', '1#2', '1#3', '1#4']);
    for (const chunk of ['1#3', '1#1']) scene.release(consumer, chunk);
    assert.deepEqual(scene.reserve(consumer, strategy, 4), ['1#1', '1#3', '1#5', '1#6']);
  }
});

test('PreferDistinct goes 1, 2, 3, 1, 2, 3, ... over three customers', () => {
  const scene = new Scene();
  for (const id of [1, 2, 3]) scene.insert(id, { chunksTotal: 10, meta: { customer: id } });
  const strategy = Strategy.preferDistinct('customer', OLDEST);
  assert.deepEqual(order(scene, strategy, 9), ['1', '2', '3', '1', '2', '3', '1', '2', '3']);
});

test('PreferDistinct does not let small customers wait for a large one', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 1_000_000, meta: { customer: 1 } });
  for (let id = 2; id <= 101; id++) scene.insert(id, { chunksTotal: 10, meta: { customer: id } });
  const strategy = Strategy.preferDistinct('customer', OLDEST);
  const consumer = scene.consumer('A');
  const served = new Map<string, number>();
  // Chunks are completed in the order in which they were handed out, always 50 behind.
  const held: string[] = [];
  let reservations = 0;
  while (scene.ends.size < 100) {
    const [chunk] = scene.reserve(consumer, strategy)!;
    held.push(chunk!);
    reservations++;
    const customer = chunk!.split('#')[0]!;
    served.set(customer, (served.get(customer) ?? 0) + 1);
    if (held.length > 50) scene.complete(consumer, held.shift()!);
  }
  // A thousand chunks of small ones were to be done; the large one had no more than its share beside them.
  assert.ok(reservations < 1_200, `${reservations} reservations`);
  assert.ok(served.get('1')! < 150, `${served.get('1')} of them for the large one`);
});

test('a reservation of several chunks ranks again after each', () => {
  const scene = new Scene();
  for (let id = 1; id <= 10; id++) scene.insert(id, { chunksTotal: 10, meta: { customer: id } });
  const strategy = Strategy.preferDistinct('customer', OLDEST);
  const chunks = scene.reserve(scene.consumer('A'), strategy, 10)!;
  assert.deepEqual(
    chunks,
    Array.from({ length: 10 }, (_, i) => `${i + 1}#0`),
  );
});

test('who carries no value counts as nothing in flight, and all of them together', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 3, meta: { customer: 1 } });
  scene.insert(2, { chunksTotal: 2 });
  scene.insert(3, { chunksTotal: 1, meta: { other: 1 } });
  const strategy = Strategy.preferDistinct('customer', OLDEST);
  assert.deepEqual(order(scene, strategy, 6), ['1', '2', '2', '3', '1', '1']);
});

test('in-flight counts are those of the whole queue and of all submissions with the value', () => {
  const scene = new Scene();
  scene.insert(1, { meta: { customer: 1 } });
  scene.insert(2, { meta: { customer: 2 } });
  scene.insert(3, { meta: { customer: 1 } });
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  const strategy = Strategy.preferDistinct('customer', OLDEST);
  assert.deepEqual(scene.reserve(a, Strategy.newest(), 2), ['3#0', '3#1']);
  assert.deepEqual(scene.reserve(b, strategy, 3), ['2#0', '2#1', '1#0']);
  // Failed, released, expired and dropped chunks are not in flight any more.
  scene.fail(a, '3#0');
  scene.release(a, '3#1');
  assert.deepEqual(scene.reserve(b, strategy, 1), ['1#1']);
  scene.scheduler.cancel(1n, scene.nowMs);
  assert.deepEqual(scene.reserve(b, strategy, 1), ['3#0']);
  scene.pass(1_000);
  assert.deepEqual(scene.reserve(a, strategy, 3), ['2#0', '3#0', '2#1']);
});

test('equal counts of different values are a tie, which the next key breaks', () => {
  const scene = new Scene();
  scene.insert(1, { meta: { customer: 1, site: 1 } });
  scene.insert(2, { meta: { customer: 2, site: 2 } });
  scene.insert(3, { meta: { customer: 3, site: 1 } });
  scene.insert(4, { meta: { customer: 4, site: 3 } });
  const strategy = Strategy.preferDistinct('customer', Strategy.preferDistinct('site', OLDEST));
  // 3 shares its site with 1: it comes after 2 and 4, whose customers have as little in flight.
  assert.deepEqual(order(scene, strategy, 8), ['1', '2', '4', '3', '2', '4', '1', '3']);
});

test('a key that comes again inside decides nothing more', () => {
  const scene = new Scene();
  for (const id of [1, 2]) scene.insert(id, { meta: { customer: id } });
  const strategy = Strategy.preferDistinct('customer', Strategy.preferDistinct('customer', OLDEST));
  assert.deepEqual(order(scene, strategy, 4), ['1', '2', '1', '2']);
});

/** How often each submission comes first, of `times` draws that change nothing. */
function frequencies(scene: Scene, strategy: Strategy, times: number): Map<string, number> {
  const consumer = scene.consumer('A');
  const seen = new Map<string, number>();
  for (let i = 0; i < times; i++) {
    const [chunk] = scene.reserve(consumer, strategy)!;
    const id = chunk!.split('#')[0]!;
    seen.set(id, (seen.get(id) ?? 0) + 1);
    scene.release(consumer, chunk!);
  }
  return seen;
}

function assertShares(seen: Map<string, number>, weights: Record<string, number>): void {
  const total = [...seen.values()].reduce((a, b) => a + b, 0);
  const weightTotal = Object.values(weights).reduce((a, b) => a + b, 0);
  assert.deepEqual([...seen.keys()].sort(), Object.keys(weights).sort());
  for (const [id, weight] of Object.entries(weights)) {
    const expected = (total * weight) / weightTotal;
    // Five standard deviations of a fixed seed: red only if the shares are wrong.
    const tolerance = 5 * Math.sqrt(expected * (1 - weight / weightTotal));
    assert.ok(
      Math.abs(seen.get(id)! - expected) < tolerance,
      `${id} came ${seen.get(id)} times of ${expected.toFixed(0)}`,
    );
  }
}

test('Random draws submissions by their number of available chunks', () => {
  const scene = new Scene({ random: seededRandom(20_240_101) });
  const weights: Record<string, number> = {};
  for (let id = 1; id <= 40; id++) {
    scene.insert(id, { chunksTotal: id * 10 });
    weights[id] = id * 10;
  }
  // Done and reserved chunks do not count.
  for (let index = 0; index < 300; index++) scene.complete(null, `40#${index}`);
  weights[40] = 100;
  scene.reserve(scene.consumer('B'), OLDEST, 10);
  delete weights[1];
  assertShares(frequencies(scene, Strategy.random(), 40_000), weights);
});

test('ties of PreferDistinct over Random are drawn by weight, over all values that tie', () => {
  const scene = new Scene({ random: seededRandom(5) });
  for (const id of [1, 2, 3, 4, 5, 6]) {
    scene.insert(id, { chunksTotal: id * 10, meta: { customer: Math.ceil(id / 2), site: id % 2 } });
  }
  const strategy = Strategy.preferDistinct('customer', Strategy.random());
  const holder = scene.consumer('B');
  assertShares(frequencies(scene, strategy, 20_000), { 1: 10, 2: 20, 3: 30, 4: 40, 5: 50, 6: 60 });
  // One chunk of customer 3 in flight: its submissions 5 and 6 do not tie any more.
  scene.reserve(holder, Strategy.newest());
  assertShares(frequencies(scene, strategy, 20_000), { 1: 10, 2: 20, 3: 30, 4: 40 });
  // Nor does what shares the site of 6 at the next key.
  const nested = Strategy.preferDistinct('customer', Strategy.preferDistinct('site', Strategy.random()));
  assertShares(frequencies(scene, nested, 20_000), { 1: 10, 3: 30 });
});

test('one answer carries at most a thousand chunks', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 5_000 });
  assert.equal(scene.reserve(scene.consumer('A'), OLDEST, 4_000)!.length, 1_000);
});
