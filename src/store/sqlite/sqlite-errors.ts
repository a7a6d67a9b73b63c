import { isError } from '../../model/kinds.ts';
import { messageOf } from '../../model/thrown.ts';
import { StoreError, type StoreErrorClass } from '../errors.ts';

/** The part of node:sqlite's errors that says what happened. */
interface SqliteError extends Error {
  /** Extended result code; its lowest byte is the class. */
  readonly errcode: number;
  readonly errstr: string;
}

export const BUSY = 5;
const CORRUPT = 11;
const FULL = 13;
const NOTADB = 26;
/** The index of the log cannot be made as large as it must be. */
const IOERR_SHMSIZE = 4874;
/**
 * Error, toobig, constraint, mismatch, misuse, range: our own statements are wrong, or were given what the limits of
 * the model keep out, and trying again does not help.
 */
const BUGS: ReadonlySet<number> = new Set([1, 18, 19, 20, 21, 25]);

export function isSqliteError(error: unknown): error is SqliteError {
  return isError(error) && 'errcode' in error && typeof error.errcode === 'number';
}

/** The lowest byte of SQLite's result code; null if the error is none of SQLite's. */
export function resultCode(error: unknown): number | null {
  return isSqliteError(error) ? error.errcode & 0xff : null;
}

/** Whether there is no room on the disk. */
export function isDiskFull(error: unknown): boolean {
  if (isSqliteError(error)) return resultCode(error) === FULL || error.errcode === IOERR_SHMSIZE;
  return isError(error) && 'code' in error && error.code === 'ENOSPC';
}

/** What an extended code adds to SQLite's words, which are those of its class. */
const DETAILS: Readonly<Record<number, string>> = {
  266: 'reading failed',
  522: 'a file is shorter than it was',
  778: 'writing failed',
  1034: 'flushing to the disk failed',
  1546: 'a file could not be cut',
  1802: 'a file could not be looked at',
  4874: 'the index of the log could not grow',
};

/** SQLite's words with its code, for the end of a sentence. */
export function sqliteReason(error: unknown): string {
  if (isSqliteError(error)) {
    const detail = DETAILS[error.errcode];
    return `${error.message}${detail === undefined ? '' : `, ${detail}`} (SQLite result code ${error.errcode})`;
  }
  return messageOf(error);
}

/** Classes by result code. What is not an I/O problem is not going to pass: it stops the queue rather than the truth. */
export function toStoreError(error: unknown, doing: string): StoreError {
  if (error instanceof StoreError) return error;
  return new StoreError(storeClass(error), `${doing}: ${sqliteReason(error)}`, { cause: error });
}

function storeClass(error: unknown): StoreErrorClass {
  const code = resultCode(error);
  if (code === null || code === CORRUPT || code === NOTADB || BUGS.has(code)) return 'corrupt';
  return isDiskFull(error) ? 'full' : 'transient';
}
