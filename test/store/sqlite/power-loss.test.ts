import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import { SqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { randomInt } from '../../../src/system/random.ts';
import { crashPatienceMs, crashRounds } from '../../support/crash/budget.ts';
import { InlineDatabase } from '../../support/fakes/inline-database.ts';
import { sqliteFixture } from '../../support/store/sqlite-fixture.ts';
import {
  type StoreSnapshot,
  storeSnapshot,
  workloadBatch,
  workloadSnapshots,
} from '../../support/store/store-workload.ts';

const SECTOR_BYTES = 512;
/** Of the time of a long run. */
const SHARE = 0.05;
const BATCHES = 30;

async function open(filename: string): Promise<StoreSession> {
  const open = async () =>
    new SqliteStore(new InlineDatabase({ kind: 'file', path: filename, mustExist: false }), true);
  return StoreSession.open({ open, dispose: async () => {} });
}

describe('after a power loss', () => {
  test('what is left is the first batches, whichever sectors at the end of the log are cut or zeroed', {
    timeout: crashPatienceMs(SHARE),
  }, async (t) => {
    const { random, numbers } = crashRounds(t, 25, SHARE);
    const fixture = await sqliteFixture('inline');
    const expected = await workloadSnapshots(BATCHES);
    const running = await StoreSession.open(fixture);
    // Half of it is in the database file, the other half only in the log.
    for (let number = 1; number <= BATCHES; number++) {
      await running.commit(...workloadBatch(number));
      if (number === BATCHES / 2) await running.store.maintenance?.checkpoint();
    }
    const log = readFileSync(`${fixture.filename}-wal`);
    const seen = new Set<number>();
    let attempt = 0;
    const recover = async (damaged: Uint8Array): Promise<StoreSnapshot> => {
      const folder = join(fixture.folder, `attempt-${++attempt}`);
      mkdirSync(folder);
      const copy = join(folder, 'opsqueue.db');
      copyFileSync(fixture.filename, copy);
      writeFileSync(`${copy}-wal`, damaged);
      await using session = await open(copy);
      const found = await storeSnapshot(session);
      assert.deepEqual(found, expected[found.lastSeq]);
      seen.add(found.lastSeq);
      // And it goes on from there.
      await session.commit(...workloadBatch(found.lastSeq + 1));
      await session.store.close();
      rmSync(folder, { recursive: true });
      return found;
    };

    assert.equal((await recover(log)).lastSeq, BATCHES);
    const sectors = Math.floor(log.length / SECTOR_BYTES);
    for (const _ of numbers) {
      // The end, where the danger is, more often than the rest.
      const sector = sectors - 1 - Math.floor(random.next() ** 2 * (sectors - 1));
      const cut = log.subarray(0, sector * SECTOR_BYTES);
      const zeroed = Buffer.concat([cut, Buffer.alloc(log.length - cut.length)]);
      const torn = Buffer.from(log);
      const tornEnd = (sector + 1 + randomInt(random, 4)) * SECTOR_BYTES;
      torn.fill(0, sector * SECTOR_BYTES, Math.min(tornEnd, torn.length));
      const found = await recover(cut);
      assert.deepEqual(await recover(zeroed), found);
      assert((await recover(torn)).lastSeq <= BATCHES);
    }
    assert(seen.size > 8, `only ${seen.size} different outcomes`);
    assert(Math.min(...seen) >= BATCHES / 2, 'what a checkpoint has moved is lost');
    await running.store.close();
    await fixture.dispose();
  });
});
