import type { DatabaseSync } from 'node:sqlite';
import type { SubmissionId } from '../../../model/ids.ts';
import { Statement } from './statement.ts';

/** Deletes what a submission has in a table: all of it, or a bounded part at a time. */
export class BoundedDelete {
  readonly #all: Statement<never>;
  readonly #below: Statement<never>;
  readonly #nth: Statement<readonly [position: bigint]>;

  /** `column` is the second half of the table's key, after `submission_id`. */
  constructor(database: DatabaseSync, table: string, column: string) {
    this.#all = new Statement(database, `DELETE FROM ${table} WHERE submission_id = ?`);
    this.#below = new Statement(database, `DELETE FROM ${table} WHERE submission_id = ? AND ${column} < ?`);
    this.#nth = new Statement(
      database,
      `SELECT ${column} FROM ${table} WHERE submission_id = ? ORDER BY ${column} LIMIT 1 OFFSET ?`,
    );
  }

  all(id: SubmissionId): void {
    this.#all.run(id);
  }

  /** At most `limit` rows; returns whether all are gone. */
  some(id: SubmissionId, limit: number): boolean {
    const next = this.#nth.get(id, limit);
    if (next) this.#below.run(id, next[0]);
    else this.#all.run(id);
    return next === undefined;
  }
}
