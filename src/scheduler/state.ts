import type { ChunkSet } from '../model/chunk-set.ts';
import { type Control, NO_CONTROL } from '../model/control.ts';
import type { ChunkIndex } from '../model/ids.ts';
import {
  type ChunkTries,
  NO_TRIES,
  type StrategicMetadata,
  type SubmissionRecord,
} from '../model/submission.ts';
import { invariant } from './invariant.ts';
import type { MetaValue } from './metadata.ts';
import { IndexHeap } from './plan/index-heap.ts';
import type { Placed } from './plan/placed-heap.ts';
import type { Candidate, Seat } from './plan/tree.ts';
import type { ConsumerSight, HeldLink, SubmissionSight } from './sight.ts';
import type { ConsumerOptions, HandedOutChunk, ReservationRequest } from './types.ts';

/**
 * A submission on the schedule. Each of its chunks is in one of these states:
 *
 * - done: in `done`;
 * - reserved: in `reservations`;
 * - delayed: in `delays`;
 * - failed: in `failed`; out of tries, of a submission that collects failures. The cursor passes over them;
 * - available: all others; they are not offered, and count as paused, while the submission is withheld. Those from `cursor` on were never handed out; those below it came back and are in
 *   `returned`, which may also hold some that have been done since: they are passed over.
 */
export class ScheduledSubmission<Peer>
  implements SubmissionSight<Peer>, Candidate<ScheduledSubmission<Peer>>
{
  record: SubmissionRecord;
  /** The strategic metadata that it came with, which verbs may have changed since. */
  readonly insertedMetadata: StrategicMetadata;
  readonly done: ChunkSet;
  values: readonly MetaValue<ScheduledSubmission<Peer>>[];
  readonly orderHigh: number;
  readonly orderLow: number;
  /** With room for two plans: an empty list takes room for seventeen with its first one. */
  readonly seats: (Seat<ScheduledSubmission<Peer>> | undefined)[] = [undefined, undefined];
  state: 'open' | 'ending' = 'open';
  chunksAvailable = 0;
  chunksPaused = 0;
  isWithheld = false;
  control: Control = NO_CONTROL;
  tally: object | null = null;
  /** When time changes something of it. */
  appointment: Appointment<Peer> | null = null;
  reservations: Map<ChunkIndex, Reservation<Peer>> | null = null;
  completions = 0;
  tallyMark = -1;
  delays: Map<ChunkIndex, Delay<Peer>> | null = null;
  failed: ChunkSet | null = null;
  /** Who is not to get a chunk although it is available: see {@link Consumer.bars}. */
  bars: Map<ChunkIndex, Set<Consumer<Peer>>> | null = null;
  /** Chunks that another consumer is to have first: see {@link Shun}. */
  shuns: Map<ChunkIndex, Shun<Peer>> | null = null;
  #cursor: ChunkIndex = 0;
  /** Chunks from the cursor on that are not available all the same: delayed since a restart. */
  #apart: Set<ChunkIndex> | null = null;
  #returned: IndexHeap | null = null;
  #tries: Map<ChunkIndex, ChunkTries> | null = null;
  #disconnectTimes: Map<ChunkIndex, number[]> | null = null;

  constructor(
    record: SubmissionRecord,
    done: ChunkSet,
    values: readonly MetaValue<ScheduledSubmission<Peer>>[],
  ) {
    this.record = record;
    this.insertedMetadata = record.strategicMetadata;
    this.done = done;
    this.values = values;
    this.orderHigh = Number(BigInt.asIntN(32, record.id >> 32n));
    this.orderLow = Number(BigInt.asUintN(32, record.id)) - 2 ** 31;
  }

  get chunksReserved(): number {
    return this.reservations === null ? 0 : this.reservations.size;
  }

  get chunksDelayed(): number {
    return this.delays === null ? 0 : this.delays.size;
  }

  get chunksFailed(): number {
    return this.failed === null ? 0 : this.failed.count;
  }

  /** No chunk of it is to be done any more. */
  get isSettled(): boolean {
    return this.done.count + this.chunksFailed === this.done.size;
  }

  reservation(chunkIndex: ChunkIndex): HandedOutChunk | undefined {
    return this.reservations?.get(chunkIndex);
  }

  /** Whether there is such a chunk and it is not done. */
  hasOpenChunk(index: ChunkIndex): boolean {
    return (
      this.state === 'open' &&
      Number.isInteger(index) &&
      index >= 0 &&
      index < this.done.size &&
      !this.done.has(index)
    );
  }

  /** Whether a chunk that is not done could be handed out. */
  isAvailable(index: ChunkIndex): boolean {
    return !this.reservations?.has(index) && !this.delays?.has(index) && !this.failed?.has(index);
  }

  get tries(): ReadonlyMap<ChunkIndex, ChunkTries> | null {
    return this.#tries;
  }

  triesOf(index: ChunkIndex): ChunkTries {
    return this.#tries?.get(index) ?? NO_TRIES;
  }

  setTries(index: ChunkIndex, tries: ChunkTries): void {
    this.#tries ??= new Map();
    this.#tries.set(index, tries);
  }

  /** When connections broke while the chunk was running, of those that count; the caller may change it. */
  disconnectTimesOf(index: ChunkIndex): number[] {
    let times = this.#disconnectTimes?.get(index);
    if (times === undefined) {
      times = [];
      this.#disconnectTimes ??= new Map();
      this.#disconnectTimes.set(index, times);
    }
    return times;
  }

  forgetTries(index: ChunkIndex): void {
    this.#tries?.delete(index);
    this.#disconnectTimes?.delete(index);
    this.#apart?.delete(index);
  }

  /** What was tried counts no more. */
  forgetAllTries(): void {
    this.#tries = null;
    this.#disconnectTimes = null;
  }

  /** Takes the lowest available chunk that the consumer may have. There must be one. */
  takeChunk(consumer: Consumer<Peer>): ChunkIndex {
    return this.#takeReturned(consumer) ?? this.#takeFresh();
  }

  /** A chunk that was handed out is available again. */
  giveBackChunk(index: ChunkIndex): void {
    if (index >= this.#cursor) {
      invariant(this.#apart?.delete(index) === true, 'a chunk comes back that was never handed out');
      return;
    }
    this.#returned ??= new IndexHeap();
    this.#returned.push(index);
  }

  /** These are not failed any more. */
  giveBackFailed(failed: ChunkSet): void {
    // Those from the cursor on it will come to.
    this.#returned ??= new IndexHeap();
    this.#returned.pushAscending(failed, this.#cursor);
  }

  /** A chunk that was never handed out is not available until `giveBackChunk`. */
  setApart(index: ChunkIndex): void {
    this.#apart ??= new Set();
    this.#apart.add(index);
  }

  /** For checks: every available chunk, in no particular order, in O(chunks). */
  *available(): Generator<ChunkIndex> {
    for (const index of this.#returned ?? []) if (!this.done.has(index)) yield index;
    let index = this.#nextFresh(this.#cursor);
    while (index < this.done.size) {
      if (!this.#apart?.has(index)) yield index;
      index = this.#nextFresh(index + 1);
    }
  }

  /** For checks: how many chunks are available, and which, in O(chunks that were handed out). */
  recount(): { readonly count: number; has(index: ChunkIndex): boolean } {
    const cursor = this.#cursor;
    const apart = this.#apart;
    const returned = new Set<ChunkIndex>();
    for (const index of this.#returned ?? []) {
      invariant(!returned.has(index) || this.done.has(index), 'a chunk has come back twice');
      if (!this.done.has(index)) returned.add(index);
    }
    const isSettled = (index: ChunkIndex) => this.done.has(index) || this.failed?.has(index) === true;
    let settledAhead = this.done.count + this.chunksFailed;
    for (let index = 0; index < cursor; index++) if (isSettled(index)) settledAhead--;
    return {
      count: returned.size + this.done.size - cursor - settledAhead - (apart?.size ?? 0),
      has: (index) =>
        index < cursor ? returned.has(index) : !isSettled(index) && apart?.has(index) !== true,
    };
  }

  #takeReturned(consumer: Consumer<Peer>): ChunkIndex | undefined {
    const returned = this.#returned;
    if (returned === null) return undefined;
    let taken: ChunkIndex | undefined;
    let passedOver: ChunkIndex[] | undefined;
    while (taken === undefined) {
      const index = returned.pop();
      if (index === undefined) break;
      if (this.done.has(index)) continue;
      if (consumer.isKeptFrom(this, index)) {
        passedOver ??= [];
        passedOver.push(index);
      } else {
        taken = index;
      }
    }
    if (passedOver !== undefined) for (const index of passedOver) returned.push(index);
    else if (returned.size === 0) this.#returned = null;
    return taken;
  }

  #takeFresh(): ChunkIndex {
    let index = this.#nextFresh(this.#cursor);
    // From here on it counts as handed out.
    while (this.#apart?.delete(index)) index = this.#nextFresh(index + 1);
    invariant(index < this.done.size, 'a submission has no chunk although it counts one as available');
    this.#cursor = index + 1;
    return index;
  }

  /** The lowest chunk from there on that is neither done nor failed; the number of chunks if there is none. */
  #nextFresh(from: ChunkIndex): ChunkIndex {
    let index = this.done.nextMissing(from);
    if (this.failed === null) return index;
    for (;;) {
      const next = this.failed.nextMissing(index);
      if (next === index) return index;
      index = this.done.nextMissing(next);
    }
  }
}

/** A chunk that a consumer holds. Links: in order of expiry over all, in order of hand-out per consumer. */
export class Reservation<Peer> implements HeldLink<Peer> {
  readonly submission: ScheduledSubmission<Peer>;
  readonly chunkIndex: ChunkIndex;
  readonly retries: number;
  readonly consumer: Consumer<Peer>;
  readonly reservedMs: number;
  /** Later with each extension. */
  expiresMs: number;
  expiresBefore: Reservation<Peer> | null = null;
  expiresAfter: Reservation<Peer> | null = null;
  heldBefore: Reservation<Peer> | null = null;
  heldAfter: Reservation<Peer> | null = null;

  constructor(
    submission: ScheduledSubmission<Peer>,
    chunkIndex: ChunkIndex,
    consumer: Consumer<Peer>,
    reservedMs: number,
    expiresMs: number,
  ) {
    this.submission = submission;
    this.chunkIndex = chunkIndex;
    this.retries = submission.triesOf(chunkIndex).retries;
    this.consumer = consumer;
    this.reservedMs = reservedMs;
    this.expiresMs = expiresMs;
  }

  get isHeld(): boolean {
    return this.submission.reservations?.get(this.chunkIndex) === this;
  }
}

/** Consumers that failed a chunk, and are not to get it before another one, until `dueMs`. */
export class Shun<Peer> implements Placed {
  readonly submission: ScheduledSubmission<Peer>;
  readonly chunkIndex: ChunkIndex;
  readonly consumers = new Set<Consumer<Peer>>();
  dueMs = 0;
  place = -1;

  constructor(submission: ScheduledSubmission<Peer>, chunkIndex: ChunkIndex) {
    this.submission = submission;
    this.chunkIndex = chunkIndex;
  }
}

/** A sick consumer gets nothing until `dueMs`. */
export class Pause<Peer> implements Placed {
  readonly consumer: Consumer<Peer>;
  readonly dueMs: number;
  place = -1;

  constructor(consumer: Consumer<Peer>, dueMs: number) {
    this.consumer = consumer;
    this.dueMs = dueMs;
  }
}

/** A submission starts, or ends by its deadline, when the wall clock shows that time. */
export class Appointment<Peer> implements Placed {
  readonly submission: ScheduledSubmission<Peer>;
  /** Unix milliseconds. */
  readonly dueUnixMs: number;
  place = -1;

  constructor(submission: ScheduledSubmission<Peer>, dueUnixMs: number) {
    this.submission = submission;
    this.dueUnixMs = dueUnixMs;
  }
}

/** A chunk that waits until it is available again. */
export class Delay<Peer> implements Placed {
  readonly submission: ScheduledSubmission<Peer>;
  readonly chunkIndex: ChunkIndex;
  readonly dueMs: number;
  /** Breaks ties: the lower one is due first. */
  readonly order: number;
  place = -1;

  constructor(submission: ScheduledSubmission<Peer>, chunkIndex: ChunkIndex, dueMs: number, order: number) {
    this.submission = submission;
    this.chunkIndex = chunkIndex;
    this.dueMs = dueMs;
    this.order = order;
  }
}

/** A connection that reserves chunks. */
export class Consumer<Peer> implements ConsumerSight<Peer> {
  readonly peer: Peer;
  readonly concurrency: number;
  readonly silentOnExpiry: boolean;
  completions = 0;
  tally: object | null = null;
  tallyMark = -1;
  isGone = false;
  /** It has asked for chunks. */
  isAsker = false;
  chunksReserved = 0;
  /** What it holds, in the order in which it got it, which is the order in which it works. */
  firstHeld: Reservation<Peer> | null = null;
  lastHeld: Reservation<Peer> | null = null;
  /** Its requests that wait. */
  readonly requests = new Set<ReservationRequest>();
  /**
   * Chunks that it is not to get: they were taken away from it by an expiry, and its answer to that, which names
   * only the chunk, could not be told from a failure of a second try.
   */
  bars: Map<ScheduledSubmission<Peer>, Set<ChunkIndex>> | null = null;
  chunksBarred = 0;
  /** Chunks that failed on it and that another one is to have first; the one that failed longest ago first. */
  readonly shuns = new Set<Shun<Peer>>();
  /** Of its last chunks, how many failed one after the other. */
  failuresInRow = 0;
  /** The completions of all when its last pause began, or its first chunk in a row failed. */
  completionsSeen = 0;
  /** How often it was paused in a row; above 0 it is sick. */
  pauses = 0;
  pause: Pause<Peer> | null = null;

  constructor(peer: Peer, options: ConsumerOptions) {
    this.peer = peer;
    this.concurrency = options.concurrency ?? 1;
    this.silentOnExpiry = options.silentOnExpiry ?? false;
    invariant(
      Number.isSafeInteger(this.concurrency) && this.concurrency >= 1,
      'concurrency is a whole number from 1',
    );
  }

  get isSick(): boolean {
    return this.pauses > 0;
  }

  /** It holds chunks or asks for some, and is well: it may take what another one failed. */
  get isAtWork(): boolean {
    return this.pauses === 0 && (this.chunksReserved > 0 || this.requests.size > 0);
  }

  /** It is not to get the chunk although that is available. */
  isKeptFrom(submission: ScheduledSubmission<Peer>, index: ChunkIndex): boolean {
    if (this.bars?.get(submission)?.has(index)) return true;
    return this.shuns.size > 0 && submission.shuns?.get(index)?.consumers.has(this) === true;
  }
}
