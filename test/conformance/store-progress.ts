import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import type { InsertResult, Mutation } from '../../src/store/store.ts';
import { cancelled, completed, failed, insert, output, page, tries } from '../support/store/mutations.ts';
import { plainLoaded, StoreSession } from '../support/store/store-session.ts';

export type UseSession = (run: (session: StoreSession) => Promise<void>) => Promise<void>;

/** Pages, tries, and coming back after a restart. */
export function storeProgressConformance(name: string, use: UseSession, randomRuns: number): void {
  describe(`${name}: progress`, () => {
    test('pages are whole values: empty, some chunks, all of them, the last one short', () =>
      use(async (session) => {
        await session.commit(insert(1n, { chunksTotal: 3 * 4096 + 10 }));
        await session.commit(
          page(1n, 0, [5]),
          page(1n, 1, [1, 2, 3]),
          { kind: 'page', id: 1n, page: 2, content: 'full' },
          { kind: 'page', id: 1n, page: 3, content: 'full' },
        );
        await session.commit(page(1n, 0, [0, 4095]), { kind: 'page', id: 1n, page: 1, content: 'empty' });
        const check = async (s: StoreSession) => {
          const done = await s.read((store) => store.chunksDone(1n));
          assert.equal(done?.size, 3 * 4096 + 10);
          assert.equal(done.count, 2 + 4096 + 10);
          assert.deepEqual([...done].slice(0, 3), [0, 4095, 8192]);
          assert.equal((await s.read((store) => store.findById(1n)))?.chunksDone, 4108);
          const [loaded] = await s.loadAll();
          assert(loaded);
          assert.deepEqual([...loaded.done], [...done]);
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
        await session.commit(insert(1n, { chunksTotal: 2 ** 32 }), insert(2n), insert(3n));
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
        await session.commit(...numbers.map((number) => insert(idOf(number), { chunksTotal: 9000 })));
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
          insert(1n),
          insert(2n, { chunksTotal: pages * 4096 }),
          insert(3n),
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

    test('whatever the mutations, it holds what a store in memory holds', () =>
      fc.assert(
        fc.asyncProperty(fc.array(fc.array(mutation, { maxLength: 8 }), { maxLength: 6 }), (batches) =>
          use(async (session) => {
            await using model = await StoreSession.open(memoryFixture());
            for (const batch of legal(batches)) {
              const answer = await session.commit(...batch);
              assert.deepEqual(withoutProgress(answer), withoutProgress(await model.commit(...batch)));
            }
            await using next = await session.reopen();
            assert.deepEqual(await snapshot(next), await snapshot(model));
          }),
        ),
        { numRuns: randomRuns },
      ));
  });
}

function memoryFixture() {
  return { open: async () => new MemoryStore(), dispose: async () => {} };
}

/** A batch that is sent again because its answer was lost meets what its own later mutations made of a submission. */
function withoutProgress(results: readonly InsertResult[]) {
  return results.map((result) => [result.kind, result.kind === 'exists' ? result.submission.record : null]);
}

async function snapshot(session: StoreSession) {
  const ids = [1n, 2n, 3n];
  return {
    loaded: (await session.loadAll()).map(plainLoaded),
    ended: await session.read((store) => store.ended({ limit: 10 })),
    found: await Promise.all(ids.map((id) => session.read((store) => store.findById(id)))),
    done: await Promise.all(
      ids.map(async (id) => [...((await session.read((store) => store.chunksDone(id))) ?? [])]),
    ),
  };
}

const id = fc.constantFrom(1n, 2n, 3n);
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc
      .tuple(id, fc.constantFrom('a', 'b', null))
      .map(([of, prefix]) => insert(of, { prefix, chunksTotal: 5000 })),
  },
  fc.tuple(id, fc.nat(900)).map(([of, index]) => page(of, 1, [index])),
  fc.tuple(id, fc.nat(4999), fc.nat(9)).map(([of, index, retries]) => tries(of, index, retries)),
  fc.tuple(id, fc.nat(4999), fc.nat(255)).map(([of, index, byte]) => output(of, index, byte)),
  fc.tuple(id, fc.constantFrom(completed, failed, cancelled)).map(([of, end]) => end(of, 77)),
);

/** Without what a queue never writes: something about a submission that is not open. */
function legal(batches: readonly Mutation[][]): Mutation[][] {
  const open = new Set<bigint>();
  const seen = new Set<bigint | string>();
  return batches.map((batch) =>
    batch.filter((m) => {
      if (m.kind === 'insert') {
        const { id, prefix } = m.record;
        if (seen.has(id)) return false;
        if (prefix !== null && seen.has(prefix)) return true;
        open.add(id);
        seen.add(id).add(prefix ?? id);
        return true;
      }
      const isOpen = open.has(m.id);
      if (m.kind === 'end') open.delete(m.id);
      return isOpen;
    }),
  );
}
