import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChunkSet, PAGE_CHUNKS } from '../../src/model/chunk-set.ts';

const size = 2 * PAGE_CHUNKS + 100;
const index = fc.oneof(
  fc.nat(size - 1),
  fc.constantFrom(0, 31, 32, PAGE_CHUNKS - 1, PAGE_CHUNKS, 2 * PAGE_CHUNKS, size - 1),
);
const step = fc.oneof(
  fc.record({ kind: fc.constant('add' as const), index }),
  fc.record({ kind: fc.constant('delete' as const), index }),
  fc.record({ kind: fc.constant('next' as const), index }),
  fc.record({ kind: fc.constant('fill' as const), page: fc.nat(2) }),
  fc.record({ kind: fc.constant('copy' as const), page: fc.nat(2) }),
);

test('does what a plain Set does', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
      const set = new ChunkSet(size);
      const model = new Set<number>();
      for (const step of steps) {
        if (step.kind === 'add') {
          assert.equal(set.add(step.index), !model.has(step.index));
          model.add(step.index);
        } else if (step.kind === 'delete') {
          assert.equal(set.delete(step.index), model.delete(step.index));
        } else if (step.kind === 'next') {
          let expected = step.index;
          while (expected < size && model.has(expected)) expected++;
          assert.equal(set.nextMissing(step.index), expected);
        } else if (step.kind === 'fill') {
          set.setPage(step.page, 'full');
          for (let i = step.page * PAGE_CHUNKS; i < Math.min(size, (step.page + 1) * PAGE_CHUNKS); i++)
            model.add(i);
        } else {
          const copy = new ChunkSet(size);
          for (let page = 0; page < set.pagesTotal; page++) copy.setPage(page, set.page(page));
          assert.deepEqual([...copy], [...set]);
          assert.equal(copy.count, set.count);
        }
        assert.equal(set.count, model.size);
        assert.equal(set.isFull, model.size === size);
      }
      assert.deepEqual(
        [...set],
        [...model].sort((a, b) => a - b),
      );
    }),
  );
});

test('refuses a page with chunks beyond its size', () => {
  const set = new ChunkSet(10);
  const page = new Uint8Array(512);
  page[1] = 0b100;
  assert.throws(() => set.setPage(0, page), RangeError);
});

test('a page has as many bytes as it has chunks for, and missing ones are empty', () => {
  const set = new ChunkSet(PAGE_CHUNKS + 20);
  set.add(0);
  set.add(PAGE_CHUNKS + 9);
  assert.equal(set.page(0).length, 512);
  assert.deepEqual(set.page(1), Uint8Array.of(0, 2, 0));
  for (const content of [
    Uint8Array.of(0, 2),
    Uint8Array.of(0, 2, 0, 0, 0),
    new Uint8Array(512).fill(2, 1, 2),
  ]) {
    const copy = new ChunkSet(set.size);
    copy.setPage(1, content);
    assert.deepEqual([...copy], [PAGE_CHUNKS + 9]);
  }
  assert.throws(() => set.setPage(0, new Uint8Array(513)), RangeError);
});

test('refuses an index outside', () => {
  assert.throws(() => new ChunkSet(10).add(10), RangeError);
  assert.equal(new ChunkSet(10).has(10), false);
});

test('a chunk far out is found, and so are the pages between which there is nothing', () => {
  const set = new ChunkSet(2 ** 32);
  for (const index of [2 ** 32 - 1, 5, 70_000_000]) assert.ok(set.add(index));
  assert.deepEqual([...set], [5, 70_000_000, 2 ** 32 - 1]);
  const pages = [5, 70_000_000, 2 ** 32 - 1].map((chunk) => ChunkSet.pageOf(chunk));
  const found: number[] = [];
  for (let page = set.nextPage(0); page < set.pagesTotal; page = set.nextPage(page + 1)) found.push(page);
  assert.deepEqual(found, pages);
  assert.equal(set.nextMissing(2 ** 32 - 1), 2 ** 32);
  assert.ok(set.delete(70_000_000));
  assert.equal(set.nextPage(pages[0]! + 1), pages[2]);
});

test('chunks of a range are counted as if one by one, whatever pages are like', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 15_000 }),
      fc.array(fc.tuple(fc.nat(14_999), fc.constantFrom(1, 33, 6_000)), { maxLength: 8 }),
      fc.array(fc.tuple(fc.nat(15_000), fc.nat(15_000)), { minLength: 1, maxLength: 20 }),
      (size, runs, ranges) => {
        const set = new ChunkSet(size);
        for (const [from, length] of runs) {
          for (let i = from; i < Math.min(size, from + length); i++) set.add(i);
        }
        for (const [a, b] of ranges) {
          const [from, to] = [Math.min(a, b, size), Math.min(Math.max(a, b), size)];
          let count = 0;
          for (let i = from; i < to; i++) if (set.has(i)) count++;
          assert.equal(set.countIn(from, to), count, `${from} to ${to} of ${size}`);
        }
      },
    ),
    { numRuns: 60 },
  );
});
