import type { ChunkSet } from '../model/chunk-set.ts';
import type { ChunkIndex, SubmissionId } from '../model/ids.ts';
import type { Strategy } from '../model/strategy.ts';
import type { ChunkTries, SubmissionRecord } from '../model/submission.ts';
import type { Random } from '../system/random.ts';

/**
 * The in-memory engine: decides which chunk goes to whom. Pure: no I/O, no clock (every call that needs the time
 * gets `nowMs`, of a clock that never steps back), no randomness but the one handed in. What follows from a call
 * is told through {@link SchedulerEvents}, synchronously, before the call returns. An event's handler may read
 * (`get`, `find`, `counts`, `nextDeadlineMs`) but must not change anything: that throws an InvariantError.
 *
 * A call that throws (wrong use, a broken invariant, a handler that threw) leaves a scheduler that refuses
 * everything from then on: a queue that stops is better than one that loses or doubles work.
 */
export interface SchedulerPort {
  /** Takes in a submission whose insert is committed (`chunksTotal` >= 1), with what is known of its progress after a restart. */
  insert(record: SubmissionRecord, nowMs: number, progress?: SubmissionProgress): OpenSubmission;
  /** The submissions that have not ended, or whose end is not committed yet. */
  get(id: SubmissionId): OpenSubmission | undefined;
  /** Open (not ending) submissions that carry all pairs, ids ascending; stops after `limit`. */
  find(pairs: ReadonlyMap<string, bigint>, limit: number): SubmissionId[];

  /** A connection that may reserve chunks. */
  addConsumer(options?: ConsumerOptions): ConsumerHandle;
  /** Gives back everything that it held. `orderly`: nothing counts; `broken`: its running chunks count a disconnect. */
  removeConsumer(consumer: ConsumerHandle, manner: 'orderly' | 'broken', nowMs: number): void;

  /** Asks for 1..max chunks (`max` >= 1), fewer than there are where they are few for all who ask. Answered through `reserved`, at once or as soon as one is available. */
  reserve(consumer: ConsumerHandle, request: ReservationRequest, nowMs: number): void;
  /** Takes back a request that waits; false if it was answered already. */
  cancelReserve(consumer: ConsumerHandle, request: ReservationRequest): boolean;
  /** The work is done, whoever says it. `accepted` is false if the chunk is unknown or was done before. */
  complete(consumer: ConsumerHandle | null, id: SubmissionId, chunkIndex: ChunkIndex, nowMs: number): boolean;
  /** Only the holder's failure counts. Also the answer of old clients to an expired reservation (no second try). */
  fail(
    consumer: ConsumerHandle,
    id: SubmissionId,
    chunkIndex: ChunkIndex,
    failure: ChunkFailure,
    nowMs: number,
  ): FailOutcome;
  /** Gives back a chunk uncounted; only the holder's word counts. */
  release(consumer: ConsumerHandle, id: SubmissionId, chunkIndex: ChunkIndex, nowMs: number): boolean;

  /** The holder is still at it: its reservation begins anew. false if it does not hold the chunk (any more). */
  extend(consumer: ConsumerHandle, id: SubmissionId, chunkIndex: ChunkIndex, nowMs: number): boolean;

  /** Takes the submission's chunks off the schedule and tells `ending`. */
  cancel(id: SubmissionId, nowMs: number): 'ending' | 'unknown' | 'already_ending';
  /** The end of an ending submission is committed: it is dropped. */
  forget(id: SubmissionId): void;

  /** Expires reservations and ends retry delays that are due. */
  advance(nowMs: number): void;
  /** When `advance` is due next; null if nothing is timed. */
  nextDeadlineMs(): number | null;
  /** While held, nothing is handed out (the store is stuck); resuming serves those who wait. */
  holdHandOut(held: boolean, nowMs: number): void;

  readonly counts: SchedulerCounts;
}

export interface SchedulerOptions {
  readonly random: Random;
  /** A chunk that is reserved for longer, and not extended meanwhile, is taken away from its holder. */
  readonly reservationExpirationMs: number;
  /** The failure or expiry that makes `retries` reach this number fails the submission. */
  readonly chunkRetriesMax: number;
  /** Likewise for broken connections while the chunk was running; 0 = never. */
  readonly chunkDisconnectsMax: number;
  /** From the second broken connection on a chunk waits this long, doubled with each, jittered. Default 1000. */
  readonly disconnectDelayMs?: number;
  /** A broken connection does not count any more after this time. Default 3 600 000: an hour. */
  readonly disconnectFadesAfterMs?: number;
  /** A chunk that failed on a consumer is kept for others for this long at most, in milliseconds. Default 60 000. */
  readonly anotherFirstMs?: number;
  /** A consumer that fails this many chunks in a row while others complete some is sick. Default 5. */
  readonly sickAfterFailures?: number;
  /** The first pause of a sick consumer, in milliseconds; doubled up to a minute. Default 1 000. */
  readonly sickPauseMs?: number;
  /** Distinct strategies that are kept indexed at a time; the one unused for longest goes. Default 32. */
  readonly plansMax?: number;
  /** Submissions that the index of a new strategy takes in per call of `advance`; its reservations wait. Default 500. */
  readonly planSlice?: number | undefined;
}

export interface SubmissionProgress {
  readonly done: ChunkSet;
  readonly tries: ReadonlyMap<ChunkIndex, ChunkTries>;
}

/** A submission on the schedule. Read-only for everybody but the scheduler. */
export interface OpenSubmission {
  readonly record: SubmissionRecord;
  /** Grows by completions only. */
  readonly done: ChunkSet;
  /** Chunks of `done` that are on disk: set by whoever writes them down. What others are told as `chunks_done`. */
  chunksCommitted: number;
  /** `ending`: its end was told and waits for its commit. */
  readonly state: 'open' | 'ending';
  readonly chunksReserved: number;
  /** A place for what the server derives from the record once (encoded bytes). */
  attachment: unknown;
}

export interface ConsumerOptions {
  /** How many chunks it works on at once; its first unfinished ones count as running. Default 1. */
  readonly concurrency?: number;
  /** It does not answer an expiry (it announced `silent_expiry`; no client of ours does): an expired chunk may come back to it at once. Default false. */
  readonly silentOnExpiry?: boolean;
}

/** Names a consumer towards the scheduler. `owner` is whatever the caller wants to find again in an event. */
export interface ConsumerHandle {
  owner: unknown;
  /** Chunks that it holds. */
  readonly chunksReserved: number;
  /** Expired chunks for which it has not answered. */
  readonly chunksBarred: number;
}

export interface ReservationRequest {
  /** Echoed in the answer; compared by nobody. */
  readonly nonce: number | bigint;
  readonly max: number;
  readonly strategy: Strategy;
}

export interface ReservedChunk {
  readonly submission: OpenSubmission;
  readonly chunkIndex: ChunkIndex;
  readonly retries: number;
  /** false as soon as it has expired, was given back, is done, or its submission has ended. */
  readonly isHeld: boolean;
}

export interface ChunkFailure {
  /** The consumer's words. */
  readonly text: string;
  /** false: the submission fails at once. Default true. */
  readonly retryable?: boolean;
  /** The chunk waits at least this long before it is handed out again. Default 0. */
  readonly delayMs?: number;
}

/** `stale`: the consumer did not hold it; `retry`: it will be handed out again; `failed`: the submission failed. */
export type FailOutcome = 'stale' | 'retry' | 'failed';

export interface SchedulerEvents {
  /** A reservation request is answered with at least one chunk. */
  reserved(consumer: ConsumerHandle, request: ReservationRequest, chunks: readonly ReservedChunk[]): void;
  /** The consumer no longer holds the chunk: it took too long. */
  expired(consumer: ConsumerHandle, submission: OpenSubmission, chunkIndex: ChunkIndex): void;
  /**
   * The result is not wanted any more: somebody else completed the chunk, or the submission ended. Told to the holder,
   * and to those who have not answered the expiry of their reservation of it.
   */
  dropped(
    consumer: ConsumerHandle,
    submission: OpenSubmission,
    chunkIndex: ChunkIndex,
    reason: 'completed_elsewhere' | 'submission_ended',
  ): void;
  /** The page of `submission.done` changed and is to be persisted. */
  pageChanged(submission: OpenSubmission, page: number): void;
  triesChanged(submission: OpenSubmission, chunkIndex: ChunkIndex, tries: ChunkTries): void;
  /** The submission has ended (`failedChunk.inputContent` is null here; the server fills it in). Persist, then `forget`. */
  ending(submission: OpenSubmission, end: SubmissionEndCause): void;
  /** The consumer's last chunks all failed while others completed theirs: it gets its next one after a pause. */
  sick(consumer: ConsumerHandle, told: { readonly failuresInRow: number; readonly pauseMs: number }): void;
  /** A sick consumer has completed a chunk. */
  recovered(consumer: ConsumerHandle): void;
  /** `nextDeadlineMs` may have become earlier. */
  deadlineChanged(): void;
}

export type SubmissionEndCause =
  | { readonly state: 'completed' }
  | { readonly state: 'cancelled' }
  | { readonly state: 'failed'; readonly chunkIndex: ChunkIndex; readonly failure: string };

/** Exact at all times; the object is the same one always and changes with the schedule. */
export interface SchedulerCounts {
  readonly submissionsOpen: number;
  readonly chunksAvailable: number;
  readonly chunksReserved: number;
  readonly chunksDelayed: number;
  /** Chunks of open submissions that are not done. */
  readonly chunksInBacklog: number;
  /** The same in operations (`chunks x chunk_size`). */
  readonly operationsInBacklog: number;
  readonly consumers: number;
  /** Slowed down: their last chunks all failed while others completed some. */
  readonly consumersSick: number;
  readonly requestsWaiting: number;
}
