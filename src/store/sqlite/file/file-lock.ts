import { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../../errors.ts';
import { BUSY, isDiskFull, resultCode, sqliteReason } from '../sqlite-errors.ts';

/**
 * Keeps a second queue away from a database file. SQLite itself would let two processes write one WAL database,
 * and its exclusive locking mode would shut out backup tools such as Litestream; so a second small file,
 * `<file>.lock`, is locked instead. The operating system takes the lock back when the process dies.
 */
export class FileLock {
  readonly #database: DatabaseSync;

  /** @throws StoreError `unusable` if another queue holds it, or the folder cannot be written */
  constructor(path: string) {
    const lockPath = `${path}.lock`;
    try {
      this.#database = new DatabaseSync(lockPath, { timeout: 0 });
    } catch (cause) {
      throw new StoreError(
        'unusable',
        `database ${path}: cannot create ${lockPath}: ${sqliteReason(cause)}`,
        {
          cause,
        },
      );
    }
    try {
      this.#database.exec('BEGIN EXCLUSIVE');
    } catch (cause) {
      this.#database.close();
      const reason =
        resultCode(cause) === BUSY
          ? `it is in use by another queue (which holds ${lockPath})`
          : `cannot lock ${lockPath}: ${sqliteReason(cause)}`;
      throw new StoreError(isDiskFull(cause) ? 'full' : 'unusable', `database ${path}: ${reason}`, { cause });
    }
  }

  release(): void {
    if (this.#database.isOpen) this.#database.close();
  }
}
