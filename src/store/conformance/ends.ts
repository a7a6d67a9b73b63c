import assert from 'node:assert/strict';
import { NO_CONTROL } from '../../model/control.ts';
import type { EndState, SubmissionEnd } from '../../model/submission.ts';
import type { DueSubmission, InsertResult } from '../store.ts';
import type { ConformanceContext } from './context.ts';
import { cancelled, chunk, completed, failed, insertOf, output, page, tries } from './mutations.ts';
import { submissionRecord } from './records.ts';
import type { StoreSession } from './session.ts';

/** Ended submissions: how they are kept, found, listed and forgotten. */
export function storeEndConformance({ name, use, describe, test }: ConformanceContext): void {
  describe(`${name}: ended submissions`, () => {
    test('a completed one has all its chunks done, and is open no more', () =>
      use(async (session) => {
        await session.commit(insertOf(1n, { chunksTotal: 5000 }), insertOf(2n));
        await session.commit(page(1n, 0, [1, 2]), tries(1n, 3, 1), completed(1n, 1234.5));
        await using next = await session.reopen();
        const found = await next.read((store) => store.findById(1n));
        assert.deepEqual(found?.end, { state: 'completed', endedAtMs: 1234.5 });
        assert.equal(found.chunksDone, 5000);
        const done = await next.read((store) => store.chunksDone(1n));
        assert.equal(done?.isFull, true);
        assert.equal(done.size, 5000);
        assert.deepEqual(
          (await next.loadAll()).map(({ record }) => record.id),
          [2n],
        );
        assert.deepEqual(await next.read((store) => store.idsByPrefix(['prefix-1'])), [1n]);
      }));

    test('a failed or cancelled one keeps what was done, and why it ended', () =>
      use(async (session) => {
        const end: SubmissionEnd = {
          state: 'failed',
          endedAtMs: 99,
          chunksDone: 2,
          failedChunk: {
            chunkIndex: 7,
            inputContent: new Uint8Array([1, 2]),
            failure: 'Traceback:\n  "ü" \u0000',
          },
        };
        await session.commit(insertOf(1n), insertOf(2n), page(1n, 0, [1, 2]), page(2n, 0, [3]));
        await session.commit(
          { kind: 'end', id: 1n, end },
          cancelled(2n, 100, 1, 'ann@host', 'a "reason" \u0000'),
        );
        await using next = await session.reopen();
        assert.deepEqual(await next.loadAll(), []);
        assert.deepEqual(await next.read((store) => store.findById(1n)), {
          record: submissionRecord({ id: 1n }),
          end,
          chunksDone: 2,
          control: NO_CONTROL,
        });
        assert.deepEqual((await next.read((store) => store.findById(2n)))?.end, {
          state: 'cancelled',
          endedAtMs: 100,
          chunksDone: 1,
          by: 'ann@host',
          reason: 'a "reason" \u0000',
        });
        assert.deepEqual([...((await next.read((store) => store.chunksDone(1n))) ?? [])], [1, 2]);
        assert.deepEqual([...((await next.read((store) => store.chunksDone(2n))) ?? [])], [3]);
      }));

    test('the first end stays', () =>
      use(async (session) => {
        await session.commit(insertOf(1n), insertOf(2n), failed(1n, 5), completed(2n, 5));
        await session.commit(completed(1n, 6), cancelled(2n, 6));
        assert.equal((await session.read((store) => store.findById(1n)))?.end?.state, 'failed');
        assert.equal((await session.read((store) => store.findById(2n)))?.end?.state, 'completed');
        assert.equal(await session.read((store) => store.countEnded('', 'completed')), 1);
        assert.equal(await session.read((store) => store.countEnded('', 'failed')), 1);
        assert.equal(await session.read((store) => store.countEnded('', 'cancelled')), 0);
      }));

    test('they are counted by state and listed newest first, in pages', () =>
      use(async (session) => {
        for (let id = 1n; id <= 12n; id++) {
          const end = [completed, failed, cancelled][Number(id % 4n)];
          await session.commit(insertOf(id), ...(end ? [end(id, Number(100n - id))] : []));
        }
        await using next = await session.reopen();
        const list = async (before: bigint | null, limit: number) =>
          (
            await next.read((store) =>
              store.ended({ queue: '', ...(before === null ? {} : { before }), limit }),
            )
          ).map(({ record }) => record.id);
        assert.deepEqual(await list(null, 100), [12n, 10n, 9n, 8n, 6n, 5n, 4n, 2n, 1n]);
        assert.deepEqual(await list(null, 4), [12n, 10n, 9n, 8n]);
        assert.deepEqual(await list(8n, 4), [6n, 5n, 4n, 2n]);
        assert.deepEqual(await list(2n, 4), [1n]);
        assert.deepEqual(await list(1n, 4), []);
        const of = { completed: [12n, 8n, 4n], failed: [9n, 5n, 1n], cancelled: [10n, 6n, 2n] };
        for (const state of ['completed', 'failed', 'cancelled'] as const) {
          assert.equal(await next.read((store) => store.countEnded('', state)), 3);
          const page = async (before: bigint | undefined, limit: number) =>
            (await next.read((store) => store.ended({ queue: '', state, before, limit }))).map(
              ({ record }) => record.id,
            );
          assert.deepEqual(await page(undefined, 9), of[state]);
          assert.deepEqual(await page(of[state][0], 1), of[state].slice(1, 2));
        }
      }));

    test('those of each queue are counted and listed apart', () =>
      use(async (session) => {
        const queueOf = (id: bigint) => ['', 'a', 'b'][Number(id % 3n)]!;
        for (let id = 1n; id <= 12n; id++) await session.commit(insertOf(id, { queue: queueOf(id) }));
        // Each queue loses one to each state, and keeps one that is open.
        for (let id = 1n; id <= 9n; id++) {
          await session.commit([completed, failed, cancelled][Number((id - 1n) / 3n)]!(id, 5));
        }
        await session.commit(insertOf(13n, { queue: 'c' }, { end: { state: 'completed', endedAtMs: 5 } }));
        const assertApart = async (inspected: StoreSession) => {
          const of = { '': [9n, 6n, 3n], a: [7n, 4n, 1n], b: [8n, 5n, 2n], c: [13n], d: [] };
          for (const [queue, ids] of Object.entries(of)) {
            const listed = await inspected.read((store) => store.ended({ queue, limit: 10 }));
            assert.deepEqual(
              listed.map(({ record }) => record.id),
              ids,
            );
            assert(listed.every(({ record }) => record.queue === queue));
          }
          const count = (queue: string, state: EndState) =>
            inspected.read((store) => store.countEnded(queue, state));
          for (const queue of ['', 'a', 'b']) {
            for (const state of ['completed', 'failed', 'cancelled'] as const)
              assert.equal(await count(queue, state), 1, `${queue} ${state}`);
          }
          assert.equal(await count('c', 'completed'), 1);
          assert.equal(await count('d', 'completed'), 0);
          const queues = async (state: EndState) =>
            [...(await inspected.read((store) => store.endedQueues(state)))].sort();
          assert.deepEqual(await queues('completed'), ['', 'a', 'b', 'c']);
          assert.deepEqual(await queues('failed'), ['', 'a', 'b']);
          assert.deepEqual(await queues('completed_with_failures'), []);
        };
        await assertApart(session);
        await using next = await session.reopen();
        await assertApart(next);
        assert.equal(await next.read((store) => store.forget([1n, 9n])), 2);
        assert.deepEqual(
          (await next.read((store) => store.ended({ queue: 'a', limit: 10 }))).map(({ record }) => record.id),
          [7n, 4n],
        );
        assert.equal(await next.read((store) => store.countEnded('a', 'completed')), 0);
        assert.deepEqual([...(await next.read((store) => store.endedQueues('completed')))].sort(), [
          '',
          'b',
          'c',
        ]);
        assert.equal(await next.read((store) => store.countEnded('', 'completed')), 1);
        assert.deepEqual(
          (await next.loadAll()).map(({ record }) => [record.id, record.queue]),
          [
            [10n, 'a'],
            [11n, 'b'],
            [12n, ''],
          ],
        );
      }));

    test('what may be forgotten is listed by its end, the longest ago first, in pages', () =>
      use(async (session) => {
        await session.commit(...Array.from({ length: 10 }, (_, i) => insertOf(BigInt(i + 1))));
        await session.commit(
          completed(7n, 50),
          failed(2n, 10),
          cancelled(3n, 30.5),
          completed(4n, 20),
          completed(8n, 50),
          cancelled(1n, 50),
          completed(5n, 60),
        );
        await using next = await session.reopen();
        const pages = async (endedBeforeMs: number, limit: number) => {
          const ids: bigint[][] = [];
          for (let after: DueSubmission | undefined; ; ) {
            const page = await next.read((store) => store.due({ shards: [0], endedBeforeMs, after, limit }));
            ids.push(page.map(({ id }) => id));
            if (page.length < limit) return ids;
            after = page.at(-1);
          }
        };
        assert.deepEqual(await pages(1e15, 10), [[2n, 4n, 3n, 1n, 7n, 8n, 5n]]);
        assert.deepEqual(await pages(60, 2), [[2n, 4n], [3n, 1n], [7n, 8n], []]);
        assert.deepEqual(await pages(50, 1), [[2n], [4n], [3n], []]);
        assert.deepEqual(await pages(10, 5), [[]]);
        // A page goes on behind a submission that was forgotten meanwhile.
        const after = { id: 1n, endedAtMs: 50 };
        assert.equal(await next.read((store) => store.forget([1n])), 1);
        assert.deepEqual(
          await next.read((store) => store.due({ shards: [0], endedBeforeMs: 55, after, limit: 9 })),
          [
            { id: 7n, endedAtMs: 50 },
            { id: 8n, endedAtMs: 50 },
          ],
        );
      }));

    test('what has ended is forgotten, once, and nothing else', () =>
      use(async (session) => {
        await session.commit(...[1n, 2n, 3n, 4n, 5n, 6n].map((id) => insertOf(id)));
        await session.commit(completed(1n, 5), failed(2n, 1), cancelled(3n, 3), completed(4n, 2));
        const left = async () =>
          (await session.read((store) => store.ended({ queue: '', limit: 10 }))).map(
            ({ record }) => record.id,
          );
        assert.equal(await session.read((store) => store.forget([])), 0);
        assert.equal(await session.read((store) => store.forget([6n, 99n])), 0);
        assert.equal(await session.read((store) => store.forget([3n, 5n, 1n, 3n, 99n])), 2);
        assert.equal(await session.read((store) => store.forget([1n, 3n])), 0);
        assert.deepEqual(await left(), [4n, 2n]);
        for (const [state, count] of [
          ['completed', 1],
          ['failed', 1],
          ['cancelled', 0],
        ] as const) {
          assert.equal(await session.read((store) => store.countEnded('', state)), count, state);
        }
        assert.equal(await session.read((store) => store.forget([2n, 4n])), 2);
        assert.deepEqual(await left(), []);
        await using next = await session.reopen();
        assert.equal(await next.read((store) => store.countEnded('', 'completed')), 0);
        assert.deepEqual(
          (await next.loadAll()).map(({ record }) => record.id),
          [5n, 6n],
        );
      }));

    test('nothing is left of what is forgotten, but ids go on rising', () =>
      use(async (session) => {
        await session.commit(
          insertOf(7n, { prefix: 'again' }),
          insertOf(9n, { prefix: null }, { directInputs: [new Uint8Array([1])], idempotencyKey: 'k' }),
          page(7n, 0, [1]),
          tries(7n, 2, 1),
          output(9n, 0, 5),
        );
        await session.commit(failed(7n, 1), completed(9n, 1));
        const found = () =>
          Promise.all([
            session.read((store) => store.findById(7n)),
            session.read((store) => store.findById(9n)),
            session.read((store) => store.chunksDone(7n)),
            session.read((store) => store.chunksDone(9n)),
            session.read(async (store) => (await store.idsByPrefix(['again']))[0]),
            ...(['input', 'output'] as const).map((part) =>
              session.read(async (store) => (await store.directContents(part, [chunk(9n, 0)]))[0]),
            ),
          ]);
        // Looked up before as well: what a store remembers of its answers must go, too.
        assert((await found()).every((each) => each !== null));
        assert.equal(await session.read((store) => store.forget([7n, 9n])), 2);
        assert.deepEqual(await found(), [null, null, null, null, null, null, null]);
        await using next = await session.reopen();
        assert.equal(next.grant.highestId, 9n);
        assert.deepEqual(
          await next.commit(
            insertOf(10n, { prefix: 'again' }),
            insertOf(11n, { prefix: null }, { idempotencyKey: 'k' }),
          ),
          [{ kind: 'inserted' }, { kind: 'inserted' }],
        );
        const [loaded] = await next.loadAll();
        assert.equal(loaded?.done.count, 0);
      }));

    test('a batch that is sent again does not claim what was forgotten since', () =>
      use(async (session) => {
        await session.commit(insertOf(1n, { prefix: 'before' }), insertOf(2n, { prefix: 'stays' }));
        await session.commit(failed(1n, 1));
        const batch = session.batch([
          insertOf(3n, { prefix: 'before' }),
          insertOf(4n, { prefix: 'new' }),
          insertOf(5n, { prefix: 'stays' }),
        ]);
        const kinds = (results: readonly InsertResult[]) => results.map(({ kind }) => kind);
        assert.deepEqual(kinds(await session.send(batch)), ['exists', 'inserted', 'exists']);
        session.seq++;
        assert.equal(await session.read((store) => store.forget([1n])), 1);
        assert.deepEqual(kinds(await session.send(batch)), ['gone', 'inserted', 'exists']);
        assert.equal(await session.read((store) => store.findById(3n)), null);
      }));

    test('the store tells how large it is', () =>
      use(async (session) => {
        await session.commit(insertOf(1n, { metadata: new Uint8Array(100_000) }));
        assert((await session.read((store) => store.sizeBytes())) > 100_000);
      }));
  });
}
