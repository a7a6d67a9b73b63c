import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ChunkSet, PAGE_CHUNKS } from '../../../model/chunk-set.ts';
import type { SubmissionId } from '../../../model/ids.ts';
import { StoreError } from '../../errors.ts';
import { inspectDatabase } from '../file/inspect.ts';
import { resultCode, sqliteReason } from '../sqlite-errors.ts';
import { PagesTable } from '../tables/pages.ts';
import { APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION } from '../tables/schema.ts';
import { Statement } from '../tables/statement.ts';
import {
  COPY_STATEMENTS,
  COUNTS,
  DONE_CHUNKS,
  DROP_STATEMENTS,
  FOREIGN_ID,
  WRONG_CHUNK,
} from './copy-statements.ts';
import { assertKnownReference } from './recognise.ts';
import type { ImportReport } from './report.ts';

const BUSY = 5;
const BUSY_TIMEOUT_MS = 2000;
const CACHE_KIB = 8 * 1024;

/**
 * Takes over a database of the original opsqueue, inside its file: first a copy of it under a name that says so, then
 * everything in one transaction. Memory does not grow with the database.
 *
 * @param nowMs for the name of the copy
 * @throws StoreError `unusable`, and the file holds what it held before
 */
export function importReference(path: string, nowMs: number): ImportReport {
  let database: DatabaseSync | null = null;
  try {
    database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    // Nobody else may have it open, not even to read: the original server keeps connections.
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; ROLLBACK');
    if (inspectDatabase(database, path) !== 'reference') {
      throw new StoreError('unusable', `database ${path}: it has just been changed by somebody else`);
    }
    assertKnownReference(database, path);
    // A negative number is KiB. What does not fit goes to the log, so that memory stays bounded.
    database.exec(`PRAGMA cache_size = -${CACHE_KIB}`);
    const backup = copyOf(database, path, nowMs);
    const report = convert(database, path, backup);
    // From here on nobody knows for sure until it returns, so the copy stays whatever happens.
    database.exec('COMMIT');
    return { ...report, backup };
  } catch (cause) {
    if (cause instanceof StoreError) throw cause;
    const reason =
      resultCode(cause) === BUSY
        ? 'it is in use by another program: stop the original opsqueue first'
        : `the database of the original opsqueue cannot be taken over: ${sqliteReason(cause)}`;
    throw new StoreError('unusable', `database ${path}: ${reason}; the file is left as it is`, { cause });
  } finally {
    database?.close();
  }
}

/** A copy that was interrupted must not look like one; the next attempt starts it again. */
function copyOf(database: DatabaseSync, path: string, nowMs: number): string {
  const time = new Date(nowMs).toISOString().replaceAll(/[-:.]/g, '');
  const backup = `${path}.reference-backup-${time}`;
  const partial = `${path}.reference-backup-partial`;
  if (existsSync(backup)) {
    const reason = `${backup} exists already; the file is left as it is`;
    throw new StoreError('unusable', `database ${path}: ${reason}`);
  }
  rmSync(partial, { force: true });
  try {
    new Statement(database, 'VACUUM INTO ?').run(partial);
    syncToDisk(partial, 'r+');
    renameSync(partial, backup);
    syncToDisk(dirname(path), 'r');
  } catch (error) {
    rmSync(partial, { force: true });
    throw error;
  }
  return backup;
}

function syncToDisk(path: string, flags: 'r' | 'r+'): void {
  const file = openSync(path, flags);
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

/** Everything up to the commit. */
function convert(database: DatabaseSync, path: string, backup: string): Omit<ImportReport, 'backup'> {
  try {
    // With a write-ahead log, which the original uses as well, the file itself is not touched before the commit.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; BEGIN IMMEDIATE');
    // The only table name that both schemas have.
    database.exec('ALTER TABLE submissions RENAME TO reference_submissions');
    for (const migration of MIGRATIONS) database.exec(migration);
    assertTakeable(database, path);
    for (const statement of COPY_STATEMENTS) database.exec(statement);
    const chunksDone = copyPages(database);
    const report = { ...countStates(database), chunksDone };
    for (const statement of DROP_STATEMENTS) database.exec(statement);
    database.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`);
    return report;
  } catch (error) {
    if (database.isTransaction) database.exec('ROLLBACK');
    // The file still holds everything; a copy for each attempt would fill the disk.
    rmSync(backup, { force: true });
    throw error;
  }
}

/** What the original server never writes, but what would break an invariant of ours. */
function assertTakeable(database: DatabaseSync, path: string): void {
  const foreign = new Statement<readonly [id: bigint]>(database, FOREIGN_ID).get();
  const wrong = new Statement<readonly [id: bigint, index: bigint]>(database, WRONG_CHUNK).get();
  if (!foreign && !wrong) return;
  const reason = foreign
    ? `submission ${foreign[0]} was numbered by another instance`
    : `submission ${wrong?.[0]} has no chunk ${wrong?.[1]}, but a row of it`;
  throw new StoreError(
    'unusable',
    `database ${path}: it cannot be taken over: ${reason}; the file is left as it is`,
  );
}

interface PageOfSubmission {
  readonly id: SubmissionId;
  readonly page: number;
  readonly chunks: ChunkSet;
}

/** One row per finished chunk becomes one row per 4096 of them; returns how many chunks of open submissions are done. */
function copyPages(database: DatabaseSync): number {
  const pages = new PagesTable(database);
  const rows = new Statement<readonly [id: bigint, index: bigint, chunksTotal: bigint, state: bigint]>(
    database,
    DONE_CHUNKS,
  );
  let ofOpen = 0;
  let current: PageOfSubmission | undefined;
  for (const [id, bigIndex, chunksTotal, state] of rows.iterate()) {
    const index = Number(bigIndex);
    const page = ChunkSet.pageOf(index);
    if (current === undefined || current.id !== id || current.page !== page) {
      if (current !== undefined) pages.put(current.id, current.page, current.chunks.page(0));
      const size = Math.min(PAGE_CHUNKS, Number(chunksTotal) - page * PAGE_CHUNKS);
      current = { id: id as SubmissionId, page, chunks: new ChunkSet(size) };
    }
    current.chunks.add(index - page * PAGE_CHUNKS);
    if (state === 0n) ofOpen++;
  }
  if (current !== undefined) pages.put(current.id, current.page, current.chunks.page(0));
  return ofOpen;
}

function countStates(database: DatabaseSync): Omit<ImportReport, 'backup' | 'chunksDone'> {
  const counts = new Map(
    new Statement<readonly [state: bigint, count: bigint, chunks: bigint]>(database, COUNTS)
      .all()
      .map(([state, count, chunks]) => [Number(state), { count: Number(count), chunks: Number(chunks) }]),
  );
  const of = (state: number) => counts.get(state)?.count ?? 0;
  return {
    open: of(0),
    completed: of(1),
    failed: of(2),
    cancelled: of(3),
    chunksTotal: counts.get(0)?.chunks ?? 0,
  };
}
