import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IndexHeap } from '../../src/scheduler/plan/index-heap.ts';
import { type Placed, PlacedHeap } from '../../src/scheduler/plan/placed-heap.ts';
import type { Slotted } from '../../src/scheduler/plan/slots.ts';
import { SumTree } from '../../src/scheduler/plan/sum-tree.ts';
import { Tournament } from '../../src/scheduler/plan/tournament.ts';
import { randomInt, seededRandom } from '../../src/system/random.ts';

class Item implements Slotted, Placed {
  slot = -1;
  place = -1;
  key: number;
  second: number;
  third: number;
  weight: number;

  constructor(key: number, second: number, third: number, weight: number) {
    this.key = key;
    this.second = second;
    this.third = third;
    this.weight = weight;
  }
}

const compare = (a: Item, b: Item) => a.key - b.key || a.second - b.second || a.third - b.third;

const change = fc.record({
  kind: fc.constantFrom('add', 'add', 'remove', 'update'),
  which: fc.nat(1_000),
  key: fc.nat(3),
  second: fc.nat(1),
  third: fc.nat(1),
  weight: fc.integer({ min: 1, max: 5 }),
});

function newTournament(): Tournament<Item> {
  return new Tournament<Item>({
    first: (item) => item.key,
    second: (item) => item.second,
    third: (a, b) => a.third - b.third,
    weigh: (item) => item.weight,
  });
}

/** The best of them, and their weight. */
function bestOf(items: readonly Item[]): { best: Item[]; weight: number } {
  const [first] = [...items].sort(compare);
  const best = items.filter((item) => compare(item, first!) === 0);
  return { best, weight: best.reduce((sum, item) => sum + item.weight, 0) };
}

test('a tournament knows the best, their weight, and draws each of them by its own', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 200, size: 'max' }), (changes) => {
      const tournament = newTournament();
      const items: Item[] = [];
      for (const { kind, which, key, second, third, weight } of changes) {
        const before = { best: tournament.best, weight: tournament.weight };
        const item = items[which % Math.max(items.length, 1)];
        let isChanged = true;
        if (kind === 'add' || item === undefined) {
          const added = new Item(key, second, third, weight);
          items.push(added);
          isChanged = tournament.add(added);
        } else if (kind === 'remove') {
          items.splice(items.indexOf(item), 1);
          isChanged = tournament.remove(item);
        } else {
          Object.assign(item, { key, second, third, weight });
          isChanged = tournament.update(item);
        }
        assert.equal(tournament.size, items.length);
        const { best, weight: bestWeight } = bestOf(items);
        assert.equal(tournament.weight, bestWeight);
        if (!isChanged) assert.deepEqual(before, { best: tournament.best, weight: tournament.weight });
        if (items.length === 0) assert.equal(tournament.best, undefined);
        else assert.ok(best.includes(tournament.best!));
        assertDraws(tournament, best, bestWeight);
      }
    }),
    { numRuns: 60 },
  );
});

/** Every point of the weight belongs to one of the best, as many points as it weighs. */
function assertDraws(tree: Tournament<Item> | SumTree<Item>, best: readonly Item[], weight: number): void {
  const drawn = new Map<Item, number[]>();
  for (let point = 0; point < weight; point++) {
    const { item, rest } = tree.draw(point + 0.5)!;
    drawn.set(item, [...(drawn.get(item) ?? []), rest]);
  }
  assert.equal(drawn.size, best.length);
  for (const item of best) {
    assert.deepEqual(
      drawn.get(item),
      Array.from({ length: item.weight }, (_, i) => i + 0.5),
    );
  }
}

test('a tournament is right again after many changed before the first of them was settled', () => {
  fc.assert(
    fc.property(fc.array(change, { minLength: 2, maxLength: 60 }), fc.nat(), (changes, seed) => {
      const random = seededRandom(seed);
      const tournament = newTournament();
      const items = changes.map(({ key, second, third, weight }) => new Item(key, second, third, weight));
      for (const item of items) tournament.add(item);
      const changed = items.filter(() => random.next() < 0.5);
      for (const item of changed) {
        Object.assign(item, { key: randomInt(random, 4), third: randomInt(random, 2), weight: 1 });
      }
      for (const item of changed) tournament.update(item);
      const { best, weight } = bestOf(items);
      assert.equal(tournament.weight, weight);
      assertDraws(tournament, best, weight);
    }),
  );
});

test('a sum tree draws each by its weight', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 400, size: 'max' }), (changes) => {
      const tree = new SumTree<Item>((item) => item.weight);
      const items: Item[] = [];
      for (const { kind, which, weight } of changes) {
        const item = items[which % Math.max(items.length, 1)];
        const before = tree.weight;
        let isChanged: boolean;
        if (kind === 'add' || item === undefined) {
          const added = new Item(0, 0, 0, weight);
          items.push(added);
          isChanged = tree.add(added);
        } else if (kind === 'remove' && which % 2 === 0) {
          items.splice(items.indexOf(item), 1);
          isChanged = tree.remove(item);
        } else {
          item.weight = weight;
          isChanged = tree.update(item);
        }
        const sum = items.reduce((total, each) => total + each.weight, 0);
        assert.equal(tree.weight, sum);
        assert.equal(tree.size, items.length);
        assert.equal(isChanged || before === sum, true);
      }
      assertDraws(
        tree,
        items,
        items.reduce((total, each) => total + each.weight, 0),
      );
      assert.deepEqual(new Set(tree), new Set(items));
    }),
    { numRuns: 60 },
  );
});

test('trees that were large once become small again, and nothing is lost on the way', () => {
  const tournament = newTournament();
  const tree = new SumTree<Item>((item) => item.weight);
  const items = Array.from({ length: 5_000 }, (_, i) => new Item(i, 0, 0, 1));
  const copies = items.map((item) => new Item(item.key, 0, 0, 1));
  for (const item of items) tournament.add(item);
  for (const item of copies) tree.add(item);
  for (const item of items.slice(0, 4_900)) tournament.remove(item);
  for (const item of copies.slice(0, 4_900)) tree.remove(item);
  assert.ok(Math.max(...items.map((item) => item.slot)) < 1_000, 'the slots are close together');
  assert.deepEqual(new Set(tournament), new Set(items.slice(4_900)));
  assert.equal(tournament.best, items[4_900]);
  assert.equal(tree.weight, 100);
  assertDraws(tree, copies.slice(4_900), 100);
});

test('a tree grows and shrinks at random, a few leaves at a time, and knows the best at each size', () => {
  const random = seededRandom(3);
  const tournament = newTournament();
  const tree = new SumTree<Item>((item) => item.weight);
  const items: Item[] = [];
  const copies: Item[] = [];
  for (const target of [3_000, 5, 900, 0, 40, 17, 16, 15, 300, 1, 0, 2_000, 100]) {
    while (items.length !== target) {
      if (items.length < target) {
        const [key, weight] = [randomInt(random, 50), 1 + randomInt(random, 4)];
        items.push(new Item(key, 0, 0, weight));
        copies.push(new Item(key, 0, 0, weight));
        tournament.add(items.at(-1)!);
        tree.add(copies.at(-1)!);
        continue;
      }
      const at = randomInt(random, items.length);
      const [item] = items.splice(at, 1);
      const [copy] = copies.splice(at, 1);
      tournament.remove(item!);
      tree.remove(copy!);
      const slot = Math.max(-1, ...items.slice(-20).map((each) => each.slot));
      assert.ok(slot < Math.max(16, 8 * items.length), `slot ${slot} of ${items.length}`);
      if (items.length === 0) assert.equal(tournament.best, undefined);
    }
    if (target === 0) continue;
    const { best, weight } = bestOf(items);
    assert.equal(tournament.weight, weight);
    assertDraws(tournament, best, weight);
    assertDraws(
      tree,
      copies,
      copies.reduce((sum, { weight }) => sum + weight, 0),
    );
    assert.deepEqual(new Set(tournament), new Set(items));
  }
});

test('an index heap gives the lowest first', () => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat(50), { freq: 3 }), { maxLength: 200 }), (steps) => {
      const heap = new IndexHeap();
      const model: number[] = [];
      for (const index of steps) {
        if (index === null) {
          model.sort((a, b) => a - b);
          assert.equal(heap.lowest, model[0]);
          assert.equal(heap.pop(), model.shift());
        } else {
          heap.push(index);
          model.push(index);
        }
        assert.equal(heap.size, model.length);
      }
    }),
  );
});

test('a placed heap gives the first first, whatever is moved and taken out', () => {
  fc.assert(
    fc.property(fc.array(change, { maxLength: 200, size: 'max' }), (changes) => {
      const heap = new PlacedHeap<Item>((a, b) => a.key < b.key);
      const items: Item[] = [];
      for (const { kind, which, key } of changes) {
        const item = items[which % Math.max(items.length, 1)];
        if (kind === 'add' || item === undefined) {
          const added = new Item(key, 0, 0, 1);
          items.push(added);
          heap.add(added);
        } else if (kind === 'remove') {
          items.splice(items.indexOf(item), 1);
          heap.remove(item);
          assert.equal(item.place, -1);
        } else {
          item.key = key;
          heap.update(item);
        }
        assert.equal(
          heap.first?.key,
          items.length === 0 ? undefined : Math.min(...items.map((each) => each.key)),
        );
        assert.deepEqual(new Set(heap), new Set(items));
      }
    }),
    { numRuns: 60 },
  );
});
