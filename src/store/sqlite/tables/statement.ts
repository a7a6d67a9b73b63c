import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';

export type Row = readonly SQLOutputValue[];

/** A prepared statement whose integers are bigints (ids exceed 2^53) and whose rows are arrays. */
export class Statement<R extends Row> {
  readonly #statement: StatementSync;

  constructor(database: DatabaseSync, sql: string) {
    this.#statement = database.prepare(sql);
    this.#statement.setReadBigInts(true);
    this.#statement.setReturnArrays(true);
  }

  /** How many rows it changed. */
  run(...parameters: SQLInputValue[]): number {
    return Number(this.#statement.run(...parameters).changes);
  }

  // The columns of a statement are what its SQL says; node:sqlite types know nothing of it.
  get(...parameters: SQLInputValue[]): R | undefined {
    return this.#statement.get(...parameters) as unknown as R | undefined;
  }

  all(...parameters: SQLInputValue[]): R[] {
    return this.#statement.all(...parameters) as unknown as R[];
  }

  iterate(...parameters: SQLInputValue[]): Iterable<R> {
    return this.#statement.iterate(...parameters) as unknown as Iterable<R>;
  }
}
