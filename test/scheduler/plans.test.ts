import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChunkSet } from '../../src/model/chunk-set.ts';
import { Strategy } from '../../src/model/strategy.ts';
import { isSameStrategy } from '../../src/model/strategy-shape.ts';
import { MetaTable } from '../../src/scheduler/metadata.ts';
import { PlanCache } from '../../src/scheduler/plan/cache.ts';
import { Plan } from '../../src/scheduler/plan/plan.ts';
import { alternativesOf, specOf } from '../../src/scheduler/plan/spec.ts';
import { ScheduledSubmission } from '../../src/scheduler/state.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';
import { seededRandom } from '../../src/system/random.ts';
import { Scene } from './scheduler-scene.ts';

type Sub = ScheduledSubmission<string>;

const OLDEST = Strategy.oldest();
const ALL = { only: [], except: [] };

/** Submissions that plans put in order, without a scheduler around them. */
class Bench {
  readonly table = new MetaTable<Sub>();
  readonly submissions: Sub[] = [];
  readonly cache: PlanCache<Sub>;

  constructor(plansMax: number, slice?: number) {
    this.cache = new PlanCache({
      table: this.table,
      random: seededRandom(1),
      plansMax,
      slice,
      candidates: () => this.submissions,
    });
  }

  add(meta: Record<string, number>): Sub {
    const pairs = new Map(Object.entries(meta).map(([key, value]) => [key, BigInt(value)]));
    const id = BigInt(this.submissions.length + 1);
    const values = this.table.intern(pairs);
    const submission = new ScheduledSubmission<string>(
      submissionRecord({ id, strategicMetadata: pairs }),
      new ChunkSet(10),
      values,
    );
    this.table.enter(submission, values);
    this.submissions.push(submission);
    this.offer(submission, 10);
    return submission;
  }

  /** Built to its end. */
  planFor(strategy: Strategy): Plan<Sub> {
    let plan = this.planNow(strategy);
    while (plan === null) {
      this.cache.build();
      plan = this.planNow(strategy);
    }
    return plan;
  }

  /** null if it is not ready. */
  planNow(strategy: Strategy): Plan<Sub> | null {
    const spec = specOf(alternativesOf(strategy)[0]!, (key) => this.table.isCarried(key));
    return this.cache.entryFor(spec!)?.plan ?? null;
  }

  offer(submission: Sub, chunks: number): void {
    const isTurned = (submission.chunksAvailable === 0) !== (chunks === 0);
    submission.chunksAvailable = chunks;
    this.cache.candidateChanged(submission, isTurned);
  }
}

test('the same strategy has one plan, whichever consumer sent it', () => {
  const bench = new Bench(8);
  const write = () => Strategy.preferDistinct('a', Strategy.preferDistinct('b', Strategy.newest()));
  const plan = bench.planFor(write());
  assert.equal(bench.planFor(write()), plan);
  assert.equal(bench.planFor({ kind: 'oldest' }), bench.planFor(Strategy.oldest()));
  assert.equal(bench.cache.size, 2);
});

test('strategies that are written differently are told apart', () => {
  const base = fc.constantFrom(Strategy.oldest(), Strategy.newest(), Strategy.random());
  const keys = fc.array(fc.constantFrom('a', 'b', 'ab', ''), { maxLength: 3 });
  const make = ([keys, base]: [string[], Strategy]) =>
    keys.reduceRight((inner, key) => Strategy.preferDistinct(key, inner), base);
  const strategy = fc.tuple(keys, base).map(make);
  fc.assert(
    fc.property(strategy, strategy, (one, other) => {
      assert.equal(isSameStrategy(one, other), JSON.stringify(one) === JSON.stringify(other));
      assert.ok(isSameStrategy(one, structuredClone(one)));
    }),
  );
});

test('beyond plansMax the plan that nobody asked for longest goes, and leaves nothing behind', () => {
  const bench = new Bench(2);
  const submission = bench.add({ a: 1, b: 1, c: 1 });
  const plans = ['a', 'b', 'c'].map((key) => Strategy.preferDistinct(key, Strategy.oldest()));
  const first = bench.planFor(plans[0]!);
  const second = bench.planFor(plans[1]!);
  assert.equal(first.first(ALL), submission);
  assert.equal(second.first(ALL), submission);
  bench.planFor(plans[0]!);
  assert.equal(bench.planFor(plans[2]!).first(ALL), submission);
  assert.deepEqual(bench.cache.plans.map((plan) => plan.spec.ranks[0]!.key).sort(), ['a', 'c']);
  // The dropped one no longer listens to the counts, sits anywhere, or uses its key.
  assert.equal([...second.seats()].length, 0);
  const values = new Map(submission.values.map((value) => [value.key.name, value]));
  assert.equal(values.get('b')!.listeners.length, 0);
  assert.equal(values.get('b')!.key.users, 0);
  assert.equal(values.get('a')!.listeners.length, 1);
  assert.equal(submission.seats.filter((seat) => seat !== undefined).length, 2);
});

test('keys that no submission carries, and keys that come again inside, make no plan of their own', () => {
  const bench = new Bench(2);
  bench.add({ a: 1 });
  const plain = bench.planFor(Strategy.oldest());
  const byA = bench.planFor(Strategy.preferDistinct('a', Strategy.oldest()));
  for (let i = 0; i < 10; i++) {
    const invented = Strategy.preferDistinct(`invented ${i}`, Strategy.oldest());
    assert.equal(bench.planFor(invented), plain);
    const around = Strategy.preferDistinct(
      'a',
      Strategy.preferDistinct(`b ${i}`, Strategy.preferDistinct('a', Strategy.oldest())),
    );
    assert.equal(bench.planFor(around), byA);
  }
  // As soon as one carries it, a key counts.
  bench.add({ 'invented 1': 7 });
  assert.notEqual(bench.planFor(Strategy.preferDistinct('invented 1', Strategy.oldest())), plain);
});

test('a plan that is asked again after it went is as good as new', () => {
  const scene = new Scene({ plansMax: 1 });
  for (const id of [1, 2, 3]) scene.insert(id, { meta: { customer: id } });
  const consumer = scene.consumer('A');
  const fair = Strategy.preferDistinct('customer', Strategy.oldest());
  const order: string[] = [];
  for (let i = 0; i < 6; i++) {
    order.push(...scene.reserve(consumer, fair)!);
    scene.reserve(consumer, Strategy.newest());
    scene.scheduler.checkInvariants();
  }
  assert.deepEqual(order, ['1#0', '2#0', '1#1', '2#1', '1#2', '2#2']);
});

test('a plan that nobody asks is dropped after some time, one in use never', () => {
  const bench = new Bench(8);
  const submissions = Array.from({ length: 600 }, (_, i) => bench.add({ a: i % 7 }));
  const idle = bench.planFor(Strategy.newest());
  idle.first(ALL);
  const used = bench.planFor(Strategy.random());
  for (let round = 0; round < 100; round++) {
    for (const submission of submissions) bench.offer(submission, 1 + (round % 2) * 4);
    for (const submission of submissions) bench.offer(submission, 0);
    for (const submission of submissions) bench.offer(submission, 3);
    bench.planFor(Strategy.random()).first(ALL);
  }
  assert.deepEqual(bench.cache.plans, [used]);
});

test('a plan of two keys puts the one with fewer values on top as it grows, and its order stays', () => {
  const bench = new Bench(8);
  const strategy = Strategy.preferDistinct('many', Strategy.preferDistinct('few', Strategy.oldest()));
  bench.add({ many: 0, few: 0 });
  const plan = bench.planFor(strategy);
  const topRanks = () => {
    const [seat] = plan.seats();
    return seat!.group!.lineage[1]!.rank!.level.key.name;
  };
  assert.equal(plan.first(ALL), bench.submissions[0]);
  assert.equal(topRanks(), 'many');
  for (let i = 1; i < 3_000; i++) bench.add({ many: i % 1_500, few: i % 7 });
  assert.equal(plan.first(ALL), bench.submissions[0]);
  assert.equal(topRanks(), 'few');
  // The first 1500 by id have each a value of their own; among them those with the rarest `few` come first.
  const taken: Sub[] = [];
  for (let i = 0; i < 1_500; i++) {
    const submission = plan.first(ALL)!;
    taken.push(submission);
    for (const value of submission.values) value.inFlightRises();
  }
  assert.equal(new Set(taken.map((each) => each.record.strategicMetadata.get('many'))).size, 1_500);
  const few = taken.slice(0, 70).map((each) => Number(each.record.strategicMetadata.get('few')));
  for (let i = 0; i < 70; i += 7) assert.deepEqual(few.slice(i, i + 7).sort(), [0, 1, 2, 3, 4, 5, 6]);
});

test('nobody is left out when a plan turns its levels over', () => {
  const bench = new Bench(8);
  bench.add({ many: 0, few: 0 });
  const plan = bench.planFor(
    Strategy.preferDistinct('many', Strategy.preferDistinct('few', Strategy.oldest())),
  );
  for (let i = 1; i < 1_500; i++) bench.add({ many: i, few: i % 2 });
  plan.first(ALL);
  const seated = new Set([...plan.seats()].map((seat) => seat.candidate));
  assert.deepEqual([seated.size, plan.seatsTotal], [1_500, 1_500]);
});

test('a large plan whose levels have come to stand the wrong way round is made anew, in slices, once', () => {
  const bench = new Bench(8);
  const strategy = Strategy.preferDistinct('x', Strategy.preferDistinct('y', Strategy.oldest()));
  const grow = (from: number, to: number) => {
    for (let i = from; i < to; i++) bench.add({ x: i < 2_500 ? i % 6 : i, y: i % 50 });
  };
  const top = (plan: Plan<Sub>) => [...plan.seats()][0]!.group!.lineage[1]!.rank!.level.key.name;
  grow(0, 100);
  const plan = bench.planFor(strategy);
  grow(100, 6_000);
  assert.equal(plan.first(ALL), bench.submissions[0]);
  assert.equal(top(plan), 'x');
  assert.equal(bench.planNow(strategy), null, 'it is not turned over at once');
  const turned = bench.planFor(strategy);
  assert.notEqual(turned, plan);
  assert.equal(top(turned), 'y');
  assert.equal(turned.first(ALL), bench.submissions[0]);
  grow(6_000, 7_000);
  assert.equal(bench.planFor(strategy), turned);
});

test('a plan that goes leaves in slices, and then nothing behind; a new one waits for that', () => {
  const bench = new Bench(1, 10);
  const submissions = Array.from({ length: 100 }, (_, i) => bench.add({ a: i, b: i % 7 }));
  const strategy = Strategy.preferDistinct('a', Strategy.preferDistinct('b', Strategy.oldest()));
  assert.equal(bench.planFor(strategy).first(ALL), submissions[0]);
  const listening = () => submissions.filter(({ values }) => values[0]!.listeners.length > 0).length;
  assert.equal(bench.planNow(Strategy.newest()), null);
  assert.equal(listening(), 100);
  let turns = 0;
  for (; listening() > 50; turns++) bench.cache.build();
  // What changes meanwhile is of no concern to it.
  bench.offer(submissions[99]!, 0);
  for (; bench.cache.isBuilding; turns++) bench.cache.build();
  assert.ok(turns >= 10, `${turns} turns`);
  assert.equal(bench.planFor(Strategy.newest()).first(ALL), submissions[98]);
  for (const { seats, values } of submissions) {
    assert.ok(seats.filter((seat) => seat !== undefined).length <= 1);
    for (const { listeners } of values) assert.equal(listeners.length, 0);
  }
  assert.deepEqual(
    [...bench.table.keys].map(({ users }) => users),
    [0, 0],
  );
});

test('a plan drops what it knows of submissions that are gone', () => {
  const bench = new Bench(8);
  const strategy = Strategy.preferDistinct('a', Strategy.preferDistinct('b'));
  const plan = new Plan(specOf(alternativesOf(strategy)[0]!, () => true)!, 0, bench.table, seededRandom(1));
  const submissions = Array.from({ length: 200 }, (_, i) => bench.add({ a: i % 10, b: i % 3 }));
  for (const submission of submissions) plan.candidateChanged(submission);
  plan.catchUp();
  assert.equal(plan.seatsTotal, 200);
  for (const submission of submissions) {
    submission.chunksAvailable = 0;
    plan.candidateChanged(submission);
  }
  assert.equal(plan.first(ALL), undefined);
  assert.equal(plan.seatsTotal, 0);
  for (const submission of submissions) {
    assert.equal(submission.seats[0], undefined);
    for (const value of submission.values) assert.equal(value.listeners.length, 0);
  }
});

test('the plan of a new strategy is built in slices, and is right whatever changes meanwhile', () => {
  const takingAll: readonly Strategy[] = [
    Strategy.oldest(),
    Strategy.newest(),
    Strategy.random(),
    Strategy.preferDistinct('a', Strategy.oldest()),
    Strategy.preferDistinct('a', Strategy.preferDistinct('b', Strategy.random())),
  ];
  const strategies = [
    ...takingAll,
    Strategy.priority('a', Strategy.selectExcept('b', [1], Strategy.oldest())),
    Strategy.maxSimultaneous('a', 2, Strategy.selectOnly('b', [0, 2])),
    Strategy.orElse(Strategy.selectOnly('b', [1], Strategy.newest()), Strategy.maxSimultaneous('a', 1)),
  ];
  const number = fc.nat(99);
  const change = fc.oneof(
    fc.record({ kind: fc.constant('insert' as const), a: fc.nat(3), b: fc.nat(2) }),
    fc.record({ kind: fc.constantFrom('reserve' as const, 'complete' as const, 'cancel' as const), number }),
    fc.record({ kind: fc.constant('step' as const) }),
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...strategies),
      fc.integer({ min: 1, max: 30 }),
      fc.array(change, { maxLength: 60 }),
      (strategy, before, changes) => {
        const scene = new Scene({ planSlice: 3, reservationExpirationMs: 1e9 });
        // Its strategy is known, and ready, before there is much to take in.
        const plain = Strategy.newest();
        const worker = scene.consumer('worker');
        const open: number[] = [];
        const insert = (a: number, b: number) => {
          open.push(open.length + 1);
          scene.insert(open.length, { chunksTotal: 2, meta: { a, b } });
        };
        for (let i = 0; i < before; i++) insert(i % 4, i % 3);
        const asker = scene.consumer('asker');
        const held: string[] = [];
        scene.ask(asker, strategy, 1);
        for (const each of changes) {
          if (each.kind === 'insert') insert(each.a, each.b);
          else if (each.kind === 'reserve') held.push(...(scene.reserve(worker, plain) ?? []));
          else if (each.kind === 'complete') {
            const chunk = held.splice(each.number % Math.max(held.length, 1), 1)[0];
            if (chunk !== undefined) scene.complete(worker, chunk);
          } else if (each.kind === 'cancel') {
            const id = BigInt(1 + (each.number % open.length));
            if (scene.scheduler.cancel(id, scene.nowMs) === 'ending') scene.scheduler.forget(id);
          } else scene.pass(0);
          scene.scheduler.checkInvariants();
        }
        for (let i = 0; i < 200 && scene.scheduler.nextDeadlineMs() === scene.nowMs; i++) scene.pass(0);
        // Counts anew who comes first in each plan, and that nobody waits who could be served.
        scene.scheduler.checkInvariants();
        assert.notEqual(scene.scheduler.nextDeadlineMs(), scene.nowMs, 'the plan is built');
        const { chunksAvailable, requestsWaiting } = scene.scheduler.counts;
        // The others may leave what they do not select.
        if (takingAll.includes(strategy)) assert.ok(chunksAvailable === 0 || requestsWaiting === 0);
      },
    ),
  );
});

test('those who ask for a known strategy are served while a new one is built, and one is built at a time', () => {
  const scene = new Scene({ planSlice: 10 });
  const consumer = scene.consumer('A');
  scene.insert(1, { meta: { a: 1, b: 1 } });
  assert.deepEqual(scene.reserve(consumer, OLDEST), ['1#0']);
  for (let id = 2; id <= 35; id++) scene.insert(id, { meta: { a: id, b: id } });
  scene.takeAnswers();
  const other = scene.consumer('B');
  assert.equal(scene.reserve(other, Strategy.preferDistinct('a', Strategy.newest())), null);
  assert.equal(scene.reserve(other, Strategy.preferDistinct('b', Strategy.newest())), null);
  assert.equal(scene.scheduler.nextDeadlineMs(), scene.nowMs, 'it goes on at once');
  assert.deepEqual(scene.reserve(consumer, OLDEST), ['1#1']);
  scene.takeAnswers();
  // Slices of five: those of a strategy with a key are half as long.
  for (let i = 0; i < 7; i++) scene.pass(0);
  assert.deepEqual(scene.takeAnswers(), ['B: 35#0']);
  for (let i = 0; i < 8; i++) scene.pass(0);
  assert.deepEqual(scene.takeAnswers(), ['B: 34#0']);
  assert.notEqual(scene.scheduler.nextDeadlineMs(), scene.nowMs);
});

test('a drawing plan forgets a group of which all went between two looks', () => {
  const bench = new Bench(8);
  const strategy = Strategy.preferDistinct('customer', Strategy.random());
  const gone = Array.from({ length: 40 }, () => bench.add({ customer: 1 }));
  const last = bench.add({ customer: 2 });
  const plan = bench.planFor(strategy);
  assert(plan.first(ALL) !== undefined);
  for (const submission of gone) bench.offer(submission, 0);
  // Of this one more is in flight than of the other, which is to come first only as long as there is anybody.
  last.values[0]!.inFlightRises();
  assert.equal(plan.first(ALL), last);
  assert.equal(plan.peek(ALL).weight, 10);
});
