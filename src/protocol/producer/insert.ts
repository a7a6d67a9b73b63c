import { CHUNKS_PER_SUBMISSION_MAX, DIRECT_CHUNKS_MAX, PREFIX_PATTERN } from '../../model/limits.ts';
import type { RetryPolicy } from '../../model/retry.ts';
import { FAILURE_MODES, type FailureMode, type StrategicMetadata } from '../../model/submission.ts';
import { metaKeyRefusal, metaPairsRefusal } from '../consumer/strategy.ts';
import { JsonShapeError } from '../json/errors.ts';
import { fieldPath, JsonReader } from '../json/reader.ts';
import { formatTimestamp } from '../json/timestamp.ts';
import { JsonWriter } from '../json/writer.ts';
import { readTimeOrNull } from './control.ts';
import { formatRetryPolicy, readRetryPolicy } from './retry.ts';

/** What a producer inserts: the body of `POST /producer/submissions`. */
export interface InsertRequest {
  readonly contents: /** `SeeObjectStorage`: the chunks' inputs lie in the object store, in the folder `prefix`. */
    | { readonly kind: 'object_storage'; readonly prefix: string; readonly count: number }
    /** `Direct`: the queue keeps them. */
    | { readonly kind: 'direct'; readonly contents: readonly (Uint8Array | null)[] };
  readonly metadata: Uint8Array | null;
  readonly strategicMetadata: StrategicMetadata;
  /** Operations per chunk; null, where the producer does not say, means 1. */
  readonly chunkSizeOps: number | null;
  /** Ours: extra field `retry_delay_ms`, absent = 0. */
  readonly retryDelayMs: number;
  /** Ours: extra field `retry`, absent = null: the producer does not say. */
  readonly retry: RetryPolicy | null;
  /** Ours: extra fields `deadline` and `start_after`, in Unix milliseconds; absent = none. */
  readonly deadlineMs?: number | null | undefined;
  readonly startAfterMs?: number | null | undefined;
  /** Ours: extra field `failure_mode`, absent = `fail`. */
  readonly failureMode: FailureMode;
}

const FIELDS = [
  'chunk_contents',
  'metadata',
  'strategic_metadata',
  'chunk_size',
  'retry_delay_ms',
  'retry',
  'deadline',
  'start_after',
  'failure_mode',
] as const;
/** The fields that the reference knows, of which it takes an array as well. */
const FIELDS_OF_REFERENCE = 4;
const VARIANTS = ['SeeObjectStorage', 'Direct'] as const;
const OBJECT_STORAGE_FIELDS = ['prefix', 'count'] as const;
const DIRECT_FIELDS = ['contents'] as const;

/**
 * Reads an insert.
 *
 * @throws JsonSyntaxError for malformed JSON (400), JsonShapeError for any other fault (422)
 */
export function parseInsertRequest(body: Uint8Array | string): InsertRequest {
  const reader = new JsonReader(body);
  let contents: InsertRequest['contents'] | null = null;
  let metadata: Uint8Array | null = null;
  let strategicMetadata: StrategicMetadata = new Map();
  let chunkSizeOps: number | null = null;
  let retryDelayMs = 0;
  let retry: RetryPolicy | null = null;
  let deadlineMs: number | null = null;
  let startAfterMs: number | null = null;
  let failureMode: FailureMode = 'fail';
  const readField = (name: (typeof FIELDS)[number], path: string): void => {
    switch (name) {
      case 'chunk_contents':
        contents = readContents(reader, path);
        break;
      case 'metadata':
        metadata = reader.tryNull(path) ? null : reader.byteContent(path);
        break;
      case 'strategic_metadata':
        strategicMetadata = readCheckedMetadata(reader, path);
        break;
      case 'chunk_size':
        chunkSizeOps = reader.tryNull(path) ? null : readChunkSize(reader, path);
        break;
      case 'retry_delay_ms':
        retryDelayMs = reader.uint(path);
        break;
      case 'retry':
        retry = readRetryPolicy(reader, path);
        break;
      case 'deadline':
        deadlineMs = readTimeOrNull(reader, path);
        break;
      case 'start_after':
        startAfterMs = readTimeOrNull(reader, path);
        break;
      default:
        failureMode = readFailureMode(reader, path);
    }
  };
  const seen = reader.struct('', FIELDS, readField, FIELDS_OF_REFERENCE);
  reader.end();
  if (!seen.has('chunk_contents') || contents === null)
    throw new JsonShapeError('chunk_contents', 'it is missing');
  return {
    contents,
    metadata,
    strategicMetadata,
    chunkSizeOps,
    retryDelayMs,
    retry,
    failureMode,
    ...(deadlineMs === null ? {} : { deadlineMs }),
    ...(startAfterMs === null ? {} : { startAfterMs }),
  };
}

/** Writes an insert, byte for byte as the reference's client does (but for the fields of ours, if there are). */
export function formatInsertRequest(request: InsertRequest): Uint8Array {
  const { contents, chunkSizeOps, retryDelayMs, retry, failureMode } = request;
  const { deadlineMs = null, startAfterMs = null } = request;
  const writer = new JsonWriter();
  if (contents.kind === 'object_storage') {
    writer.raw('{"chunk_contents":{"SeeObjectStorage":{"prefix":').text(contents.prefix);
    writer.raw(',"count":').integer(contents.count).raw('}}');
  } else {
    writer.raw('{"chunk_contents":{"Direct":{"contents":[');
    writer.list(contents.contents, (content) => writer.byteContent(content)).raw(']}}');
  }
  writer.raw(',"metadata":').byteContent(request.metadata);
  writer.raw(',"strategic_metadata":');
  writeStrategicMetadata(writer, request.strategicMetadata);
  writer.raw(',"chunk_size":');
  if (chunkSizeOps === null) writer.raw('null');
  else writer.integer(chunkSizeOps);
  if (retryDelayMs > 0) writer.raw(',"retry_delay_ms":').integer(Math.ceil(retryDelayMs));
  if (retry !== null) writer.raw(`,"retry":${formatRetryPolicy(retry)}`);
  if (deadlineMs !== null) writer.raw(',"deadline":').text(formatTimestamp(deadlineMs));
  if (startAfterMs !== null) writer.raw(',"start_after":').text(formatTimestamp(startAfterMs));
  if (failureMode !== 'fail') writer.raw(',"failure_mode":').text(failureMode);
  return writer.raw('}').finish();
}

export function readFailureMode(reader: JsonReader, field: string): FailureMode {
  const text = reader.text(field);
  const mode = FAILURE_MODES.find((each) => each === text);
  if (mode !== undefined) return mode;
  const got = JSON.stringify(text.slice(0, 60));
  throw new JsonShapeError(field, `one of ${FAILURE_MODES.join(', ')} was expected, not ${got}`);
}

function readContents(reader: JsonReader, field: string): InsertRequest['contents'] {
  if (reader.next(field) === 'text') {
    throw new JsonShapeError(field, `an object with one of ${VARIANTS.join(', ')} was expected, not a text`);
  }
  return reader.variant(field, VARIANTS, (name, path) =>
    name === 'Direct' ? readDirect(reader, path) : readObjectStorage(reader, path),
  );
}

function readObjectStorage(reader: JsonReader, field: string): InsertRequest['contents'] {
  let prefix: string | null = null;
  let count: number | null = null;
  reader.struct(field, OBJECT_STORAGE_FIELDS, (name, path) => {
    if (name === 'prefix') prefix = readPrefix(reader, path);
    else count = readCount(reader, path);
  });
  if (prefix === null) throw new JsonShapeError(`${field}.prefix`, 'it is missing');
  if (count === null) throw new JsonShapeError(`${field}.count`, 'it is missing');
  return { kind: 'object_storage', prefix, count };
}

function readPrefix(reader: JsonReader, field: string): string {
  const prefix = reader.text(field);
  if (PREFIX_PATTERN.test(prefix)) return prefix;
  throw new JsonShapeError(
    field,
    `${JSON.stringify(prefix.slice(0, 60))} cannot be a folder: 1 to 200 of 0-9 A-Z a-z . _ - are, the first a digit or letter`,
  );
}

function readCount(reader: JsonReader, field: string): number {
  const count = reader.uint63(field);
  if (count > CHUNKS_PER_SUBMISSION_MAX) {
    throw new JsonShapeError(
      field,
      `${count} chunks are more than the ${CHUNKS_PER_SUBMISSION_MAX} of a submission`,
    );
  }
  return Number(count);
}

function readDirect(reader: JsonReader, field: string): InsertRequest['contents'] {
  const contents: (Uint8Array | null)[] = [];
  const seen = reader.struct(field, DIRECT_FIELDS, (_name, path) => {
    reader.array(path, (index) => {
      const refusal = directChunksRefusal(index + 1);
      if (refusal !== null) throw new JsonShapeError(path, refusal);
      contents.push(reader.tryNull(path) ? null : reader.byteContent(path));
    });
  });
  if (seen.size === 0) throw new JsonShapeError(`${field}.contents`, 'it is missing');
  return { kind: 'direct', contents };
}

/** Why a `Direct` submission cannot have so many chunks; null if it can. */
export function directChunksRefusal(chunks: number): string | null {
  if (chunks <= DIRECT_CHUNKS_MAX) return null;
  return `${chunks} chunks are more than the ${DIRECT_CHUNKS_MAX} that the queue keeps of a submission`;
}

function readChunkSize(reader: JsonReader, field: string): number {
  const size = reader.int64(field);
  if (size < 1n || size > Number.MAX_SAFE_INTEGER) {
    throw new JsonShapeError(field, `${size} is not between 1 and ${Number.MAX_SAFE_INTEGER}`);
  }
  return Number(size);
}

/** Pairs of a producer, which have limits; one that comes again counts again. */
export function readCheckedMetadata(reader: JsonReader, field: string): Map<string, bigint> {
  const pairs = new Map<string, bigint>();
  let count = 0;
  reader.object(field, (key) => {
    count++;
    const refusal = metaPairsRefusal(count) ?? metaKeyRefusal(key);
    if (refusal !== null) throw new JsonShapeError(field, refusal);
    pairs.set(key, reader.int64(fieldPath(field, key)));
  });
  return pairs;
}

/** Keys are text, values signed 64-bit; of equal keys the last one counts. */
export function readStrategicMetadata(reader: JsonReader, field: string): Map<string, bigint> {
  const pairs = new Map<string, bigint>();
  reader.object(field, (key) => pairs.set(key, reader.int64(fieldPath(field, key))));
  return pairs;
}

export function writeStrategicMetadata(writer: JsonWriter, pairs: StrategicMetadata): void {
  writer.raw('{').list(pairs, ([key, value]) => writer.text(key).raw(':').integer(value));
  writer.raw('}');
}
