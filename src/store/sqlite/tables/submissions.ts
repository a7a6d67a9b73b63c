import type { DatabaseSync } from 'node:sqlite';
import { type Control, NO_CONTROL } from '../../../model/control.ts';
import { SUBMISSION_ID_MAX, type SubmissionId } from '../../../model/ids.ts';
import {
  EMPTY_TRACE_CARRIER,
  END_STATES,
  type EndState,
  FAILURE_MODES,
  type SubmissionEnd,
  type SubmissionRecord,
} from '../../../model/submission.ts';
import {
  formatControl,
  formatRetry,
  formatStrategicMetadata,
  parseControl,
  parseRetry,
  parseStrategicMetadata,
} from '../../codec/values.ts';
import { StoreError } from '../../errors.ts';
import type { DueSubmission } from '../../store.ts';
import { STATE } from './schema.ts';
import { type Blob, Statement } from './statement.ts';

type RecordRow = readonly [
  id: bigint,
  queue: string,
  prefix: string | null,
  chunksTotal: bigint,
  chunkSizeOps: bigint,
  metadata: Blob | null,
  strategicMetadata: string | null,
  otelTraceCarrier: string | null,
  retryDelayMs: number,
  retry: string | null,
  failureMode: bigint,
  control: string | null,
];

type SubmissionRow = readonly [
  ...RecordRow,
  state: bigint,
  endedAtMs: number | null,
  chunksDone: bigint | null,
  failedChunkIndex: bigint | null,
  failedChunkInput: Blob | null,
  failure: string | null,
  endedBy: string | null,
];

/** What was inserted, and what has been changed of it. */
export interface ControlledRecord {
  readonly record: SubmissionRecord;
  readonly control: Control;
}

/** A submission without what the other tables know of it. */
export interface FoundSubmission extends ControlledRecord {
  readonly end: SubmissionEnd | null;
}

/** A submission that can be forgotten, and what there is to delete. */
export interface EndedSubmission {
  readonly id: SubmissionId;
  readonly queue: string;
  /** Of {@link STATE}. */
  readonly state: number;
  readonly isDirect: boolean;
}

const RECORD_COLUMNS = `id, queue, prefix, chunks_total, chunk_size_ops, metadata, strategic_metadata,
  otel_trace_carrier, retry_delay_ms, retry, failure_mode, control`;
const COLUMNS = `${RECORD_COLUMNS}, state, ended_at_ms, chunks_done, failed_chunk_index, failed_chunk_input, failure,
  ended_by`;
/** In the words of the index submissions_ended. */
const IS_ENDED = `state <> ${STATE.open} AND state <> ${STATE.forgotten}`;

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
    const { strategicMetadata, otelTraceCarrier } = record;
    const changes = this.#insert.run(
      record.id,
      record.queue,
      record.prefix,
      record.chunksTotal,
      record.chunkSizeOps,
      record.metadata,
      strategicMetadata.size === 0 ? null : formatStrategicMetadata(strategicMetadata),
      otelTraceCarrier === EMPTY_TRACE_CARRIER ? null : otelTraceCarrier,
      record.retryDelayMs,
      record.retry === null ? null : formatRetry(record.retry),
      FAILURE_MODES.indexOf(record.failureMode),
      control === NO_CONTROL ? null : formatControl(control),
      ...endColumns(end),
      idempotencyKey,
    );
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

function endColumns(end: SubmissionEnd | null) {
  const failed = end !== null && 'failedChunk' in end ? end.failedChunk : null;
  return [
    end === null ? STATE.open : STATE[end.state],
    end?.endedAtMs ?? null,
    end === null || end.state === 'completed' ? null : end.chunksDone,
    failed?.chunkIndex ?? null,
    failed?.inputContent ?? null,
    failed?.failure ?? (end?.state === 'cancelled' ? end.reason : null),
    end?.state === 'cancelled' ? end.by : null,
  ] as const;
}

function controlledRecordOf(row: RecordRow | SubmissionRow): ControlledRecord {
  const control = row[11];
  return { record: recordOf(row), control: control === null ? NO_CONTROL : parseControl(row[0], control) };
}

function recordOf(row: RecordRow | SubmissionRow): SubmissionRecord {
  const [
    id,
    queue,
    prefix,
    chunksTotal,
    chunkSizeOps,
    metadata,
    strategicMetadata,
    otelTraceCarrier,
    retryDelayMs,
    retry,
    failureMode,
  ] = row;
  return {
    id,
    queue,
    prefix,
    chunksTotal: Number(chunksTotal),
    chunkSizeOps: Number(chunkSizeOps),
    metadata,
    strategicMetadata: strategicMetadata === null ? new Map() : parseStrategicMetadata(id, strategicMetadata),
    otelTraceCarrier: otelTraceCarrier ?? EMPTY_TRACE_CARRIER,
    retryDelayMs,
    retry: retry === null ? null : parseRetry(id, retry),
    failureMode: FAILURE_MODES[Number(failureMode)] ?? 'fail',
  };
}

function endOf(row: SubmissionRow): SubmissionEnd | null {
  const [state, endedAt, done, chunkIndex, inputContent, failure, by] = row.slice(12) as [
    bigint,
    number | null,
    bigint | null,
    bigint | null,
    Uint8Array | null,
    string | null,
    string | null,
  ];
  const endedAtMs = endedAt ?? 0;
  const chunksDone = Number(done ?? 0n);
  switch (Number(state)) {
    case STATE.open:
      return null;
    case STATE.completed:
      return { state: 'completed', endedAtMs };
    case STATE.cancelled:
      return { state: 'cancelled', endedAtMs, chunksDone, by, reason: failure };
    case STATE.failed:
    case STATE.completed_with_failures: {
      const failedChunk = { chunkIndex: Number(chunkIndex ?? 0n), inputContent, failure: failure ?? '' };
      const name = Number(state) === STATE.failed ? 'failed' : 'completed_with_failures';
      return { state: name, endedAtMs, chunksDone, failedChunk };
    }
    default:
      throw new StoreError('corrupt', `submission ${row[0]} is in the unknown state ${state}`);
  }
}
