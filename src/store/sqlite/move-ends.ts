import { closeSync, existsSync, fsyncSync, openSync, rmSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type SQLOutputValue } from 'node:sqlite';
import { IncorrectUsageError } from '../../model/errors.ts';
import { StoreError } from '../errors.ts';
import {
  furthest,
  type MoveContext,
  type MovedShard,
  type MoveEnd,
  type MoveEnds,
  type PageLimit,
  type TargetEnd,
} from '../move/ends.ts';
import { keyOf, type MovedRow, type MovedTable } from '../move/tables.ts';
import { FileLock } from './file/file-lock.ts';
import { inspectFile, pragma } from './file/inspect.ts';
import { type DatabaseLocation, parseDatabaseFilename } from './file/location.ts';
import { assertLogBelongs, hasLog } from './file/log-match.ts';
import { openDatabase } from './file/open.ts';
import { describeImport } from './import/report.ts';
import { toStoreError } from './sqlite-errors.ts';
import { APPLICATION_ID, INCOMPLETE_ID, MIGRATIONS, SCHEMA_VERSION } from './tables/schema.ts';
import { Statement } from './tables/statement.ts';
import { Transactions } from './tables/transactions.ts';

export const sqliteMoveEnds: MoveEnds = { check: fileOf, openSource, openTarget };

/** One of the original opsqueue is taken over first, in its file, as at the start of a queue. */
async function openSource(rest: string, { logger, clock }: MoveContext): Promise<MoveEnd> {
  const location = fileOf(rest);
  const open = openDatabase({ ...location, mustExist: true }, clock.nowMs(), 'move');
  if (open.imported !== null) {
    logger.info({ ...open.imported }, describeImport(location.path, open.imported));
  }
  return new SqliteEnd(location.path, open.database, () => {
    open.watch?.close();
    open.lock?.release();
  });
}

async function openTarget(rest: string): Promise<TargetEnd> {
  const { path } = fileOf(rest);
  assertFolder(path);
  const lock = new FileLock(path);
  try {
    if (hasLog(path)) assertLogBelongs(path);
    if (existsSync(path)) assertReplaceable(path);
    for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}-journal`]) rmSync(file, { force: true });
    return new SqliteTarget(path, createIncomplete(path), () => lock.release());
  } catch (error) {
    lock.release();
    throw toStoreError(error, `database ${path}: cannot be created`);
  }
}

function fileOf(rest: string): Extract<DatabaseLocation, { kind: 'file' }> {
  const location = parseDatabaseFilename(rest);
  if (location.kind === 'file') return location;
  throw new IncorrectUsageError(`sqlite:${rest}: a database in memory cannot be moved`);
}

function assertFolder(path: string): void {
  const folder = dirname(path);
  if (!existsSync(folder))
    throw new StoreError('unusable', `database ${path}: the folder ${folder} does not exist`);
}

/** What a move that was interrupted left behind, or what never held anything. */
function assertReplaceable(path: string): void {
  if (statSync(path).size > 0 && isIncomplete(path)) return;
  const kind = inspectFile(path);
  if (kind === 'empty' || (kind === 'ours' && isUnused(path))) return;
  throw new StoreError(
    'unusable',
    `database ${path}: it is not empty: move to a file that does not exist, or remove this one first`,
  );
}

function isIncomplete(path: string): boolean {
  try {
    using database = new DatabaseSync(path);
    return pragma(database, 'application_id') === INCOMPLETE_ID;
  } catch {
    // Not a database: that is said below.
    return false;
  }
}

function isUnused(path: string): boolean {
  using database = new DatabaseSync(path);
  const used = new Statement<readonly [bigint]>(
    database,
    `SELECT EXISTS (SELECT 1 FROM submissions) + EXISTS (SELECT 1 FROM controls)
       + EXISTS (SELECT 1 FROM shards WHERE highest_id > 0)`,
  ).get();
  return used?.[0] === 0n;
}

function createIncomplete(path: string): DatabaseSync {
  closeSync(openSync(path, 'wx', 0o644));
  const database = new DatabaseSync(path);
  try {
    // Without a log, so that the file itself says what it is.
    new Transactions(database).run(() => {
      for (const migration of MIGRATIONS) database.exec(migration);
      database.exec(`PRAGMA application_id = ${INCOMPLETE_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`);
    });
    // NORMAL until it is finished: the log is on disk before the file is written, and that before the log is used again.
    database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 4000');
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

class SqliteEnd implements MoveEnd {
  readonly name: string;
  protected readonly database: DatabaseSync;
  readonly #release: () => void;
  /** By their SQL: what a statement takes goes only when it is collected. */
  readonly #statements = new Map<string, Statement<SQLOutputValue[]>>();

  constructor(path: string, database: DatabaseSync, release: () => void) {
    this.name = `database ${path}`;
    this.database = database;
    this.#release = release;
  }

  async count({ name }: MovedTable): Promise<number> {
    const row = new Statement<readonly [bigint]>(this.database, `SELECT count(*) FROM ${name}`).get();
    return Number(row?.[0] ?? 0n);
  }

  async read(table: MovedTable, after: MovedRow | null, limit: PageLimit): Promise<readonly MovedRow[]> {
    const key = keyOf(table).join(', ');
    const values = after === null ? [] : after.slice(0, table.keyColumns);
    const where = after === null ? '' : `WHERE (${key}) > (${values.map(() => '?').join(', ')})`;
    const statement = this.statement(
      `SELECT ${Object.keys(table.columns).join(', ')} FROM ${table.name} ${where} ORDER BY ${key} LIMIT ?`,
    );
    const rows: MovedRow[] = [];
    let bytes = 0;
    for (const row of statement.iterate(...inputs(values), limit.rows)) {
      rows.push(row);
      for (const cell of row)
        bytes += typeof cell === 'object' || typeof cell === 'string' ? (cell?.length ?? 0) : 8;
      if (bytes >= limit.bytes) break;
    }
    return rows;
  }

  async shards(): Promise<readonly MovedShard[]> {
    const rows = new Statement<readonly [bigint, bigint, bigint]>(
      this.database,
      'SELECT epoch, last_seq, highest_id FROM shards',
    ).all();
    return rows.map(([epoch, lastSeq, highestId]) => ({ epoch, lastSeq, highestId }));
  }

  protected statement(sql: string): Statement<SQLOutputValue[]> {
    const known = this.#statements.get(sql) ?? new Statement(this.database, sql);
    this.#statements.set(sql, known);
    return known;
  }

  async close(): Promise<void> {
    if (this.database.isOpen) this.database.close();
    this.#release();
  }
}

class SqliteTarget extends SqliteEnd implements TargetEnd {
  readonly #path: string;
  readonly #transactions: Transactions;

  constructor(path: string, database: DatabaseSync, release: () => void) {
    super(path, database, release);
    this.#path = path;
    this.#transactions = new Transactions(database);
  }

  async write({ name, columns }: MovedTable, rows: readonly MovedRow[]): Promise<void> {
    const names = Object.keys(columns);
    const insert = this.statement(
      `INSERT INTO ${name} (${names.join(', ')}) VALUES (${names.map(() => '?').join(', ')})`,
    );
    this.#failing('cannot be written', () =>
      this.#transactions.run(() => {
        for (const row of rows) insert.run(...inputs(row));
      }),
    );
  }

  /** As one shard: there is no other. */
  async finish(shards: readonly MovedShard[]): Promise<void> {
    const { epoch, lastSeq, highestId } = furthest(shards);
    const insert = new Statement<never>(
      this.database,
      'INSERT INTO shards (shard, epoch, holder, last_seq, highest_id) VALUES (0, ?, ?, ?, ?)',
    );
    this.#failing('cannot be finished', () => {
      // On disk when it returns, with all that came before.
      this.database.exec('PRAGMA synchronous = FULL; PRAGMA wal_checkpoint(TRUNCATE)');
      syncFolder(dirname(this.#path));
      this.#transactions.run(() => {
        // Of a store that was never used there is none.
        if (lastSeq > 0n || highestId > 0n) insert.run(epoch, 'opsqueue move', lastSeq, highestId);
        this.database.exec(`PRAGMA application_id = ${APPLICATION_ID}`);
      });
      this.database.exec('PRAGMA wal_checkpoint(TRUNCATE)');
    });
  }

  #failing(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      throw toStoreError(error, `${this.name}: ${what}`);
    }
  }
}

function inputs(row: MovedRow): SQLInputValue[] {
  return row as SQLInputValue[];
}

/** So that the name of the file is on disk. */
function syncFolder(folder: string): void {
  if (process.platform === 'win32') return;
  const file = openSync(folder, 'r');
  try {
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
