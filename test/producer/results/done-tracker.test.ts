import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChunkSet, PAGE_CHUNKS } from '../../../src/model/chunk-set.ts';
import { type DoneTrackerOptions, doneChunks } from '../../../src/producer/results/done-tracker.ts';
import type { ChunksDoneAnswer } from '../../../src/protocol/producer/requests.ts';
import { HastyClock } from '../../support/time/hasty-clock.ts';

const { signal } = new AbortController();
const ascending = (a: number, b: number) => a - b;
const clock = new HastyClock();

/** Answers as a queue does, at most `pagesMax` pages at a time; before each answer it does the next few chunks. */
function scriptedApi(
  total: number,
  batches: readonly (readonly number[])[],
  last: ChunksDoneAnswer['state'],
  pagesMax: number,
  beforeHold = (_done: ChunkSet) => {},
) {
  const done = new ChunkSet(total);
  const left = [...batches];
  let state: ChunksDoneAnswer['state'] = 'in_progress';
  const api: DoneTrackerOptions['api'] = {
    async chunksDone(_id, { known, fromPage, holdMs }) {
      // Meanwhile the work goes on, also between the pieces of a long answer.
      if (holdMs === 0) for (const index of left.shift() ?? []) done.add(index);
      if (holdMs > 0 && done.count <= known && state === 'in_progress') beforeHold(done);
      // It holds the answer until there is news: here that is when the next chunks are done.
      while (holdMs > 0 && done.count <= known && state === 'in_progress') {
        const batch = left.shift();
        for (const index of batch ?? []) done.add(index);
        if (batch === undefined) state = last;
      }
      if (done.isFull) state = 'completed';
      const pages = [];
      for (let page = fromPage; page < done.pagesTotal; page++) {
        const content = done.page(page);
        if (content !== 'empty') pages.push({ page, content });
      }
      const none = { chunksFailed: 0, failedPages: [] };
      const counts = { state, chunksTotal: total, chunksDone: done.count, ...none };
      if (state === 'completed') return { ...counts, pages: [], nextPage: null };
      return { ...counts, pages: pages.slice(0, pagesMax), nextPage: pages[pagesMax]?.page ?? null };
    },
  };
  return { api, done };
}

const total = fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 1, max: 3 * PAGE_CHUNKS + 5 }));
const scene = total.chain((total) =>
  fc.record({
    total: fc.constant(total),
    batches: fc.array(fc.array(fc.nat(total - 1), { maxLength: 20 }), { maxLength: 8 }),
    last: fc.constantFrom('completed', 'failed', 'cancelled'),
    pagesMax: fc.integer({ min: 1, max: 3 }),
    mode: fc.constantFrom('ordered', 'unordered'),
  }),
);

test('gives out every chunk that is done, once, and then what became of the submission', async () => {
  await fc.assert(
    fc.asyncProperty(scene, async ({ total, batches, last, pagesMax, mode }) => {
      const given: number[] = [];
      const { api, done } = scriptedApi(total, batches, last, pagesMax, (done) => {
        // Nobody may wait for news while there is something that he was not told.
        if (mode === 'unordered') assert.deepEqual(given.toSorted(ascending), [...done]);
      });
      const plan = doneChunks({
        api,
        clock,
        id: 1n,
        chunksTotal: total,
        mode,
        onBroken: () => Promise.reject(new Error('broken')),
      });
      let broken = false;
      try {
        for (;;) {
          const index = await plan.next(signal);
          if (index === null) break;
          assert.ok(done.has(index) || last === 'completed');
          given.push(index);
        }
      } catch (error) {
        assert.match(String(error), /broken/);
        broken = true;
      }
      assert.equal(new Set(given).size, given.length);
      assert.equal(broken, last !== 'completed' && !done.isFull);
      const all = Array.from({ length: total }, (_, index) => index);
      if (mode === 'unordered') {
        assert.deepEqual(given.toSorted(ascending), broken ? [...done] : all);
      } else {
        assert.deepEqual(given, broken ? all.slice(0, done.nextMissing(0)) : all);
      }
    }),
    { numRuns: 150 },
  );
});

test('a snapshot gives out what is done now, ascending, and waits for nothing', async () => {
  await fc.assert(
    fc.asyncProperty(scene, async ({ total, batches, pagesMax }) => {
      const { api, done } = scriptedApi(total, [], 'completed', pagesMax);
      for (const batch of batches) for (const index of batch) done.add(index);
      const mode = 'snapshot';
      const plan = doneChunks({ api, clock, id: 1n, chunksTotal: total, mode, onBroken: async () => {} });
      const given: number[] = [];
      for (let index = await plan.next(signal); index !== null; index = await plan.next(signal))
        given.push(index);
      assert.deepEqual(given, [...done]);
    }),
    { numRuns: 100 },
  );
});
