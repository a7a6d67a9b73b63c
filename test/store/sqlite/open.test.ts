import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { NO_CONTROL } from '../../../src/model/control.ts';
import { insertOf } from '../../../src/store/conformance/mutations.ts';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import { parseDatabaseFilename } from '../../../src/store/sqlite/file/location.ts';
import { openDatabase } from '../../../src/store/sqlite/file/open.ts';
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import { APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION } from '../../../src/store/sqlite/tables/schema.ts';
import { silentLogger } from '../../../src/system/log/logger.ts';
import { fileDigest } from '../../support/store/file-digest.ts';
import { type SqliteFixture, sqliteFixture } from '../../support/store/sqlite-fixture.ts';

async function use(run: (fixture: SqliteFixture) => Promise<void> | void): Promise<void> {
  const fixture = await sqliteFixture('inline');
  try {
    await run(fixture);
  } finally {
    await fixture.dispose();
  }
}

function contents(folder: string): Map<string, string> {
  return new Map(readdirSync(folder).map((file) => [file, fileDigest(join(folder, file))]));
}

function assertRefused(filename: string, message: RegExp): void {
  assert.throws(
    () => openDatabase(parseDatabaseFilename(filename), 0),
    (error: Error & { code?: string }) => {
      assert.equal(error.code, 'STORE_UNUSABLE');
      assert.match(error.message, message);
      assert(error.message.includes('opsqueue.db'), `${error.message} does not name the file`);
      assert(!error.message.includes('\n'));
      return true;
    },
  );
}

/** It is refused, and the folder is as it was, to the byte. */
function assertRefusedUntouched({ folder, filename }: SqliteFixture, message: RegExp): void {
  const before = contents(folder);
  assertRefused(filename, message);
  assert.deepEqual(contents(folder), before);
}

function execute(filename: string, sql: string): void {
  const database = new DatabaseSync(filename);
  database.exec(sql);
  database.close();
}

describe('opening a database', () => {
  test('refuses a file that is no database, untouched', () =>
    use((fixture) => {
      for (const text of [
        'x',
        'this is no database, but longer than its header would be',
        `${'\0'.repeat(5000)}`,
      ]) {
        writeFileSync(fixture.filename, text);
        assertRefusedUntouched(fixture, /the file is not an SQLite database$/);
      }
    }));

  test('refuses a folder', () =>
    use((fixture) => {
      mkdirSync(fixture.filename);
      assertRefused(fixture.filename, /it is not a file$/);
    }));

  test('refuses a database of another program, untouched, also with a write-ahead log', () =>
    use((fixture) => {
      execute(fixture.filename, 'CREATE TABLE customers (id); CREATE TABLE bills (id)');
      assertRefusedUntouched(fixture, /it belongs to another program \(its tables: bills, customers\)$/);
      const other = new DatabaseSync(fixture.filename);
      other.exec('PRAGMA journal_mode = WAL; INSERT INTO bills VALUES (1)');
      const files = [fixture.filename, `${fixture.filename}-wal`];
      const before = files.map(fileDigest);
      assertRefused(fixture.filename, /it belongs to another program/);
      assert.deepEqual(files.map(fileDigest), before);
      other.close();
    }));

  test('refuses a database that a newer version wrote, untouched', () =>
    use(async (fixture) => {
      await (await fixture.open()).close();
      execute(fixture.filename, `PRAGMA user_version = ${SCHEMA_VERSION + 1}`);
      assertRefusedUntouched(
        fixture,
        /it was written by a newer opsqueue \(its schema is number \d+, this version knows \d+\)/,
      );
    }));

  test('a database of every earlier version is taken over, with its submissions', async () => {
    for (let version = 1; version < SCHEMA_VERSION; version++) {
      await use(async (fixture) => {
        execute(
          fixture.filename,
          `${MIGRATIONS.slice(0, version).join('')}
           INSERT INTO shards (shard, epoch, holder, last_seq, highest_id) VALUES (0, 3, 'before', 9, 7);
           INSERT INTO submissions (id, state, prefix, chunks_total, chunk_size_ops, retry_delay_ms)
           VALUES (7, 0, 'p', 5, 1, 30);
           INSERT INTO submissions (id, state, prefix, chunks_total, chunk_size_ops, retry_delay_ms, ended_at_ms)
           VALUES (5, 1, 'q', 5, 1, 0, 60);
           PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${version}`,
        );
        const store = await fixture.open();
        const loaded = (await Array.fromAsync(store.load([0]))).flat();
        const ended = await store.ended({ queue: '', limit: 10 });
        const completed = await store.countEnded('', 'completed');
        await store.close();
        assert.deepEqual(
          loaded.map(({ record, control }) => [
            record.id,
            record.queue,
            record.prefix,
            record.retryDelayMs,
            record.retry,
            control,
          ]),
          [[7n, '', 'p', 30, null, NO_CONTROL]],
        );
        assert.deepEqual(
          ended.map(({ record }) => [record.id, record.queue]),
          [[5n, '']],
        );
        assert.equal(completed, 1);
      });
    }
  });

  test('refuses a database whose first page is damaged, untouched', () =>
    use(async (fixture) => {
      await (await fixture.open()).close();
      const bytes = readFileSync(fixture.filename);
      writeFileSync(fixture.filename, bytes.fill(0x55, 100, 4096));
      assertRefusedUntouched(fixture, /cannot be (?:read|opened): .*malformed/);
    }));

  test('refuses a database that was cut off', () =>
    use(async (fixture) => {
      await (await fixture.open()).close();
      truncateSync(fixture.filename, 3 * 4096);
      await assert.rejects(
        async () => {
          await using session = await StoreSession.open(fixture);
          await session.commit(insertOf(1n));
        },
        (error: Error & { code?: string }) => /STORE_(?:UNUSABLE|CORRUPT)/.test(error.code ?? ''),
      );
    }));

  test('refuses a folder that does not exist, and a file that must exist', () =>
    use(({ folder, filename }) => {
      assertRefused(join(folder, 'no', 'opsqueue.db'), /the folder .* does not exist$/);
      assertRefused(`file:${filename}?mode=rw`, /the file does not exist$/);
      assert.deepEqual(readdirSync(folder), []);
    }));

  test('refuses a folder or a file that it cannot write', () =>
    use(async (fixture) => {
      // Root may write anything, so the process becomes somebody else, who may be unable to enter the folders above this
      // one and the checkout: by then it has loaded what it needs and stands in the folder.
      const { folder, filename } = fixture;
      const source = new URL('../../../src/store/sqlite/file/open.ts', import.meta.url).href;
      const script = `
        const { openDatabase } = await import(${JSON.stringify(source)});
        if (process.getuid?.() === 0) {
          process.setgroups([]);
          process.setgid(65534);
          process.setuid(65534);
        }
        try {
          openDatabase({ kind: 'file', path: 'opsqueue.db', mustExist: false }, 0);
          console.log('opened');
        } catch (error) { console.log(error.code + ' ' + error.message); }`;
      const attempt = () =>
        spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
          encoding: 'utf8',
          cwd: folder,
        }).stdout;
      chmodSync(folder, 0o555);
      assert.equal(attempt(), 'STORE_UNUSABLE database opsqueue.db: . is not writable\n');
      chmodSync(folder, 0o755);
      await (await fixture.open()).close();
      chmodSync(folder, 0o777);
      chmodSync(filename, 0o444);
      assert.equal(attempt(), 'STORE_UNUSABLE database opsqueue.db: opsqueue.db is not writable\n');
    }));

  test('refuses a database that another queue has open, by whatever name', () =>
    use(async (fixture) => {
      const alias = join(fixture.folder, 'alias-opsqueue.db');
      symlinkSync(fixture.filename, alias);
      const store = await openSqliteStore({ filename: alias, logger: silentLogger });
      for (const filename of [fixture.filename, alias, `file:${fixture.filename}`]) {
        await assert.rejects(openSqliteStore({ filename, logger: silentLogger }), {
          code: 'STORE_UNUSABLE',
          message: `database ${fixture.filename}: it is in use by another queue (which holds ${fixture.filename}.lock)`,
        });
      }
      await store.close();
      await (await openSqliteStore({ filename: fixture.filename, logger: silentLogger })).close();
    }));

  test('takes an empty file, and one in which a replication tool keeps its tables', () =>
    use(async (fixture) => {
      writeFileSync(fixture.filename, '');
      await (await fixture.open()).close();
      execute(fixture.filename, 'CREATE TABLE _litestream_seq (id); CREATE TABLE _litestream_lock (id)');
      await using session = await StoreSession.open(fixture);
      await session.commit(insertOf(1n));

      const fresh = await sqliteFixture('inline');
      execute(fresh.filename, 'CREATE TABLE _litestream_seq (id)');
      await (await fresh.open()).close();
      await fresh.dispose();
    }));

  test('keeps a database in memory to itself, whatever it is called', async () => {
    for (const filename of [':memory:', 'file::memory:?cache=shared', 'file:name?mode=memory&cache=shared']) {
      const open = () => openSqliteStore({ filename, logger: silentLogger });
      await using first = await StoreSession.open({ open, dispose: async () => {} });
      await using second = await StoreSession.open({ open, dispose: async () => {} });
      await first.commit(insertOf(1n));
      assert.equal((await first.loadAll()).length, 1);
      assert.equal((await second.loadAll()).length, 0);
      assert.equal(first.store.maintenance, undefined);
      assert((await first.store.sizeBytes()) > 0);
    }
  });
});

describe('the name of a database', () => {
  const path = (filename: string) => {
    const location = parseDatabaseFilename(filename);
    return location.kind === 'file' ? location.path : location.kind;
  };

  test('is a path or an SQLite URI', () => {
    assert.equal(path('/no/where/q.db'), '/no/where/q.db');
    assert.equal(path('q?mode=ro.db'), join(process.cwd(), 'q?mode=ro.db'));
    assert.equal(path('file:q.db'), join(process.cwd(), 'q.db'));
    assert.equal(path('file:/no/where/q.db?cache=private&mode=rwc#x'), '/no/where/q.db');
    assert.equal(path('file:///no/where/q%20%3f.db'), '/no/where/q ?.db');
    assert.equal(path('file://localhost/no/where/q.db'), '/no/where/q.db');
    assert.deepEqual(parseDatabaseFilename('file:/no/where/q.db?mode=rw'), {
      kind: 'file',
      path: '/no/where/q.db',
      mustExist: true,
    });
    for (const name of [':memory:', 'file::memory:', 'file:x?mode=memory', 'file:'])
      assert.equal(path(name), 'memory');
  });

  test('that makes no sense is refused at once, naming it', () => {
    for (const [name, message] of [
      ['', /the database filename is empty/],
      ['a\0b', /contains a NUL character/],
      ['file:/a?mode=ro', /file:\/a\?mode=ro: mode=ro/],
      ['file:/a?immutable=1', /immutable is not supported/],
      ['file:/a?vfs=unix-none', /vfs is not supported/],
      ['file://elsewhere/a', /a file on host elsewhere/],
      ['file:/a%zz', /not a legal URI/],
    ] as const) {
      assert.throws(() => parseDatabaseFilename(name), { code: 'INCORRECT_USAGE', message });
    }
  });
});
