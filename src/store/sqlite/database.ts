import { existsSync, renameSync, rmSync, statSync } from 'node:fs';
import { backup, type DatabaseSync } from 'node:sqlite';
import type { Scope, ScopeControl } from '../../model/control.ts';
import type { ChunkId, ChunkIndex, ShardId, SubmissionId } from '../../model/ids.ts';
import type { EndState } from '../../model/submission.ts';
import type { Committed } from '../batch-plan.ts';
import { STATE } from '../codec/submission-row.ts';
import { StoreError } from '../errors.ts';
import type { ShardGrant } from '../lease.ts';
import type { DueSubmission, SetAsideChunk, StoredSubmission } from '../store.ts';
import { decodeMutations, writePage } from './codec/batch-codec.ts';
import { ByteWriter } from './codec/byte-codec.ts';
import { type LoadCursor, type LoadPiece, loadPiece } from './codec/load-pieces.ts';
import { Committer } from './committer.ts';
import type { FileLock } from './file/file-lock.ts';
import type { FileWatch } from './file/file-watch.ts';
import type { OpenDatabase } from './file/open.ts';
import { resultCode } from './sqlite-errors.ts';
import { Statement } from './tables/statement.ts';
import { Tables } from './tables/tables.ts';
import { Transactions } from './tables/transactions.ts';

/** Rows that one step of the clean-up deletes: commits go in between. */
const SWEEP_ROWS = 5000;
const BACKUP_PAGES_AT_ONCE = 100;
const BACKUP_TRIES_MAX = 1000;

/** A batch as it crosses the threads. */
export interface PackedBatch {
  readonly shard: ShardId;
  readonly epoch: number;
  readonly seq: number;
  readonly mutations: Uint8Array<ArrayBuffer>;
}

/** The progress of a submission as it crosses the threads; the pages are read by `readPage`. */
export interface PackedProgress {
  readonly chunksTotal: number;
  readonly isCompleted: boolean;
  readonly pages: Uint8Array<ArrayBuffer>;
}

/** The database on its own thread: everything is synchronous, one call after the other. */
export class Database {
  readonly #database: DatabaseSync;
  readonly #path: string | null;
  readonly #lock: FileLock | null;
  readonly #watch: FileWatch | null;
  readonly #tables: Tables;
  readonly #transactions: Transactions;
  readonly #committer: Committer;

  constructor({ database, path, lock, watch }: OpenDatabase) {
    this.#database = database;
    this.#path = path;
    this.#lock = lock;
    this.#watch = watch;
    this.#tables = new Tables(database);
    this.#transactions = new Transactions(database);
    this.#committer = new Committer(this.#tables, this.#transactions);
  }

  acquire(shards: readonly ShardId[], holder: string): ShardGrant[] {
    return shards.map((shard) => this.#committer.acquire(shard, holder));
  }

  load(cursor: LoadCursor): LoadPiece {
    const piece = loadPiece(this.#tables, cursor);
    // All of it is sound.
    if (piece.next === null) this.#committer.claim();
    return piece;
  }

  commit(batch: PackedBatch): Committed {
    this.#watch?.assertInPlace();
    const committed = this.#committer.commit({ ...batch, mutations: decodeMutations(batch.mutations) });
    // Only now is it known where it went. If a file comes back, the same batch is found by its number.
    this.#watch?.assertInPlace();
    return committed;
  }

  scopeControls(): Map<Scope, ScopeControl> {
    return this.#tables.controls.all();
  }

  lastSeq(shard: ShardId): number {
    return this.#tables.shards.find(shard)?.lastSeq ?? 0;
  }

  findById(id: SubmissionId): StoredSubmission | null {
    return this.#tables.stored(id);
  }

  idsByPrefix(prefixes: readonly string[]): (SubmissionId | null)[] {
    return prefixes.map((prefix) => this.#tables.submissions.idByPrefix(prefix));
  }

  directContents(
    part: 'input' | 'output',
    chunks: readonly ChunkId[],
    bytesMax: number,
  ): (Uint8Array | null)[] {
    const table = part === 'input' ? this.#tables.inputs : this.#tables.outputs;
    const contents: (Uint8Array | null)[] = [];
    let bytes = 0;
    for (const { submissionId, chunkIndex } of chunks) {
      const content = table.find(submissionId, chunkIndex);
      contents.push(content);
      bytes += content?.length ?? 0;
      if (bytes >= bytesMax) break;
    }
    return contents;
  }

  countEnded(queue: string, state: EndState): number {
    return this.#committer.countEnded(queue, STATE[state]);
  }

  endedQueues(state: EndState): string[] {
    return this.#committer.endedQueues(STATE[state]);
  }

  ended(
    queue: string,
    state: EndState | null,
    before: SubmissionId | null,
    limit: number,
  ): StoredSubmission[] {
    const ids = this.#tables.submissions.lastEnded(queue, state, before, limit);
    return ids.flatMap((id) => this.#tables.stored(id) ?? []);
  }

  failedChunks(id: SubmissionId, from: ChunkIndex, limit: number, bytesMax: number): SetAsideChunk[] {
    const failed: SetAsideChunk[] = [];
    let bytes = 0;
    for (const chunk of this.#tables.failedChunks.from(id, from, limit)) {
      failed.push(chunk);
      bytes += chunk.failure.length;
      if (bytes >= bytesMax) break;
    }
    return failed;
  }

  chunksDone(id: SubmissionId): PackedProgress | null {
    const found = this.#tables.submissions.find(id);
    if (!found) return null;
    const writer = new ByteWriter(1024);
    const isCompleted = found.end?.state === 'completed';
    if (!isCompleted) {
      for (const { page, content } of this.#tables.pages.between(id, 0, id)) writePage(writer, page, content);
    }
    return { chunksTotal: found.record.chunksTotal, isCompleted, pages: writer.finish() };
  }

  due(endedBeforeMs: number, after: DueSubmission | null, limit: number): DueSubmission[] {
    return this.#tables.submissions.due(endedBeforeMs, after, limit);
  }

  /** The first half of the clean-up: nobody finds these submissions any more. Returns how many had ended. */
  forget(ids: readonly SubmissionId[]): number {
    const { submissions } = this.#tables;
    this.#watch?.assertInPlace();
    const ended = [...new Set(ids)].flatMap((id) => submissions.ended(id) ?? []);
    if (ended.length === 0) return 0;
    this.#transactions.run(() => {
      for (const { id, state, isDirect } of ended) {
        // Nothing is left of a completed one but its row.
        if (state === STATE.completed && !isDirect) submissions.delete(id);
        else submissions.forget(id);
      }
    });
    for (const each of ended) this.#committer.forgotten(each);
    return ended.length;
  }

  /** The second half: deletes some of what belongs to forgotten submissions; returns whether there is more. */
  sweep(): boolean {
    const id = this.#tables.submissions.forgotten();
    if (id === null) return false;
    this.#transactions.run(() => {
      const { inputs, outputs, pages, tries, failedChunks, submissions } = this.#tables;
      for (const table of [outputs, inputs, pages, tries, failedChunks]) {
        if (!table.deletion.some(id, SWEEP_ROWS)) return;
      }
      submissions.delete(id);
    });
    return true;
  }

  /** The database and its write-ahead log. */
  sizeBytes(): number {
    if (this.#path !== null) return fileBytes(this.#path) + this.walBytes();
    const [pages = 0n] = this.#pragma('page_count');
    const [bytes = 0n] = this.#pragma('page_size');
    return Number(pages * bytes);
  }

  walBytes(): number {
    return this.#path === null ? 0 : fileBytes(`${this.#path}-wal`);
  }

  check(): { readonly walBytes: number } {
    try {
      this.#watch?.assertInPlace();
    } catch (error) {
      // A log that no restart would find: what it holds goes into the database while it can be read.
      if (this.#watch?.isDatabaseInPlace) this.#pragma('wal_checkpoint(PASSIVE)');
      throw error;
    }
    const [schemaCookie = 0n] = this.#pragma('schema_version');
    this.#watch?.assertNotOverwritten(Number(schemaCookie));
    return { walBytes: this.walBytes() };
  }

  checkpoint(): void {
    const [busy] = this.#pragma('wal_checkpoint(TRUNCATE)');
    if (busy) throw new StoreError('transient', 'a reader of the database keeps its log from being emptied');
  }

  /** Runs beside commits: SQLite copies on another thread, and what changes meanwhile is copied again. */
  async backup(to: string): Promise<void> {
    const partial = `${to}.partial`;
    for (const path of [to, partial]) {
      if (existsSync(path)) throw new StoreError('unusable', `backup: ${path} exists already`);
    }
    try {
      await this.#copy(partial);
      renameSync(partial, to);
    } catch (error) {
      rmSync(partial, { force: true });
      throw error;
    }
  }

  close(): void {
    if (this.#database.isOpen) {
      this.#database.close();
      this.#watch?.close();
    }
    this.#lock?.release();
  }

  /**
   * The same connection copies that writes: with another one, every commit would start the copy again. Its first
   * step finds a commit in progress now and then, which node:sqlite takes for the end and reports as result code 0.
   */
  async #copy(to: string): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await backup(this.#database, to, { rate: BACKUP_PAGES_AT_ONCE });
        return;
      } catch (error) {
        if (resultCode(error) !== 0 || tries === BACKUP_TRIES_MAX) throw error;
      }
    }
  }

  #pragma(name: string): readonly bigint[] {
    return new Statement<bigint[]>(this.#database, `PRAGMA ${name}`).get() ?? [];
  }
}

function fileBytes(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}
