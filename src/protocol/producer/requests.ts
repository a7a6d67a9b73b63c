/** The producer protocol, bytes <-> messages: JSON over HTTP, as docs/protocol.md describes it. */
import { PAGE_BYTES } from '../../model/chunk-set.ts';
import { SUBMISSION_ID_MAX, type SubmissionId } from '../../model/ids.ts';
import {
  END_STATES,
  type FailedChunk,
  type StrategicMetadata,
  type SubmissionStatus,
} from '../../model/submission.ts';
import { JsonShapeError } from '../json/errors.ts';
import { JsonReader } from '../json/reader.ts';
import { JsonWriter } from '../json/writer.ts';
import { readCheckedMetadata, writeStrategicMetadata } from './insert.ts';
import { readFailedChunk } from './status.ts';

export { JsonShapeError, JsonSyntaxError } from '../json/errors.ts';
export {
  directChunksRefusal,
  formatInsertRequest,
  type InsertRequest,
  parseInsertRequest,
} from './insert.ts';
export { formatStatus, parseStatus } from './status.ts';

/** Prefixes that one request about known prefixes may name. */
export const KNOWN_PREFIXES_MAX = 10_000;

/** Ids in one answer of a listing of ended submissions. */
export const ENDED_PAGE_MAX = 1_000;

/** An id as it stands in a path, percent-escapes decoded: `01` and `+1` are 1, as in the reference. Null if it is none. */
export function parseIdSegment(segment: string): SubmissionId | null {
  if (!/^\+?[0-9]{1,40}$/.test(segment)) return null;
  const id = BigInt(segment.replace('+', ''));
  return id <= SUBMISSION_ID_MAX ? id : null;
}

/** An id: the answer to an insert, and of a cancel that found nothing (404). */
export function formatId(id: SubmissionId): Uint8Array {
  return new JsonWriter().integer(id).finish();
}

export function parseId(body: Uint8Array | string): SubmissionId {
  return read(body, (reader) => reader.uint63(''));
}

/** The answer of the look-up by prefix. */
export function formatIdOrNull(id: SubmissionId | null): Uint8Array {
  return id === null ? new JsonWriter().raw('null').finish() : formatId(id);
}

export function parseIdOrNull(body: Uint8Array | string): SubmissionId | null {
  return read(body, (reader) => (reader.tryNull('') ? null : reader.uint63('')));
}

/** The answer of the look-up by strategic metadata. */
export function formatIds(ids: Iterable<SubmissionId>): Uint8Array {
  const writer = new JsonWriter().raw('[');
  return writer
    .list(ids, (id) => writer.integer(id))
    .raw(']')
    .finish();
}

export function parseIds(body: Uint8Array | string): SubmissionId[] {
  return read(body, (reader) => {
    const ids: SubmissionId[] = [];
    reader.array('', (index) => ids.push(reader.uint63(`[${index}]`)));
    return ids;
  });
}

/** A count of submissions, and the maximum in the 400 of a look-up that matches too many. */
export function formatCount(count: number): Uint8Array {
  return new JsonWriter().integer(count).finish();
}

export function parseCount(body: Uint8Array | string): number {
  return read(body, (reader) => reader.uint(''));
}

/** The request of the look-up by strategic metadata: the pairs themselves. */
export function formatMetadataQuery(pairs: StrategicMetadata): Uint8Array {
  const writer = new JsonWriter();
  writeStrategicMetadata(writer, pairs);
  return writer.finish();
}

/** @throws JsonSyntaxError (400), JsonShapeError (422) */
export function parseMetadataQuery(body: Uint8Array | string): Map<string, bigint> {
  return read(body, (reader) => readCheckedMetadata(reader, ''));
}

/** An error's text as the JSON string that any 5xx carries. */
export function formatErrorText(text: string): Uint8Array {
  return new JsonWriter().text(text).finish();
}

/** Ours: the request about which prefixes are known. */
export function formatKnownRequest(prefixes: Iterable<string>): Uint8Array {
  const writer = new JsonWriter().raw('[');
  return writer
    .list(prefixes, (prefix) => writer.text(prefix))
    .raw(']')
    .finish();
}

/** @throws JsonSyntaxError (400), JsonShapeError (422), also beyond {@link KNOWN_PREFIXES_MAX} */
export function parseKnownRequest(body: Uint8Array | string): string[] {
  return read(body, (reader) => {
    const prefixes: string[] = [];
    reader.array('', (index) => {
      if (index >= KNOWN_PREFIXES_MAX)
        throw new JsonShapeError('', `more than ${KNOWN_PREFIXES_MAX} prefixes`);
      prefixes.push(reader.text(`[${index}]`));
    });
    return prefixes;
  });
}

export function formatKnownAnswer(known: Iterable<boolean>): Uint8Array {
  const writer = new JsonWriter().raw('[');
  return writer
    .list(known, (value) => writer.raw(String(value)))
    .raw(']')
    .finish();
}

export function parseKnownAnswer(body: Uint8Array | string): boolean[] {
  return read(body, (reader) => {
    const known: boolean[] = [];
    reader.array('', (index) => known.push(reader.boolean(`[${index}]`)));
    return known;
  });
}

/** Ours: chunks of a submission that are set aside. */
export function formatFailedChunks(chunks: Iterable<FailedChunk>): Uint8Array {
  const writer = new JsonWriter().raw('[');
  writer.list(chunks, ({ chunkIndex, inputContent, failure }) => {
    writer.raw('{"chunk_index":').integer(chunkIndex);
    writer.raw(',"input_content":').byteContent(inputContent);
    writer.raw(',"failure":').text(failure).raw('}');
  });
  return writer.raw(']').finish();
}

export function parseFailedChunks(body: Uint8Array | string): FailedChunk[] {
  return read(body, (reader) => {
    const chunks: FailedChunk[] = [];
    reader.array('', (index) => chunks.push(readFailedChunk(reader, `[${index}]`)));
    return chunks;
  });
}

/** Ours: which chunks of a submission are done. */
export interface ChunksDoneAnswer {
  readonly state: SubmissionStatus['state'];
  readonly chunksTotal: number;
  readonly chunksDone: number;
  /** Set aside. */
  readonly chunksFailed: number;
  /** Pages of the ChunkSet that are not empty, ascending. None of a completed submission, where all chunks are done. */
  readonly pages: readonly ChunksDonePage[];
  /** The same of the chunks that are set aside. */
  readonly failedPages: readonly ChunksDonePage[];
  /** Where to go on if there are more pages than fitted; else null. */
  readonly nextPage: number | null;
}

export interface ChunksDonePage {
  readonly page: number;
  /** As in ChunkSet: bit i of byte j is chunk `page * 4096 + 8j + i`. */
  readonly content: 'full' | Uint8Array;
}

const STATES = ['in_progress', ...END_STATES] as const;
const CHUNKS_DONE_FIELDS = [
  'state',
  'chunks_total',
  'chunks_done',
  'pages',
  'next_page',
  'chunks_failed',
  'failed_pages',
] as const;

export function formatChunksDone(answer: ChunksDoneAnswer): Uint8Array {
  const writer = new JsonWriter().raw('{"state":').text(answer.state);
  writer.raw(',"chunks_total":').integer(answer.chunksTotal);
  writer.raw(',"chunks_done":').integer(answer.chunksDone);
  writer.raw(',"pages":[');
  writePages(writer, answer.pages);
  writer.raw('],"next_page":').raw(String(answer.nextPage));
  if (answer.chunksFailed > 0) {
    writer.raw(',"chunks_failed":').integer(answer.chunksFailed).raw(',"failed_pages":[');
    writePages(writer, answer.failedPages);
    writer.raw(']');
  }
  return writer.raw('}').finish();
}

function writePages(writer: JsonWriter, pages: ChunksDoneAnswer['pages']): void {
  writer.list(pages, ({ page, content }) => {
    writer.raw('[').integer(page).raw(',');
    writer.text(content === 'full' ? content : Buffer.from(content).toString('base64')).raw(']');
  });
}

export function parseChunksDone(body: Uint8Array | string): ChunksDoneAnswer {
  let state: SubmissionStatus['state'] | undefined;
  let chunksTotal = 0;
  let chunksDone = 0;
  let nextPage: number | null = null;
  const pages: ChunksDonePage[] = [];
  let chunksFailed = 0;
  const failedPages: ChunksDonePage[] = [];
  const reader = new JsonReader(body);
  const seen = reader.struct('', CHUNKS_DONE_FIELDS, (name, path) => {
    if (name === 'state') state = readChunksDoneState(reader, path);
    else if (name === 'chunks_total') chunksTotal = reader.uint(path);
    else if (name === 'chunks_done') chunksDone = reader.uint(path);
    else if (name === 'chunks_failed') chunksFailed = reader.uint(path);
    else if (name === 'pages' || name === 'failed_pages') {
      const to = name === 'pages' ? pages : failedPages;
      reader.array(path, (index) => to.push(readPage(reader, `${path}[${index}]`)));
    } else nextPage = reader.tryNull(path) ? null : reader.uint(path);
  });
  reader.end();
  for (const name of ['chunks_total', 'chunks_done', 'pages'] as const) {
    if (!seen.has(name)) throw new JsonShapeError(name, 'it is missing');
  }
  if (state === undefined) throw new JsonShapeError('state', 'it is missing');
  return { state, chunksTotal, chunksDone, chunksFailed, pages, failedPages, nextPage };
}

function readChunksDoneState(reader: JsonReader, field: string): SubmissionStatus['state'] {
  const text = reader.text(field);
  const state = STATES.find((known) => known === text);
  if (state === undefined)
    throw new JsonShapeError(field, `${JSON.stringify(text.slice(0, 60))} is not a state`);
  return state;
}

function readPage(reader: JsonReader, field: string): ChunksDonePage {
  let page: number | null = null;
  let content: 'full' | Uint8Array | null = null;
  reader.array(field, (index) => {
    if (index === 0) page = reader.uint(field);
    else if (index === 1) content = readPageContent(reader, field);
    else reader.skip(field);
  });
  if (page === null || content === null) throw new JsonShapeError(field, 'a pair was expected');
  return { page, content };
}

function readPageContent(reader: JsonReader, field: string): 'full' | Uint8Array {
  const text = reader.text(field);
  if (text === 'full') return text;
  const content = new Uint8Array(Buffer.from(text, 'base64'));
  if (content.length > PAGE_BYTES) throw new JsonShapeError(field, `a page of ${content.length} bytes`);
  return content;
}

function read<T>(body: Uint8Array | string, value: (reader: JsonReader) => T): T {
  const reader = new JsonReader(body);
  const result = value(reader);
  reader.end();
  return result;
}
