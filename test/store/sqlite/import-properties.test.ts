import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import {
  copyReferenceDatabase,
  type ReferenceSubmission,
  referenceStatuses,
  writeReferenceSubmissions,
} from '../../support/store/reference-database.ts';
import { sqliteFixture } from '../../support/store/sqlite-fixture.ts';

const FIRST_ID = 1_800_000_000_000n << 22n;

/** Where pages of 4096 chunks begin and end, and the middle of nowhere. */
const chunkIndex = fc.oneof(fc.constantFrom(0, 1, 4095, 4096, 4097, 8191, 8192), fc.nat(9_000));

const submission = fc
  .record({
    state: fc.constantFrom('in_progress', 'in_progress', 'completed', 'failed', 'cancelled'),
    // Few, so that many are equal; others are refused by our server today.
    prefix: fc.constantFrom(null, 'a', 'A', '../b', '', 'ü /c'),
    chunksTotal: fc.oneof(fc.constantFrom(1, 2, 4096, 4097, 8192), fc.integer({ min: 1, max: 9_000 })),
    isAllDone: fc.boolean(),
    indexes: fc.uniqueArray(chunkIndex, { maxLength: 20 }),
    retries: fc.integer({ min: 0, max: 9 }),
  })
  .map(({ state, prefix, chunksTotal, isAllDone, indexes, retries }): Omit<ReferenceSubmission, 'id'> => {
    const inside = indexes.filter((index) => index < chunksTotal).sort((a, b) => a - b);
    const all = state === 'completed' || (isAllDone && state === 'in_progress' && chunksTotal < 5_000);
    const done = all ? Array.from({ length: chunksTotal }, (_, i) => i) : inside.filter((i) => i % 3 !== 0);
    const waiting = all ? [] : inside.filter((i) => i % 3 === 0);
    return { state, prefix, chunksTotal, done, tries: new Map(waiting.map((index) => [index, retries])) };
  });

async function check(submissions: readonly ReferenceSubmission[]): Promise<void> {
  const fixture = await sqliteFixture('inline');
  try {
    copyReferenceDatabase(fixture.filename);
    writeReferenceSubmissions(fixture.filename, submissions);
    await using session = await StoreSession.open(fixture);
    const { store } = session;
    const loaded = new Map((await session.loadAll()).map((each) => [each.record.id, each]));
    for (const { id, state, prefix, chunksTotal, done, tries } of submissions) {
      const found = await store.findById(id);
      assert.deepEqual(
        [found?.record.prefix, found?.record.chunksTotal, found?.end?.state ?? 'in_progress'],
        [prefix, chunksTotal, state],
      );
      assert.deepEqual([...((await store.chunksDone(id)) ?? [])], done);
      assert.equal(loaded.has(id), state === 'in_progress');
      if (state !== 'in_progress') continue;
      const retried = [...tries].filter(([, retries]) => retries > 0);
      assert.deepEqual(
        [...(loaded.get(id)?.tries ?? [])],
        retried.map(([index, retries]) => [index, { retries, disconnects: 0 }]),
      );
      if (prefix === null) continue;
      const oldest = submissions.find((each) => each.prefix === prefix);
      assert.equal((await store.idsByPrefix([prefix]))[0], oldestOf(prefix) ?? oldest?.id);
    }
  } finally {
    await fixture.dispose();
  }
}

/** In the fixture, which is older than all that is added to it. */
function oldestOf(prefix: string): bigint | undefined {
  const ids = [...referenceStatuses().values()]
    .filter(({ record }) => record.prefix === prefix)
    .map(({ record }) => record.id);
  return ids.toSorted()[0];
}

test('whatever the original left, it is taken over, and the oldest of equal prefixes is found', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(submission, { minLength: 1, maxLength: 8 }), (drawn) =>
      check(drawn.map((each, i) => ({ id: FIRST_ID + (BigInt(i) << 22n), ...each }))),
    ),
    { numRuns: 25 },
  );
});
