import { type Cancellation, type StatusControl, UNKNOWN_CANCELLATION } from '../../model/control.ts';
import type { RetryPolicy } from '../../model/retry.ts';
import type { FailedChunk, FailureMode, StatusRecord, SubmissionStatus } from '../../model/submission.ts';
import { EMPTY_TRACE_CARRIER } from '../../model/submission.ts';
import { JsonShapeError } from '../json/errors.ts';
import { JsonReader } from '../json/reader.ts';
import { formatTimestamp, parseTimestamp } from '../json/timestamp.ts';
import { JsonWriter } from '../json/writer.ts';
import { formatStatusControl, readStatusControl } from './control.ts';
import { readFailureMode, readStrategicMetadata, writeStrategicMetadata } from './insert.ts';
import { formatRetryPolicy, readRetryPolicy } from './retry.ts';

/**
 * A status as JSON (also the body of a 409 to a cancel); `null` for an unknown submission.
 *
 * @param isExtended for clients of ours: with what the original leaves out where a submission was cancelled, and with
 *   the retries, and what verbs have changed
 */
export function formatStatus(status: SubmissionStatus | null, isExtended = false): Uint8Array {
  const writer = new JsonWriter();
  if (status === null) return writer.raw('null').finish();
  const { record } = status;
  switch (status.state) {
    case 'in_progress':
      writeHead(writer.raw('{"InProgress":'), record);
      writer.raw(',"chunks_done":').integer(status.chunksDone);
      writeChunkSizeAndMetadata(writer, record, isExtended);
      break;
    case 'completed':
      writeHead(writer.raw('{"Completed":'), record);
      writeChunkSizeAndMetadata(writer, record, isExtended);
      writer.raw(',"completed_at":').text(formatTimestamp(status.endedAtMs));
      break;
    case 'failed':
      writeHead(writer.raw('{"Failed":['), record);
      writer.raw(',"chunks_done":').raw(String(status.chunksDone));
      writeChunkSizeAndMetadata(writer, record, isExtended);
      writer.raw(',"failed_at":').text(formatTimestamp(status.endedAtMs));
      writer.raw(',"failed_chunk_id":').integer(status.failedChunk.chunkIndex);
      break;
    case 'completed_with_failures':
      // As one that failed: clients of the original know no other end with a failure.
      writeHead(writer.raw('{"Failed":['), record);
      writer.raw(',"chunks_done":').integer(status.chunksDone);
      writeChunkSizeAndMetadata(writer, record, isExtended);
      writer.raw(',"failed_at":').text(formatTimestamp(status.endedAtMs));
      writer.raw(',"failed_chunk_id":').integer(status.failedChunk.chunkIndex);
      break;
    case 'cancelled':
      writeHead(writer.raw('{"Cancelled":'), record);
      writer.raw(',"chunks_done":').integer(status.chunksDone);
      if (isExtended) writeChunkSizeAndMetadata(writer, record, isExtended);
      else writeMetadata(writer, record);
      writer.raw(',"cancelled_at":').text(formatTimestamp(status.endedAtMs));
      if (!isExtended) return writer.raw('}}').finish();
      break;
    default:
      status satisfies never;
  }
  writer.raw(',"otel_trace_carrier":').text(record.otelTraceCarrier);
  if (isExtended) {
    writeRetries(writer, record);
    if (record.control !== undefined) writer.raw(`,"control":${formatStatusControl(record.control)}`);
    if (status.state === 'cancelled') writeCancellation(writer, status.cancellation);
    if (record.failureMode !== 'fail') writer.raw(',"failure_mode":').text(record.failureMode);
    const chunksFailed = chunksFailedOf(status);
    if (chunksFailed !== null) writer.raw(',"chunks_failed":').integer(chunksFailed);
  }
  writer.raw('}');
  if ('failedChunk' in status) {
    writer.raw(',');
    writeFailedChunk(writer, status, isExtended);
    writer.raw(']');
  }
  return writer.raw('}').finish();
}

function writeHead(writer: JsonWriter, record: StatusRecord): void {
  writer.raw('{"id":').integer(record.id);
  writer.raw(',"prefix":').textOrNull(record.prefix);
  writer.raw(',"chunks_total":').integer(record.chunksTotal);
}

function writeChunkSizeAndMetadata(writer: JsonWriter, record: StatusRecord, isExtended: boolean): void {
  writer.raw(',"chunk_size":');
  // Clients of the original read a number; it tells them 1 where it does not know.
  if (record.chunkSizeOps !== null) writer.integer(record.chunkSizeOps);
  else writer.raw(isExtended ? 'null' : '1');
  writeMetadata(writer, record);
}

function writeMetadata(writer: JsonWriter, record: StatusRecord): void {
  writer.raw(',"metadata":').byteContent(record.metadata);
  writer.raw(',"strategic_metadata":');
  writeStrategicMetadata(writer, record.strategicMetadata);
}

/** As in an insert: each is left out where it was not set. */
function writeRetries(writer: JsonWriter, { retry, retryDelayMs }: StatusRecord): void {
  if (retryDelayMs > 0) writer.raw(',"retry_delay_ms":').integer(Math.ceil(retryDelayMs));
  if (retry !== null) writer.raw(`,"retry":${formatRetryPolicy(retry)}`);
}

/** Each is left out where it is not known. */
function writeCancellation(writer: JsonWriter, { by, reason }: Cancellation = UNKNOWN_CANCELLATION): void {
  if (by !== null) writer.raw(',"cancelled_by":').text(by);
  if (reason !== null) writer.raw(',"cancel_reason":').text(reason);
}

/** How many chunks are set aside; null where none can be. */
function chunksFailedOf(status: SubmissionStatus): number | null {
  if (status.state === 'completed_with_failures') return status.record.chunksTotal - status.chunksDone;
  const isCollecting = status.state === 'in_progress' && status.record.failureMode === 'collect';
  return isCollecting ? status.chunksFailed : null;
}

type StatusWithFailure = Extract<SubmissionStatus, { state: 'failed' | 'completed_with_failures' }>;

/** Clients that take it for a submission that failed are told how many chunks have. */
function failureOf(status: StatusWithFailure, isExtended: boolean): string {
  const { chunkIndex, failure } = status.failedChunk;
  if (isExtended || status.state === 'failed') return failure;
  const { chunksTotal } = status.record;
  const chunksFailed = chunksTotal - status.chunksDone;
  const which = chunksFailed === 1 ? `, chunk ${chunkIndex}` : `; the first, chunk ${chunkIndex}`;
  return `${chunksFailed} of ${chunksTotal} chunks failed${which}: ${failure}`;
}

function writeFailedChunk(writer: JsonWriter, status: StatusWithFailure, isExtended: boolean): void {
  const { chunkIndex, inputContent } = status.failedChunk;
  writer.raw('{"submission_id":').integer(status.record.id);
  writer.raw(',"chunk_index":').integer(chunkIndex);
  writer.raw(',"input_content":').byteContent(inputContent);
  writer.raw(',"failure":').text(failureOf(status, isExtended));
  writer.raw(',"failed_at":').text(formatTimestamp(status.endedAtMs)).raw('}');
}

const STATES = ['InProgress', 'Completed', 'Failed', 'Cancelled'] as const;
const SUBMISSION_FIELDS = [
  'id',
  'prefix',
  'chunks_total',
  'chunks_done',
  'chunk_size',
  'metadata',
  'strategic_metadata',
  'otel_trace_carrier',
  'completed_at',
  'failed_at',
  'cancelled_at',
  'failed_chunk_id',
  'retry_delay_ms',
  'retry',
  'control',
  'cancelled_by',
  'cancel_reason',
  'failure_mode',
  'chunks_failed',
] as const;
/** The original's, which a status in the form of an array has. */
const ORIGINAL_FIELDS = 12;
const FAILED_CHUNK_FIELDS = [
  'submission_id',
  'chunk_index',
  'input_content',
  'failure',
  'failed_at',
] as const;

/** What a status says of a submission, whatever its state. */
interface Submission {
  readonly record: StatusRecord;
  readonly chunksDone: number | null;
  /** null where it is not told. */
  readonly chunksFailed: number | null;
  readonly endedAtMs: number | null;
  readonly cancellation: Cancellation;
}

/**
 * Reads a status, also of an older server that leaves out `strategic_metadata`, `chunks_done` or `chunk_size`.
 *
 * @throws JsonSyntaxError or JsonShapeError
 */
export function parseStatus(body: Uint8Array | string): SubmissionStatus | null {
  const reader = new JsonReader(body);
  const status = reader.tryNull('')
    ? null
    : reader.variant('', STATES, (state, path) => readState(reader, state, path));
  reader.end();
  return status;
}

function readState(reader: JsonReader, state: (typeof STATES)[number], field: string): SubmissionStatus {
  if (state === 'Failed') return readFailed(reader, field);
  const { record, chunksDone, chunksFailed, endedAtMs, cancellation } = readSubmission(reader, field);
  if (state === 'InProgress') {
    return { state: 'in_progress', record, chunksDone: chunksDone ?? 0, chunksFailed: chunksFailed ?? 0 };
  }
  if (endedAtMs === null) throw new JsonShapeError(field, 'the time of its end is missing');
  return state === 'Completed'
    ? { state: 'completed', record, endedAtMs }
    : { state: 'cancelled', record, endedAtMs, chunksDone: chunksDone ?? 0, ...told(cancellation) };
}

function told(cancellation: Cancellation): { readonly cancellation?: Cancellation } {
  return cancellation.by === null && cancellation.reason === null ? {} : { cancellation };
}

function readFailed(reader: JsonReader, field: string): SubmissionStatus {
  let submission: Submission | null = null;
  let failedChunk: FailedChunk | null = null;
  reader.array(field, (index) => {
    if (index === 0) submission = readSubmission(reader, `${field}[0]`);
    else if (index === 1) failedChunk = readFailedChunk(reader, `${field}[1]`);
    else reader.skip(field);
  });
  if (submission === null || failedChunk === null) throw new JsonShapeError(field, 'a pair was expected');
  const { record, chunksDone, chunksFailed, endedAtMs } = submission as Submission;
  if (endedAtMs === null) throw new JsonShapeError(field, 'failed_at is missing');
  if (chunksFailed !== null) {
    const done = record.chunksTotal - chunksFailed;
    return { state: 'completed_with_failures', record, endedAtMs, chunksDone: done, failedChunk };
  }
  return { state: 'failed', record, endedAtMs, chunksDone, failedChunk };
}

function readSubmission(reader: JsonReader, field: string): Submission {
  let id: bigint | null = null;
  let prefix: string | null = null;
  let chunksTotal: number | null = null;
  let chunksDone: number | null = null;
  let chunkSizeOps: number | null = null;
  let metadata: Uint8Array | null = null;
  let strategicMetadata = new Map<string, bigint>();
  let otelTraceCarrier = EMPTY_TRACE_CARRIER;
  let endedAtMs: number | null = null;
  let retryDelayMs = 0;
  let retry: RetryPolicy | null = null;
  let control: StatusControl | undefined;
  let by: string | null = null;
  let reason: string | null = null;
  let failureMode: FailureMode = 'fail';
  let chunksFailed: number | null = null;
  const readField = (name: (typeof SUBMISSION_FIELDS)[number], path: string): void => {
    if (name !== 'id' && reader.tryNull(path)) return;
    switch (name) {
      case 'id':
        id = reader.uint63(path);
        break;
      case 'prefix':
        prefix = reader.text(path);
        break;
      case 'chunks_total':
        chunksTotal = reader.uint(path);
        break;
      case 'chunks_done':
        chunksDone = reader.uint(path);
        break;
      case 'chunk_size':
        chunkSizeOps = chunkSize(Number(reader.int64(path)));
        break;
      case 'metadata':
        metadata = reader.byteContent(path);
        break;
      case 'strategic_metadata':
        strategicMetadata = readStrategicMetadata(reader, path);
        break;
      case 'otel_trace_carrier':
        otelTraceCarrier = reader.text(path);
        break;
      case 'retry_delay_ms':
        retryDelayMs = reader.uint(path);
        break;
      case 'retry':
        retry = readRetryPolicy(reader, path);
        break;
      case 'control':
        control = readStatusControl(reader, path);
        break;
      case 'cancelled_by':
        by = reader.text(path);
        break;
      case 'cancel_reason':
        reason = reader.text(path);
        break;
      case 'failure_mode':
        failureMode = readFailureMode(reader, path);
        break;
      case 'chunks_failed':
        chunksFailed = reader.uint(path);
        break;
      case 'failed_chunk_id':
        // Told again in the failed chunk itself.
        reader.skip(path);
        break;
      default:
        endedAtMs = parseTimestamp(reader.text(path), path);
    }
  };
  reader.struct(field, SUBMISSION_FIELDS, readField, ORIGINAL_FIELDS);
  if (id === null) throw new JsonShapeError(`${field}.id`, 'it is missing');
  if (chunksTotal === null) throw new JsonShapeError(`${field}.chunks_total`, 'it is missing');
  const record = {
    id,
    prefix,
    chunksTotal,
    chunkSizeOps,
    metadata,
    strategicMetadata,
    otelTraceCarrier,
    retryDelayMs,
    retry,
    failureMode,
    ...(control === undefined ? {} : { control }),
  };
  return { record, chunksDone, chunksFailed, endedAtMs, cancellation: { by, reason } };
}

/** The original takes 0 and negative numbers from producers, and hands them on. */
function chunkSize(told: number): number | null {
  return told >= 1 ? told : null;
}

/** One as it stands in a status, and in a listing of them. */
export function readFailedChunk(reader: JsonReader, field: string): FailedChunk {
  let chunkIndex: number | null = null;
  let inputContent: Uint8Array | null = null;
  let failure = '';
  reader.struct(field, FAILED_CHUNK_FIELDS, (name, path) => {
    if (name === 'chunk_index') chunkIndex = reader.uint(path);
    else if (name === 'input_content') inputContent = reader.tryNull(path) ? null : reader.byteContent(path);
    else if (name === 'failure') failure = reader.text(path);
    else reader.skip(path);
  });
  if (chunkIndex === null) throw new JsonShapeError(`${field}.chunk_index`, 'it is missing');
  return { chunkIndex, inputContent, failure };
}
