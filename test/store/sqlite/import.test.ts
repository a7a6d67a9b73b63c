import assert from 'node:assert/strict';
import { copyFileSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { describe, test } from 'node:test';
import { ChunkSet } from '../../../src/model/chunk-set.ts';
import type { SubmissionStatus } from '../../../src/model/submission.ts';
import { insertOf } from '../../../src/store/conformance/mutations.ts';
import { StoreSession } from '../../../src/store/conformance/session.ts';
import { openSqliteStore } from '../../../src/store/sqlite/sqlite-store.ts';
import type { Store, StoredSubmission } from '../../../src/store/store.ts';
import { silentLogger } from '../../../src/system/log/logger.ts';
import { recordingLogger } from '../../support/fakes/recording-logger.ts';
import { fileDigest } from '../../support/store/file-digest.ts';
import {
  copyReferenceDatabase,
  databaseDigest,
  growReferenceDatabase,
  referenceStatuses,
} from '../../support/store/reference-database.ts';
import { type SqliteFixture, sqliteFixture } from '../../support/store/sqlite-fixture.ts';
import { ManualClock } from '../../support/time/manual-clock.ts';

const statuses = referenceStatuses();
const recorded = (name: string): SubmissionStatus => {
  const status = statuses.get(name);
  assert(status, name);
  return status;
};
const idOf = (name: string) => recorded(name).record.id;

async function useReference(run: (fixture: SqliteFixture) => Promise<void> | void): Promise<void> {
  const fixture = await sqliteFixture('inline');
  copyReferenceDatabase(fixture.filename);
  try {
    await run(fixture);
  } finally {
    await fixture.dispose();
  }
}

/** A session on what was imported, to look at. */
const useImported = (run: (session: StoreSession) => Promise<void>) =>
  useReference(async (fixture) => {
    await using session = await StoreSession.open(fixture);
    await run(session);
  });

async function find(store: Store, name: string): Promise<StoredSubmission> {
  const found = await store.findById(idOf(name));
  assert(found, name);
  return found;
}

async function doneChunks(store: Store, name: string): Promise<number[]> {
  const { record } = recorded(name);
  const done = (await store.chunksDone(record.id)) ?? new ChunkSet(0);
  assert.equal(done.size, record.chunksTotal);
  return Array.from({ length: done.size }, (_, i) => i).filter((i) => done.has(i));
}

function execute(filename: string, sql: string): void {
  const database = new DatabaseSync(filename);
  database.exec(sql);
  database.close();
}

describe('a database of the original opsqueue', () => {
  test('is taken over with everything that the original said of its submissions', () =>
    useImported(async ({ store }) => {
      // The original takes them, and they mean nothing.
      const chunkSizes = new Map([
        ['odd prefix 3', 1],
        ['odd chunk size', 1],
        ['extreme metadata', Number.MAX_SAFE_INTEGER],
      ]);
      for (const [name, status] of statuses) {
        const { record, end, chunksDone } = await find(store, name);
        const { state, record: expected } = status;
        assert.deepEqual(
          { ...record, strategicMetadata: new Map([...record.strategicMetadata].sort()) },
          {
            ...expected,
            queue: '',
            // Of what has ended the original does not know it: it tells 1.
            chunkSizeOps: end === null ? (chunkSizes.get(name) ?? expected.chunkSizeOps) : 0,
            strategicMetadata: new Map([...expected.strategicMetadata].sort()),
          },
          name,
        );
        assert.equal(end?.state ?? 'in_progress', state, name);
        if (state === 'in_progress') {
          assert.equal(chunksDone, status.chunksDone, name);
          continue;
        }
        assert(end !== null);
        // A double of days is not exact.
        assert(Math.abs(end.endedAtMs - status.endedAtMs) < 0.1, name);
        if (state === 'failed' && end.state === 'failed')
          assert.deepEqual(end.failedChunk, status.failedChunk);
        if (state !== 'completed' && end.state !== 'completed')
          assert.equal(end.chunksDone, status.chunksDone);
      }
    }));

  test('keeps which chunks are done, tries, and the bodies of direct submissions', () =>
    useImported(async (session) => {
      const { store } = session;
      // Chunks are worked on in random order there; this is what the fixture holds.
      assert.deepEqual(await doneChunks(store, 'in progress'), [0, 8, 11]);
      assert.deepEqual(await doneChunks(store, 'completed'), [0, 1, 2]);
      for (const name of [
        'failed',
        'direct, failed',
        'cancelled',
        'direct, cancelled',
        'direct, in progress',
      ]) {
        const { chunksDone } = recorded(name) as Extract<SubmissionStatus, { state: 'failed' }>;
        assert.equal((await doneChunks(store, name)).length, chunksDone, name);
      }

      const loaded = new Map((await session.loadAll()).map((each) => [each.record.id, each]));
      const open = [...statuses.values()].filter(({ state }) => state === 'in_progress');
      assert.deepEqual([...loaded.keys()].sort(), open.map(({ record }) => record.id).sort());
      const tries = loaded.get(idOf('in progress'))?.tries ?? new Map();
      assert.deepEqual(
        [...tries.values()],
        [
          { retries: 1, disconnects: 0 },
          { retries: 1, disconnects: 0 },
        ],
      );

      const bodies = async (part: 'input' | 'output', name: string) => {
        const { id: submissionId, chunksTotal } = recorded(name).record;
        const chunks = Array.from({ length: chunksTotal }, (_, chunkIndex) => ({ submissionId, chunkIndex }));
        return (await store.directContents(part, chunks)).map((body) => body && [...body]);
      };
      assert.deepEqual(await bodies('input', 'direct, in progress'), [[1, 2, 3], null, null, null]);
      assert.deepEqual(await bodies('output', 'direct, in progress'), [null, null, null, [9, 8]]);
      assert.deepEqual(await bodies('output', 'direct, completed'), [[0, 5], null, [2, 5]]);
    }));

  test('gives the oldest of equal prefixes, takes odd ones, and goes on with ids above all of its own', () =>
    useImported(async (session) => {
      const { store } = session;
      for (const name of ['equal prefix 1', 'odd prefix 1', 'odd prefix 2', 'odd prefix 3', 'cancelled']) {
        const { prefix } = recorded(name).record;
        assert(prefix !== null);
        assert.equal((await store.idsByPrefix([prefix]))[0], idOf(name), name);
      }
      const ids = [...statuses.values()].map(({ record }) => record.id);
      const highest = ids.toSorted().at(-1) ?? 0n;
      assert.equal(session.grant.highestId, highest);
      assert.equal(session.grant.lastSeq, 0);
      // The insert that a client of the original sends again.
      const again = insertOf(highest + 1n, { prefix: recorded('equal prefix 1').record.prefix });
      const [result] = await session.commit(again);
      assert(result?.kind === 'exists' && result.submission.record.id === idOf('equal prefix 1'));
      assert.equal(await store.countEnded('', 'failed'), 2);
    }));

  test('is copied first, under a name that says so, and the import is said in one line', () =>
    useReference(async ({ folder, filename }) => {
      const logger = recordingLogger();
      const clock = new ManualClock(Date.UTC(2026, 0, 2, 3, 4, 5, 6));
      await (await openSqliteStore({ filename, logger, clock })).close();
      const backup = 'opsqueue.db.reference-backup-20260102T030405006Z';
      assert.deepEqual(readdirSync(folder).sort(), ['opsqueue.db', 'opsqueue.db.lock', backup].sort());
      assert.deepEqual(
        logger.lines.map(({ level, message }) => [level, message]),
        [
          [
            'info',
            `took over the database of the original opsqueue in ${filename}: 9 submissions in progress (5 of 27 ` +
              'chunks done), 5 completed, 2 failed, 2 cancelled; the file as it was is ' +
              `${folder}/${backup}`,
          ],
        ],
      );
      // The way back: the copy is a database of the original, with every row.
      const original = `${folder}/original.db`;
      copyReferenceDatabase(original);
      assert.deepEqual(databaseDigest(`${folder}/${backup}`), databaseDigest(original));

      await (await openSqliteStore({ filename, logger, clock })).close();
      assert.equal(logger.lines.length, 1, 'it was imported twice');
    }));

  test('is not taken over if a file has the name of the copy already, and that file stays', () =>
    useReference(async ({ folder, filename }) => {
      const clock = new ManualClock(Date.UTC(2026, 0, 2, 3, 4, 5, 6));
      const taken = `${folder}/opsqueue.db.reference-backup-20260102T030405006Z`;
      writeFileSync(taken, 'mine');
      const before = fileDigest(filename);
      await assert.rejects(openSqliteStore({ filename, logger: silentLogger, clock }), {
        code: 'STORE_UNUSABLE',
        message: `database ${filename}: ${taken} exists already; the file is left as it is`,
      });
      assert.equal(readFileSync(taken, 'utf8'), 'mine');
      assert.equal(fileDigest(filename), before);
      // A moment later the name is another one.
      clock.advance(1);
      await (await openSqliteStore({ filename, logger: silentLogger, clock })).close();
    }));

  test('is taken over with what a killed server left in its log', () =>
    useReference(async (fixture) => {
      const { folder, filename } = fixture;
      execute(filename, 'PRAGMA journal_mode = WAL');
      // As SIGTERM leaves the original: the last writes are in the log only, and nobody has closed it.
      using running = new DatabaseSync(filename);
      running.exec(
        "PRAGMA wal_autocheckpoint = 0; UPDATE submissions SET prefix = 'in the log' WHERE chunk_size = -3",
      );
      for (const file of ['', '-wal']) copyFileSync(filename + file, `${folder}/killed.db${file}`);
      const killed = await openSqliteStore({ filename: `${folder}/killed.db`, logger: silentLogger });
      assert.equal((await killed.idsByPrefix(['in the log']))[0], idOf('odd chunk size'));
      await killed.close();
    }));

  test('is taken over in pages, also where they end in the middle or are full', () =>
    useReference(async (fixture) => {
      const step = 1n << 22n;
      const firstId = idOf('extreme metadata') + step;
      growReferenceDatabase(fixture.filename, { firstId, submissions: 2, chunksEach: 10_000, doneEvery: 1 });
      growReferenceDatabase(fixture.filename, {
        firstId: firstId + 2n * step,
        submissions: 2,
        chunksEach: 8193,
        doneEvery: 4096,
      });
      await using session = await StoreSession.open(fixture);
      const count = (id: bigint) => session.store.findById(id).then((found) => found?.chunksDone);
      assert.deepEqual(
        await Promise.all([0n, 1n, 2n, 3n].map((i) => count(firstId + i * step))),
        [10_000, 10_000, 3, 3],
      );
      const done = await session.store.chunksDone(firstId + 3n * step);
      assert.deepEqual(
        [4095, 4096, 8191, 8192].map((i) => done?.has(i)),
        [false, true, false, true],
      );
      const loaded = (await session.loadAll()).find(({ record }) => record.id === firstId + 3n * step);
      assert.equal(loaded?.tries.size, Math.ceil((8193 - 1) / 11));
    }));
});

describe('a database of the original opsqueue is refused, and left as it is,', () => {
  async function refused(fixture: SqliteFixture, message: RegExp): Promise<void> {
    const { folder, filename } = fixture;
    const before = fileDigest(filename);
    const error = await openSqliteStore({ filename, logger: silentLogger }).then(
      (store) => store.close(),
      (thrown: Error & { code?: string }) => thrown,
    );
    assert(error instanceof Error, 'it was not refused');
    assert.equal(error.code, 'STORE_UNUSABLE');
    assert.match(error.message, message);
    assert(error.message.endsWith('the file is left as it is'), error.message);
    assert.equal(fileDigest(filename), before);
    assert.deepEqual(
      readdirSync(folder).filter((file) => file.includes('backup')),
      [],
    );
  }

  test('if a newer version or another program wrote it', () =>
    useReference(async (fixture) => {
      execute(
        fixture.filename,
        "INSERT INTO _sqlx_migrations VALUES (20270101000000, 'new', '2027-01-01', 1, x'00', 1)",
      );
      await refused(
        fixture,
        /another version of the original opsqueue than 0\.40\.1, .*migration 20270101000000\)/,
      );
      assert(!existsSync(`${fixture.filename}.lock`));
    }));

  test('if an older version wrote it', () =>
    useReference(async (fixture) => {
      execute(fixture.filename, 'DELETE FROM _sqlx_migrations WHERE version > 20260801000000');
      await refused(
        fixture,
        /by an older version of the original opsqueue: start version 0\.40\.1 of it on the file/,
      );
    }));

  test('if a migration failed on it', () =>
    useReference(async (fixture) => {
      execute(fixture.filename, 'UPDATE _sqlx_migrations SET success = 0 WHERE version = 20260803133844');
      await refused(fixture, /a migration of the original opsqueue failed on it/);
    }));

  test('if the original server, or anybody else, still has it open', () =>
    useReference(async (fixture) => {
      execute(fixture.filename, 'PRAGMA journal_mode = WAL');
      using other = new DatabaseSync(fixture.filename);
      assert.equal(other.prepare('SELECT count(*) AS count FROM submissions').get()?.count, 9);
      await refused(fixture, /it is in use by another program: stop the original opsqueue first/);
    }));

  test('if it holds what the original never writes', async () => {
    for (const [sql, message] of [
      ['UPDATE submissions SET id = id + 4096 WHERE chunk_size = -3', /was numbered by another instance/],
      [
        'INSERT INTO chunks (submission_id, chunk_index) SELECT id, 7 FROM submissions WHERE chunk_size = -3',
        /has no chunk 7, but a row of it/,
      ],
      [
        "INSERT INTO chunks_completed SELECT id, 99, NULL, 0 FROM submissions WHERE prefix = '../evil'",
        /submission 7530789398380544000 has no chunk 99, but a row of it/,
      ],
      ['ALTER TABLE chunks_failed DROP COLUMN failure', /cannot be taken over: .*no such column: c\.failure/],
    ] as const) {
      await useReference(async (fixture) => {
        // So that the file, whose log is written into it when it is closed, compares byte by byte.
        execute(fixture.filename, `${sql}; PRAGMA journal_mode = WAL`);
        await refused(fixture, message);
      });
    }
  });
});
