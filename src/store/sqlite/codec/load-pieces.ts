import { ChunkSet } from '../../../model/chunk-set.ts';
import { type Control, NO_CONTROL } from '../../../model/control.ts';
import { SUBMISSION_ID_MAX, type SubmissionId } from '../../../model/ids.ts';
import type { ChunkTries, SubmissionRecord } from '../../../model/submission.ts';
import { setStoredPage } from '../../codec/progress.ts';
import type { LoadedSubmission } from '../../store.ts';
import type { Tables } from '../tables/tables.ts';
import { readControl, readPage, readRecord, writeControl, writePage, writeRecord } from './batch-codec.ts';
import { ByteReader, ByteWriter } from './byte-codec.ts';

const PIECE_SUBMISSIONS_MAX = 2000;
const PIECE_BYTES_MAX = 1024 * 1024;
/** Beyond every page, and every chunk. */
const NO_PAGE = 2 ** 32;

const ITEM = { record: 1, page: 2, tries: 3, failed: 4 } as const;

/** Where the next piece starts: possibly in the middle of a large submission. */
export interface LoadCursor {
  readonly fromId: SubmissionId;
  readonly fromPage: number;
  readonly fromChunk: number;
  readonly fromFailed: number;
  /** The record of `fromId` was in the piece before. */
  readonly isInside: boolean;
}

export const LOAD_START: LoadCursor = {
  fromId: 0n,
  fromPage: 0,
  fromChunk: 0,
  fromFailed: 0,
  isInside: false,
};

export interface LoadPiece {
  /** Records, each followed by its pages and tries; read by {@link LoadAssembler}. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** null: that was the last one. */
  readonly next: LoadCursor | null;
}

/** Open submissions, by id, bounded in number and bytes. */
export function loadPiece(tables: Tables, cursor: LoadCursor): LoadPiece {
  const records = tables.submissions.open(cursor.fromId, PIECE_SUBMISSIONS_MAX);
  const writer = new ByteWriter(64 * 1024);
  const lastId = records.at(-1)?.record.id;
  if (lastId === undefined) return { bytes: writer.finish(), next: null };
  // One walk through each table for all submissions of the piece: a query for each would take several times as long.
  const pages = new Peekable(tables.pages.between(cursor.fromId, cursor.fromPage, lastId));
  const tries = new Peekable(tables.tries.between(cursor.fromId, cursor.fromChunk, lastId));
  const failed = new Peekable(tables.failedChunks.between(cursor.fromId, cursor.fromFailed, lastId));
  try {
    for (const { record, control } of records) {
      const { id } = record;
      if (!(cursor.isInside && id === cursor.fromId)) {
        writer.byte(ITEM.record);
        writeRecord(writer, record);
        writeControl(writer, control);
      }
      for (let page = pages.at(id); page; page = pages.at(id)) {
        if (writer.length > PIECE_BYTES_MAX) {
          const next = { ...LOAD_START, fromId: id, fromPage: page.page, isInside: true };
          return { bytes: writer.finish(), next };
        }
        writer.byte(ITEM.page);
        writePage(writer, page.page, page.content);
        pages.skip();
      }
      // Before the tries: those of a chunk that is set aside are none.
      for (let chunk = failed.at(id); chunk; chunk = failed.at(id)) {
        if (writer.length > PIECE_BYTES_MAX) {
          const next = { ...LOAD_START, fromId: id, fromPage: NO_PAGE, fromFailed: chunk.chunkIndex };
          return { bytes: writer.finish(), next: { ...next, isInside: true } };
        }
        writer.byte(ITEM.failed);
        writer.number(chunk.chunkIndex);
        failed.skip();
      }
      for (let tried = tries.at(id); tried; tried = tries.at(id)) {
        if (writer.length > PIECE_BYTES_MAX) {
          const next = { ...LOAD_START, fromId: id, fromPage: NO_PAGE, fromFailed: NO_PAGE };
          const from = { ...next, fromChunk: tried.chunkIndex, isInside: true };
          return { bytes: writer.finish(), next: from };
        }
        writer.byte(ITEM.tries);
        writer.number(tried.chunkIndex);
        writer.number(tried.tries.retries);
        writer.number(tried.tries.disconnects);
        tries.skip();
      }
      if (writer.length > PIECE_BYTES_MAX) return { bytes: writer.finish(), next: cursorAfter(id) };
    }
  } finally {
    pages.close();
    tries.close();
    failed.close();
  }
  const isLast = records.length < PIECE_SUBMISSIONS_MAX;
  return { bytes: writer.finish(), next: isLast ? null : cursorAfter(lastId) };
}

function cursorAfter(id: SubmissionId): LoadCursor | null {
  return id === SUBMISSION_ID_MAX ? null : { ...LOAD_START, fromId: id + 1n };
}

/** Rows in the order of submission ids, of which one is looked at before it is taken. */
class Peekable<T extends { readonly id: SubmissionId }> {
  readonly #rows: Generator<T>;
  #head: T | null = null;
  #ended = false;

  constructor(rows: Generator<T>) {
    this.#rows = rows;
  }

  /** The next row, if it is of that submission; rows of earlier ones are skipped. */
  at(id: SubmissionId): T | null {
    while (!this.#ended && (this.#head === null || this.#head.id < id)) {
      const next = this.#rows.next();
      if (next.done) this.#ended = true;
      else this.#head = next.value;
    }
    return !this.#ended && this.#head?.id === id ? this.#head : null;
  }

  skip(): void {
    this.#head = null;
  }

  close(): void {
    this.#rows.return(undefined);
  }
}

/** Puts the pieces together again, on the other thread. */
export class LoadAssembler {
  #record: SubmissionRecord | null = null;
  #control: Control = NO_CONTROL;
  #done = new ChunkSet(0);
  #tries = new Map<number, ChunkTries>();
  #failed = new ChunkSet(0);

  /** The submissions that are complete with this piece. */
  *take(piece: LoadPiece): Generator<LoadedSubmission> {
    const reader = new ByteReader(piece.bytes);
    while (!reader.atEnd) {
      switch (reader.byte()) {
        case ITEM.record: {
          yield* this.finish();
          this.#record = readRecord(reader);
          this.#control = readControl(reader, this.#record.id);
          this.#done = new ChunkSet(this.#record.chunksTotal);
          this.#tries = new Map();
          this.#failed = new ChunkSet(this.#record.chunksTotal);
          break;
        }
        case ITEM.page: {
          const { page, content } = readPage(reader);
          setStoredPage(this.#done, this.#record?.id ?? 0n, page, content);
          break;
        }
        case ITEM.failed: {
          const chunkIndex = reader.number();
          if (this.#isOpen(chunkIndex)) this.#failed.add(chunkIndex);
          break;
        }
        default: {
          const chunkIndex = reader.number();
          const tries = { retries: reader.number(), disconnects: reader.number() };
          if (this.#isOpen(chunkIndex) && !this.#failed.has(chunkIndex)) this.#tries.set(chunkIndex, tries);
        }
      }
    }
    if (piece.next === null || !piece.next.isInside) yield* this.finish();
  }

  #isOpen(chunkIndex: number): boolean {
    return chunkIndex < this.#done.size && !this.#done.has(chunkIndex);
  }

  private *finish(): Generator<LoadedSubmission> {
    if (this.#record) {
      yield {
        record: this.#record,
        done: this.#done,
        tries: this.#tries,
        failed: this.#failed,
        control: this.#control,
      };
    }
    this.#record = null;
  }
}
