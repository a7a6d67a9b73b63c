import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { StoreError } from '../../errors.ts';
import { incompleteText } from '../../move/ends.ts';
import { assertKnownReference } from '../import/recognise.ts';
import { isDiskFull, sqliteReason } from '../sqlite-errors.ts';
import { APPLICATION_ID, INCOMPLETE_ID, SCHEMA_VERSION } from '../tables/schema.ts';
import { Statement } from '../tables/statement.ts';

const MAGIC = 'SQLite format 3\0';

/** What is in a file: nothing yet, a database of ours, or one of the original opsqueue. */
export type DatabaseKind = 'empty' | 'ours' | 'reference';

/**
 * Looks at a file without changing a byte of it.
 *
 * @throws StoreError `unusable` for everything that is not ours to open
 */
export function inspectFile(path: string): DatabaseKind {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return 'empty';
  if (!stat.isFile()) throw new StoreError('unusable', `database ${path}: it is not a file`);
  if (stat.size === 0) return 'empty';
  if (!hasMagic(path))
    throw new StoreError('unusable', `database ${path}: the file is not an SQLite database`);
  let database: DatabaseSync | null = null;
  try {
    database = openUntouched(path);
    const kind = inspectDatabase(database, path);
    if (kind === 'reference') assertKnownReference(database, path);
    return kind;
  } catch (cause) {
    if (cause instanceof StoreError) throw cause;
    const storeClass = isDiskFull(cause) ? 'full' : 'unusable';
    throw new StoreError(storeClass, `database ${path}: cannot be read: ${sqliteReason(cause)}`, { cause });
  } finally {
    database?.close();
  }
}

/** The same for a database that is open. */
export function inspectDatabase(database: DatabaseSync, path: string): DatabaseKind {
  const applicationId = pragma(database, 'application_id');
  if (applicationId === APPLICATION_ID) {
    const version = pragma(database, 'user_version');
    if (version > SCHEMA_VERSION) {
      throw new StoreError(
        'unusable',
        `database ${path}: it was written by a newer opsqueue (its schema is number ${version}, this version knows ` +
          `${SCHEMA_VERSION}): use that one`,
      );
    }
    return 'ours';
  }
  if (applicationId === INCOMPLETE_ID) throw new StoreError('unusable', incompleteText(`database ${path}`));
  const tables = tablesOf(database);
  if (tables.includes('_sqlx_migrations')) return 'reference';
  if (tables.length === 0 && applicationId === 0) return 'empty';
  throw new StoreError(
    'unusable',
    `database ${path}: it belongs to another program (its tables: ${tables.slice(0, 5).join(', ') || 'none'})`,
  );
}

/** Tables that tools keep in somebody else's database do not count. */
function tablesOf(database: DatabaseSync): string[] {
  const names = new Statement<readonly [name: string]>(
    database,
    "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name",
  ).all();
  return names
    .map(([name]) => name)
    .filter((name) => !name.startsWith('sqlite_') && !name.startsWith('_litestream_'));
}

export function pragma(database: DatabaseSync, name: string): number {
  const row = new Statement<readonly [value: bigint]>(database, `PRAGMA ${name}`).get();
  return Number(row?.[0] ?? 0n);
}

function hasMagic(path: string): boolean {
  const head = Buffer.alloc(MAGIC.length);
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (cause) {
    throw new StoreError('unusable', `database ${path}: cannot be read: ${(cause as Error).message}`, {
      cause,
    });
  }
  try {
    readSync(file, head, 0, head.length, 0);
  } finally {
    closeSync(file);
  }
  return head.toString('latin1') === MAGIC;
}

/** Without a log of either kind the file is all there is, and SQLite need not create one to read it. */
function openUntouched(path: string): DatabaseSync {
  const url = pathToFileURL(path);
  if (!['-wal', '-journal'].some((log) => existsSync(path + log))) url.searchParams.set('immutable', '1');
  url.searchParams.set('mode', 'ro');
  return new DatabaseSync(url, { readOnly: true, timeout: 5000 });
}
