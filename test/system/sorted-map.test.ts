import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { SortedMap } from '../../src/system/sorted-map.ts';

const PART_SIZE = 4;
const key = fc.bigInt(-20n, 60n);
const step = fc.oneof(
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('append' as const), gap: fc.bigInt(1n, 3n) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('set' as const), key }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
  fc.record({ kind: fc.constant('deleteRange' as const), from: key, count: fc.bigInt(1n, 20n) }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Takes a step in both; the values tell which step set them. */
class Pair {
  readonly map = new SortedMap<string>(PART_SIZE);
  readonly model = new Map<bigint, string>();
  #highest = 0n;
  #steps = 0;

  take(step: Step): void {
    this.#steps++;
    if (step.kind === 'append') this.#set(this.#highest + step.gap);
    else if (step.kind === 'set') this.#set(step.key);
    else if (step.kind === 'delete') this.#delete(step.key);
    else for (let i = 0n; i < step.count; i++) this.#delete(step.from + i);
  }

  /** Keys, ascending. */
  get keys(): bigint[] {
    return [...this.model.keys()].sort((a, b) => (a < b ? -1 : 1));
  }

  get values(): string[] {
    return this.keys.map((key) => this.model.get(key)!);
  }

  #set(key: bigint): void {
    if (key > this.#highest) this.#highest = key;
    const value = `${key} of step ${this.#steps}`;
    this.map.set(key, value);
    this.model.set(key, value);
  }

  #delete(key: bigint): void {
    assert.equal(this.map.delete(key), this.model.delete(key));
  }
}

test('does what a Map does, in the order of the keys', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), (steps) => {
      const pair = new Pair();
      for (const step of steps) {
        pair.take(step);
        assert.equal(pair.map.size, pair.model.size);
        assert.deepEqual([...pair.map.values()], pair.values);
        assert.deepEqual([...pair.map.descending()], pair.values.reverse());
      }
      for (let key = -25n; key < 100n; key++) {
        assert.equal(pair.map.get(key), pair.model.get(key));
        assert.equal(pair.map.has(key), pair.model.has(key));
      }
    }),
  );
});

test('finds once, in order, whatever is there while it is looked through', () => {
  fc.assert(
    fc.property(
      fc.array(step, { minLength: 10, maxLength: 60 }),
      fc.array(fc.array(step, { maxLength: 5 }), { maxLength: 20 }),
      fc.constantFrom('values', 'descending'),
      (before, during, order) => {
        const pair = new Pair();
        for (const step of before) pair.take(step);
        const staying = new Map(pair.model);
        const met = new Map(pair.model);
        const found: string[] = [];
        const values = pair.map[order]();
        for (const steps of during) {
          const next = values.next();
          if (next.done !== true) found.push(next.value);
          for (const step of steps) pair.take(step);
          for (const [key, value] of staying) if (pair.model.get(key) !== value) staying.delete(key);
          for (const [key, value] of pair.model) met.set(key, value);
        }
        found.push(...values);
        const keys = found.map((value) => BigInt(value.split(' ')[0]!));
        const ascending = order === 'values' ? keys : keys.toReversed();
        for (let i = 1; i < keys.length; i++) {
          assert.ok(ascending[i - 1]! < ascending[i]!, 'in order, none twice');
        }
        for (const key of keys) assert.ok(met.has(key), 'nothing that was never there');
        for (const [key, value] of staying) assert.ok(found.includes(value), `${key} was there all the time`);
      },
    ),
  );
});

test('keys that come in descending order, or in none, are kept in small parts as well', () => {
  const orders: ((i: number) => number)[] = [(i) => -i, (i) => (i * 7_919) % 100_003];
  for (const order of orders) {
    const map = new SortedMap<number>(64);
    for (let i = 0; i < 20_000; i++) map.set(BigInt(order(i)), order(i));
    const expected = Array.from({ length: 20_000 }, (_, i) => order(i)).sort((a, b) => a - b);
    assert.deepEqual([...map.values()], expected);
    for (const key of expected) assert.equal(map.get(BigInt(key)), key);
    for (const key of expected) assert.ok(map.delete(BigInt(key)));
    assert.equal(map.size, 0);
    assert.deepEqual([...map.values()], []);
  }
});
