import { createHash } from 'node:crypto';
import { copyFileSync, readFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { serialize } from 'node:v8';
import type { SubmissionId } from '../../../src/model/ids.ts';
import type { SubmissionStatus } from '../../../src/model/submission.ts';
import { parseStatus } from '../../../src/protocol/producer/status.ts';

const FOLDER = new URL('../../fixtures/reference-db/', import.meta.url);

/** Puts a database there that the original server wrote (scripts/reference-database.ts says how). */
export function copyReferenceDatabase(to: string): void {
  copyFileSync(new URL('all-states.db', FOLDER), to);
}

/** What the original server said of each submission of it, by what is special about it. */
export function referenceStatuses(): ReadonlyMap<string, SubmissionStatus> {
  const texts = JSON.parse(readFileSync(new URL('all-states.json', FOLDER), 'utf8')) as Record<
    string,
    string
  >;
  return new Map(
    Object.entries(texts).map(([name, text]) => {
      const status = parseStatus(text);
      if (status === null) throw new Error(`${name}: the original server did not know it`);
      return [name, status];
    }),
  );
}

/** What every table holds, to compare: its number of rows and a digest of them. Rows would make gigabytes of a message. */
export function databaseDigest(filename: string): ReadonlyMap<string, string> {
  using database = new DatabaseSync(filename, { readOnly: true });
  const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").all();
  return new Map(
    tables.map(({ name }) => {
      const rows = database.prepare(`SELECT * FROM ${name}`);
      rows.setReadBigInts(true);
      const hash = createHash('sha256');
      let count = 0;
      for (const row of rows.iterate()) {
        hash.update(serialize(Object.values(row)));
        count++;
      }
      return [String(name), `${count} rows, ${hash.digest('hex')}`];
    }),
  );
}

export interface ReferenceGrowth {
  readonly firstId: SubmissionId;
  readonly submissions: number;
  readonly chunksEach: number;
  /** Every so many chunks, one is done. */
  readonly doneEvery: number;
  /** They are direct submissions, with inputs of this size, if it is set. */
  readonly inputBytes?: number;
}

/** One millisecond: ids of the original begin with the time, and instance and sequence are 0 in all that is grown here. */
const ID_STEP = 1n << 22n;

/** Adds open submissions to a database of the original, in rows such as it writes itself; their ids are a step apart. */
export function growReferenceDatabase(filename: string, growth: ReferenceGrowth): void {
  const { firstId, submissions, chunksEach, doneEvery, inputBytes } = growth;
  const database = new DatabaseSync(filename);
  const fill = (sql: string, ...values: (bigint | number)[]) => void database.prepare(sql).run(...values);
  const isDone = `c % ${doneEvery} = 0`;
  const numbers = (count: string, name: string) =>
    `WITH RECURSIVE n(${name}) AS (SELECT 0 UNION ALL SELECT ${name} + 1 FROM n WHERE ${name} + 1 < ${count})`;
  database.exec('PRAGMA synchronous = OFF; PRAGMA cache_size = -8192; BEGIN');
  fill(
    `${numbers(String(submissions), 's')} INSERT INTO submissions (id, prefix, chunks_total, chunks_done, chunk_size)
     SELECT ? + s * ${ID_STEP}, ${inputBytes === undefined ? "'prefix-' || s" : 'NULL'}, ?, ?, 100 FROM n`,
    firstId,
    chunksEach,
    Math.ceil(chunksEach / doneEvery),
  );
  fill(
    `${numbers(String(submissions), 's')} INSERT INTO submissions_metadata SELECT ? + s * ${ID_STEP}, 'customer', s % 7 FROM n`,
    firstId,
  );
  for (let s = 0; s < submissions; s++) {
    const id = firstId + BigInt(s) * ID_STEP;
    fill(
      `${numbers('?2', 'c')} INSERT INTO chunks (submission_id, chunk_index, input_content, retries)
       SELECT ?1, c, ${inputBytes === undefined ? 'NULL' : `zeroblob(${inputBytes})`}, c % 11 = 1 FROM n WHERE NOT ${isDone}`,
      id,
      chunksEach,
    );
    fill(
      `${numbers('?2', 'c')} INSERT INTO chunks_completed SELECT ?1, c, NULL, julianday('now') FROM n WHERE ${isDone}`,
      id,
      chunksEach,
    );
  }
  database.exec('COMMIT');
  database.close();
}

export interface ReferenceSubmission {
  readonly id: SubmissionId;
  readonly state: SubmissionStatus['state'];
  readonly prefix: string | null;
  readonly chunksTotal: number;
  /** Indexes of finished chunks. */
  readonly done: readonly number[];
  /** Retries of chunks that are not done. */
  readonly tries: ReadonlyMap<number, number>;
}

/** Writes submissions as the original keeps them in each state. */
export function writeReferenceSubmissions(
  filename: string,
  submissions: readonly ReferenceSubmission[],
): void {
  using database = new DatabaseSync(filename);
  const run = (sql: string, ...values: (bigint | number | string | null)[]) =>
    void database.prepare(sql).run(...values);
  database.exec('BEGIN');
  for (const { id, state, prefix, chunksTotal, done, tries } of submissions) {
    const common = [id, prefix, chunksTotal] as const;
    switch (state) {
      case 'in_progress':
        run(
          'INSERT INTO submissions (id, prefix, chunks_total, chunks_done) VALUES (?, ?, ?, ?)',
          ...common,
          done.length,
        );
        for (const [index, retries] of tries) {
          run(
            'INSERT INTO chunks (submission_id, chunk_index, retries) VALUES (?, ?, ?)',
            id,
            index,
            retries,
          );
        }
        break;
      case 'completed':
        run(
          'INSERT INTO submissions_completed (id, prefix, chunks_total, completed_at) VALUES (?, ?, ?, 2461368.5)',
          ...common,
        );
        break;
      case 'failed':
        run(
          `INSERT INTO submissions_failed (id, prefix, chunks_total, failed_chunk_id, failed_at, chunks_done)
           VALUES (?, ?, ?, 0, 2461368.5, ?)`,
          ...common,
          done.length,
        );
        run("INSERT INTO chunks_failed VALUES (?, 0, NULL, 'no', 2461368.5, 0)", id);
        break;
      case 'cancelled':
        run(
          `INSERT INTO submissions_cancelled (id, prefix, chunks_total, chunks_done, cancelled_at)
           VALUES (?, ?, ?, ?, 2461368.5)`,
          ...common,
          done.length,
        );
        break;
      case 'completed_with_failures':
        throw new Error('the original has no such state');
      default:
        state satisfies never;
    }
    for (const index of done) run('INSERT INTO chunks_completed VALUES (?, ?, NULL, 2461368.5)', id, index);
  }
  database.exec('COMMIT');
}
