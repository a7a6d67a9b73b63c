import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type StoreFixture, StoreSession } from '../../../src/store/conformance/session.ts';
import { StoreError } from '../../../src/store/errors.ts';
import { limitFileSize, needsPrlimit } from '../../support/store/file-size-limit.ts';
import { sqliteFixture } from '../../support/store/sqlite-fixture.ts';
import { storeSnapshot, workloadBatch, workloadSnapshots } from '../../support/store/store-workload.ts';

const BATCHES = 12;

/** Loading it writes as well: who owns it. */
async function openLoaded(fixture: StoreFixture): Promise<StoreSession> {
  const session = await StoreSession.open(fixture);
  try {
    await session.loadAll();
    return session;
  } catch (error) {
    await session.store.close();
    throw error;
  }
}

/** Everything from opening the file on; true if nothing went wrong. */
async function runUnderLimit(
  bytes: number,
  expected: Awaited<ReturnType<typeof workloadSnapshots>>,
): Promise<boolean> {
  const fixture = await sqliteFixture('inline');
  let failures = 0;
  limitFileSize(bytes);
  try {
    let session: StoreSession;
    try {
      session = await openLoaded(fixture);
    } catch (error) {
      assert(error instanceof StoreError);
      failures++;
      limitFileSize('unlimited');
      session = await openLoaded(fixture);
    }
    for (let number = 1; number <= BATCHES; number++) {
      const batch = session.batch(workloadBatch(number));
      let result = await session.store.commit(batch);
      if (result.kind !== 'committed') {
        assert(result.kind === 'refused' && result.error.storeClass === 'transient', result.kind);
        failures++;
        // What was there before can be read, and nothing else is there.
        assert.deepEqual(await storeSnapshot(session), expected[number - 1]);
        limitFileSize('unlimited');
        result = await session.store.commit(batch);
      }
      assert.equal(result.kind, 'committed');
      session.seq++;
    }
    await session.store.maintenance?.checkpoint();
    await session.store.close();
  } finally {
    limitFileSize('unlimited');
  }
  const reopened = await StoreSession.open(fixture);
  assert.deepEqual(await storeSnapshot(reopened), expected[BATCHES]);
  await reopened.store.close();
  await fixture.dispose();
  return failures === 0;
}

test(
  'the n-th write failing leaves nothing half done, for every n until a run passes',
  needsPrlimit,
  async () => {
    const expected = await workloadSnapshots(BATCHES);
    let failing = 0;
    // The log is the file that grows; every page of it is a write of its own (every fourth one fails here).
    for (let bytes = 512; ; bytes += 4 * (4096 + 24)) {
      if (await runUnderLimit(bytes, expected)) break;
      failing++;
      assert(failing < 500);
    }
    assert(failing > 8, `only ${failing} writes failed`);
  },
);
