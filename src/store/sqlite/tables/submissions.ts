import type { DatabaseSync } from 'node:sqlite';
import type { Control } from '../../../model/control.ts';
import { SUBMISSION_ID_MAX, type SubmissionId } from '../../../model/ids.ts';
import {
  END_STATES,
  type EndState,
  type SubmissionEnd,
  type SubmissionRecord,
} from '../../../model/submission.ts';
import {
  COLUMNS,
  type ControlledRecord,
  controlledRecordOf,
  endColumns,
  endOf,
  type FoundSubmission,
  IS_ENDED,
  RECORD_COLUMNS,
  type RecordRow,
  STATE,
  type SubmissionRow,
  submissionColumns,
} from '../../codec/submission-row.ts';
import { formatControl } from '../../codec/values.ts';
import type { DueSubmission } from '../../store.ts';
import { Statement } from './statement.ts';

/** A submission that can be forgotten, and what there is to delete. */
export interface EndedSubmission {
  readonly id: SubmissionId;
  readonly queue: string;
  /** Of {@link STATE}. */
  readonly state: number;
  readonly isDirect: boolean;
}

export class SubmissionsTable {
  readonly #insert: Statement<never>;
  readonly #end: Statement<readonly [queue: string]>;
  readonly #control: Statement<never>;
  readonly #reopen: Statement<never>;
  readonly #find: Statement<SubmissionRow>;
  readonly #idByPrefix: Statement<readonly [id: bigint]>;
  readonly #idByIdempotencyKey: Statement<readonly [id: bigint]>;
  readonly #open: Statement<RecordRow>;
  readonly #counts: Statement<readonly [queue: string, state: bigint, count: bigint]>;
  readonly #lastEnded: Statement<readonly [id: bigint]>;
  readonly #due: Statement<readonly [id: bigint, endedAtMs: number]>;
  readonly #ended: Statement<readonly [queue: string, state: bigint, isDirect: bigint]>;
  readonly #forget: Statement<never>;
  readonly #forgotten: Statement<readonly [id: bigint]>;
  readonly #delete: Statement<never>;

  constructor(database: DatabaseSync) {
    this.#insert = new Statement(
      database,
      `INSERT INTO submissions (${COLUMNS}, idempotency_key)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
    );
    this.#end = new Statement(
      database,
      `UPDATE submissions SET state = ?, ended_at_ms = ?, chunks_done = ?, failed_chunk_index = ?,
       failed_chunk_input = ?, failure = ?, ended_by = ? WHERE id = ? AND state = ${STATE.open} RETURNING queue`,
    );
    this.#control = new Statement(
      database,
      `UPDATE submissions SET control = ? WHERE id = ? AND state = ${STATE.open}`,
    );
    this.#reopen = new Statement(
      database,
      `UPDATE submissions SET state = ${STATE.open}, ended_at_ms = NULL, chunks_done = NULL, failed_chunk_index = NULL,
       failed_chunk_input = NULL, failure = NULL, ended_by = NULL WHERE id = ? AND state NOT IN (${STATE.completed}, ${STATE.forgotten})`,
    );
    this.#find = new Statement(
      database,
      `SELECT ${COLUMNS} FROM submissions WHERE id = ? AND state <> ${STATE.forgotten}`,
    );
    this.#idByPrefix = new Statement(
      database,
      'SELECT id FROM submissions INDEXED BY submissions_by_prefix WHERE prefix = ? ORDER BY id LIMIT 1',
    );
    this.#idByIdempotencyKey = new Statement(
      database,
      'SELECT id FROM submissions WHERE idempotency_key = ?',
    );
    this.#open = new Statement(
      database,
      `SELECT ${RECORD_COLUMNS} FROM submissions INDEXED BY submissions_open
       WHERE state = ${STATE.open} AND id >= ? ORDER BY id LIMIT ?`,
    );
    this.#counts = new Statement(
      database,
      `SELECT queue, state, count(*) FROM submissions INDEXED BY submissions_ended
       WHERE ${IS_ENDED} GROUP BY queue, state`,
    );
    const endedInState = (state: number) =>
      `SELECT id FROM (SELECT id FROM submissions INDEXED BY submissions_ended
       WHERE ${IS_ENDED} AND queue = ? AND state = ${state} AND id <= ? ORDER BY id DESC LIMIT ?)`;
    // One short walk in each state: a single one by id would have to pass every open submission.
    this.#lastEnded = new Statement(
      database,
      `${END_STATES.map((state) => endedInState(STATE[state])).join(' UNION ALL ')}
       ORDER BY id DESC LIMIT ?`,
    );
    this.#due = new Statement(
      database,
      `SELECT id, ended_at_ms FROM submissions INDEXED BY submissions_by_end
       WHERE (ended_at_ms, id) > (?, ?) AND ended_at_ms < ? ORDER BY ended_at_ms, id LIMIT ?`,
    );
    this.#ended = new Statement(
      database,
      'SELECT queue, state, prefix IS NULL FROM submissions WHERE id = ? AND ended_at_ms IS NOT NULL',
    );
    this.#forget = new Statement(
      database,
      `UPDATE submissions SET state = ${STATE.forgotten}, ended_at_ms = NULL, prefix = NULL, idempotency_key = NULL
       WHERE id = ?`,
    );
    this.#forgotten = new Statement(
      database,
      `SELECT id FROM submissions INDEXED BY submissions_forgotten WHERE state = ${STATE.forgotten} LIMIT 1`,
    );
    this.#delete = new Statement(database, 'DELETE FROM submissions WHERE id = ?');
  }

  /** false if a submission of that id was there. */
  insert(
    record: SubmissionRecord,
    control: Control,
    end: SubmissionEnd | null,
    idempotencyKey: string | null,
  ): boolean {
    const changes = this.#insert.run(...submissionColumns(record, control, end), idempotencyKey);
    return changes === 1;
  }

  /** Gives its queue; null if it was not open. */
  end(id: SubmissionId, end: SubmissionEnd): string | null {
    return this.#end.get(...endColumns(end), id)?.[0] ?? null;
  }

  /** Nothing happens if it is not open. */
  control(id: SubmissionId, control: Control): void {
    this.#control.run(formatControl(control), id);
  }

  /** What has ended otherwise than by completion is open again. */
  reopen(id: SubmissionId): void {
    this.#reopen.run(id);
  }

  find(id: SubmissionId): FoundSubmission | null {
    const row = this.#find.get(id);
    return row ? { ...controlledRecordOf(row), end: endOf(row) } : null;
  }

  /** The oldest one of that prefix. */
  idByPrefix(prefix: string): SubmissionId | null {
    return this.#idByPrefix.get(prefix)?.[0] ?? null;
  }

  idByIdempotencyKey(key: string): SubmissionId | null {
    return this.#idByIdempotencyKey.get(key)?.[0] ?? null;
  }

  /** Open submissions by id, from that one on. */
  open(fromId: SubmissionId, limit: number): ControlledRecord[] {
    return this.#open.all(fromId, limit).map(controlledRecordOf);
  }

  /** How many have ended, in each queue and state. */
  counts(): (readonly [queue: string, state: number, count: number])[] {
    return this.#counts.all().map(([queue, state, count]) => [queue, Number(state), Number(count)]);
  }

  /** Ids of the queue's submissions below `before` that ended in that state (null: in any), the newest first. */
  lastEnded(
    queue: string,
    state: EndState | null,
    before: SubmissionId | null,
    limit: number,
  ): SubmissionId[] {
    // A state that is not asked for is one short walk that finds nothing: no id is below 0.
    const walks = END_STATES.flatMap((each) => {
      if (state !== null && state !== each) return [queue, -1n, 0];
      return [queue, before === null ? SUBMISSION_ID_MAX : before - 1n, limit];
    });
    return this.#lastEnded.all(...walks, limit).map(([id]) => id);
  }

  /** Ended before that time, the longest ago first, then by id; those that come after `after`. */
  due(endedBeforeMs: number, after: DueSubmission | null, limit: number): DueSubmission[] {
    const { endedAtMs, id } = after ?? { endedAtMs: Number.NEGATIVE_INFINITY, id: 0n };
    return this.#due
      .all(endedAtMs, id, endedBeforeMs, limit)
      .map((row) => ({ id: row[0], endedAtMs: row[1] }));
  }

  /** null for one that is open, forgotten, or unknown. */
  ended(id: SubmissionId): EndedSubmission | null {
    const row = this.#ended.get(id);
    return row ? { id, queue: row[0], state: Number(row[1]), isDirect: row[2] === 1n } : null;
  }

  /** No look-up finds it any more; what belongs to it can be deleted bit by bit. */
  forget(id: SubmissionId): void {
    this.#forget.run(id);
  }

  /** One that waits for being deleted. */
  forgotten(): SubmissionId | null {
    return this.#forgotten.get()?.[0] ?? null;
  }

  delete(id: SubmissionId): void {
    this.#delete.run(id);
  }
}
