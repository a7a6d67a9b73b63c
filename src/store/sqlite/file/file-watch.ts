import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { StoreError } from '../../errors.ts';
import { DATABASE_HEADER_BYTES, readDatabaseHeader } from './file-header.ts';

interface WatchedFile {
  readonly path: string;
  readonly device: bigint;
  readonly inode: bigint;
}

/**
 * Sees whether the files that SQLite has open are still the ones that a restart would find. A file that was removed or
 * replaced takes every write as before, and all of it is gone with the process.
 *
 * Its descriptor is open as long as SQLite's: closing any descriptor of a file drops all POSIX locks that the process
 * has on it, SQLite's included.
 */
export class FileWatch {
  readonly #path: string;
  readonly #header: number;
  #files: readonly WatchedFile[] = [];
  #schemaCookie = 0;

  /** Before SQLite opens it; the file is there. */
  constructor(path: string) {
    this.#path = path;
    this.#header = openSync(path, 'r');
  }

  /** SQLite has the database and its log open: these are the files from now on. */
  begin(): void {
    this.#files = ['', '-wal', '-shm'].flatMap((suffix) => identify(this.#path + suffix) ?? []);
  }

  /** After SQLite has closed it. */
  close(): void {
    closeSync(this.#header);
  }

  /** The database itself is what a restart would find, whatever became of its log. */
  get isDatabaseInPlace(): boolean {
    const file = this.#files[0];
    return file !== undefined && isSame(identify(file.path), file);
  }

  /** @throws StoreError `transient`: whoever moved a file may put it back */
  assertInPlace(): void {
    for (const file of this.#files) {
      const now = identify(file.path);
      if (isSame(now, file)) continue;
      const what = now === null ? 'removed or renamed' : 'replaced by another file';
      const wayOut =
        file.path === this.#path
          ? 'put it back (the queue then goes on), or stop the queue and restore a backup'
          : 'put it back, or restart the queue: what it held is saved in the database';
      throw new StoreError('transient', `${file.path} was ${what} while the queue runs: ${wayOut}`);
    }
  }

  /**
   * Finds a copy that was written over the file: its schema cookie is another one, whether `VACUUM INTO` or `.backup`
   * made it.
   *
   * @param schemaCookie as SQLite sees it, the log included: the file may be behind, but never ahead
   * @throws StoreError `transient`
   */
  assertNotOverwritten(schemaCookie: number): void {
    const bytes = Buffer.alloc(DATABASE_HEADER_BYTES);
    const length = readSync(this.#header, bytes, 0, DATABASE_HEADER_BYTES, 0);
    const header = readDatabaseHeader(bytes.subarray(0, length));
    if (header !== null && header.schemaCookie >= this.#schemaCookie && header.schemaCookie <= schemaCookie) {
      this.#schemaCookie = header.schemaCookie;
      return;
    }
    throw new StoreError(
      'transient',
      `${this.#path} was overwritten while the queue runs: stop the queue, then restore the backup once more`,
    );
  }
}

function isSame(now: WatchedFile | null, file: WatchedFile): boolean {
  return now?.inode === file.inode && now.device === file.device;
}

function identify(path: string): WatchedFile | null {
  try {
    const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
    return stat === undefined ? null : { path, device: stat.dev, inode: stat.ino };
  } catch (cause) {
    throw new StoreError('transient', `${path} cannot be reached: ${(cause as Error).message}`, { cause });
  }
}
