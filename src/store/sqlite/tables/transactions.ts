import type { DatabaseSync } from 'node:sqlite';
import { Statement } from './statement.ts';

/** Runs work as one transaction. */
export class Transactions {
  readonly #database: DatabaseSync;
  readonly #begin: Statement<never>;
  readonly #commit: Statement<never>;
  readonly #rollback: Statement<never>;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#begin = new Statement(database, 'BEGIN IMMEDIATE');
    this.#commit = new Statement(database, 'COMMIT');
    this.#rollback = new Statement(database, 'ROLLBACK');
  }

  /** When it returns, what was written is on disk; when it throws, nothing of it is there, as far as one can tell. */
  run<T>(work: () => T): T {
    // Left over if the rollback itself failed the last time.
    if (this.#database.isTransaction) this.#rollback.run();
    this.#begin.run();
    try {
      const result = work();
      this.#commit.run();
      return result;
    } catch (error) {
      // SQLite has often rolled back by itself: after an I/O error, or when the disk is full.
      if (this.#database.isTransaction) this.#rollbackQuietly();
      throw error;
    }
  }

  #rollbackQuietly(): void {
    try {
      this.#rollback.run();
    } catch {
      // The error that led here says more; the next transaction tries again.
    }
  }
}
