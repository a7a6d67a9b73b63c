import type { Cancellation } from '../model/control.ts';
import type { ChunkIndex } from '../model/ids.ts';
import type { ChunkTries } from '../model/submission.ts';
import type { ConsumerHandle, HandedOutChunk, OpenSubmission, ReservationRequest } from './types.ts';

/**
 * What follows from a call of the scheduler, for the caller to carry out. `Peer` is what the caller named a consumer by.
 *
 * Counts are right and every call is allowed again by the time an effect can be seen; what it speaks of may have
 * moved on since.
 */
export type Effect<Peer> =
  | Reserved<Peer>
  | Completed<Peer>
  | SetBack<Peer>
  | Retried
  | Begun
  | Dropped<Peer>
  | Ending
  | Sick<Peer>
  | Recovered<Peer>
  | DeadlineChanged;

/** A reservation request is answered with at least one chunk. */
export interface Reserved<Peer> {
  readonly kind: 'reserved';
  readonly consumer: ConsumerHandle<Peer>;
  readonly request: ReservationRequest;
  readonly chunks: readonly HandedOutChunk[];
}

/** The chunk is done: its page of `submission.done` is to be persisted. */
export interface Completed<Peer> {
  readonly kind: 'completed';
  readonly submission: OpenSubmission;
  readonly chunkIndex: ChunkIndex;
  /** It had been set aside, and is not any more. */
  readonly hadFailed: boolean;
  /** Since when it was reserved, whoever held it; null if nobody did. */
  readonly reservedMs: number | null;
  /** Who says so; null: not known. */
  readonly by: ConsumerHandle<Peer> | null;
}

/** A chunk was handed out in vain, and is taken from its holder: its tries are to be persisted. */
export interface SetBack<Peer> {
  readonly kind: 'set_back';
  /** After an expiry, the consumer is to be told. */
  readonly cause: 'failed' | 'expired' | 'disconnected';
  readonly consumer: ConsumerHandle<Peer>;
  readonly submission: OpenSubmission;
  readonly chunkIndex: ChunkIndex;
  readonly tries: ChunkTries;
  /** Why it gets no other try: it is set aside, or its submission fails with it; null if it gets one. */
  readonly fatal: string | null;
  /** What its consumer said of the failure; null if it said nothing. */
  readonly failure: string | null;
  readonly reservedMs: number;
}

/** The chunks of a submission that were set aside are available again, and all tries begin anew: to be persisted. */
export interface Retried {
  readonly kind: 'retried';
  readonly submission: OpenSubmission;
}

/** It was withheld until a time, and that has come: its chunks are handed out from now on. */
export interface Begun {
  readonly kind: 'begun';
  readonly submission: OpenSubmission;
}

/**
 * The consumer's result is not wanted any more: another one completed the chunk, or the submission ended. For the
 * holder, and for those who have not answered the expiry of their reservation of it.
 */
export interface Dropped<Peer> {
  readonly kind: 'dropped';
  readonly consumer: ConsumerHandle<Peer>;
  readonly submission: OpenSubmission;
  readonly chunkIndex: ChunkIndex;
  readonly reason: DropReason;
}

export type DropReason = 'completed_elsewhere' | 'submission_ended';

/** The submission is off the schedule. To be persisted, and forgotten after that. */
export interface Ending {
  readonly kind: 'ending';
  readonly submission: OpenSubmission;
  readonly cause: SubmissionEndCause;
}

export type SubmissionEndCause =
  | { readonly state: 'completed' }
  | { readonly state: 'completed_with_failures' }
  | ({ readonly state: 'cancelled' } & Cancellation)
  | { readonly state: 'failed'; readonly chunkIndex: ChunkIndex; readonly failure: string };

/** The consumer's last chunks all failed while others completed theirs: it gets its next one after a pause. */
export interface Sick<Peer> {
  readonly kind: 'sick';
  readonly consumer: ConsumerHandle<Peer>;
  readonly failuresInRow: number;
  readonly pauseMs: number;
}

/** A sick consumer has completed a chunk. */
export interface Recovered<Peer> {
  readonly kind: 'recovered';
  readonly consumer: ConsumerHandle<Peer>;
}

/** `nextDeadlineMs` may have become earlier: the caller sets its timer, by `deadlineForTimer`. */
export interface DeadlineChanged {
  readonly kind: 'deadline_changed';
}

export const DEADLINE_CHANGED: DeadlineChanged = { kind: 'deadline_changed' };

/** More room than this is given back. */
const ROOM_KEPT = 1_024;

/** Effects in the order in which they are to be carried out. Emptied and filled again, for ever: it keeps its room. */
export class Effects<Peer> {
  readonly #items: (Effect<Peer> | null)[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** @param i below `length` */
  at(i: number): Effect<Peer> {
    return this.#items[i]!;
  }

  push(effect: Effect<Peer>): void {
    this.#items[this.#length++] = effect;
  }

  /** What speaks of the submission is not to be carried out. */
  drop(submission: OpenSubmission): void {
    const items = this.#items;
    let kept = 0;
    for (let i = 0; i < this.#length; i++) {
      const effect = items[i]!;
      if ('submission' in effect && effect.submission === submission) continue;
      items[kept++] = effect;
    }
    for (let i = kept; i < this.#length; i++) items[i] = null;
    this.#length = kept;
  }

  clear(): void {
    const items = this.#items;
    // What has been dealt with must not be kept in memory by a place that is not filled again.
    for (let i = 0; i < this.#length; i++) items[i] = null;
    if (this.#length > ROOM_KEPT) items.length = ROOM_KEPT;
    this.#length = 0;
  }
}
