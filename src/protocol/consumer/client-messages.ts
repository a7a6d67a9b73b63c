import type { ChunkId } from '../../model/ids.ts';
import type { Strategy } from '../../model/strategy.ts';
import { CborReader } from '../cbor/reader.ts';
import {
  byteContentSize,
  CborWriter,
  encodedNames,
  encodedRun,
  HEAD_BYTES_MAX,
  textSizeMax,
} from '../cbor/writer.ts';
import { CHUNK_ID_SIZE_MAX, readChunkId, writeChunkId } from './chunk-id.ts';
import {
  readStrategy,
  type StrategyRefusal,
  StrategyRefusedError,
  strategySizeMax,
  UnknownStrategyError,
  writeStrategy,
} from './strategy.ts';
import type { ClientMessage, Nonce } from './types.ts';

/** How messages are written. */
export interface EncodeOptions {
  /** Byte contents as CBOR byte strings: only to a peer that announced `bytes`. Default false: arrays of integers. */
  readonly byteStrings?: boolean;
}

const NONCE = encodedRun({ map: 2 }, 'nonce');
const RESERVE = encodedRun('contents', { map: 1 }, 'WantToReserveChunks', { map: 2 }, 'max');
const STRATEGY = encodedRun('strategy');
const COMPLETE = encodedRun('contents', { map: 1 }, 'CompleteChunk', { map: 2 }, 'id');
const OUTPUT_CONTENT = encodedRun('output_content');
const FAIL = [2, 3, 4].map((fields) =>
  encodedRun('contents', { map: 1 }, 'FailChunk', { map: fields }, 'id'),
);
const FAILURE = encodedRun('failure');
const RETRYABLE = encodedRun('retryable');
const DELAY_MS = encodedRun('delay_ms');
const RELEASE = encodedRun('contents', { map: 1 }, 'ReleaseChunks', { map: 1 }, 'ids');
const EXTEND = encodedRun('contents', { map: 1 }, 'ExtendReservations', { map: 1 }, 'ids');
const CANCEL_RESERVE = encodedRun('contents', { map: 1 }, 'CancelReserve', { map: 1 }, 'nonce');

/** More than the constant names and the integers of any message take. */
const FIXED_SIZE_MAX = 128 + CHUNK_ID_SIZE_MAX;

/** A message of ours to the server. */
export function encodeClientMessage(message: ClientMessage, options: EncodeOptions = {}): Uint8Array {
  const byteStrings = options.byteStrings === true;
  const writer = new CborWriter(FIXED_SIZE_MAX + variableSizeMax(message, byteStrings));
  writer.raw(NONCE);
  writer.int(message.nonce);
  switch (message.kind) {
    case 'reserve':
      writer.raw(RESERVE);
      writer.uint(message.max);
      writer.raw(STRATEGY);
      writeStrategy(writer, message.strategy);
      break;
    case 'complete':
      writer.raw(COMPLETE);
      writeChunkId(writer, message.chunk);
      writer.raw(OUTPUT_CONTENT);
      writer.byteContent(message.outputContent, byteStrings);
      break;
    case 'fail':
      writeFail(writer, message);
      break;
    case 'release':
    case 'extend':
      writer.raw(message.kind === 'release' ? RELEASE : EXTEND);
      writer.array(message.chunks.length);
      for (const chunk of message.chunks) writeChunkId(writer, chunk);
      break;
    case 'cancel_reserve':
      writer.raw(CANCEL_RESERVE);
      writer.int(message.reserveNonce);
      break;
    default:
      message satisfies never;
  }
  return writer.finish();
}

function writeFail(writer: CborWriter, message: Extract<ClientMessage, { kind: 'fail' }>): void {
  const finalFailure = message.retryable === false;
  const delayMs = message.delayMs ?? 0;
  writer.raw(FAIL[(finalFailure ? 1 : 0) + (delayMs > 0 ? 1 : 0)]!);
  writeChunkId(writer, message.chunk);
  writer.raw(FAILURE);
  writer.text(message.failure);
  if (finalFailure) {
    writer.raw(RETRYABLE);
    writer.boolean(false);
  }
  if (delayMs > 0) {
    writer.raw(DELAY_MS);
    writer.uint(Math.ceil(delayMs));
  }
}

function variableSizeMax(message: ClientMessage, byteStrings: boolean): number {
  switch (message.kind) {
    case 'reserve':
      return strategySizeMax(message.strategy);
    case 'complete':
      return byteContentSize(message.outputContent, byteStrings);
    case 'fail':
      return textSizeMax(message.failure);
    case 'release':
    case 'extend':
      return message.chunks.length * CHUNK_ID_SIZE_MAX;
    case 'cancel_reserve':
      return HEAD_BYTES_MAX;
  }
}

const ENVELOPE_FIELDS = encodedNames('contents', 'nonce');
const CONTENTS_FIELD = 0;
const NONCE_FIELD = 1;

const RESERVE_FIELDS = encodedNames('max', 'strategy');
const COMPLETE_FIELDS = encodedNames('id', 'output_content');
const FAIL_FIELDS = encodedNames('id', 'failure', 'retryable', 'delay_ms');
const IDS_FIELDS = encodedNames('ids');
const CANCEL_RESERVE_FIELDS = encodedNames('nonce');

type WithoutNonce<M> = M extends unknown ? Omit<M, 'nonce'> : never;
type Contents =
  | WithoutNonce<ClientMessage>
  /** A reservation with a strategy beyond a limit. */
  | { readonly kind: 'refused'; readonly refusal: StrategyRefusal };

/**
 * A message of a client.
 *
 * @throws ProtocolError for garbage; the connection cannot go on
 * @throws UnknownStrategyError likewise, unless the client can be told; the connection can then go on
 * @throws StrategyRefusedError for a reservation with a strategy beyond the limits; the connection can
 */
export function decodeClientMessage(bytes: Uint8Array): ClientMessage {
  const reader = new CborReader(bytes);
  let nonce: Nonce | null = null;
  let contents: Contents | null = null;
  for (let left = reader.openMap('message'); reader.more(left); left--) {
    switch (reader.key(ENVELOPE_FIELDS, 'message')) {
      case CONTENTS_FIELD:
        if (contents !== null) throw reader.error('contents', 'it is given twice');
        contents = readContents(reader);
        break;
      case NONCE_FIELD:
        if (nonce !== null) throw reader.error('nonce', 'it is given twice');
        nonce = reader.uintLossless('nonce');
        break;
      default:
        reader.skip('message');
    }
  }
  if (nonce === null) throw reader.error('nonce', 'it is missing');
  if (contents === null) throw reader.error('contents', 'it is missing');
  return withNonce(nonce, contents);
}

/** Spelled out for each kind, so that all messages of a kind have one hidden class: spreading costs more than decoding. */
function withNonce(nonce: Nonce, contents: Contents): ClientMessage {
  switch (contents.kind) {
    case 'reserve':
      return { kind: 'reserve', nonce, max: contents.max, strategy: contents.strategy };
    case 'complete':
      return { kind: 'complete', nonce, chunk: contents.chunk, outputContent: contents.outputContent };
    case 'refused':
      if (contents.refusal.isUnknown) throw new UnknownStrategyError(nonce, contents.refusal);
      throw new StrategyRefusedError(nonce, contents.refusal.reason);
    default:
      return { nonce, ...contents };
  }
}

/** What each kind is called, and how its contents are read; the most frequent ones first. */
const KINDS: Readonly<
  Record<ClientMessage['kind'], readonly [name: string, read: (reader: CborReader) => Contents]>
> = {
  complete: ['CompleteChunk', readComplete],
  reserve: ['WantToReserveChunks', readReserve],
  fail: ['FailChunk', readFail],
  release: [
    'ReleaseChunks',
    (reader) => ({ kind: 'release', chunks: readIds(reader, 'contents.ReleaseChunks') }),
  ],
  extend: [
    'ExtendReservations',
    (reader) => ({ kind: 'extend', chunks: readIds(reader, 'contents.ExtendReservations') }),
  ],
  cancel_reserve: ['CancelReserve', readCancelReserve],
};
const KIND_NAMES = encodedNames(...Object.values(KINDS).map(([name]) => name));
const KIND_READERS = Object.values(KINDS).map(([, read]) => read);

function readContents(reader: CborReader): Contents {
  return KIND_READERS[reader.variantWithValue(KIND_NAMES, 'contents')]!(reader);
}

function readReserve(reader: CborReader): Contents {
  const struct = 'contents.WantToReserveChunks';
  let max = -1;
  let strategy: ReturnType<typeof readStrategy> | null = null;
  for (let left = reader.openMap(struct); reader.more(left); left--) {
    switch (reader.key(RESERVE_FIELDS, struct)) {
      case 0:
        if (max !== -1) throw reader.error(struct, 'max is given twice');
        max = reader.uintClamped('contents.WantToReserveChunks.max');
        break;
      case 1:
        if (strategy !== null) throw reader.error(struct, 'strategy is given twice');
        strategy = readStrategy(reader, 'contents.WantToReserveChunks.strategy');
        break;
      default:
        reader.skip(struct);
    }
  }
  if (max === -1) throw reader.error(struct, 'max is missing');
  if (strategy === null) throw reader.error(struct, 'strategy is missing');
  if ('reason' in strategy) return { kind: 'refused', refusal: strategy };
  return { kind: 'reserve', max, strategy: strategy satisfies Strategy };
}

function readComplete(reader: CborReader): Contents {
  const struct = 'contents.CompleteChunk';
  let chunk: ChunkId | null = null;
  let outputContent: Uint8Array | null | undefined;
  for (let left = reader.openMap(struct); reader.more(left); left--) {
    switch (reader.key(COMPLETE_FIELDS, struct)) {
      case 0:
        if (chunk !== null) throw reader.error(struct, 'id is given twice');
        chunk = readChunkId(reader, 'contents.CompleteChunk.id');
        break;
      case 1:
        if (outputContent !== undefined) throw reader.error(struct, 'output_content is given twice');
        outputContent = reader.tryNull() ? null : reader.byteContent('contents.CompleteChunk.output_content');
        break;
      default:
        reader.skip(struct);
    }
  }
  if (chunk === null) throw reader.error(struct, 'id is missing');
  return { kind: 'complete', chunk, outputContent: outputContent ?? null };
}

function readFail(reader: CborReader): Contents {
  const struct = 'contents.FailChunk';
  let chunk: ChunkId | null = null;
  let failure: string | null = null;
  let retryable = true;
  let delayMs = 0;
  for (let left = reader.openMap(struct); reader.more(left); left--) {
    switch (reader.key(FAIL_FIELDS, struct)) {
      case 0:
        if (chunk !== null) throw reader.error(struct, 'id is given twice');
        chunk = readChunkId(reader, 'contents.FailChunk.id');
        break;
      case 1:
        if (failure !== null) throw reader.error(struct, 'failure is given twice');
        failure = reader.text('contents.FailChunk.failure');
        break;
      case 2:
        retryable = reader.boolean('contents.FailChunk.retryable');
        break;
      case 3:
        delayMs = reader.uintClamped('contents.FailChunk.delay_ms');
        break;
      default:
        reader.skip(struct);
    }
  }
  if (chunk === null) throw reader.error(struct, 'id is missing');
  if (failure === null) throw reader.error(struct, 'failure is missing');
  return { kind: 'fail', chunk, failure, retryable, delayMs };
}

function readIds(reader: CborReader, struct: string): ChunkId[] {
  let chunks: ChunkId[] | null = null;
  for (let left = reader.openMap(struct); reader.more(left); left--) {
    if (reader.key(IDS_FIELDS, struct) !== 0) {
      reader.skip(struct);
      continue;
    }
    chunks = [];
    for (let ids = reader.openArray(`${struct}.ids`); reader.more(ids); ids--) {
      chunks.push(readChunkId(reader, `${struct}.ids`));
    }
  }
  if (chunks === null) throw reader.error(struct, 'ids is missing');
  return chunks;
}

function readCancelReserve(reader: CborReader): Contents {
  const struct = 'contents.CancelReserve';
  let reserveNonce: Nonce | null = null;
  for (let left = reader.openMap(struct); reader.more(left); left--) {
    if (reader.key(CANCEL_RESERVE_FIELDS, struct) === 0) {
      reserveNonce = reader.uintLossless('contents.CancelReserve.nonce');
    } else reader.skip(struct);
  }
  if (reserveNonce === null) throw reader.error(struct, 'nonce is missing');
  return { kind: 'cancel_reserve', reserveNonce };
}
