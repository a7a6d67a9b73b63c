import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { insertOf } from '../../../src/store/conformance/mutations.ts';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { silentLogger } from '../../../src/system/log/logger.ts';
import { sqliteFixture } from '../../support/store/sqlite-fixture.ts';
import { eventually } from '../../support/time/eventually.ts';
import { ManualClock } from '../../support/time/manual-clock.ts';

/** A session on a new file, with one submission, its log empty; its clock stands still. */
async function opened() {
  const clock = new ManualClock();
  const fixture = await sqliteFixture('thread');
  const { filename } = fixture;
  const session = await StoreSession.open({
    ...fixture,
    open: () => openSqliteStore({ filename, logger: silentLogger, clock }),
  });
  await session.loadAll();
  await session.commit(insertOf(1n));
  await session.store.maintenance?.checkpoint();
  return { clock, fixture, session, logBytes: () => statSync(`${filename}-wal`).size };
}

test('a transaction that takes longer than a close may wait is broken off, and nothing of it is there', async () => {
  const { clock, fixture, session, logBytes } = await opened();
  const { store } = session;
  const content = new Uint8Array(100).fill(1);
  const directInputs = Array.from({ length: 500_000 }, () => content);
  const committing = store.commit(
    session.batch([insertOf(2n, { prefix: null, chunksTotal: directInputs.length }, { directInputs })]),
  );
  // SQLite moves what does not fit into its memory to the log, before the end of the transaction.
  await eventually(() => logBytes() > 0);
  const closed = store.close(600);
  clock.advance(600);
  await closed;
  assert.equal((await committing).kind, 'unknown');
  assert.equal(store.lost.aborted, false);
  await using next = await StoreSession.open(fixture);
  assert.equal(next.grant.lastSeq, 1);
  assert.deepEqual(
    (await next.loadAll()).map(({ record }) => record.id),
    [1n],
  );
  await next.store.close();
  await fixture.dispose();
});

test('a close with a time limit waits for what ends in time', async () => {
  const { clock, fixture, session } = await opened();
  const committing = session.store.commit(session.batch([insertOf(2n)]));
  const closed = session.store.close(600);
  clock.advance(599);
  await closed;
  assert.equal((await committing).kind, 'committed');
  assert.equal(clock.timersPending, 0);
  await fixture.dispose();
});

test('a close with a time limit does not wait for a thread that nothing ends', async () => {
  const { clock, fixture, session } = await opened();
  const other = new DatabaseSync(fixture.filename);
  other.exec('BEGIN IMMEDIATE');
  const before = session.store.findById(1n);
  // SQLite waits for the other one, inside of the call, for five seconds.
  const committing = session.store.commit(session.batch([insertOf(2n)]));
  await before;
  let isClosed = false;
  const closed = session.store.close(600).then(() => {
    isClosed = true;
  });
  await eventually(() => {
    clock.advance(600);
    return isClosed;
  }, 3_000);
  await closed;
  assert.equal((await committing).kind, 'unknown');
  other.exec('ROLLBACK');
  other.close();
  await fixture.dispose();
});
