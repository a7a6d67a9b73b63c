import type { ChunkIndex } from '../model/ids.ts';
import type { ChunkTries } from '../model/submission.ts';
import type { ConsumerHandle, HandedOutChunk, OpenSubmission, ReservationRequest } from './types.ts';

/**
 * The schedule as those see it who only look: nothing of it may be changed. What is looked through may change between two
 * steps; what is there all the time is found.
 */
export interface ScheduleSight<Peer> {
  readonly submissions: Listed<SubmissionSight>;
  readonly consumers: ReadonlySet<ConsumerSight<Peer>>;
  readonly metadata: { readonly keys: Iterable<KeySight> };
}

/** By id or value, ascending. */
export interface Listed<T> {
  readonly size: number;
  get(key: bigint): T | undefined;
  values(): Iterable<T>;
}

export interface SubmissionSight extends OpenSubmission {
  readonly chunksAvailable: number;
  readonly chunksPaused: number;
  readonly chunksDelayed: number;
  readonly chunksFailed: number;
  /** Chunks that consumers hold, the one handed out longest ago first. */
  readonly reservations: ReadonlyMap<ChunkIndex, HeldSight> | null;
  /** Chunks that wait until they are available again. */
  readonly delays: ReadonlyMap<
    ChunkIndex,
    { readonly chunkIndex: ChunkIndex; readonly dueMs: number }
  > | null;
  /** Of chunks that are neither done nor set aside. */
  readonly tries: ReadonlyMap<ChunkIndex, ChunkTries> | null;
}

export interface HeldSight extends HandedOutChunk {
  readonly submission: SubmissionSight;
  readonly expiresMs: number;
  readonly consumer: ConsumerHandle<unknown>;
}

export interface ConsumerSight<Peer> extends ConsumerHandle<Peer> {
  readonly concurrency: number;
  readonly requests: ReadonlySet<ReservationRequest>;
  /** Slowed down: its last chunks all failed while others completed some. */
  readonly isSick: boolean;
  /** The first of what it holds, in the order in which it got it. */
  readonly firstHeld: HeldLink | null;
}

export interface HeldLink extends HeldSight {
  readonly heldAfter: HeldLink | null;
}

export interface KeySight {
  readonly name: string;
  readonly values: Listed<ValueSight>;
}

/** A pair of strategic metadata. */
export interface ValueSight {
  readonly value: bigint;
  readonly carriers: Listed<SubmissionSight>;
  readonly inFlight: number;
  readonly waiting: number;
  readonly backlog: number;
  readonly done: number;
}
