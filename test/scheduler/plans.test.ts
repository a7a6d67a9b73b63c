import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChunkSet } from '../../src/model/chunk-set.ts';
import { Strategy } from '../../src/model/strategy.ts';
import { MetaTable } from '../../src/scheduler/metadata.ts';
import { isSameStrategy, Plan } from '../../src/scheduler/plan.ts';
import { PlanCache } from '../../src/scheduler/plan-cache.ts';
import { Submission } from '../../src/scheduler/state.ts';
import { seededRandom } from '../../src/system/random.ts';
import { submissionRecord } from '../support/submissions.ts';
import { Scene } from './scheduler-scene.ts';

/** Submissions that plans put in order, without a scheduler around them. */
class Bench {
  readonly table = new MetaTable<Submission>();
  readonly submissions: Submission[] = [];
  readonly cache: PlanCache<Submission>;

  constructor(plansMax: number) {
    this.cache = new PlanCache({
      table: this.table,
      random: seededRandom(1),
      plansMax,
      candidates: () => this.submissions,
    });
  }

  add(meta: Record<string, number>): Submission {
    const pairs = new Map(Object.entries(meta).map(([key, value]) => [key, BigInt(value)]));
    const id = BigInt(this.submissions.length + 1);
    const values = this.table.intern(pairs);
    const submission = new Submission(
      submissionRecord({ id, strategicMetadata: pairs }),
      new ChunkSet(10),
      values,
    );
    this.table.enter(submission, values);
    this.submissions.push(submission);
    this.offer(submission, 10);
    return submission;
  }

  offer(submission: Submission, chunks: number): void {
    const isTurned = (submission.chunksAvailable === 0) !== (chunks === 0);
    submission.chunksAvailable = chunks;
    this.cache.candidateChanged(submission, isTurned);
  }
}

test('the same strategy has one plan, whoever wrote it down', () => {
  const bench = new Bench(8);
  const write = () => Strategy.preferDistinct('a', Strategy.preferDistinct('b', Strategy.newest()));
  const plan = bench.cache.planFor(write());
  assert.equal(bench.cache.planFor(write()), plan);
  assert.equal(bench.cache.planFor({ kind: 'oldest' }), bench.cache.planFor(Strategy.oldest()));
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
  const first = bench.cache.planFor(plans[0]!);
  const second = bench.cache.planFor(plans[1]!);
  assert.equal(first.first(), submission);
  assert.equal(second.first(), submission);
  bench.cache.planFor(plans[0]!);
  assert.equal(bench.cache.planFor(plans[2]!).first(), submission);
  assert.deepEqual(
    bench.cache.plans.map((plan) => plan.shape.keys[0]!.name),
    ['c', 'a'],
  );
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
  const plain = bench.cache.planFor(Strategy.oldest());
  const byA = bench.cache.planFor(Strategy.preferDistinct('a', Strategy.oldest()));
  for (let i = 0; i < 10; i++) {
    const invented = Strategy.preferDistinct(`invented ${i}`, Strategy.oldest());
    assert.equal(bench.cache.planFor(invented), plain);
    const around = Strategy.preferDistinct(
      'a',
      Strategy.preferDistinct(`b ${i}`, Strategy.preferDistinct('a', Strategy.oldest())),
    );
    assert.equal(bench.cache.planFor(around), byA);
  }
  // As soon as one carries it, a key counts.
  bench.add({ 'invented 1': 7 });
  assert.notEqual(bench.cache.planFor(Strategy.preferDistinct('invented 1', Strategy.oldest())), plain);
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
  const idle = bench.cache.planFor(Strategy.newest());
  idle.first();
  const used = bench.cache.planFor(Strategy.random());
  for (let round = 0; round < 100; round++) {
    for (const submission of submissions) bench.offer(submission, 1 + (round % 2) * 4);
    for (const submission of submissions) bench.offer(submission, 0);
    for (const submission of submissions) bench.offer(submission, 3);
    bench.cache.planFor(Strategy.random()).first();
  }
  assert.deepEqual(bench.cache.plans, [used]);
});

test('a plan of two keys puts the one with fewer values on top as it grows, and its order stays', () => {
  const bench = new Bench(8);
  const strategy = Strategy.preferDistinct('many', Strategy.preferDistinct('few', Strategy.oldest()));
  bench.add({ many: 0, few: 0 });
  const plan = bench.cache.planFor(strategy);
  const topRanks = () => {
    const [seat] = plan.seats();
    return seat!.group!.lineage[1]!.rank!.level.key.name;
  };
  assert.equal(plan.first(), bench.submissions[0]);
  assert.equal(topRanks(), 'many');
  for (let i = 1; i < 3_000; i++) bench.add({ many: i % 1_500, few: i % 7 });
  assert.equal(plan.first(), bench.submissions[0]);
  assert.equal(topRanks(), 'few');
  // The first 1500 by id have each a value of their own; among them those with the rarest `few` come first.
  const taken: Submission[] = [];
  for (let i = 0; i < 1_500; i++) {
    const submission = plan.first()!;
    taken.push(submission);
    for (const value of submission.values) value.inFlightRises();
  }
  assert.equal(new Set(taken.map((each) => each.record.strategicMetadata.get('many'))).size, 1_500);
  const few = taken.slice(0, 70).map((each) => Number(each.record.strategicMetadata.get('few')));
  for (let i = 0; i < 70; i += 7) assert.deepEqual(few.slice(i, i + 7).sort(), [0, 1, 2, 3, 4, 5, 6]);
});

test('a plan drops what it knows of submissions that are gone', () => {
  const bench = new Bench(8);
  const plan = new Plan(
    Strategy.preferDistinct('a', Strategy.preferDistinct('b')),
    0,
    bench.table,
    seededRandom(1),
  );
  const submissions = Array.from({ length: 200 }, (_, i) => bench.add({ a: i % 10, b: i % 3 }));
  for (const submission of submissions) plan.candidateChanged(submission);
  plan.catchUp();
  assert.equal(plan.seatsTotal, 200);
  for (const submission of submissions) {
    submission.chunksAvailable = 0;
    plan.candidateChanged(submission);
  }
  assert.equal(plan.first(), undefined);
  assert.equal(plan.seatsTotal, 0);
  for (const submission of submissions) {
    assert.equal(submission.seats[0], undefined);
    for (const value of submission.values) assert.equal(value.listeners.length, 0);
  }
});
