import type { SubmissionFacts } from '../../model/submission.ts';
import { byteContentSize, CborWriter, encodedRun, HEAD_BYTES_MAX, textSizeMax } from '../cbor/writer.ts';
import type { EncodeOptions } from './client-messages.ts';
import type { Nonce } from './types.ts';

const SYNC = encodedRun({ map: 1 }, 'Sync', { map: 2 }, 'nonce');
const OK = encodedRun('contents', { map: 1 }, 'ChunksReserved', { map: 1 }, 'Ok');
const CHUNK_HEAD = encodedRun({ array: 2 }, { map: 4 }, 'submission_id');
const CHUNK_INDEX = encodedRun('chunk_index');
const INPUT_CONTENT = encodedRun('input_content');
const RETRIES = encodedRun('retries');
const ID = encodedRun({ map: 8 }, 'id');
const PREFIX = encodedRun('prefix');
const CHUNKS_TOTAL = encodedRun('chunks_total');
const CHUNKS_DONE = encodedRun('chunks_done');
const CHUNK_SIZE = encodedRun('chunk_size');
const METADATA = encodedRun('metadata');
const STRATEGIC_METADATA = encodedRun('strategic_metadata');
const OTEL_TRACE_CARRIER = encodedRun('otel_trace_carrier');

/** More than the constant names and the integers of one chunk and its submission take. */
const ITEM_FIXED_SIZE_MAX = 320;
/** What an answer has around its items. */
const ENVELOPE_SIZE_MAX = 128;

/** The constant parts of an item, one after the other: before `chunk_index`'s value, before and after `chunks_done`'s. */
interface Parts {
  readonly bytes: Uint8Array;
  readonly chunkEnd: number;
  readonly doneAt: number;
}

/**
 * A submission encoded once, for all the reservations in which it will be told; only `chunks_done` is filled in
 * each time. Takes about as many bytes as the message: drop it with the submission.
 */
export class PreparedSubmission {
  readonly record: SubmissionFacts;
  #withArrays: Parts | null = null;
  #withByteStrings: Parts | null = null;

  constructor(record: SubmissionFacts) {
    this.record = record;
  }

  /** For {@link encodeReserved}. */
  parts(byteStrings: boolean): Parts {
    // Without metadata both forms are the same, and one is enough.
    if (byteStrings && this.record.metadata !== null) {
      this.#withByteStrings ??= prepareParts(this.record, true);
      return this.#withByteStrings;
    }
    this.#withArrays ??= prepareParts(this.record, false);
    return this.#withArrays;
  }
}

/** One chunk of an answer. */
export interface ReservedItem {
  readonly submission: PreparedSubmission;
  readonly chunksDone: number;
  readonly chunkIndex: number;
  readonly retries: number;
  /** The input of a `Direct` submission's chunk; null otherwise. */
  readonly inputContent: Uint8Array | null;
}

export function prepareSubmission(record: SubmissionFacts): PreparedSubmission {
  return new PreparedSubmission(record);
}

/** The most bytes that an item adds to an answer. For the limit of {@link ANSWER_BYTES_MAX}. */
export function reservedItemSizeMax(
  submission: PreparedSubmission,
  inputContent: Uint8Array | null,
  options: EncodeOptions = {},
): number {
  const byteStrings = options.byteStrings === true;
  return (
    submission.parts(byteStrings).bytes.length +
    CHUNK_INDEX_TO_DONE_SIZE_MAX +
    byteContentSize(inputContent, byteStrings)
  );
}

const CHUNK_INDEX_TO_DONE_SIZE_MAX = INPUT_CONTENT.length + RETRIES.length + 3 * HEAD_BYTES_MAX;
const INPUT_NULL_RETRIES = Uint8Array.of(...INPUT_CONTENT, 0xf6, ...RETRIES);

/** An answer to a reservation: `Ok` with these chunks. */
export function encodeReserved(
  nonce: Nonce,
  items: readonly ReservedItem[],
  options: EncodeOptions = {},
): Uint8Array {
  const byteStrings = options.byteStrings === true;
  let sizeMax = ENVELOPE_SIZE_MAX;
  for (const item of items) sizeMax += reservedItemSizeMax(item.submission, item.inputContent, options);
  const writer = new CborWriter(sizeMax);
  writer.raw(SYNC);
  writer.int(nonce);
  writer.raw(OK);
  writer.array(items.length);
  for (const item of items) {
    const { bytes, chunkEnd, doneAt } = item.submission.parts(byteStrings);
    writer.rawRange(bytes, 0, chunkEnd);
    writer.uint(item.chunkIndex);
    if (item.inputContent === null) writer.raw(INPUT_NULL_RETRIES);
    else {
      writer.raw(INPUT_CONTENT);
      writer.byteContent(item.inputContent, byteStrings);
      writer.raw(RETRIES);
    }
    writer.uint(item.retries);
    writer.rawRange(bytes, chunkEnd, doneAt);
    writer.uint(item.chunksDone);
    writer.rawRange(bytes, doneAt, bytes.length);
  }
  return writer.finish();
}

function prepareParts(record: SubmissionFacts, byteStrings: boolean): Parts {
  const writer = new CborWriter(partsSizeMax(record, byteStrings));
  writer.raw(CHUNK_HEAD);
  writer.int(record.id);
  writer.raw(CHUNK_INDEX);
  const chunkEnd = writer.position;
  writer.raw(ID);
  writer.int(record.id);
  writer.raw(PREFIX);
  if (record.prefix === null) writer.null();
  else writer.text(record.prefix);
  writer.raw(CHUNKS_TOTAL);
  writer.uint(record.chunksTotal);
  writer.raw(CHUNKS_DONE);
  const doneAt = writer.position;
  writer.raw(CHUNK_SIZE);
  writer.uint(record.chunkSizeOps);
  writer.raw(METADATA);
  writer.byteContent(record.metadata, byteStrings);
  writer.raw(STRATEGIC_METADATA);
  writer.map(record.strategicMetadata.size);
  for (const [key, value] of record.strategicMetadata) {
    writer.text(key);
    writer.int(value);
  }
  writer.raw(OTEL_TRACE_CARRIER);
  writer.text(record.otelTraceCarrier);
  return { bytes: writer.finish().slice(), chunkEnd, doneAt };
}

function partsSizeMax(record: SubmissionFacts, byteStrings: boolean): number {
  let size = ITEM_FIXED_SIZE_MAX + byteContentSize(record.metadata, byteStrings);
  size += textSizeMax(record.prefix ?? '') + textSizeMax(record.otelTraceCarrier);
  for (const key of record.strategicMetadata.keys()) size += textSizeMax(key) + HEAD_BYTES_MAX;
  return size;
}
