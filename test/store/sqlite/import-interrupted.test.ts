import assert from 'node:assert/strict';
import { readdirSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import { StoreError } from '../../../src/store/errors.ts';
import { runOpsqueue } from '../../support/processes.ts';
import { fileDigest } from '../../support/store/file-digest.ts';
import { limitFileSize, needsPrlimit } from '../../support/store/file-size-limit.ts';
import {
  copyReferenceDatabase,
  databaseDigest,
  growReferenceDatabase,
  referenceStatuses,
} from '../../support/store/reference-database.ts';
import { type SqliteFixture, sqliteFixture } from '../../support/store/sqlite-fixture.ts';
import { eventually } from '../../support/time/eventually.ts';

/** More than what the import keeps in memory, so that it writes to the log before it commits. */
const GROWN = {
  firstId: 1_800_000_000_000n << 22n,
  submissions: 2,
  chunksEach: 9_000,
  doneEvery: 3,
  inputBytes: 2_000,
};
const copies = (folder: string) => readdirSync(folder).filter((file) => file.includes('reference-backup'));

/** In the journal mode of the original, so that even the head of the file need not change. */
async function referenceFixture(grow: boolean): Promise<SqliteFixture> {
  const fixture = await sqliteFixture('inline');
  copyReferenceDatabase(fixture.filename);
  if (grow) growReferenceDatabase(fixture.filename, GROWN);
  using database = new DatabaseSync(fixture.filename);
  database.exec('PRAGMA journal_mode = WAL');
  return fixture;
}

async function assertTakenOver(fixture: SqliteFixture, grown: boolean): Promise<void> {
  await using session = await StoreSession.open(fixture);
  const open = [...referenceStatuses().values()].filter(({ state }) => state === 'in_progress');
  const loaded = await session.loadAll();
  assert.equal(loaded.length, open.length + (grown ? GROWN.submissions : 0));
  const done = new Map(loaded.map((each) => [each.record.id, each.done.count]));
  for (const status of open) {
    if (status.state === 'in_progress') assert.equal(done.get(status.record.id), status.chunksDone);
  }
  if (grown) assert.equal(done.get(GROWN.firstId), Math.ceil(GROWN.chunksEach / GROWN.doneEvery));
}

function sizeOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

test('an import that is killed leaves the file as it was, and the next start takes it over', async () => {
  const fixture = await referenceFixture(true);
  const { folder, filename } = fixture;
  const before = fileDigest(filename);
  const rows = databaseDigest(filename);
  const moments: readonly (readonly [string, () => boolean])[] = [
    ['the copy is being written', () => sizeOf(`${filename}.reference-backup-partial`) > 0],
    ['the copy is there', () => copies(folder).some((file) => !file.includes('partial'))],
    ['the import has begun to write', () => sizeOf(`${filename}-wal`) > 0],
  ];
  for (const [moment, hasCome] of moments) {
    await using queue = runOpsqueue(['--port', '0', '--database-filename', filename]);
    await eventually(hasCome);
    await queue.kill('SIGKILL');
    assert.doesNotMatch(queue.output('stdout'), /listens on/, `${moment}: the kill came too late`);
    assert.equal(fileDigest(filename), before, moment);
    assert.deepEqual(databaseDigest(filename), rows, moment);
  }
  await assertTakenOver(fixture, true);
  // Two of the copies were finished before the kill; none is half a copy.
  assert.equal(copies(folder).length, 3);
  for (const copy of copies(folder)) assert.deepEqual(databaseDigest(`${folder}/${copy}`), rows, copy);
  await fixture.dispose();
});

test(
  'whichever write of an import fails, the file is as it was, and the next start takes it over',
  needsPrlimit,
  async () => {
    const rows = databaseDigest(
      fileURLToPath(new URL('../../fixtures/reference-db/all-states.db', import.meta.url)),
    );
    let refusals = 0;
    for (let bytes = 2048; ; bytes += 3 * 4096) {
      const fixture = await referenceFixture(false);
      const { folder, filename } = fixture;
      const before = fileDigest(filename);
      limitFileSize(bytes);
      const refusal = await fixture
        .open()
        .then(
          async (store) => void (await store.close()),
          (error: unknown) => error,
        )
        .finally(() => limitFileSize('unlimited'));
      if (refusal !== undefined) {
        refusals++;
        assert(refusal instanceof StoreError && refusal.storeClass === 'unusable', String(refusal));
        assert.match(refusal.message, /^database [^\n]+opsqueue\.db[^\n]+$/);
        assert.equal(fileDigest(filename), before);
        assert.deepEqual(databaseDigest(filename), rows);
        assert.deepEqual(
          copies(folder).filter((file) => file.includes('partial')),
          [],
        );
      }
      await assertTakenOver(fixture, false);
      await fixture.dispose();
      if (refusal === undefined) break;
    }
    assert(refusals > 5, `only ${refusals} writes failed`);
  },
);
