import type { ChunkId } from '../../model/ids.ts';
import { EMPTY_TRACE_CARRIER, type SubmissionFacts } from '../../model/submission.ts';
import { CborReader } from '../cbor/reader.ts';
import { CborWriter, encodedNames, encodedRun, HEAD_BYTES_MAX, textSizeMax } from '../cbor/writer.ts';
import { CHUNK_ID_SIZE_MAX, readChunkId, writeChunkId } from './chunk-id.ts';
import type { EncodeOptions } from './client-messages.ts';
import { encodeReserved, prepareSubmission } from './reserved.ts';
import type { InitMessage, Nonce, ReservedChunkMessage, ServerMessage } from './types.ts';

const INIT = [4, 5, 6].map((fields) =>
  encodedRun({ map: 1 }, 'Init', { map: fields }, 'max_missable_heartbeats'),
);
const HEARTBEAT_INTERVAL = encodedRun('heartbeat_interval', { map: 2 }, 'secs');
const NANOS = encodedRun('nanos');
const VERSION_INFO = encodedRun('version_info');
const CONN_ID = encodedRun('conn_id');
const FEATURES = encodedRun('features');
const RESERVATION_EXPIRATION_MS = encodedRun('reservation_expiration_ms');
const SYNC = encodedRun({ map: 1 }, 'Sync', { map: 2 }, 'nonce');
const ERR = encodedRun('contents', { map: 1 }, 'ChunksReserved', { map: 1 }, 'Err');
const EXPIRED = encodedRun({ map: 1 }, 'Async', { map: 1 }, 'ChunkReservationExpired');
const DROPPED = encodedRun({ map: 1 }, 'Async', { map: 1 }, 'ChunkDropped', { map: 3 }, 'submission_id');
const CHUNK_INDEX = encodedRun('chunk_index');
const REASON = encodedRun('reason');

/** More than the constant names and the integers of any message take. */
const FIXED_SIZE_MAX = 192 + CHUNK_ID_SIZE_MAX;

/** A message of the server. The server itself answers reservations through {@link encodeReserved}, which is faster. */
export function encodeServerMessage(message: ServerMessage, options: EncodeOptions = {}): Uint8Array {
  switch (message.kind) {
    case 'init':
      return encodeInit(message);
    case 'reserved':
      return encodeReserved(
        message.nonce,
        message.chunks.map((item) => ({
          submission: prepareSubmission(item.submission),
          chunksDone: item.chunksDone,
          chunkIndex: item.chunk.chunkIndex,
          retries: item.retries,
          inputContent: item.inputContent,
        })),
        options,
      );
    case 'reserve_refused':
      return encodeRefused(message.nonce, message.reason);
    case 'expired': {
      const writer = new CborWriter(FIXED_SIZE_MAX);
      writer.raw(EXPIRED);
      writeChunkId(writer, message.chunk);
      return writer.finish();
    }
    case 'dropped': {
      const writer = new CborWriter(FIXED_SIZE_MAX + textSizeMax(message.reason));
      writer.raw(DROPPED);
      writer.int(message.chunk.submissionId);
      writer.raw(CHUNK_INDEX);
      writer.uint(message.chunk.chunkIndex);
      writer.raw(REASON);
      writer.text(message.reason);
      return writer.finish();
    }
  }
}

function encodeInit(message: InitMessage): Uint8Array {
  const { features, versionInfo, connId, reservationExpirationMs } = message;
  const featuresSize = features.reduce((size, feature) => size + textSizeMax(feature), HEAD_BYTES_MAX);
  const writer = new CborWriter(
    FIXED_SIZE_MAX + textSizeMax(versionInfo) + textSizeMax(connId) + featuresSize,
  );
  const seconds = Math.floor(message.heartbeatIntervalMs / 1000);
  const extraFields = (features.length > 0 ? 1 : 0) + (reservationExpirationMs === undefined ? 0 : 1);
  writer.raw(INIT[extraFields]!);
  writer.uint(message.missableHeartbeatsMax);
  writer.raw(HEARTBEAT_INTERVAL);
  writer.uint(seconds);
  writer.raw(NANOS);
  writer.uint(Math.round((message.heartbeatIntervalMs - seconds * 1000) * 1e6));
  writer.raw(VERSION_INFO);
  writer.text(versionInfo);
  writer.raw(CONN_ID);
  writer.text(connId);
  if (features.length > 0) {
    writer.raw(FEATURES);
    writer.array(features.length);
    for (const feature of features) writer.text(feature);
  }
  if (reservationExpirationMs !== undefined) {
    writer.raw(RESERVATION_EXPIRATION_MS);
    writer.uint(Math.ceil(reservationExpirationMs));
  }
  return writer.finish();
}

function encodeRefused(nonce: Nonce, reason: string | null): Uint8Array {
  const writer = new CborWriter(FIXED_SIZE_MAX + textSizeMax(reason ?? ''));
  writer.raw(SYNC);
  writer.int(nonce);
  writer.raw(ERR);
  writer.array(reason === null ? 0 : 1);
  if (reason !== null) writer.text(reason);
  return writer.finish();
}

const KINDS = encodedNames('Sync', 'Async', 'Init');
const SYNC_FIELDS = encodedNames('nonce', 'contents');
const SYNC_KINDS = encodedNames('ChunksReserved');
const RESULT_KINDS = encodedNames('Ok', 'Err');
const DROPPED_FIELDS = encodedNames('submission_id', 'chunk_index', 'reason');
const INIT_FIELDS = encodedNames(
  'max_missable_heartbeats',
  'heartbeat_interval',
  'version_info',
  'conn_id',
  'features',
  'reservation_expiration_ms',
);
const DURATION_FIELDS = encodedNames('secs', 'nanos');

/**
 * A message of a server, ours or the reference's, older ones included.
 *
 * @throws ProtocolError for garbage
 */
export function decodeServerMessage(bytes: Uint8Array): ServerMessage {
  const reader = new CborReader(bytes);
  switch (reader.variantWithValue(KINDS, 'message')) {
    case 0:
      return readSync(reader);
    case 1:
      return ASYNC_READERS[reader.variantWithValue(ASYNC_NAMES, 'Async')]!(reader);
    default:
      return readInit(reader);
  }
}

type Answer =
  | { readonly kind: 'reserved'; readonly chunks: readonly ReservedChunkMessage[] }
  | { readonly kind: 'reserve_refused'; readonly reason: string | null };

function readSync(reader: CborReader): ServerMessage {
  let nonce: Nonce | null = null;
  let answer: Answer | null = null;
  for (let left = reader.openMap('Sync'); reader.more(left); left--) {
    switch (reader.key(SYNC_FIELDS, 'Sync')) {
      case 0:
        nonce = reader.uintLossless('Sync.nonce');
        break;
      case 1:
        reader.variantWithValue(SYNC_KINDS, 'Sync.contents');
        answer =
          reader.variantWithValue(RESULT_KINDS, 'Sync.contents.ChunksReserved') === 0
            ? { kind: 'reserved', chunks: readReservedChunks(reader) }
            : { kind: 'reserve_refused', reason: readRefusal(reader) };
        break;
      default:
        reader.skip('Sync');
    }
  }
  if (nonce === null) throw reader.error('Sync.nonce', 'it is missing');
  if (answer === null) throw reader.error('Sync.contents', 'it is missing');
  return { nonce, ...answer };
}

function readRefusal(reader: CborReader): string | null {
  const field = 'Sync.contents.ChunksReserved.Err';
  let reason: string | null = null;
  for (let left = reader.openArray(field); reader.more(left); left--) {
    if (reason === null) reason = reader.text(field);
    else reader.skip(field);
  }
  return reason;
}

function readDropped(reader: CborReader): ServerMessage {
  const field = 'Async.ChunkDropped';
  let submissionId: bigint | null = null;
  let chunkIndex: number | null = null;
  let reason: string | null = null;
  for (let left = reader.openMap(field); reader.more(left); left--) {
    switch (reader.key(DROPPED_FIELDS, field)) {
      case 0:
        submissionId = reader.uint63('Async.ChunkDropped.submission_id');
        break;
      case 1:
        chunkIndex = reader.uint('Async.ChunkDropped.chunk_index');
        break;
      case 2:
        reason = reader.text('Async.ChunkDropped.reason');
        break;
      default:
        reader.skip(field);
    }
  }
  if (submissionId === null) throw reader.error(field, 'submission_id is missing');
  if (chunkIndex === null) throw reader.error(field, 'chunk_index is missing');
  return { kind: 'dropped', chunk: { submissionId, chunkIndex }, reason: reason ?? '' };
}

/** Those that answer nothing: what each is called, and how it is read. */
const ASYNC_KINDS: Readonly<
  Record<
    Exclude<ServerMessage['kind'], 'init' | Answer['kind']>,
    readonly [name: string, read: (reader: CborReader) => ServerMessage]
  >
> = {
  expired: [
    'ChunkReservationExpired',
    (reader) => ({ kind: 'expired', chunk: readChunkId(reader, 'Async.ChunkReservationExpired') }),
  ],
  dropped: ['ChunkDropped', readDropped],
};
const ASYNC_NAMES = encodedNames(...Object.values(ASYNC_KINDS).map(([name]) => name));
const ASYNC_READERS = Object.values(ASYNC_KINDS).map(([, read]) => read);

function readInit(reader: CborReader): InitMessage {
  let missableHeartbeatsMax: number | null = null;
  let heartbeatIntervalMs: number | null = null;
  let versionInfo = '';
  let connId = '';
  let features: string[] = [];
  let reservationExpirationMs: number | undefined;
  for (let left = reader.openMap('Init'); reader.more(left); left--) {
    switch (reader.key(INIT_FIELDS, 'Init')) {
      case 0:
        missableHeartbeatsMax = reader.uintClamped('Init.max_missable_heartbeats');
        break;
      case 1:
        heartbeatIntervalMs = readDurationMs(reader, 'Init.heartbeat_interval');
        break;
      case 2:
        versionInfo = reader.text('Init.version_info');
        break;
      case 3:
        connId = reader.text('Init.conn_id');
        break;
      case 4:
        features = readTexts(reader, 'Init.features');
        break;
      case 5:
        reservationExpirationMs = reader.uintClamped('Init.reservation_expiration_ms');
        break;
      default:
        reader.skip('Init');
    }
  }
  if (missableHeartbeatsMax === null) throw reader.error('Init.max_missable_heartbeats', 'it is missing');
  if (heartbeatIntervalMs === null) throw reader.error('Init.heartbeat_interval', 'it is missing');
  const init = {
    kind: 'init' as const,
    missableHeartbeatsMax,
    heartbeatIntervalMs,
    versionInfo,
    connId,
    features,
  };
  return reservationExpirationMs === undefined ? init : { ...init, reservationExpirationMs };
}

function readDurationMs(reader: CborReader, field: string): number {
  let seconds = 0;
  let nanoseconds = 0;
  for (let left = reader.openMap(field); reader.more(left); left--) {
    const key = reader.key(DURATION_FIELDS, field);
    if (key === 0) seconds = reader.uintClamped(field);
    else if (key === 1) nanoseconds = reader.uintClamped(field);
    else reader.skip(field);
  }
  return seconds * 1000 + nanoseconds / 1e6;
}

function readTexts(reader: CborReader, field: string): string[] {
  const texts: string[] = [];
  for (let left = reader.openArray(field); reader.more(left); left--) texts.push(reader.text(field));
  return texts;
}

const CHUNK_FIELDS = encodedNames('submission_id', 'chunk_index', 'input_content', 'retries');
const SUBMISSION_FIELDS = encodedNames(
  'id',
  'prefix',
  'chunks_total',
  'chunks_done',
  'chunk_size',
  'metadata',
  'strategic_metadata',
  'otel_trace_carrier',
);

interface Chunk {
  readonly chunk: ChunkId;
  readonly inputContent: Uint8Array | null;
  readonly retries: number;
}

interface Submission {
  readonly record: SubmissionFacts;
  readonly chunksDone: number;
}

function readReservedChunks(reader: CborReader): ReservedChunkMessage[] {
  const field = 'Sync.contents.ChunksReserved.Ok';
  const chunks: ReservedChunkMessage[] = [];
  let submission: Submission | null = null;
  let start = 0;
  let end = 0;
  for (let left = reader.openArray(field); reader.more(left); left--) {
    const pair = reader.openArray(field);
    if (pair !== 2 && pair !== Infinity)
      throw reader.error(field, `a pair was expected, not ${pair} elements`);
    const { chunk, inputContent, retries } = readChunk(reader);
    // Chunks of one submission come in a row, and all of them carry the whole submission.
    if (submission === null || !reader.tryRepeat(start, end)) {
      start = reader.position;
      submission = readSubmission(reader);
      end = reader.position;
    }
    if (pair === Infinity && reader.more(pair)) throw reader.error(field, 'a pair was expected');
    chunks.push({
      chunk,
      inputContent,
      retries,
      submission: submission.record,
      chunksDone: submission.chunksDone,
    });
  }
  return chunks;
}

function readChunk(reader: CborReader): Chunk {
  const struct = 'chunk';
  let submissionId: bigint | null = null;
  let chunkIndex: number | null = null;
  let inputContent: Uint8Array | null = null;
  let retries = 0;
  for (let left = reader.openMap(struct); reader.more(left); left--) {
    switch (reader.key(CHUNK_FIELDS, struct)) {
      case 0:
        submissionId = reader.uint63('chunk.submission_id');
        break;
      case 1:
        chunkIndex = reader.uint('chunk.chunk_index');
        break;
      case 2:
        inputContent = reader.tryNull() ? null : reader.byteContent('chunk.input_content');
        break;
      case 3:
        retries = reader.uintClamped('chunk.retries');
        break;
      default:
        reader.skip(struct);
    }
  }
  if (submissionId === null) throw reader.error(struct, 'submission_id is missing');
  if (chunkIndex === null) throw reader.error(struct, 'chunk_index is missing');
  return { chunk: { submissionId, chunkIndex }, inputContent, retries };
}

function readSubmission(reader: CborReader): Submission {
  const struct = 'submission';
  let id: bigint | null = null;
  let prefix: string | null = null;
  let chunksTotal: number | null = null;
  let chunksDone = 0;
  let chunkSizeOps = 1;
  let metadata: Uint8Array | null = null;
  let strategicMetadata: Map<string, bigint> = new Map();
  let otelTraceCarrier = EMPTY_TRACE_CARRIER;
  for (let left = reader.openMap(struct); reader.more(left); left--) {
    const key = reader.key(SUBMISSION_FIELDS, struct);
    // Older servers leave fields out, or send null where they do not know.
    if (key === -1 || (key > 0 && reader.tryNull())) {
      if (key === -1) reader.skip(struct);
    } else if (key === 0) id = reader.uint63('submission.id');
    else if (key === 1) prefix = reader.text('submission.prefix');
    else if (key === 2) chunksTotal = reader.uint('submission.chunks_total');
    else if (key === 3) chunksDone = reader.uint('submission.chunks_done');
    else if (key === 4) chunkSizeOps = readChunkSize(reader);
    else if (key === 5) metadata = reader.byteContent('submission.metadata');
    else if (key === 6) strategicMetadata = readStrategicMetadata(reader);
    else otelTraceCarrier = reader.text('submission.otel_trace_carrier');
  }
  if (id === null) throw reader.error(struct, 'id is missing');
  if (chunksTotal === null) throw reader.error(struct, 'chunks_total is missing');
  return {
    record: {
      id,
      prefix,
      chunksTotal,
      chunkSizeOps,
      metadata,
      strategicMetadata,
      otelTraceCarrier,
      retryDelayMs: 0,
      retry: null,
      failureMode: 'fail',
    },
    chunksDone,
  };
}

/** The reference takes 0 and negative numbers from producers, and hands them on. */
function readChunkSize(reader: CborReader): number {
  const size = reader.int64('submission.chunk_size');
  return size < 1n ? 1 : Number(size);
}

function readStrategicMetadata(reader: CborReader): Map<string, bigint> {
  const field = 'submission.strategic_metadata';
  const pairs = new Map<string, bigint>();
  for (let left = reader.openMap(field); reader.more(left); left--) {
    const key = reader.text(field);
    pairs.set(key, reader.int64(field));
  }
  return pairs;
}
