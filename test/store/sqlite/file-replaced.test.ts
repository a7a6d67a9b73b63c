import assert from 'node:assert/strict';
import { copyFileSync, existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { insertOf } from '../../../src/store/conformance/mutations.ts';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import { openSqliteStore, SqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { silentLogger } from '../../../src/system/log/logger.ts';
import { InlineDatabase } from '../../support/fakes/inline-database.ts';
import { FileQueue } from '../../support/queues/file-queue.ts';
import { sqliteFixture } from '../../support/store/sqlite-fixture.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

interface Files {
  readonly folder: string;
  readonly file: string;
  /** A copy that was made while the queue ran. */
  readonly copy: string;
  readonly aside: string;
}

interface Accident {
  readonly what: string;
  readonly said: RegExp;
  happens(files: Files): void;
  /** Undoes it; null: the queue is killed instead, and has saved what the log held. */
  readonly undone: ((files: Files) => void) | null;
}

const accidents: readonly Accident[] = [
  {
    what: 'the database is moved away',
    said: /queue\.db was removed or renamed while the queue runs: put it back/,
    happens: ({ file, aside }) => renameSync(file, aside),
    undone: ({ file, aside }) => renameSync(aside, file),
  },
  {
    what: 'another database is put in its place',
    said: /queue\.db was replaced by another file while the queue runs/,
    happens: ({ file, copy, aside }) => {
      renameSync(file, aside);
      copyFileSync(copy, file);
    },
    undone: ({ file, aside }) => renameSync(aside, file),
  },
  {
    what: 'its folder is renamed',
    said: /queue\.db was removed or renamed/,
    happens: ({ folder, aside }) => renameSync(folder, aside),
    undone: ({ folder, aside }) => renameSync(aside, folder),
  },
  {
    what: 'the log is removed',
    said: /queue\.db-wal was removed or renamed while the queue runs: put it back, or restart the queue: what it held is saved/,
    happens: ({ file }) => rmSync(`${file}-wal`),
    undone: null,
  },
  {
    what: 'the index of the log is removed',
    said: /queue\.db-shm was removed or renamed/,
    happens: ({ file }) => rmSync(`${file}-shm`),
    undone: null,
  },
];

/** Which of them a queue that starts on the file finds. */
async function stored(file: string, prefixes: readonly string[]): Promise<boolean[]> {
  const store = await openSqliteStore({ filename: file, logger: silentLogger });
  try {
    const ids = await store.idsByPrefix(prefixes);
    return ids.map((id) => id !== null);
  } finally {
    await store.close();
  }
}

function copyTo(file: string, copy: string): void {
  using database = new DatabaseSync(file, { readOnly: true });
  database.exec(`VACUUM INTO '${copy}'`);
}

describe('while the queue runs', { concurrency: 3 }, () => {
  for (const accident of accidents) {
    test(`${accident.what}: noticed without a commit, nothing is acknowledged, and it can be undone`, async () => {
      await using place = await temporaryFolder();
      const folder = join(place.path, 'data');
      mkdirSync(folder);
      const file = join(folder, 'queue.db');
      const files = { folder, file, copy: join(place.path, 'copy.db'), aside: join(place.path, 'aside') };
      await using queue = await FileQueue.start(file);
      assert.equal(await queue.insert('before'), 200);
      copyTo(file, files.copy);

      accident.happens(files);
      const line = await queue.process.line(/the store takes no batches/);
      assert.match(line.input, accident.said);
      assert.equal(await queue.ping(), 503);
      assert.equal(await queue.insert('meanwhile'), 503);

      if (accident.undone === null) {
        await queue.process.kill('SIGKILL');
      } else {
        accident.undone(files);
        await queue.process.line(/the store takes batches again/);
        assert.equal(await queue.ping(), 200);
        assert.equal(await queue.insert('after'), 200);
        await queue.process.kill('SIGKILL');
      }
      const found = await stored(file, ['before', 'after', 'meanwhile']);
      assert.deepEqual(found, [true, accident.undone !== null, false]);
    });
  }

  test('a copy is written over the database: noticed, and restored after a stop', async () => {
    await using place = await temporaryFolder();
    const file = join(place.path, 'queue.db');
    const copy = join(place.path, 'copy.db');
    await using queue = await FileQueue.start(file);
    assert.equal(await queue.insert('before'), 200);
    copyTo(file, copy);
    copyFileSync(copy, file);
    const line = await queue.process.line(/the store takes no batches/);
    assert.match(line.input, /queue\.db was overwritten while the queue runs: stop the queue, then restore/);
    assert.equal(await queue.insert('meanwhile'), 503);
    await queue.process.kill('SIGTERM');
    for (const each of [file, `${file}-wal`, `${file}-shm`]) rmSync(each, { force: true });
    copyFileSync(copy, file);
    assert.deepEqual(await stored(file, ['before', 'meanwhile']), [true, false]);
  });
});

describe('a batch', () => {
  test('on its way while the file is moved is not acknowledged before the file is back, and then takes place once', async () => {
    const fixture = await sqliteFixture('inline');
    const database = new InlineDatabase({ kind: 'file', path: fixture.filename, mustExist: false });
    const store = new SqliteStore(database, true);
    await using session = await StoreSession.open({ open: async () => store, dispose: async () => {} });
    await session.commit(insertOf(1n));
    const aside = `${fixture.filename}.aside`;
    // In the midst of the transaction, after the look before it.
    database.sqlite.function('move_away', () => {
      if (existsSync(fixture.filename)) renameSync(fixture.filename, aside);
      return null;
    });
    database.sqlite.exec(
      'CREATE TEMP TRIGGER moves AFTER INSERT ON submissions BEGIN SELECT move_away(); END',
    );
    const batch = session.batch([insertOf(2n)]);
    const refused = await store.commit(batch);
    assert.ok(refused.kind === 'refused' && refused.error.storeClass === 'transient');
    assert.match(refused.error.message, /opsqueue\.db was removed or renamed/);
    renameSync(aside, fixture.filename);
    assert.equal((await store.commit(batch)).kind, 'committed');
    assert.equal((await session.loadAll()).length, 2);
    await fixture.dispose();
  });
});
