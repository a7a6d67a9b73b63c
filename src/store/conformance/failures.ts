import assert from 'node:assert/strict';
import { ANSWER_BYTES_MAX } from '../../model/limits.ts';
import type { SubmissionEnd } from '../../model/submission.ts';
import type { ConformanceContext } from './context.ts';
import { cancelled, completed, failed, failedChunk, insertOf, page, tries } from './mutations.ts';
import { submissionRecord } from './records.ts';
import { plainLoaded } from './session.ts';

/** Chunks that are set aside, and what goes on after a failure. */
export function storeFailureConformance({ name, use, describe, test }: ConformanceContext): void {
  describe(`${name}: chunks that are set aside`, () => {
    test('come back after a restart, without those that are done or set aside no more', () =>
      use(async (session) => {
        const record = { failureMode: 'collect', chunksTotal: 2 ** 32 } as const;
        await session.commit(insertOf(1n, record), insertOf(2n), insertOf(3n, record));
        await session.commit(
          tries(1n, 7, 3),
          tries(1n, 8, 1),
          failedChunk(1n, 7, 'Traceback:\n  "ü" \u0000'),
          failedChunk(1n, 2 ** 32 - 1, ''),
          failedChunk(1n, 9, 'done later'),
          failedChunk(1n, 10, 'not set aside any more'),
          failedChunk(3n, 5, 'another submission'),
        );
        await session.commit(page(1n, 0, [9]), failedChunk(1n, 10, null));
        await using next = await session.reopen();
        const loaded = (await next.loadAll()).map(plainLoaded);
        assert.deepEqual(
          loaded.map((each) => each.failed),
          [[7, 2 ** 32 - 1], [], [5]],
        );
        assert.deepEqual(loaded[0]?.tries, [[8, { retries: 1, disconnects: 0 }]]);
        assert.equal(loaded[0]?.record.failureMode, 'collect');
        assert.equal(loaded[1]?.record.failureMode, 'fail');
      }));

    test('are listed by index with their failures, in pages that are bounded in number and bytes', () =>
      use(async (session) => {
        await session.commit(insertOf(1n, { failureMode: 'collect' }), insertOf(2n));
        const ask = async (from: number, limit: number, bytesMax?: number) =>
          (await session.read((store) => store.failedChunks({ id: 1n, from, limit, bytesMax }))).map(
            ({ chunkIndex, failure }) => `${chunkIndex} ${failure.slice(0, 9)}`,
          );
        assert.deepEqual(await ask(0, 10), []);
        await session.commit(
          failedChunk(1n, 9, 'nine'),
          failedChunk(1n, 2, 'two'),
          failedChunk(1n, 5, 'five'),
          failedChunk(1n, 5, 'five "again"'),
        );
        assert.deepEqual(await ask(0, 10), ['2 two', '5 five "aga', '9 nine']);
        assert.deepEqual(await ask(3, 1), ['5 five "aga']);
        assert.deepEqual(await ask(10, 10), []);
        assert.deepEqual(await ask(0, 10, 1), ['2 two']);
        assert.deepEqual(await ask(0, 10, 4), ['2 two', '5 five "aga']);
        assert.deepEqual(
          await session.read((store) => store.failedChunks({ id: 9n, from: 0, limit: 5 })),
          [],
        );
        await session.commit(failedChunk(1n, 5, 'x'.repeat(ANSWER_BYTES_MAX)));
        assert.deepEqual(await ask(0, 10), ['2 two', '5 xxxxxxxxx']);
      }));

    test('stay with a submission that completed with failures, and its end with the first of them', () =>
      use(async (session) => {
        const end: SubmissionEnd = {
          state: 'completed_with_failures',
          endedAtMs: 99.5,
          chunksDone: 2,
          failedChunk: { chunkIndex: 0, inputContent: new Uint8Array([1, 2]), failure: 'it "broke" \u0000' },
        };
        const record = { failureMode: 'collect', chunksTotal: 3 } as const;
        await session.commit(insertOf(1n, record), page(1n, 0, [1, 2]), failedChunk(1n, 0, 'it broke'));
        await session.commit({ kind: 'end', id: 1n, end });
        await using next = await session.reopen();
        const found = await next.read((store) => store.findById(1n));
        assert.deepEqual(found?.record, submissionRecord({ id: 1n, ...record }));
        assert.deepEqual(found.end, end);
        assert.equal(found.chunksDone, 2);
        assert.deepEqual([...((await next.read((store) => store.chunksDone(1n))) ?? [])], [1, 2]);
        assert.deepEqual(await next.loadAll(), []);
        assert.equal(await next.read((store) => store.countEnded('', 'completed_with_failures')), 1);
        assert.equal(await next.read((store) => store.countEnded('', 'completed')), 0);
        const listed = await next.read((store) =>
          store.ended({ queue: '', state: 'completed_with_failures', limit: 5 }),
        );
        assert.deepEqual(
          listed.map((each) => each.record.id),
          [1n],
        );
        assert.equal(
          (await next.read((store) => store.failedChunks({ id: 1n, from: 0, limit: 5 }))).length,
          1,
        );
        assert.equal(await next.read((store) => store.forget([1n])), 1);
        assert.deepEqual(await next.read((store) => store.failedChunks({ id: 1n, from: 0, limit: 5 })), []);
        assert.equal(await next.read((store) => store.countEnded('', 'completed_with_failures')), 0);
      }));

    test('are gone with the completion of their submission', () =>
      use(async (session) => {
        await session.commit(insertOf(1n), failedChunk(1n, 3, 'why'), tries(1n, 3, 2), completed(1n, 5));
        assert.deepEqual(
          await session.read((store) => store.failedChunks({ id: 1n, from: 0, limit: 5 })),
          [],
        );
      }));
  });

  describe(`${name}: retries`, () => {
    test('what has failed is open again: what was done is done, and nothing else has ever been tried', () =>
      use(async (session) => {
        await session.commit(insertOf(1n), insertOf(2n, { failureMode: 'collect' }), insertOf(3n));
        await session.commit(page(1n, 0, [1, 2]), tries(1n, 7, 3), tries(1n, 8, 1), failed(1n, 5, 2));
        await session.commit(page(2n, 0, [4]), tries(2n, 3, 3), failedChunk(2n, 3, 'why'));
        await session.commit({ kind: 'retry', id: 1n }, { kind: 'retry', id: 2n });
        await session.commit(tries(1n, 8, 1));
        await using next = await session.reopen();
        assert.deepEqual(
          (await next.loadAll()).map(plainLoaded).map((each) => [each.done, each.tries, each.failed]),
          [
            [[1, 2], [[8, { retries: 1, disconnects: 0 }]], []],
            [[4], [], []],
            [[], [], []],
          ],
        );
        assert.equal((await next.read((store) => store.findById(1n)))?.end, null);
        assert.equal(await next.read((store) => store.countEnded('', 'failed')), 0);
        assert.deepEqual(
          await next.read((store) => store.due({ shards: [0], endedBeforeMs: 1e15, limit: 5 })),
          [],
        );
        assert.equal(await next.read((store) => store.forget([1n])), 0);
        await next.commit(failed(1n, 6, 3, 'once more'));
        assert.equal(await next.read((store) => store.countEnded('', 'failed')), 1);
        assert.equal((await next.read((store) => store.findById(1n)))?.chunksDone, 3);
      }));

    test('one that completed, was forgotten or is unknown stays as it is', () =>
      use(async (session) => {
        await session.commit(insertOf(1n), insertOf(2n), completed(1n, 5), cancelled(2n, 5));
        assert.equal(await session.read((store) => store.forget([2n])), 1);
        await session.commit({ kind: 'retry', id: 1n }, { kind: 'retry', id: 2n }, { kind: 'retry', id: 3n });
        assert.equal((await session.read((store) => store.findById(1n)))?.end?.state, 'completed');
        assert.equal(await session.read((store) => store.findById(2n)), null);
        assert.deepEqual(await session.loadAll(), []);
        assert.equal(await session.read((store) => store.countEnded('', 'completed')), 1);
      }));
  });
}
