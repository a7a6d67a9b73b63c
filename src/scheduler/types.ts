import type { ChunkSet } from '../model/chunk-set.ts';
import type { Control } from '../model/control.ts';
import type { ChunkIndex } from '../model/ids.ts';
import type { Strategy } from '../model/strategy.ts';
import type { ChunkTries, SubmissionRecord } from '../model/submission.ts';
import type { Random } from '../system/random.ts';

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
  /** Submissions that the index of a new strategy takes in per call of `advance`; its reservations wait. Default 300. */
  readonly planSlice?: number | undefined;
}

export interface SubmissionProgress {
  readonly done: ChunkSet;
  readonly tries: ReadonlyMap<ChunkIndex, ChunkTries>;
  /** Chunks that are set aside. */
  readonly failed?: ChunkSet | undefined;
}

/** What verbs have changed of a submission, and the time by which that is to be judged. */
export interface ControlAt {
  readonly control: Control;
  /** Unix milliseconds. */
  readonly unixMs: number;
}

/** What is kept with a submission or consumer for those who look on; the scheduler does not look at it. */
export interface LookedOn {
  /** Its chunks that were done since it came, each counted as it is published. */
  completions: number;
  tally: object | null;
  /**
   * A small integer of theirs that says whether they have to look at `tally` for a completion. A strategy may take each chunk from another
   * one of very many submissions, and what a completion touches anyway is in the processor's cache; the tally is not.
   */
  tallyMark: number;
}

/** A submission on the schedule. Only the scheduler changes it. */
export interface OpenSubmission extends LookedOn {
  /** With the strategic metadata that it has now. */
  readonly record: SubmissionRecord;
  /** Grows by completions only. */
  readonly done: ChunkSet;
  /** `ending`: its end was told and waits for its commit. */
  readonly state: 'open' | 'ending';
  readonly chunksReserved: number;
  readonly control: Control;
  /** It is paused, or not to be started yet: nothing of it is handed out. */
  readonly isWithheld: boolean;
  /** Chunks that are out of tries and set aside, of one that collects failures; null: none. */
  readonly failed: ChunkSet | null;
  /** Whether there is such a chunk and it is not done. */
  hasOpenChunk(chunkIndex: ChunkIndex): boolean;
  /** Of a chunk that a consumer holds. */
  reservation(chunkIndex: ChunkIndex): HandedOutChunk | undefined;
}

export interface ConsumerOptions {
  /** How many chunks it works on at once; its first unfinished ones count as running. Default 1. */
  readonly concurrency?: number;
  /** It does not answer an expiry (it announced `silent_expiry`; no client of ours does): an expired chunk may come back to it at once. Default false. */
  readonly silentOnExpiry?: boolean;
}

/** A consumer as its caller holds it. */
export interface ConsumerHandle<Peer> extends LookedOn {
  /** What the caller named it by. */
  readonly peer: Peer;
  /** Chunks that it holds. */
  readonly chunksReserved: number;
  /** Expired chunks for which it has not answered. */
  readonly chunksBarred: number;
}

export interface ReservationRequest {
  /** Echoed in the answer, and not looked at. */
  readonly nonce: number | bigint;
  readonly max: number;
  readonly strategy: Strategy;
}

export interface HandedOutChunk {
  readonly submission: OpenSubmission;
  readonly chunkIndex: ChunkIndex;
  readonly retries: number;
  /** Since when; extensions do not change it. */
  readonly reservedMs: number;
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

/**
 * `stale`: the consumer did not hold it; `retry`: it will be handed out again; `set_aside`: it is out of tries, and the
 * submission goes on without it; `failed`: the submission failed.
 */
export type FailOutcome = 'stale' | 'retry' | 'set_aside' | 'failed';

/** Exact at all times; the object is the same one always and changes with the schedule. */
export interface SchedulerCounts {
  readonly submissionsOpen: number;
  /** Those of them that are paused or not to be started yet. */
  readonly submissionsPaused: number;
  readonly chunksAvailable: number;
  /** They would be available if their submission were not paused, or had been started. */
  readonly chunksPaused: number;
  readonly chunksReserved: number;
  readonly chunksDelayed: number;
  /** Chunks of open submissions that are set aside. */
  readonly chunksFailed: number;
  /** Chunks of open submissions that are neither done nor set aside. */
  readonly chunksInBacklog: number;
  /** The same in operations (`chunks x chunk_size`). */
  readonly operationsInBacklog: number;
  readonly consumers: number;
  /** Slowed down: their last chunks all failed while others completed some. */
  readonly consumersSick: number;
  readonly requestsWaiting: number;
}

/** Of a schedule on which there is nothing. */
export const NO_COUNTS: SchedulerCounts = {
  submissionsOpen: 0,
  submissionsPaused: 0,
  chunksAvailable: 0,
  chunksPaused: 0,
  chunksReserved: 0,
  chunksDelayed: 0,
  chunksFailed: 0,
  chunksInBacklog: 0,
  operationsInBacklog: 0,
  consumers: 0,
  consumersSick: 0,
  requestsWaiting: 0,
};
