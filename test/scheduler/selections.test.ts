// In a process of its own: it measures the heap.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Strategy } from '../../src/model/strategy.ts';
import { Scene } from './scheduler-scene.ts';

const OLDEST = Strategy.oldest();

/** Submissions 1 to 6, two chunks each; 6 carries nothing. */
function sixSubmissions(): Scene {
  const scene = new Scene();
  const metas = [
    { kind: 1, urgency: 5 },
    { kind: 2, urgency: 9 },
    { kind: 3, urgency: -1 },
    { kind: 1, urgency: 9 },
    { kind: 2 },
  ];
  for (const [i, meta] of metas.entries()) scene.insert(i + 1, { chunksTotal: 2, meta });
  scene.insert(6, { chunksTotal: 2 });
  return scene;
}

function orderOf(strategy: Strategy): string {
  const scene = sixSubmissions();
  const chunks = scene.reserve(scene.consumer('A'), strategy, 100) ?? [];
  return chunks.join(' ');
}

test('SelectOnly and SelectExcept hand out what they select, in the order of what is inside', () => {
  assert.equal(orderOf(Strategy.selectOnly('kind', [2, 3], OLDEST)), '2#0 2#1 3#0 3#1 5#0 5#1');
  assert.equal(orderOf(Strategy.selectOnly('kind', [3, 2], Strategy.newest())), '5#0 5#1 3#0 3#1 2#0 2#1');
  assert.equal(orderOf(Strategy.selectExcept('kind', [1, 2], OLDEST)), '3#0 3#1 6#0 6#1');
  assert.equal(orderOf(Strategy.selectOnly('kind', [4], OLDEST)), '');
  assert.equal(orderOf(Strategy.selectOnly('nobody carries it', [1], OLDEST)), '');
  assert.equal(orderOf(Strategy.selectExcept('nobody carries it', [1], OLDEST)).split(' ').length, 12);
});

test('selections that stand around each other all hold', () => {
  const both = Strategy.selectOnly('kind', [1, 2], Strategy.selectOnly('kind', [2, 3], OLDEST));
  assert.equal(orderOf(both), '2#0 2#1 5#0 5#1');
  const onlyAndExcept = Strategy.selectOnly('kind', [1, 2], Strategy.selectExcept('kind', [2], OLDEST));
  assert.equal(orderOf(onlyAndExcept), '1#0 1#1 4#0 4#1');
  const nothing = Strategy.selectOnly('kind', [1], Strategy.selectExcept('kind', [1], OLDEST));
  assert.equal(orderOf(nothing), '');
  const twoKeys = Strategy.selectOnly('kind', [1, 2], Strategy.selectOnly('urgency', [9, 7], OLDEST));
  assert.equal(orderOf(twoKeys), '2#0 2#1 4#0 4#1');
});

test('Priority goes by the highest value; who has none counts as 0', () => {
  const strategy = Strategy.priority('urgency', OLDEST);
  assert.equal(orderOf(strategy), '2#0 2#1 4#0 4#1 1#0 1#1 5#0 5#1 6#0 6#1 3#0 3#1');
});

test('Priority is exact over all 64 bits', () => {
  const scene = new Scene();
  const values = [
    2n ** 62n,
    2n ** 62n + 1n,
    -(2n ** 63n),
    2n ** 63n - 1n,
    2n ** 32n,
    2n ** 32n - 1n,
    -1n,
    0n,
  ];
  for (const [i, value] of values.entries()) {
    scene.insert(i + 1, { chunksTotal: 1, meta: { urgency: value as unknown as number } });
  }
  const chunks = scene.reserve(scene.consumer('A'), Strategy.priority('urgency', OLDEST), 100)!;
  const got = chunks.map((name) => values[Number(name.split('#')[0]) - 1]!);
  assert.deepEqual(
    got,
    [...values].sort((a, b) => (a > b ? -1 : 1)),
  );
});

test('OrElse asks its fallback as soon as the first has nothing, within one answer, and what is around holds for both', () => {
  const strategy = Strategy.orElse(Strategy.selectOnly('kind', [3], OLDEST), Strategy.newest());
  assert.equal(orderOf(strategy), '3#0 3#1 6#0 6#1 5#0 5#1 4#0 4#1 2#0 2#1 1#0 1#1');
  const around = Strategy.selectExcept('kind', [2], strategy);
  assert.equal(orderOf(around), '3#0 3#1 6#0 6#1 4#0 4#1 1#0 1#1');
});

test('MaxSimultaneous never hands out more of a value, whoever holds it and by whatever strategy', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 9, meta: { customer: 1 } });
  scene.insert(2, { chunksTotal: 9, meta: { customer: 2 } });
  scene.insert(3, { chunksTotal: 1 });
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  assert.deepEqual(scene.reserve(a, Strategy.selectOnly('customer', [2], OLDEST), 1), ['2#0']);
  const limited = Strategy.maxSimultaneous('customer', 2, OLDEST);
  assert.deepEqual(scene.reserve(b, limited, 100), ['1#0', '1#1', '2#1', '3#0']);
  assert.equal(scene.reserve(b, limited, 1), null);
  // Who does not ask for the limit is not bound by it.
  assert.deepEqual(scene.reserve(a, OLDEST, 1), ['1#2']);
  scene.takeAnswers();
  scene.complete(b, '1#0');
  assert.deepEqual(scene.takeAnswers(), [], 'two are in flight still');
  scene.complete(b, '1#1');
  assert.deepEqual(scene.takeAnswers(), ['B: 1#3']);
});

for (const how of ['completion', 'failure', 'expiry', 'broken connection', 'release', 'cancel'] as const) {
  test(`a ${how} that brings a value below its limit serves who waits for it`, () => {
    const scene = new Scene();
    scene.insert(1, { chunksTotal: 1, meta: { customer: 1 } });
    scene.insert(2, { chunksTotal: 5, meta: { customer: 1 } });
    const [a, b] = [scene.consumer('A', { silentOnExpiry: true }), scene.consumer('B')];
    assert.deepEqual(scene.reserve(a, OLDEST), ['1#0']);
    const limited = Strategy.maxSimultaneous('customer', 1, Strategy.newest());
    assert.equal(scene.reserve(b, limited), null);
    scene.takeAnswers();
    if (how === 'completion') scene.complete(a, '1#0');
    else if (how === 'failure') scene.fail(a, '1#0');
    else if (how === 'release') scene.release(a, '1#0');
    else if (how === 'expiry') scene.pass(1_000);
    else if (how === 'cancel') scene.scheduler.cancel(1n, scene.nowMs);
    else scene.scheduler.removeConsumer(a, 'broken', scene.nowMs);
    assert.deepEqual(scene.takeAnswers(), ['B: 2#0']);
    scene.scheduler.checkInvariants();
  });
}

test('one who waits is served by what it selects, and not by what it does not', () => {
  const scene = new Scene();
  const names = Array.from({ length: 100 }, (_, i) => `C${i}`);
  for (const [i, name] of names.entries()) {
    assert.equal(scene.reserve(scene.consumer(name), Strategy.selectOnly('kind', [i], OLDEST)), null);
  }
  scene.takeAnswers();
  scene.insert(1, { chunksTotal: 3, meta: { kind: 1_000 } });
  scene.insert(2, { chunksTotal: 3, meta: { other: 7 } });
  assert.deepEqual(scene.takeAnswers(), []);
  for (const kind of [42, 7, 99]) scene.insert(100 + kind, { chunksTotal: 3, meta: { kind } });
  assert.deepEqual(scene.takeAnswers(), ['C42: 142#0', 'C7: 107#0', 'C99: 199#0']);
  scene.scheduler.checkInvariants();
});

test('among those who wait with different strategies the first to come is the first served', () => {
  const scene = new Scene();
  const strategies = [
    Strategy.selectOnly('kind', [1, 2], OLDEST),
    OLDEST,
    Strategy.selectExcept('kind', [3]),
    Strategy.selectOnly('kind', [1], OLDEST),
    Strategy.maxSimultaneous('kind', 9),
  ];
  for (const [i, strategy] of strategies.entries()) scene.reserve(scene.consumer(`C${i}`), strategy);
  scene.takeAnswers();
  for (let i = 0; i < 5; i++) scene.insert(i + 1, { chunksTotal: 1, meta: { kind: 1 } });
  assert.deepEqual(scene.takeAnswers(), ['C0: 1#0', 'C1: 2#0', 'C2: 3#0', 'C3: 4#0', 'C4: 5#0']);
});

test('alternatives that share a plan do not pass over what only the one before excludes', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 2, meta: { kind: 1 } });
  const strategy = Strategy.orElse(
    Strategy.selectExcept('kind', [1], OLDEST),
    Strategy.selectExcept('kind', [2], OLDEST),
  );
  assert.deepEqual(scene.reserve(scene.consumer('A'), strategy), ['1#0']);
  scene.scheduler.checkInvariants();
});

test('who waits for a limit is served although another one looked who must not have the chunk', () => {
  const scene = new Scene();
  scene.insert(1, { chunksTotal: 2, meta: { customer: 1 } });
  const [a, b, c] = [scene.consumer('A'), scene.consumer('B'), scene.consumer('C')];
  const limited = Strategy.maxSimultaneous('customer', 1, OLDEST);
  assert.deepEqual(scene.reserve(a, OLDEST), ['1#0']);
  assert.deepEqual(scene.reserve(b, OLDEST), ['1#1']);
  assert.equal(scene.reserve(c, limited), null);
  scene.fail(b, '1#1');
  assert.equal(scene.reserve(b, limited), null, 'another one is to have it first');
  scene.takeAnswers();
  scene.complete(a, '1#0');
  assert.deepEqual(scene.takeAnswers(), ['C: 1#1']);
});

test('who waits for a limit is served although the plan that knew of it went for the next alternative', () => {
  const scene = new Scene({ plansMax: 1 });
  scene.insert(1, { chunksTotal: 2, meta: { kind: 1, customer: 1 } });
  scene.insert(2, { chunksTotal: 2, meta: { kind: 2, shop: 1 } });
  const of = (kind: number) => Strategy.selectOnly('kind', [kind], OLDEST);
  const [a, b] = [scene.consumer('A'), scene.consumer('B')];
  assert.deepEqual([scene.reserve(a, of(1)), scene.reserve(a, of(2))], [['1#0'], ['2#0']]);
  const strategy = Strategy.orElse(
    Strategy.maxSimultaneous('customer', 1, of(1)),
    Strategy.maxSimultaneous('shop', 1, of(2)),
  );
  assert.equal(scene.reserve(b, strategy), null);
  scene.takeAnswers();
  scene.complete(a, '1#0');
  assert.deepEqual(scene.takeAnswers(), ['B: 1#1']);
});

test('who waits for a limit of a plan that went is served although a consumer in a pause looked meanwhile', () => {
  const scene = new Scene({ plansMax: 1, sickAfterFailures: 2 });
  scene.insert(1, { chunksTotal: 3, meta: { customer: 1 } });
  scene.insert(2, { chunksTotal: 3 });
  const [a, b, sick] = [scene.consumer('A'), scene.consumer('B'), scene.consumer('sick')];
  for (let i = 0; i < 2; i++) {
    const [failed] = scene.reserve(sick, OLDEST)!;
    scene.fail(sick, failed!);
    const [done] = scene.reserve(a, Strategy.newest())!;
    scene.complete(a, done!);
  }
  const limited = Strategy.maxSimultaneous('customer', 1, Strategy.selectOnly('customer', [1], OLDEST));
  assert.deepEqual(scene.reserve(a, OLDEST), ['1#0']);
  assert.equal(scene.reserve(b, limited), null);
  scene.reserve(a, Strategy.newest());
  assert.equal(scene.reserve(sick, limited), null, 'it is in a pause');
  scene.takeAnswers();
  scene.complete(a, '1#0');
  assert.deepEqual(scene.takeAnswers(), ['B: 1#1']);
});

test('who waits for a limit is served although its plan was made when another one could not see the chunk', () => {
  const scene = new Scene({ plansMax: 1 });
  scene.insert(1, { chunksTotal: 2, meta: { customer: 1 } });
  scene.insert(2, { chunksTotal: 1 });
  const [a, b, c] = [scene.consumer('A'), scene.consumer('B'), scene.consumer('C')];
  const limited = Strategy.maxSimultaneous('customer', 1, Strategy.selectOnly('customer', [1], OLDEST));
  assert.deepEqual([scene.reserve(a, OLDEST), scene.reserve(b, OLDEST)], [['1#0'], ['1#1']]);
  assert.equal(scene.reserve(c, limited), null);
  scene.fail(b, '1#1');
  scene.reserve(a, Strategy.newest());
  assert.equal(scene.reserve(b, limited), null);
  scene.takeAnswers();
  scene.complete(a, '1#0');
  assert.deepEqual(scene.takeAnswers(), ['C: 1#1']);
});

test('a limit of one value that gets free is looked at once by each who waits, however many groups have it', () => {
  const scene = new Scene({ planSlice: 10_000 });
  const customers = 400;
  for (let i = 1; i <= customers; i++) scene.insert(i, { chunksTotal: 2, meta: { customer: i, api: 1 } });
  const strategyOf = (i: number) =>
    Strategy.maxSimultaneous('api', 1, Strategy.selectExcept('customer', [i], OLDEST));
  const [first, ...others] = Array.from({ length: customers }, (_, i) => scene.consumer(`C${i}`));
  assert.deepEqual(scene.reserve(first!, strategyOf(customers)), ['1#0']);
  for (const [i, consumer] of others.entries())
    assert.equal(scene.reserve(consumer, strategyOf(i + 1)), null);
  scene.takeAnswers();
  scene.complete(first!, '1#0');
  // The one who came first does not take what is customer 1's.
  assert.deepEqual(scene.takeAnswers(), ['C1: 2#0']);
  scene.complete(others[0]!, '2#0');
  assert.deepEqual(scene.takeAnswers(), ['C2: 1#1']);
});

test('strategies with long lists that were used once do not stay in memory', () => {
  const scene = new Scene();
  const consumer = scene.consumer('A');
  scene.insert(1, { chunksTotal: 1_000 });
  const strategyOf = (i: number) => {
    const values = Array.from({ length: 256 }, (_, j) => i * 256 + j).join(', ');
    const open = Array.from({ length: 16 }, (_, key) => `selectExcept(k${key}, [${values}], `).join('');
    return Strategy.parse(`${open}oldest${')'.repeat(16)}`);
  };
  const useSome = (from: number, to: number) => {
    for (let i = from; i < to; i++) assert.equal(scene.reserve(consumer, strategyOf(i))!.length, 1);
    scene.takeAnswers();
  };
  setFlagsFromString('--expose-gc');
  const collect: () => void = runInNewContext('gc');
  const heapUsed = () => {
    collect();
    return process.memoryUsage().heapUsed;
  };
  useSome(0, 30);
  const before = heapUsed();
  useSome(30, 150);
  const grown = heapUsed() - before;
  assert.ok(grown < 10 * 2 ** 20, `${grown} bytes`);
});

test('thousands of selections share one plan', () => {
  const scene = new Scene({ plansMax: 1 });
  for (let id = 1; id <= 140; id++) scene.insert(id, { chunksTotal: 1, meta: { kind: id } });
  const consumer = scene.consumer('A');
  for (let id = 140; id >= 1; id--) {
    assert.deepEqual(scene.reserve(consumer, Strategy.selectOnly('kind', [id], OLDEST)), [`${id}#0`]);
  }
});
