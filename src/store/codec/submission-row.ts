/** What the columns of a submission hold: the same in every store that speaks SQL. */
import { type Control, NO_CONTROL } from '../../model/control.ts';
import {
  EMPTY_TRACE_CARRIER,
  FAILURE_MODES,
  type SubmissionEnd,
  type SubmissionRecord,
} from '../../model/submission.ts';
import { StoreError } from '../errors.ts';
import {
  formatControl,
  formatRetry,
  formatStrategicMetadata,
  parseControl,
  parseRetry,
  parseStrategicMetadata,
} from './values.ts';

/** The states of a row. */
export const STATE = {
  open: 0,
  completed: 1,
  failed: 2,
  cancelled: 3,
  forgotten: 4,
  completed_with_failures: 5,
} as const;

/** In the words of the index `submissions_ended`. */
export const IS_ENDED = `state <> ${STATE.open} AND state <> ${STATE.forgotten}`;

/** Bytes as an engine gives them out: a buffer of their own. */
export type Blob = Uint8Array<ArrayBuffer>;

export type RecordRow = readonly [
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

export type SubmissionRow = readonly [
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

export const RECORD_COLUMNS = `id, queue, prefix, chunks_total, chunk_size_ops, metadata, strategic_metadata,
  otel_trace_carrier, retry_delay_ms, retry, failure_mode, control`;
/** All columns but `idempotency_key`, in the order of {@link SubmissionRow}. */
export const COLUMNS = `${RECORD_COLUMNS}, state, ended_at_ms, chunks_done, failed_chunk_index, failed_chunk_input, failure,
  ended_by`;

/** What goes into all COLUMNS. */
export function submissionColumns(record: SubmissionRecord, control: Control, end: SubmissionEnd | null) {
  const { strategicMetadata, otelTraceCarrier } = record;
  return [
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
  ] as const;
}

/** The columns from `state` on. */
export function endColumns(end: SubmissionEnd | null) {
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

export function controlledRecordOf(row: RecordRow | SubmissionRow): ControlledRecord {
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

export function endOf(row: SubmissionRow): SubmissionEnd | null {
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
