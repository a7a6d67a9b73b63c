import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { StoreError } from '../../errors.ts';
import { APPLICATION_ID } from '../tables/schema.ts';
import { Statement } from '../tables/statement.ts';
import { DATABASE_HEADER_BYTES, type DatabaseHeader, readDatabaseHeader } from './file-header.ts';
import { type Found, readLog } from './log-frames.ts';
import { readShardImage, type ShardImage } from './shard-image.ts';

/** Whether a crash left anything in a write-ahead log. */
export function hasLog(path: string): boolean {
  return bytesOf(`${path}-wal`) > 0;
}

/**
 * Refuses a write-ahead log that is not the database file's. SQLite cannot tell: it deletes the log of a file that is
 * missing, and writes the pages of another database's log into a copy that was put in its place.
 *
 * Nothing is written, and only evidence counts: after a crash each page of the file is as one of the log's transactions
 * left it, or as it was before the first of them. What cannot be read, or is not of ours, is left to SQLite. Two things
 * tell the file of the log from others:
 *
 * - Every batch writes the row of its shard: the number of the owner, its name (another one with each start), and the
 *   number of the batch.
 * - The file's schema cookie, which `VACUUM INTO` and `.backup` change in the copy, and of which the row has a copy. It
 *   only rises, but whoever made the copy may have changed it once more: it is compared with the least and the highest.
 *
 * A copy to the byte (`cp`) of what the file was when the log began is not refused, rightly so: with the log it is what
 * the queue knew last.
 *
 * @throws StoreError `unusable`
 */
export function assertLogBelongs(path: string): void {
  const log = `${path}-wal`;
  if (bytesOf(path) === 0) {
    if (readLog(log, () => null) === null) return;
    const state = existsSync(path) ? 'empty' : 'missing';
    throw new StoreError(
      'unusable',
      `database ${path}: the file is ${state}, but its write-ahead log ${log} is there, with what was committed last: ` +
        'put the file back, or move the log away to start without what it holds',
    );
  }
  const reason = mismatch(path, log);
  if (reason === null) return;
  throw new StoreError(
    'unusable',
    `database ${path}: the write-ahead log ${log} belongs to another file (${reason}): if this is a copy that is to be ` +
      `used, move ${log} and ${path}-shm away; else put the file back that was there`,
  );
}

/** The pages that tell something. */
type Evidence =
  | { readonly kind: 'header'; readonly header: DatabaseHeader }
  | { readonly kind: 'shard'; readonly row: ShardImage };

/** Why the log cannot be the file's; null if it can. */
function mismatch(path: string, log: string): string | null {
  const header = readDatabaseHeader(headOf(path));
  if (header === null || header.applicationId !== APPLICATION_ID) return null;
  const own = readRaw(path);
  const contents = readLog(log, (page, image): Evidence | null => {
    if (page === 1) {
      const logged = readDatabaseHeader(image);
      return logged && { kind: 'header', header: logged };
    }
    const row = page === own?.rootPage ? readShardImage(image) : null;
    return row && { kind: 'shard', row };
  });
  if (contents === null) return null;
  if (contents.pageBytes !== header.pageBytes) {
    return `its pages have ${contents.pageBytes} bytes, the file's ${header.pageBytes}`;
  }
  return cookieMismatch(header, contents.found) ?? (own && shardMismatch(own.row, contents.found));
}

function cookieMismatch({ schemaCookie }: DatabaseHeader, found: readonly Found<Evidence>[]): string | null {
  const cookies = found.flatMap(({ value }) => cookieOf(value) ?? []);
  if (cookies.length === 0) return null;
  const least = leastCookie(found);
  const most = cookies.reduce((a, b) => Math.max(a, b));
  if (schemaCookie >= least && schemaCookie <= most) return null;
  return `the schema cookie of its database is ${most}, the file's ${schemaCookie}: it is a copy`;
}

function cookieOf(evidence: Evidence): number | null {
  if (evidence.kind === 'header') return evidence.header.schemaCookie;
  return evidence.row.schemaCookie === null ? null : Number(evidence.row.schemaCookie);
}

/** The cookie before the log began; 0 if it cannot be known, for the schema may have changed before our first batch. */
function leastCookie(found: readonly Found<Evidence>[]): number {
  const shard = found.find(({ value }) => value.kind === 'shard');
  const [first] = found;
  if (shard === undefined || first === undefined || first.transaction < shard.transaction) return 0;
  return cookieOf(shard.value) ?? 0;
}

function shardMismatch(own: ShardImage, found: readonly Found<Evidence>[]): string | null {
  const rows = found.flatMap(({ value }) => (value.kind === 'shard' ? value.row : []));
  const [first] = rows;
  const last = rows.at(-1);
  if (first === undefined || last === undefined) return null;
  if (isBefore(own, first) || rows.some((row) => isSame(own, row))) return null;
  return (
    `it holds batches ${first.lastSeq} to ${last.lastSeq} of start ${last.epoch}, the file ends with batch ` +
    `${own.lastSeq} of start ${own.epoch}${own.epoch === last.epoch && own.holder !== last.holder ? ' of another queue' : ''}`
  );
}

function isSame(one: ShardImage, other: ShardImage): boolean {
  return one.epoch === other.epoch && one.holder === other.holder && one.lastSeq === other.lastSeq;
}

/** A transaction writes the next batch, a new owner, or both. */
function isBefore(row: ShardImage, first: ShardImage): boolean {
  const batches = first.lastSeq - row.lastSeq;
  if (batches !== 0n && batches !== 1n) return false;
  return first.epoch === row.epoch ? first.holder === row.holder : first.epoch - row.epoch === 1n;
}

interface RawShard {
  readonly rootPage: number;
  readonly row: ShardImage;
}

/** The row of the only shard as the file has it, its log left aside; null if that cannot be read. */
function readRaw(path: string): RawShard | null {
  const url = pathToFileURL(path);
  url.searchParams.set('immutable', '1');
  url.searchParams.set('mode', 'ro');
  try {
    using database = new DatabaseSync(url, { readOnly: true });
    const root = new Statement<readonly [bigint]>(
      database,
      "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = 'shards'",
    ).get();
    const rows = new Statement<readonly [bigint, string, bigint]>(
      database,
      'SELECT epoch, holder, last_seq FROM shards',
    ).all();
    const [row] = rows;
    if (root === undefined || row === undefined || rows.length > 1) return null;
    const [epoch, holder, lastSeq] = row;
    return { rootPage: Number(root[0]), row: { epoch, holder, lastSeq, schemaCookie: null } };
  } catch {
    return null;
  }
}

function headOf(path: string): Buffer {
  const file = openSync(path, 'r');
  try {
    const head = Buffer.alloc(DATABASE_HEADER_BYTES);
    return head.subarray(0, readSync(file, head, 0, head.length, 0));
  } finally {
    closeSync(file);
  }
}

/** 0 if it is not there. */
function bytesOf(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
