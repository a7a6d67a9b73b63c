import { ChunkSet } from '../model/chunk-set.ts';
import type { ChunkIndex } from '../model/ids.ts';
import type { ChunkTries, StrategicMetadata, SubmissionRecord } from '../model/submission.ts';
import type { Random } from '../system/random.ts';
import { SortedMap } from '../system/sorted-map.ts';
import { invariant } from './invariant.ts';
import { MetaTable } from './metadata.ts';
import { PlanCache } from './plan/cache.ts';
import { PlacedHeap } from './plan/placed-heap.ts';
import { Shuns } from './shuns.ts';
import { Appointment, type Consumer, Delay, Reservation, ScheduledSubmission } from './state.ts';
import { NO_COUNTS, type SchedulerCounts } from './types.ts';

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** What has changed since those who wait were looked at last, as far as it may matter to them. */
export class Changes<Peer> {
  /** Submissions of which more chunks are available. */
  readonly risen: ScheduledSubmission<Peer>[] = [];
  /** Consumers from whom something was kept that is not any more. */
  readonly freed = new Set<Consumer<Peer>>();
  /** A chunk is no longer reserved. */
  hasFallen = false;
  /** Somebody waits: it is worth knowing. */
  #isWatched = false;

  rise(submission: ScheduledSubmission<Peer>): void {
    if (this.#isWatched) this.risen.push(submission);
  }

  free(consumer: Consumer<Peer>): void {
    if (this.#isWatched && consumer.requests.size > 0) this.freed.add(consumer);
  }

  clear(isWatched: boolean): void {
    this.#isWatched = isWatched;
    if (this.risen.length > 0) this.risen.length = 0;
    if (this.freed.size > 0) this.freed.clear();
    this.hasFallen = false;
  }
}

/**
 * Who has which chunk. Each method moves chunks from one state to another and keeps everything that is counted or
 * put in order by it: counts, in-flight counts, plans, deadlines. It decides nothing; that is the scheduler's part.
 */
export class Ledger<Peer> {
  readonly submissions = new SortedMap<ScheduledSubmission<Peer>>();
  readonly consumers = new Set<Consumer<Peer>>();
  readonly metadata = new MetaTable<ScheduledSubmission<Peer>>();
  readonly delays = new PlacedHeap<Delay<Peer>>(isDueBefore);
  readonly appointments = new PlacedHeap<Appointment<Peer>>((a, b) => a.dueUnixMs < b.dueUnixMs);
  readonly plans: PlanCache<ScheduledSubmission<Peer>>;
  readonly shuns: Shuns<Peer>;
  readonly changes = new Changes<Peer>();
  readonly counts: Mutable<SchedulerCounts> = { ...NO_COUNTS };
  /** Connected consumers that have asked for chunks. */
  askers = 0;
  /** All reservations last equally long: the first one made (or extended) is the first one to expire. */
  firstToExpire: Reservation<Peer> | null = null;
  lastToExpire: Reservation<Peer> | null = null;
  readonly #expirationMs: number;
  #delaysMade = 0;

  constructor(o: {
    random: Random;
    plansMax: number;
    planSlice: number | undefined;
    reservationExpirationMs: number;
    anotherFirstMs?: number | undefined;
  }) {
    this.#expirationMs = o.reservationExpirationMs;
    this.shuns = new Shuns(this.consumers, (consumer) => this.changes.free(consumer), o.anotherFirstMs);
    this.plans = new PlanCache({
      table: this.metadata,
      random: o.random,
      plansMax: o.plansMax,
      slice: o.planSlice,
      candidates: () => this.submissions.values(),
    });
  }

  /** Open submissions that carry all pairs, ids ascending. Others may come and go meanwhile: those that stay are found once. */
  *matching(pairs: ReadonlyMap<string, bigint>): Generator<ScheduledSubmission<Peer>, void> {
    const some = pairs.size > 0 ? this.metadata.carrying(pairs) : this.submissions.values();
    for (const submission of some) if (submission.state === 'open') yield submission;
  }

  /** Everything that is neither done nor set aside is available. What counted before a restart is as old as that: only its number is kept. */
  open(
    record: SubmissionRecord,
    done: ChunkSet,
    nowMs: number,
    tries: ReadonlyMap<ChunkIndex, ChunkTries> = new Map(),
    failed: ChunkSet | null = null,
  ): ScheduledSubmission<Peer> {
    const submission = new ScheduledSubmission<Peer>(
      record,
      done,
      this.metadata.intern(record.strategicMetadata),
    );
    for (const [index, triesOfChunk] of tries) {
      if (!submission.hasOpenChunk(index)) continue;
      submission.setTries(index, triesOfChunk);
      for (let i = 0; i < triesOfChunk.disconnects; i++) submission.disconnectTimesOf(index).push(nowMs);
    }
    for (const index of failed ?? []) {
      if (submission.hasOpenChunk(index)) this.#addFailed(submission, index);
    }
    this.submissions.set(record.id, submission);
    this.metadata.enter(submission, submission.values);
    this.counts.submissionsOpen++;
    const chunksOpen = record.chunksTotal - done.count - submission.chunksFailed;
    this.#addBacklog(submission, chunksOpen);
    this.#addAvailable(submission, chunksOpen);
    return submission;
  }

  /** available -> reserved: the lowest available chunk that the consumer may have. */
  handOut(submission: ScheduledSubmission<Peer>, consumer: Consumer<Peer>, nowMs: number): Reservation<Peer> {
    const index = submission.takeChunk(consumer);
    const reservation = new Reservation(submission, index, consumer, nowMs, nowMs + this.#expirationMs);
    submission.reservations ??= new Map();
    submission.reservations.set(index, reservation);
    this.#link(reservation);
    consumer.chunksReserved++;
    this.counts.chunksReserved++;
    const { values } = submission;
    for (let i = 0; i < values.length; i++) values[i]!.inFlightRises();
    this.#addAvailable(submission, -1);
    return reservation;
  }

  /** It expires as late as if it were made now. */
  extend(reservation: Reservation<Peer>, nowMs: number): void {
    this.#unlinkExpiry(reservation);
    reservation.expiresMs = nowMs + this.#expirationMs;
    this.#linkExpiry(reservation);
  }

  /** reserved -> in between: must be followed by `makeAvailable`, `delay`, `setAside`, `finish` or `close`. */
  takeAway(reservation: Reservation<Peer>): void {
    const { submission, consumer } = reservation;
    invariant(
      submission.reservations!.delete(reservation.chunkIndex),
      'a reservation is not in its submission',
    );
    this.#unlink(reservation);
    consumer.chunksReserved--;
    this.counts.chunksReserved--;
    this.changes.hasFallen = true;
    if (consumer.pauses > 0) this.changes.free(consumer);
    const { values } = submission;
    for (let i = 0; i < values.length; i++) values[i]!.inFlightFalls();
  }

  /** in between -> available. */
  makeAvailable(submission: ScheduledSubmission<Peer>, index: ChunkIndex): void {
    submission.giveBackChunk(index);
    this.#addAvailable(submission, 1);
  }

  /** in between -> delayed. */
  delay(submission: ScheduledSubmission<Peer>, index: ChunkIndex, dueMs: number): void {
    const delay = new Delay(submission, index, dueMs, this.#delaysMade++);
    submission.delays ??= new Map();
    submission.delays.set(index, delay);
    this.delays.add(delay);
    this.counts.chunksDelayed++;
  }

  /** available, and never handed out -> delayed. */
  postpone(submission: ScheduledSubmission<Peer>, index: ChunkIndex, dueMs: number): void {
    submission.setApart(index);
    this.#addAvailable(submission, -1);
    this.delay(submission, index, dueMs);
  }

  /** delayed -> in between. */
  endDelay(delay: Delay<Peer>): void {
    invariant(delay.submission.delays!.delete(delay.chunkIndex), 'a delay is not in its submission');
    this.delays.remove(delay);
    this.counts.chunksDelayed--;
  }

  /** in between -> failed. Those who have not answered its expiry stay barred: it may be tried again. */
  setAside(submission: ScheduledSubmission<Peer>, index: ChunkIndex): void {
    this.#addFailed(submission, index);
    submission.forgetTries(index);
    this.shuns.forget(submission, index);
    this.#addBacklog(submission, -1);
  }

  /** All that failed -> available, and no chunk has been tried. */
  retry(submission: ScheduledSubmission<Peer>): void {
    const { failed } = submission;
    invariant(failed !== null, 'a submission is retried of which nothing has failed');
    submission.forgetAllTries();
    submission.failed = null;
    submission.giveBackFailed(failed);
    this.counts.chunksFailed -= failed.count;
    this.#addBacklog(submission, failed.count);
    this.#addAvailable(submission, failed.count);
  }

  /** available, delayed, failed or in between (`wasTakenAway`) -> done. Returns whether it had failed. */
  finish(submission: ScheduledSubmission<Peer>, index: ChunkIndex, wasTakenAway: boolean): boolean {
    const hadFailed = submission.failed?.delete(index) ?? false;
    if (hadFailed) {
      this.counts.chunksFailed--;
    } else if (!wasTakenAway) {
      const delay = submission.delays?.get(index);
      if (delay === undefined) this.#addAvailable(submission, -1);
      else this.endDelay(delay);
    }
    submission.done.add(index);
    const { values } = submission;
    for (let i = 0; i < values.length; i++) values[i]!.done++;
    submission.forgetTries(index);
    this.#liftAllBars(submission, index);
    this.shuns.forget(submission, index);
    if (!hadFailed) this.#addBacklog(submission, -1);
    return hadFailed;
  }

  /** What is available of it is not offered any more, or is again. */
  withhold(submission: ScheduledSubmission<Peer>, isWithheld: boolean): void {
    if (submission.isWithheld === isWithheld) return;
    const count = submission.chunksAvailable + submission.chunksPaused;
    this.#addAvailable(submission, -count);
    submission.isWithheld = isWithheld;
    this.counts.submissionsPaused += isWithheld ? 1 : -1;
    this.#addAvailable(submission, count);
  }

  /** Its chunks count for other pairs from now on, those in flight included. */
  reassign(submission: ScheduledSubmission<Peer>, strategicMetadata: StrategicMetadata): void {
    const { chunksAvailable } = submission;
    this.#count(submission, chunksAvailable, -1);
    this.#offer(submission, -chunksAvailable);
    // Plans find who sits in them by the pairs that they came with.
    this.plans.settle();
    const values = this.metadata.intern(strategicMetadata);
    this.metadata.move(submission, submission.values, values, submission.chunksReserved);
    submission.values = values;
    this.#count(submission, chunksAvailable, 1);
    submission.record = { ...submission.record, strategicMetadata };
    this.#offer(submission, chunksAvailable);
    // Somebody may wait for these pairs, or for what counted for the others.
    this.changes.rise(submission);
    this.changes.hasFallen = true;
  }

  /** When time changes something of it; Infinity = never. */
  appoint(submission: ScheduledSubmission<Peer>, dueUnixMs: number): void {
    if (submission.appointment?.dueUnixMs === dueUnixMs) return;
    if (submission.appointment !== null) this.appointments.remove(submission.appointment);
    submission.appointment = null;
    if (dueUnixMs === Number.POSITIVE_INFINITY) return;
    submission.appointment = new Appointment(submission, dueUnixMs);
    this.appointments.add(submission.appointment);
  }

  /** Takes the submission off the schedule; returns the reservations that it had, in the order of their making. */
  close(submission: ScheduledSubmission<Peer>): readonly Reservation<Peer>[] {
    invariant(submission.state === 'open', 'a submission ends twice');
    submission.state = 'ending';
    const reservations = [...(submission.reservations?.values() ?? [])];
    for (const reservation of reservations) this.takeAway(reservation);
    for (const delay of [...(submission.delays?.values() ?? [])]) this.endDelay(delay);
    for (const index of [...(submission.bars?.keys() ?? [])]) this.#liftAllBars(submission, index);
    for (const index of [...(submission.shuns?.keys() ?? [])]) this.shuns.forget(submission, index);
    this.#addAvailable(submission, -submission.chunksAvailable - submission.chunksPaused);
    this.withhold(submission, false);
    this.appoint(submission, Number.POSITIVE_INFINITY);
    const { chunksFailed } = submission;
    this.counts.chunksFailed -= chunksFailed;
    this.#addBacklog(submission, submission.done.count + chunksFailed - submission.record.chunksTotal);
    this.counts.submissionsOpen--;
    this.metadata.leave(submission, submission.values);
    return reservations;
  }

  /** The consumer is not to get the chunk until the bar is lifted. */
  bar(consumer: Consumer<Peer>, submission: ScheduledSubmission<Peer>, index: ChunkIndex): void {
    consumer.bars ??= new Map();
    if (addTo(consumer.bars, submission, index)) consumer.chunksBarred++;
    submission.bars ??= new Map();
    addTo(submission.bars, index, consumer);
  }

  /** False if there was no such bar. */
  liftBar(consumer: Consumer<Peer>, submission: ScheduledSubmission<Peer>, index: ChunkIndex): boolean {
    if (consumer.bars === null || submission.bars === null) return false;
    if (!deleteFrom(consumer.bars, submission, index)) return false;
    consumer.chunksBarred--;
    deleteFrom(submission.bars, index, consumer);
    if (consumer.bars.size === 0) consumer.bars = null;
    if (submission.bars.size === 0) submission.bars = null;
    this.changes.free(consumer);
    return true;
  }

  /**
   * Hides from the plans, for the moment, what a consumer is not to have; `unhide` undoes it. Costs as much as it has
   * bars, few because they are of chunks that it is still working on, and shuns, few because they are bounded.
   */
  hideBarred(consumer: Consumer<Peer>): ReadonlyMap<ScheduledSubmission<Peer>, number> {
    const hidden = new Map<ScheduledSubmission<Peer>, number>();
    for (const [submission, indexes] of consumer.bars ?? []) {
      if (submission.isWithheld) continue;
      let count = 0;
      for (const index of indexes) {
        if (submission.isAvailable(index)) count++;
      }
      if (count > 0) hidden.set(submission, count);
    }
    for (const { submission, chunkIndex } of consumer.shuns) {
      const isHidden = submission.isWithheld || !submission.isAvailable(chunkIndex);
      if (isHidden || consumer.bars?.get(submission)?.has(chunkIndex)) continue;
      hidden.set(submission, (hidden.get(submission) ?? 0) + 1);
    }
    for (const [submission, count] of hidden) this.#offer(submission, -count);
    return hidden;
  }

  unhide(hidden: ReadonlyMap<ScheduledSubmission<Peer>, number>): void {
    if (hidden.size === 0) return;
    for (const [submission, count] of hidden) this.#offer(submission, count);
    this.plans.seatWatched();
  }

  #liftAllBars(submission: ScheduledSubmission<Peer>, index: ChunkIndex): void {
    const consumers = submission.bars?.get(index);
    if (consumers === undefined) return;
    for (const consumer of [...consumers]) this.liftBar(consumer, submission, index);
  }

  #addFailed(submission: ScheduledSubmission<Peer>, index: ChunkIndex): void {
    submission.failed ??= new ChunkSet(submission.done.size);
    if (submission.failed.add(index)) this.counts.chunksFailed++;
  }

  #addAvailable(submission: ScheduledSubmission<Peer>, change: number): void {
    if (submission.isWithheld) {
      submission.chunksPaused += change;
      this.counts.chunksPaused += change;
      return;
    }
    this.counts.chunksAvailable += change;
    const { values } = submission;
    for (let i = 0; i < values.length; i++) values[i]!.waiting += change;
    this.#offer(submission, change);
    if (change > 0) this.changes.rise(submission);
  }

  /** Its chunks count for its pairs from now on (1), or do not any more (-1). */
  #count(submission: ScheduledSubmission<Peer>, waiting: number, sign: 1 | -1): void {
    const backlog = submission.record.chunksTotal - submission.done.count - submission.chunksFailed;
    for (const value of submission.values) {
      value.waiting += sign * waiting;
      value.backlog += sign * backlog;
    }
  }

  #offer(submission: ScheduledSubmission<Peer>, change: number): void {
    const before = submission.chunksAvailable;
    const after = before + change;
    if (after === before) return;
    invariant(after >= 0, 'a submission has fewer than no chunks available');
    submission.chunksAvailable = after;
    this.plans.candidateChanged(submission, before === 0 || after === 0);
  }

  #addBacklog(submission: ScheduledSubmission<Peer>, change: number): void {
    this.counts.chunksInBacklog += change;
    this.counts.operationsInBacklog += change * submission.record.chunkSizeOps;
    const { values } = submission;
    for (let i = 0; i < values.length; i++) values[i]!.backlog += change;
  }

  #linkExpiry(reservation: Reservation<Peer>): void {
    const last = this.lastToExpire;
    reservation.expiresBefore = last;
    if (last === null) this.firstToExpire = reservation;
    else last.expiresAfter = reservation;
    this.lastToExpire = reservation;
  }

  #unlinkExpiry(reservation: Reservation<Peer>): void {
    const { expiresBefore, expiresAfter } = reservation;
    if (expiresBefore === null) this.firstToExpire = expiresAfter;
    else expiresBefore.expiresAfter = expiresAfter;
    if (expiresAfter === null) this.lastToExpire = expiresBefore;
    else expiresAfter.expiresBefore = expiresBefore;
    // Whoever keeps an answer keeps no others through it.
    reservation.expiresBefore = null;
    reservation.expiresAfter = null;
  }

  #link(reservation: Reservation<Peer>): void {
    this.#linkExpiry(reservation);
    const { consumer } = reservation;
    const lastHeld = consumer.lastHeld;
    reservation.heldBefore = lastHeld;
    if (lastHeld === null) consumer.firstHeld = reservation;
    else lastHeld.heldAfter = reservation;
    consumer.lastHeld = reservation;
  }

  #unlink(reservation: Reservation<Peer>): void {
    this.#unlinkExpiry(reservation);
    const { consumer, heldBefore, heldAfter } = reservation;
    if (heldBefore === null) consumer.firstHeld = heldAfter;
    else heldBefore.heldAfter = heldAfter;
    if (heldAfter === null) consumer.lastHeld = heldBefore;
    else heldAfter.heldBefore = heldBefore;
    reservation.heldBefore = null;
    reservation.heldAfter = null;
  }
}

function isDueBefore<Peer>(a: Delay<Peer>, b: Delay<Peer>): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}

/** false if it was there. */
function addTo<K, V>(sets: Map<K, Set<V>>, key: K, value: V): boolean {
  const set = sets.get(key);
  if (set === undefined) sets.set(key, new Set([value]));
  else if (set.has(value)) return false;
  else set.add(value);
  return true;
}

function deleteFrom<K, V>(sets: Map<K, Set<V>>, key: K, value: V): boolean {
  const set = sets.get(key);
  if (set === undefined || !set.delete(value)) return false;
  if (set.size === 0) sets.delete(key);
  return true;
}
