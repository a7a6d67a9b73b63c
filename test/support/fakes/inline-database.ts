import type { DatabaseSync } from 'node:sqlite';
import { StoreError } from '../../../src/store/errors.ts';
import { Database } from '../../../src/store/sqlite/database.ts';
import type { DatabaseLocation } from '../../../src/store/sqlite/file/location.ts';
import { openDatabase } from '../../../src/store/sqlite/file/open.ts';
import { toStoreError } from '../../../src/store/sqlite/sqlite-errors.ts';
import type {
  DatabaseArguments,
  DatabaseCalls,
  DatabaseMethod,
  DatabaseResult,
} from '../../../src/store/sqlite/thread/protocol.ts';

/** The database on the calling thread: starting a thread for each of hundreds of small tests takes too long. */
export class InlineDatabase implements DatabaseCalls {
  readonly lost = new AbortController().signal;
  readonly database: Database;
  /** SQLite's own handle, for tests that turn its screws. */
  readonly sqlite: DatabaseSync;
  #closed = false;

  constructor(location: DatabaseLocation, nowMs = 1_700_000_000_000) {
    const open = openDatabase(location, nowMs);
    this.sqlite = open.database;
    this.database = new Database(open);
  }

  get isGone(): boolean {
    return this.#closed;
  }

  async call<M extends DatabaseMethod>(method: M, args: DatabaseArguments<M>): Promise<DatabaseResult<M>> {
    if (this.#closed) throw new StoreError('transient', 'the store is closed');
    const run = this.database[method] as (...given: readonly unknown[]) => unknown;
    try {
      return (await run.apply(this.database, [...args])) as DatabaseResult<M>;
    } catch (error) {
      throw toStoreError(error, `the database failed in ${method}`);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.database.close();
  }
}
