import type { ChunkIndex } from '../model/ids.ts';
import type { ChunkTries } from '../model/submission.ts';
import type { ConsumerHandle, HandedOutChunk, OpenSubmission, ReservationRequest } from './types.ts';

/**
 * The schedule as those see it who only look: nothing of it may be changed. What is looked through may change between two
 * steps; what is there all the time is found.
 */
export interface ScheduleSight<Peer> {
  readonly submissions: Listed<SubmissionSight<Peer>>;
  readonly consumers: ReadonlySet<ConsumerSight<Peer>>;
  readonly metadata: {
    readonly keys: Iterable<KeySight<Peer>>;
    key(name: string): KeySight<Peer> | undefined;
  };
}

/** By id or value. */
export interface Listed<T> {
  readonly size: number;
  get(key: bigint): T | undefined;
  /** Ascending. */
  values(): Iterable<T>;
  descending(): Iterable<T>;
}

export interface SubmissionSight<Peer = unknown> extends OpenSubmission {
  readonly chunksAvailable: number;
  readonly chunksPaused: number;
  readonly chunksDelayed: number;
  readonly chunksFailed: number;
  /** Chunks that consumers hold, the one handed out longest ago first. */
  readonly reservations: ReadonlyMap<ChunkIndex, HeldSight<Peer>> | null;
  /** Chunks that wait until they are available again. */
  readonly delays: ReadonlyMap<
    ChunkIndex,
    { readonly chunkIndex: ChunkIndex; readonly dueMs: number }
  > | null;
  /** Of chunks that are neither done nor set aside. */
  readonly tries: ReadonlyMap<ChunkIndex, ChunkTries> | null;
}

export interface HeldSight<Peer = unknown> extends HandedOutChunk {
  readonly submission: SubmissionSight<Peer>;
  readonly expiresMs: number;
  readonly consumer: ConsumerHandle<Peer>;
}

export interface ConsumerSight<Peer> extends ConsumerHandle<Peer> {
  readonly concurrency: number;
  readonly requests: ReadonlySet<ReservationRequest>;
  /** Slowed down: its last chunks all failed while others completed some. */
  readonly isSick: boolean;
  /** The first of what it holds, in the order in which it got it. */
  readonly firstHeld: HeldLink<Peer> | null;
}

export interface HeldLink<Peer = unknown> extends HeldSight<Peer> {
  readonly heldAfter: HeldLink<Peer> | null;
}

export interface KeySight<Peer = unknown> {
  readonly name: string;
  readonly values: Listed<ValueSight<Peer>>;
}

/** A pair of strategic metadata. */
export interface ValueSight<Peer = unknown> {
  readonly value: bigint;
  readonly carriers: Listed<SubmissionSight<Peer>>;
  readonly inFlight: number;
  readonly waiting: number;
  readonly backlog: number;
  readonly done: number;
}
