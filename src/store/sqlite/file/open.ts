import { accessSync, closeSync, constants, existsSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../../errors.ts';
import { importReference } from '../import/import-reference.ts';
import type { ImportReport } from '../import/report.ts';
import { BUSY, isDiskFull, resultCode, sqliteReason, toStoreError } from '../sqlite-errors.ts';
import { APPLICATION_ID, MIGRATIONS, SCHEMA_VERSION } from '../tables/schema.ts';
import { Statement } from '../tables/statement.ts';
import { FileLock } from './file-lock.ts';
import { FileWatch } from './file-watch.ts';
import { type DatabaseKind, inspectDatabase, inspectFile, pragma } from './inspect.ts';
import type { DatabaseLocation } from './location.ts';
import { assertLogBelongs, hasLog } from './log-match.ts';

const BUSY_TIMEOUT_MS = 5000;
const CACHE_KIB = 16 * 1024;
const WAL_BYTES_KEPT = 16 * 1024 * 1024;

export interface OpenDatabase {
  readonly database: DatabaseSync;
  /** null in memory. */
  readonly path: string | null;
  readonly lock: FileLock | null;
  readonly watch: FileWatch | null;
  /** Set if it was taken over from the original opsqueue just now. */
  readonly imported: ImportReport | null;
}

/** A database that is moved from here must be there, and of this version's schema. */
export type Purpose = 'queue' | 'move';

/**
 * Opens a database for writing; creates, migrates, or takes it over.
 *
 * @param nowMs for the name of a copy
 * @throws StoreError `unusable` with one sentence that names the file; then the file is as it was
 */
export function openDatabase(
  location: DatabaseLocation,
  nowMs: number,
  purpose: Purpose = 'queue',
): OpenDatabase {
  if (location.kind === 'memory') {
    const database = new DatabaseSync(':memory:');
    migrate(database);
    return { database, path: null, lock: null, watch: null, imported: null };
  }
  const { path } = location;
  assertPlace(path, location.mustExist);
  // A log is looked at under the lock: a queue that runs writes it.
  const kindWithoutLog = hasLog(path) ? null : inspectFile(path);
  const lock = new FileLock(path);
  try {
    if (kindWithoutLog === null) assertLogBelongs(path);
    const kind = kindWithoutLog ?? inspectFile(path);
    assertNotOpenElsewhere(path);
    const imported = kind === 'reference' ? importReference(path, nowMs) : null;
    return { ...openFile(path, purpose), path, lock, imported };
  } catch (error) {
    lock.release();
    throw error;
  }
}

function openFile(path: string, purpose: Purpose): Pick<OpenDatabase, 'database' | 'watch'> {
  let database: DatabaseSync | null = null;
  let watch: FileWatch | null = null;
  try {
    if (!existsSync(path)) closeSync(openSync(path, 'a', 0o644));
    watch = new FileWatch(path);
    database = new DatabaseSync(path, { timeout: BUSY_TIMEOUT_MS });
    // Once more, now that nobody else can write it.
    const kind = inspectDatabase(database, path);
    if (purpose === 'move') assertMovable(database, path, kind);
    configure(database, path);
    migrate(database);
    watch.begin();
    return { database, watch };
  } catch (cause) {
    database?.close();
    watch?.close();
    if (cause instanceof StoreError && cause.storeClass === 'unusable') throw cause;
    const storeClass = isDiskFull(cause) ? 'full' : 'unusable';
    throw new StoreError(storeClass, `database ${path}: cannot be opened: ${sqliteReason(cause)}`, { cause });
  }
}

function assertMovable(database: DatabaseSync, path: string, kind: DatabaseKind): void {
  const version = pragma(database, 'user_version');
  if (kind === 'ours' && version === SCHEMA_VERSION) return;
  const reason =
    kind === 'ours'
      ? `an older opsqueue wrote it (its schema is number ${version}, this version moves ${SCHEMA_VERSION}): start this ` +
        'version on it once, then it can be moved'
      : 'it holds nothing to move';
  throw new StoreError('unusable', `database ${path}: ${reason}`);
}

function configure(database: DatabaseSync, path: string): void {
  const mode = new Statement<readonly [mode: string]>(database, 'PRAGMA journal_mode = WAL').get();
  if (mode?.[0] !== 'wal') {
    throw new StoreError('unusable', `database ${path}: its file system does not support a write-ahead log`);
  }
  // FULL: a commit is on disk when it returns. The other settings bound the log and the cache.
  database.exec(`
    PRAGMA synchronous = FULL;
    PRAGMA wal_autocheckpoint = 1000;
    PRAGMA journal_size_limit = ${WAL_BYTES_KEPT};
    PRAGMA cache_size = -${CACHE_KIB};
  `);
}

/** Brings a database of ours, or an empty one, to the newest schema: all or nothing. */
export function migrate(database: DatabaseSync): void {
  const version =
    pragma(database, 'application_id') === APPLICATION_ID ? pragma(database, 'user_version') : 0;
  if (version === SCHEMA_VERSION) return;
  try {
    database.exec('BEGIN IMMEDIATE');
    for (const migration of MIGRATIONS.slice(version)) database.exec(migration);
    database.exec(
      `PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}; COMMIT`,
    );
  } catch (cause) {
    if (database.isTransaction) database.exec('ROLLBACK');
    throw toStoreError(cause, 'the tables cannot be created');
  }
}

/**
 * Each name of a file has a log and a lock of its own: two queues on hard links would write one file and know nothing of
 * each other. A name that nobody uses, such as a snapshot's, does no harm: only who else has the file open counts, which
 * SQLite's lock on the file itself tells.
 */
function assertNotOpenElsewhere(path: string): void {
  const names = statSync(path, { throwIfNoEntry: false })?.nlink ?? 1;
  if (names <= 1) return;
  try {
    using database = new DatabaseSync(path, { timeout: 0 });
    database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; ROLLBACK');
  } catch (cause) {
    if (resultCode(cause) !== BUSY) throw cause;
    throw new StoreError(
      'unusable',
      `database ${path}: the file has ${names} names (hard links), and another program has it open, perhaps a queue under ` +
        `another name: end that one, or give this queue a file of its own (cp ${path} COPY && mv COPY ${path})`,
      { cause },
    );
  }
}

function assertPlace(path: string, mustExist: boolean): void {
  const folder = dirname(path);
  if (!existsSync(folder))
    throw new StoreError('unusable', `database ${path}: the folder ${folder} does not exist`);
  if (mustExist && !existsSync(path))
    throw new StoreError('unusable', `database ${path}: the file does not exist`);
  const places = [folder, ...[path, `${path}.lock`].filter((file) => existsSync(file))];
  for (const place of places) {
    try {
      accessSync(place, constants.W_OK);
    } catch (cause) {
      throw new StoreError('unusable', `database ${path}: ${place} is not writable`, { cause });
    }
  }
}
