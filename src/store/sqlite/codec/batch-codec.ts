import type { PageContent } from '../../../model/chunk-set.ts';
import { type Control, NO_CONTROL } from '../../../model/control.ts';
import type { SubmissionId } from '../../../model/ids.ts';
import type { RetryPolicy } from '../../../model/retry.ts';
import {
  END_STATES,
  FAILURE_MODES,
  type StrategicMetadata,
  type SubmissionEnd,
  type SubmissionRecord,
} from '../../../model/submission.ts';
import { formatControl, formatScopeControl, parseControl, parseScopeControl } from '../../codec/values.ts';
import type { Mutation } from '../../store.ts';
import { ByteReader, ByteWriter } from './byte-codec.ts';

/*
 * Batches cross to the database's thread as one transferred buffer: cloning the objects one by one costs the
 * event loop several times as much (bench/store.ts).
 */

const KINDS = [
  'insert',
  'page',
  'tries',
  'direct_output',
  'end',
  'control',
  'scope_control',
  'failed_chunk',
  'retry',
] as const;
const CONTENTS = { empty: 0, full: 1, bits: 2 } as const;
const STATES = ['open', ...END_STATES] as const;
const NO_INPUTS = 0xffff_ffff;

export function encodeMutations(mutations: readonly Mutation[]): Uint8Array<ArrayBuffer> {
  const writer = new ByteWriter(256 + mutations.length * 320);
  for (const mutation of mutations) {
    writer.byte(KINDS.indexOf(mutation.kind));
    switch (mutation.kind) {
      case 'insert':
        writeRecord(writer, mutation.record);
        writer.textOrNull(mutation.idempotencyKey ?? null);
        writer.uint32(mutation.directInputs?.length ?? NO_INPUTS);
        for (const input of mutation.directInputs ?? []) writer.bytesOrNull(input);
        writeEnd(writer, mutation.end ?? null);
        writeControl(writer, mutation.control ?? NO_CONTROL);
        break;
      case 'page':
        writer.int64(mutation.id);
        writePage(writer, mutation.page, mutation.content);
        break;
      case 'tries':
        writer.int64(mutation.id);
        writer.number(mutation.chunkIndex);
        writer.number(mutation.tries.retries);
        writer.number(mutation.tries.disconnects);
        break;
      case 'failed_chunk':
        writer.int64(mutation.id);
        writer.number(mutation.chunkIndex);
        writer.textOrNull(mutation.failure);
        break;
      case 'retry':
        writer.int64(mutation.id);
        break;
      case 'direct_output':
        writer.int64(mutation.id);
        writer.number(mutation.chunkIndex);
        writer.bytesOrNull(mutation.content);
        break;
      case 'end':
        writer.int64(mutation.id);
        writeEnd(writer, mutation.end);
        break;
      case 'control':
        writer.int64(mutation.id);
        writeControl(writer, mutation.control);
        break;
      case 'scope_control':
        writer.text(mutation.scope);
        writer.text(formatScopeControl(mutation.control));
        break;
    }
  }
  return writer.finish();
}

export function decodeMutations(bytes: Uint8Array): Mutation[] {
  const reader = new ByteReader(bytes);
  const mutations: Mutation[] = [];
  while (!reader.atEnd) mutations.push(readMutation(reader));
  return mutations;
}

function readMutation(reader: ByteReader): Mutation {
  const kind = KINDS[reader.byte()];
  switch (kind) {
    case 'insert': {
      const record = readRecord(reader);
      const idempotencyKey = reader.textOrNull();
      const inputsCount = reader.uint32();
      const inputs: (Uint8Array | null)[] = [];
      for (let i = 0; inputsCount !== NO_INPUTS && i < inputsCount; i++) inputs.push(reader.bytesOrNull());
      const end = readEnd(reader);
      return {
        kind,
        record,
        control: readControl(reader, record.id),
        ...(idempotencyKey === null ? {} : { idempotencyKey }),
        ...(inputsCount === NO_INPUTS ? {} : { directInputs: inputs }),
        ...(end === null ? {} : { end }),
      };
    }
    case 'page': {
      const id = reader.int64();
      return { kind, id, ...readPage(reader) };
    }
    case 'tries': {
      const id = reader.int64();
      const chunkIndex = reader.number();
      return { kind, id, chunkIndex, tries: { retries: reader.number(), disconnects: reader.number() } };
    }
    case 'failed_chunk': {
      const id = reader.int64();
      const chunkIndex = reader.number();
      return { kind, id, chunkIndex, failure: reader.textOrNull() };
    }
    case 'retry':
      return { kind, id: reader.int64() };
    case 'direct_output': {
      const id = reader.int64();
      const chunkIndex = reader.number();
      return { kind, id, chunkIndex, content: reader.bytesOrNull() };
    }
    case 'end': {
      const id = reader.int64();
      const end = readEnd(reader);
      if (end === null) throw new Error('an end mutation without an end');
      return { kind, id, end };
    }
    case 'control': {
      const id = reader.int64();
      return { kind, id, control: readControl(reader, id) };
    }
    case 'scope_control': {
      const scope = reader.text();
      return { kind, scope, control: parseScopeControl(scope, reader.text()) };
    }
    default:
      throw new Error('a mutation of an unknown kind');
  }
}

/** Rarely more than one byte: few submissions are changed. */
export function writeControl(writer: ByteWriter, control: Control): void {
  writer.textOrNull(control === NO_CONTROL ? null : formatControl(control));
}

export function readControl(reader: ByteReader, id: SubmissionId): Control {
  const text = reader.textOrNull();
  return text === null ? NO_CONTROL : parseControl(id, text);
}

export function writeRecord(writer: ByteWriter, record: SubmissionRecord): void {
  writer.int64(record.id);
  writer.text(record.queue);
  writer.textOrNull(record.prefix);
  writer.number(record.chunksTotal);
  writer.number(record.chunkSizeOps);
  writer.bytesOrNull(record.metadata);
  writer.uint32(record.strategicMetadata.size);
  for (const [key, value] of record.strategicMetadata) {
    writer.text(key);
    writer.int64(value);
  }
  writer.text(record.otelTraceCarrier);
  writer.number(record.retryDelayMs);
  writer.textOrNull(record.retry === null ? null : JSON.stringify(record.retry));
  writer.byte(FAILURE_MODES.indexOf(record.failureMode));
}

export function readRecord(reader: ByteReader): SubmissionRecord {
  return {
    id: reader.int64(),
    queue: reader.text(),
    prefix: reader.textOrNull(),
    chunksTotal: reader.number(),
    chunkSizeOps: reader.number(),
    // Copied: the record outlives the batch that it travels in.
    metadata: reader.bytesOrNull()?.slice() ?? null,
    strategicMetadata: readStrategicMetadata(reader),
    otelTraceCarrier: reader.text(),
    retryDelayMs: reader.number(),
    retry: readRetry(reader),
    failureMode: FAILURE_MODES[reader.byte()] ?? 'fail',
  };
}

function readRetry(reader: ByteReader): RetryPolicy | null {
  const text = reader.textOrNull();
  return text === null ? null : (JSON.parse(text) as RetryPolicy);
}

function readStrategicMetadata(reader: ByteReader): StrategicMetadata {
  const pairs = new Map<string, bigint>();
  for (let left = reader.uint32(); left > 0; left--) {
    const key = reader.text();
    pairs.set(key, reader.int64());
  }
  return pairs;
}

export function writePage(writer: ByteWriter, page: number, content: PageContent): void {
  writer.uint32(page);
  if (content === 'empty' || content === 'full') {
    writer.byte(CONTENTS[content]);
    return;
  }
  writer.byte(CONTENTS.bits);
  writer.uint32(content.length);
  writer.raw(content);
}

export function readPage(reader: ByteReader): { page: number; content: PageContent } {
  const page = reader.uint32();
  switch (reader.byte()) {
    case CONTENTS.empty:
      return { page, content: 'empty' };
    case CONTENTS.full:
      return { page, content: 'full' };
    default:
      return { page, content: reader.raw(reader.uint32()) };
  }
}

function writeEnd(writer: ByteWriter, end: SubmissionEnd | null): void {
  writer.byte(STATES.indexOf(end?.state ?? 'open'));
  if (end === null) return;
  writer.number(end.endedAtMs);
  if (end.state === 'completed') return;
  writer.number(end.chunksDone);
  if (end.state === 'cancelled') {
    writer.textOrNull(end.by);
    writer.textOrNull(end.reason);
    return;
  }
  writer.number(end.failedChunk.chunkIndex);
  writer.bytesOrNull(end.failedChunk.inputContent);
  writer.text(end.failedChunk.failure);
}

function readEnd(reader: ByteReader): SubmissionEnd | null {
  const state = STATES[reader.byte()];
  if (state === undefined || state === 'open') return null;
  const endedAtMs = reader.number();
  if (state === 'completed') return { state, endedAtMs };
  const chunksDone = reader.number();
  if (state === 'cancelled') {
    return { state, endedAtMs, chunksDone, by: reader.textOrNull(), reason: reader.textOrNull() };
  }
  const chunkIndex = reader.number();
  const inputContent = reader.bytesOrNull();
  return { state, endedAtMs, chunksDone, failedChunk: { chunkIndex, inputContent, failure: reader.text() } };
}
