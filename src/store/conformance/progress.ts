import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { MemoryStore } from '../memory/memory-store.ts';
import type { InsertResult } from '../store.ts';
import type { ConformanceContext } from './context.ts';
import { failed, insertOf, page, tries } from './mutations.ts';
import { randomBatches } from './random-batches.ts';
import { plainLoaded, StoreSession } from './session.ts';

/** Pages, tries, and coming back after a restart. */
export function storeProgressConformance(
  { name, use, describe, test }: ConformanceContext,
  { seed, randomRuns }: { readonly seed: number; readonly randomRuns: number },
): void {
  describe(`${name}: progress`, () => {
    test('pages are whole values: empty, some chunks, all of them, the last one short', () =>
      use(async (session) => {
        await session.commit(insertOf(1n, { chunksTotal: 3 * 4096 + 10 }));
        await session.commit(
          page(1n, 0, [5]),
          page(1n, 1, [1, 2, 3]),
          { kind: 'page', id: 1n, page: 2, content: 'full' },
          { kind: 'page', id: 1n, page: 3, content: 'full' },
        );
        await session.commit(page(1n, 0, [0, 4095]), { kind: 'page', id: 1n, page: 1, content: 'empty' });
        // A page may have fewer bytes than its chunks need, or more.
        await session.commit(insertOf(2n, { chunksTotal: 20 }), insertOf(3n, { chunksTotal: 20 }));
        const content = [Uint8Array.of(0, 2), new Uint8Array(512).fill(2, 1, 2)];
        await session.commit(
          { kind: 'page', id: 2n, page: 0, content: content[0]! },
          { kind: 'page', id: 3n, page: 0, content: content[1]! },
        );
        const check = async (s: StoreSession) => {
          const done = await s.read((store) => store.chunksDone(1n));
          assert.equal(done?.size, 3 * 4096 + 10);
          assert.equal(done.count, 2 + 4096 + 10);
          assert.deepEqual([...done].slice(0, 3), [0, 4095, 8192]);
          assert.equal((await s.read((store) => store.findById(1n)))?.chunksDone, 4108);
          const [loaded, ...short] = await s.loadAll();
          assert(loaded);
          assert.deepEqual([...loaded.done], [...done]);
          for (const { record, done: few } of short) {
            assert.deepEqual([...few], [9]);
            assert.equal((await s.read((store) => store.findById(record.id)))?.chunksDone, 1);
          }
        };
        await check(session);
        await using next = await session.reopen();
        await check(next);
      }));

    test('the progress of an unknown submission is null', () =>
      use(async (session) => {
        assert.equal(await session.read((store) => store.chunksDone(1n)), null);
      }));

    test('tries come back for chunks that are not done', () =>
      use(async (session) => {
        await session.commit(insertOf(1n, { chunksTotal: 2 ** 32 }), insertOf(2n), insertOf(3n));
        await session.commit(
          tries(1n, 0, 1),
          tries(1n, 2 ** 32 - 1, 3, 4),
          tries(1n, 7, 1),
          tries(1n, 7, 2, 1),
          tries(3n, 1, 0, 1),
          page(1n, 0, [0]),
        );
        await using next = await session.reopen();
        assert.deepEqual(
          (await next.loadAll()).map((loaded) => plainLoaded(loaded).tries),
          [
            [
              [7, { retries: 2, disconnects: 1 }],
              [2 ** 32 - 1, { retries: 3, disconnects: 4 }],
            ],
            [],
            [[1, { retries: 0, disconnects: 1 }]],
          ],
        );
      }));

    test('thousands of submissions come back in bounded pieces, by id ascending', () =>
      use(async (session) => {
        const count = 5000;
        const idOf = (number: number) => BigInt(number) << 22n;
        const numbers = Array.from({ length: count }, (_, i) => (i * 2011) % count);
        const worked = (number: number) => number % 10 === 0;
        const ended = new Set([1, 2000, 2001, count - 1]);
        await session.commit(...numbers.map((number) => insertOf(idOf(number), { chunksTotal: 9000 })));
        await session.commit(
          ...numbers
            .filter(worked)
            .flatMap((number) => [page(idOf(number), 1, [number % 4096]), tries(idOf(number), 3, 1)]),
          ...[...ended].map((number) => failed(idOf(number), 1)),
        );
        await using next = await session.reopen();
        const found: number[] = [];
        let pieces = 0;
        for await (const piece of next.store.load([0])) {
          pieces++;
          assert(piece.length > 0 && piece.length <= 2000);
          for (const { record, done, tries: tried } of piece) {
            const number = Number(record.id >> 22n);
            found.push(number);
            assert.deepEqual([...done], worked(number) ? [4096 + (number % 4096)] : []);
            assert.equal(tried.size, worked(number) ? 1 : 0);
          }
        }
        assert.deepEqual(
          found,
          numbers.filter((number) => !ended.has(number)).sort((a, b) => a - b),
        );
        assert(pieces >= 3);
      }));

    test('a submission that is larger than a piece comes back whole, between its neighbours', () =>
      use(async (session) => {
        const pages = 5000;
        await session.commit(
          insertOf(1n),
          insertOf(2n, { chunksTotal: pages * 4096 }),
          insertOf(3n),
          page(1n, 0, [1]),
        );
        for (let from = 0; from < pages; from += 1000) {
          await session.commit(
            ...Array.from({ length: 1000 }, (_, i) => page(2n, from + i, [(from + i) % 4096])),
            ...Array.from({ length: 1000 }, (_, i) => tries(2n, (from + i) * 4096 + 4095, 1)),
          );
        }
        await session.commit(page(3n, 0, [3]), tries(3n, 1, 1), tries(1n, 2, 1));
        await using next = await session.reopen();
        const loaded = await next.loadAll();
        assert.deepEqual(
          loaded.map(({ record, done, tries: tried }) => [record.id, done.count, tried.size]),
          [
            [1n, 1, 1],
            [2n, pages, pages - 1],
            [3n, 1, 1],
          ],
        );
        const large = loaded[1];
        for (let i = 0; i < pages; i++) assert(large?.done.has(i * 4096 + (i % 4096)));
      }));

    test('whatever the mutations, it holds what a store in memory holds', async () => {
      for (let run = 0; run < randomRuns; run++) {
        const batches = randomBatches(seed + run);
        await use(async (session) => {
          await using model = await StoreSession.open(memoryFixture());
          for (const batch of batches) {
            const answer = await session.commit(...batch);
            assert.deepEqual(withoutProgress(answer), withoutProgress(await model.commit(...batch)));
          }
          await using next = await session.reopen();
          assert.deepEqual(await snapshot(next), await snapshot(model));
        }).catch((cause: unknown) => {
          const options = `{ seed: ${seed + run}, randomRuns: 1 }`;
          throw new Error(
            `these batches failed, and will with ${options}: ${inspect(batches, { depth: 6 })}`,
            {
              cause,
            },
          );
        });
      }
    });
  });
}

function memoryFixture() {
  return { open: async () => new MemoryStore(), dispose: async () => {} };
}

/** A batch that is sent again because its answer was lost meets what its own later mutations made of a submission. */
function withoutProgress(results: readonly InsertResult[]) {
  return results.map((result) => [result.kind, result.kind === 'exists' ? result.submission.record : null]);
}

function byScope([a]: readonly [string, unknown], [b]: readonly [string, unknown]): number {
  return a < b ? -1 : 1;
}

async function snapshot(session: StoreSession) {
  const ids = [1n, 2n, 3n];
  return {
    loaded: (await session.loadAll()).map(plainLoaded),
    scopes: [...(await session.read((store) => store.scopeControls()))].sort(byScope),
    ended: await session.read((store) => store.ended({ queue: '', limit: 10 })),
    found: await Promise.all(ids.map((id) => session.read((store) => store.findById(id)))),
    done: await Promise.all(
      ids.map(async (id) => [...((await session.read((store) => store.chunksDone(id))) ?? [])]),
    ),
  };
}
