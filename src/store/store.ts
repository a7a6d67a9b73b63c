import type { ChunkSet, PageContent } from '../model/chunk-set.ts';
import type { Control, Scope, ScopeControl } from '../model/control.ts';
import type { ChunkId, ChunkIndex, ShardId, SubmissionId } from '../model/ids.ts';
import type { ChunkTries, EndState, SubmissionEnd, SubmissionRecord } from '../model/submission.ts';
import type { StoreError } from './errors.ts';
import type { ShardGrant, StoreLeases } from './lease.ts';

/**
 * What the queue remembers beyond its process. The schedule lives in memory; a store only makes it durable.
 *
 * - Mutations are whole values, never deltas: replaying a batch changes nothing.
 * - `seq` is written in the transaction of its batch, so that it tells after a crash or a cut connection
 *   whether the batch took place.
 * - SQL, file names and threads stay behind this port; src/store/conformance/suite.ts runs against every
 *   implementation.
 */
export interface Store {
  /**
   * Takes the shards for `holder`, a name that is used once; a former owner is fenced from then on. Must come before
   * everything else. Asks nobody: nodes that share a store take leases (`leases`) instead. A store without leases has one
   * shard, 0, and all queues are in it.
   */
  acquire(shards: readonly ShardId[], holder: string): Promise<readonly ShardGrant[]>;
  /**
   * Every open submission of the shards, in bounded pieces, by id ascending in each shard. Which shard a submission is of
   * is told by the batch that inserted it, not by its id: it may have been moved in from another store.
   */
  load(shards: readonly ShardId[]): AsyncIterable<readonly LoadedSubmission[]>;
  /**
   * For a node that may own the shard soon: what `load` will answer can be read before. Of a store that has `leases`; one
   * that does without is loaded when its owner has changed.
   */
  prepare?(shard: ShardId): Preparation;
  /**
   * Writes a batch as one transaction; answers when it is on disk. One call at a time per shard, `seq` rising by
   * one. The last batch may be sent once more: it changes nothing and is answered as before, but see `gone`.
   */
  commit(batch: CommitBatch): Promise<CommitResult>;
  /** What verbs have changed of queues and of the whole server; none of those that were never touched. */
  scopeControls(): Promise<ReadonlyMap<Scope, ScopeControl>>;
  /** The `seq` of the shard's last batch that took place: settles `unknown`. */
  lastSeq(shard: ShardId): Promise<number>;
  /** A submission in any state; null if it is not known. */
  findById(id: SubmissionId): Promise<StoredSubmission | null>;
  /** Of each prefix the oldest submission, in any state; null where there is none. Reads nothing else of them. */
  idsByPrefix(prefixes: readonly string[]): Promise<readonly (SubmissionId | null)[]>;
  /**
   * Bodies of `Direct` submissions, in the order asked for; null for a missing one and for a null content. Perhaps only
   * the first ones: at least one, and none after those that reach `bytesMax` together (default `ANSWER_BYTES_MAX`).
   */
  directContents(
    part: 'input' | 'output',
    chunks: readonly ChunkId[],
    bytesMax?: number,
  ): Promise<readonly (Uint8Array | null)[]>;
  /** How many of the queue's submissions that ended in that state are remembered. */
  countEnded(queue: string, state: EndState): Promise<number>;
  /** The queues of which submissions that ended in that state are remembered, in no particular order. */
  endedQueues(state: EndState): Promise<readonly string[]>;
  /** The queue's ended submissions (of that state), newest first, for pages of a listing. `before` is exclusive. */
  ended(page: EndedPage): Promise<readonly StoredSubmission[]>;
  /** The chunks that were done in a submission; null if it is not known. Of a completed one all are. */
  chunksDone(id: SubmissionId): Promise<ChunkSet | null>;
  /**
   * Chunks of the submission that are set aside, by index, from `from` on: at most `limit`, and none after those whose
   * failures reach `bytesMax` together (default `ANSWER_BYTES_MAX`), but at least one if there is one.
   */
  failedChunks(page: FailedChunksPage): Promise<readonly SetAsideChunk[]>;
  /** Submissions that may be forgotten, the longest ago first, then by id. */
  due(page: DuePage): Promise<readonly DueSubmission[]>;
  /**
   * Forgets those of the submissions that have ended, and returns how many. Leaves those of a shard that another owner has
   * taken. Finishes what an earlier call could not, because the process ended.
   *
   * @param forgotten may be called when nobody finds them any more, before what belongs to them is deleted, which may take long
   */
  forget(ids: readonly SubmissionId[], forgotten?: () => void): Promise<number>;
  /** Bytes that the store takes, for metrics and footprints. */
  sizeBytes(): Promise<number>;
  /** What only some stores offer. */
  readonly maintenance?: StoreMaintenance;
  /** What only stores offer that several nodes share: one of those acts, the others stand by. */
  readonly leases?: StoreLeases;
  /**
   * Fires when the store is gone for good: corrupt, its thread dead, fenced if it has no leases to come back by. The reason
   * is a {@link StoreError}.
   */
  readonly lost: AbortSignal;
  /**
   * Ends it; idempotent. What was committed stays. What is under way may take `graceMs` (default: for ever); then it is
   * broken off, which leaves nothing half done, and rejects as everything does from now on.
   */
  close(graceMs?: number): Promise<void>;
}

/** Optional capabilities of a store that keeps one local file. */
export interface StoreMaintenance {
  /** Copies everything, beside ongoing commits, to a new file; never overwrites one. The copy is usable as it is. */
  backup(to: string): Promise<void>;
  /** Moves what the write-ahead log holds into the database file. */
  checkpoint(): Promise<void>;
  /**
   * Looks whether what is committed would be there after a restart; rejects with a {@link StoreError} while it would not,
   * because the file was removed, renamed or replaced. `commit` looks by itself.
   */
  check(): Promise<{ readonly walBytes: number }>;
  /** Size of the write-ahead log: grows without end only if something keeps it from being emptied. */
  walBytes(): Promise<number>;
}

/** What is stored of a shard, read while another node still acts for it, and put right when that is over. */
export interface Preparation {
  /** As it is read, in blocks; once. May be left early. */
  read(): AsyncIterable<LoadedBlock>;
  /**
   * For the owner of the shard, after all has been read: the blocks of which anything is different from what was read.
   * What of them was read is void.
   */
  changed(): AsyncIterable<LoadedBlock>;
}

/** The open submissions of a range of ids, by id ascending. */
export interface LoadedBlock {
  /** Names the range. */
  readonly block: number;
  readonly submissions: readonly LoadedSubmission[];
}

/** An open submission as it comes back at start. */
export interface LoadedSubmission {
  readonly record: SubmissionRecord;
  readonly done: ChunkSet;
  /** Chunks that were tried, and are neither done nor set aside. */
  readonly tries: ReadonlyMap<ChunkIndex, ChunkTries>;
  /** Chunks that are set aside, and not done. */
  readonly failed: ChunkSet;
  readonly control: Control;
}

/** A submission as a look-up finds it. `end` is null while it is open; then `chunksDone` is as of the last commit. */
export interface StoredSubmission {
  readonly record: SubmissionRecord;
  readonly end: SubmissionEnd | null;
  readonly chunksDone: number;
  readonly control: Control;
}

/** A chunk that is out of tries, of a submission that goes on without it. */
export interface SetAsideChunk {
  readonly chunkIndex: ChunkIndex;
  /** What its consumer said of the last try, or the beginning and the end of that. */
  readonly failure: string;
}

/** A page of a listing of the chunks that are set aside. */
export interface FailedChunksPage {
  readonly id: SubmissionId;
  readonly from: ChunkIndex;
  readonly limit: number;
  readonly bytesMax?: number | undefined;
}

/** A page of a listing of ended submissions. */
export interface EndedPage {
  readonly queue: string;
  /** Default: all states. */
  readonly state?: EndState | undefined;
  readonly before?: SubmissionId | undefined;
  readonly limit: number;
}

/** A page of a listing of what may be forgotten. */
export interface DuePage {
  readonly shards: readonly ShardId[];
  /** Exclusive. */
  readonly endedBeforeMs: number;
  /** Those that come after it. */
  readonly after?: DueSubmission | undefined;
  readonly limit: number;
}

/** A submission that may be forgotten. */
export interface DueSubmission {
  readonly id: SubmissionId;
  readonly endedAtMs: number;
}

export interface CommitBatch {
  readonly shard: ShardId;
  readonly epoch: number;
  readonly seq: number;
  /** Applied in this order. */
  readonly mutations: readonly Mutation[];
}

export type Mutation =
  | {
      readonly kind: 'insert';
      readonly record: SubmissionRecord;
      /** Inputs of a `Direct` submission, `chunksTotal` of them. */
      readonly directInputs?: readonly (Uint8Array | null)[];
      /** Two inserts with the same key are one. The prefix is one as well. */
      readonly idempotencyKey?: string;
      /** Set for a submission of zero chunks: it ends as it is inserted. */
      readonly end?: SubmissionEnd;
      /** Default: `NO_CONTROL`. */
      readonly control?: Control;
    }
  | { readonly kind: 'page'; readonly id: SubmissionId; readonly page: number; readonly content: PageContent }
  | {
      readonly kind: 'tries';
      readonly id: SubmissionId;
      readonly chunkIndex: ChunkIndex;
      readonly tries: ChunkTries;
    }
  /** The chunk is set aside; `failure` null: it is not any more. */
  | {
      readonly kind: 'failed_chunk';
      readonly id: SubmissionId;
      readonly chunkIndex: ChunkIndex;
      readonly failure: string | null;
    }
  /**
   * What was done stays done; all else begins anew: no chunk is set aside or has been tried, and a submission that has
   * ended is open again. Changes nothing of a completed one.
   */
  | { readonly kind: 'retry'; readonly id: SubmissionId }
  | {
      readonly kind: 'direct_output';
      readonly id: SubmissionId;
      readonly chunkIndex: ChunkIndex;
      readonly content: Uint8Array | null;
    }
  /** Of an open submission; changes nothing of one that has ended. */
  | { readonly kind: 'control'; readonly id: SubmissionId; readonly control: Control }
  /** One that is untouched is forgotten. */
  | { readonly kind: 'scope_control'; readonly scope: Scope; readonly control: ScopeControl }
  /** A completed submission loses its pages, tries and chunks set aside, the others keep them. */
  | { readonly kind: 'end'; readonly id: SubmissionId; readonly end: SubmissionEnd };

/**
 * What came of an insert: done, or the prefix (or idempotency key) exists: that submission, whatever it contains.
 * `gone` is told only of a batch that is sent once more: what the insert made, or what it found by its prefix or key,
 * has been cleaned up since, and nothing of it is there now.
 */
export type InsertResult =
  | { readonly kind: 'inserted' }
  | { readonly kind: 'exists'; readonly submission: StoredSubmission }
  | { readonly kind: 'gone' };

export type CommitResult =
  /** On disk. `inserts` has one result for each insert of the batch, in order. */
  | { readonly kind: 'committed'; readonly inserts: readonly InsertResult[] }
  /** Nothing of it took place, as far as the store can tell. `transient` and `full` are to be retried, same `seq`. */
  | { readonly kind: 'refused'; readonly error: StoreError }
  /** It may have taken place: ask {@link Store.lastSeq} before anything else. */
  | { readonly kind: 'unknown'; readonly error: StoreError }
  /** Another owner has taken the shard. Never retried. */
  | { readonly kind: 'fenced'; readonly error: StoreError };
