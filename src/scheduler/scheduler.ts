import { ChunkSet } from '../model/chunk-set.ts';
import type { ChunkIndex, SubmissionId } from '../model/ids.ts';
import { CHUNKS_PER_ANSWER_MAX } from '../model/limits.ts';
import type { SubmissionRecord } from '../model/submission.ts';
import { isRareNow, type Random } from '../system/random.ts';
import { checkLedger } from './check.ts';
import { invariant } from './invariant.ts';
import { Ledger } from './ledger.ts';
import { type Setback, SetbackRules } from './setbacks.ts';
import { shareOf } from './share.ts';
import { SickConsumers } from './sick-consumers.ts';
import { Consumer, type Reservation, type Submission } from './state.ts';
import type {
  ChunkFailure,
  ConsumerHandle,
  ConsumerOptions,
  FailOutcome,
  OpenSubmission,
  ReservationRequest,
  ReservedChunk,
  SchedulerCounts,
  SchedulerEvents,
  SchedulerOptions,
  SchedulerPort,
  SubmissionEndCause,
  SubmissionProgress,
} from './types.ts';

const PLANS_MAX_DEFAULT = 32;

/**
 * The rules of the schedule: what each call means for chunks, whom it serves and who is told. The bookkeeping below
 * it is the {@link Ledger}'s.
 *
 * Waiting requests are kept in the order of their arrival. Between two calls none of them waits for something that
 * is available to it, unless handing out is held.
 */
export class Scheduler implements SchedulerPort {
  readonly #events: SchedulerEvents;
  readonly #random: Random;
  readonly #setbacks: SetbackRules;
  readonly #ledger: Ledger;
  readonly #sick: SickConsumers;
  /** In order of arrival. */
  readonly #waiting = new Map<ReservationRequest, Consumer>();
  #isHeld = false;
  #nowMs = Number.NEGATIVE_INFINITY;
  /** The deadline that was announced last; Infinity if none, or if `advance` has been called since. */
  #announcedMs = Number.POSITIVE_INFINITY;
  #isBusy = false;

  constructor(options: SchedulerOptions, events: SchedulerEvents) {
    this.#events = events;
    this.#random = options.random;
    this.#setbacks = new SetbackRules(options);
    invariant(options.reservationExpirationMs > 0, 'reservationExpirationMs is above 0');
    this.#ledger = new Ledger({
      random: options.random,
      plansMax: options.plansMax ?? PLANS_MAX_DEFAULT,
      planSlice: options.planSlice,
      reservationExpirationMs: options.reservationExpirationMs,
      anotherFirstMs: options.anotherFirstMs,
    });
    this.#sick = new SickConsumers(options);
  }

  get counts(): SchedulerCounts {
    return this.#ledger.counts;
  }

  get(id: SubmissionId): OpenSubmission | undefined {
    return this.#ledger.submissions.get(id);
  }

  find(pairs: ReadonlyMap<string, bigint>, limit: number): SubmissionId[] {
    return this.#ledger.metadata.find(pairs, limit);
  }

  insert(record: SubmissionRecord, nowMs: number, progress?: SubmissionProgress): OpenSubmission {
    this.#begin(nowMs);
    invariant(record.chunksTotal >= 1, 'a submission on the schedule has at least one chunk');
    invariant(!this.#ledger.submissions.has(record.id), 'a submission is inserted twice');
    const done = progress?.done ?? new ChunkSet(record.chunksTotal);
    invariant(done.size === record.chunksTotal, 'the progress of a submission has its size');
    const submission = this.#ledger.open(record, done, nowMs, progress?.tries);
    for (const index of progress?.tries.keys() ?? []) this.#postpone(submission, index, nowMs);
    if (done.isFull) this.#end(submission, { state: 'completed' });
    else this.#serve(nowMs);
    this.#finish();
    return submission;
  }

  addConsumer(options: ConsumerOptions = {}): ConsumerHandle {
    this.#begin(this.#nowMs);
    const consumer = new Consumer(options);
    this.#ledger.consumers.add(consumer);
    this.#ledger.counts.consumers++;
    this.#finish();
    return consumer;
  }

  removeConsumer(handle: ConsumerHandle, manner: 'orderly' | 'broken', nowMs: number): void {
    const consumer = this.#begin(nowMs, handle);
    consumer.isGone = true;
    for (const request of [...consumer.requests]) this.#unqueue(consumer, request);
    for (const [submission, indexes] of [...(consumer.bars ?? [])]) {
      for (const index of [...indexes]) this.#ledger.liftBar(consumer, submission, index);
    }
    if (manner === 'broken') this.#countDisconnects(consumer, nowMs);
    while (consumer.firstHeld !== null) this.#giveBack(consumer.firstHeld);
    this.#ledger.consumers.delete(consumer);
    this.#ledger.counts.consumers--;
    if (consumer.isAsker) this.#ledger.askers--;
    this.#sick.gone(consumer, this.counts.consumers);
    this.#ledger.counts.consumersSick = this.#sick.count;
    this.#ledger.shuns.consumerGone(consumer);
    this.#serve(nowMs);
    this.#finish();
  }

  reserve(handle: ConsumerHandle, request: ReservationRequest, nowMs: number): void {
    const consumer = this.#begin(nowMs, handle);
    invariant(request.max >= 1, 'a reservation asks for at least one chunk');
    invariant(!this.#waiting.has(request), 'a request for a reservation waits already');
    if (!consumer.isAsker) {
      consumer.isAsker = true;
      this.#ledger.askers++;
    }
    if (!this.#tryToServe(consumer, request, nowMs)) {
      this.#waiting.set(request, consumer);
      consumer.requests.add(request);
      this.#ledger.counts.requestsWaiting++;
    }
    this.#finish();
  }

  cancelReserve(handle: ConsumerHandle, request: ReservationRequest): boolean {
    const consumer = this.#begin(this.#nowMs, handle);
    const isWaiting = consumer.requests.has(request);
    if (isWaiting) this.#unqueue(consumer, request);
    this.#finish();
    return isWaiting;
  }

  complete(handle: ConsumerHandle | null, id: SubmissionId, chunkIndex: ChunkIndex, nowMs: number): boolean {
    const consumer = handle === null ? this.#begin(nowMs) : this.#begin(nowMs, handle);
    const submission = this.#ledger.submissions.get(id);
    const isAccepted = submission?.hasOpenChunk(chunkIndex) ?? false;
    if (submission !== undefined && isAccepted) {
      const reservation = submission.reservations?.get(chunkIndex);
      if (reservation !== undefined) this.#ledger.takeAway(reservation);
      const late = [...(submission.bars?.get(chunkIndex) ?? [])];
      this.#ledger.finish(submission, chunkIndex, reservation !== undefined);
      const hasRecovered = this.#sick.completed(consumer ?? null);
      // A completion makes nothing available, but whoever is sick gets its next chunk as soon as it holds none.
      const isServing = hasRecovered || (reservation !== undefined && reservation.consumer.pauses > 0);
      if (reservation !== undefined && reservation.consumer !== consumer) {
        this.#events.dropped(reservation.consumer, submission, chunkIndex, 'completed_elsewhere');
      }
      for (const each of late) {
        if (each !== consumer) this.#events.dropped(each, submission, chunkIndex, 'completed_elsewhere');
      }
      if (hasRecovered) this.#recovered(consumer!);
      this.#events.pageChanged(submission, ChunkSet.pageOf(chunkIndex));
      if (submission.done.isFull) this.#end(submission, { state: 'completed' });
      if (isServing) this.#serve(nowMs);
    }
    this.#finish();
    return isAccepted;
  }

  fail(
    handle: ConsumerHandle,
    id: SubmissionId,
    chunkIndex: ChunkIndex,
    failure: ChunkFailure,
    nowMs: number,
  ): FailOutcome {
    const consumer = this.#begin(nowMs, handle);
    const reservation = this.#heldBy(consumer, id, chunkIndex);
    const outcome = reservation === undefined ? 'stale' : this.#failHeld(reservation, failure, nowMs);
    if (reservation !== undefined || this.#answersExpiry(consumer, id, chunkIndex)) this.#serve(nowMs);
    this.#finish();
    return outcome;
  }

  release(handle: ConsumerHandle, id: SubmissionId, chunkIndex: ChunkIndex, nowMs: number): boolean {
    const consumer = this.#begin(nowMs, handle);
    const reservation = this.#heldBy(consumer, id, chunkIndex);
    if (reservation !== undefined) this.#giveBack(reservation);
    if (reservation !== undefined || this.#answersExpiry(consumer, id, chunkIndex)) this.#serve(nowMs);
    this.#finish();
    return reservation !== undefined;
  }

  extend(handle: ConsumerHandle, id: SubmissionId, chunkIndex: ChunkIndex, nowMs: number): boolean {
    const consumer = this.#begin(nowMs, handle);
    const reservation = this.#heldBy(consumer, id, chunkIndex);
    if (reservation !== undefined) this.#ledger.extend(reservation, nowMs);
    this.#finish();
    return reservation !== undefined;
  }

  cancel(id: SubmissionId, nowMs: number): 'ending' | 'unknown' | 'already_ending' {
    this.#begin(nowMs);
    const submission = this.#ledger.submissions.get(id);
    const isOpen = submission?.state === 'open';
    if (submission !== undefined && isOpen) {
      const sickHolds = [...(submission.reservations?.values() ?? [])].some(
        (each) => each.consumer.pauses > 0,
      );
      this.#end(submission, { state: 'cancelled' });
      if (sickHolds) this.#serve(nowMs);
    }
    this.#finish();
    return submission === undefined ? 'unknown' : isOpen ? 'ending' : 'already_ending';
  }

  /** The oldest submission of which a chunk is available; null if there is none. For metrics: looks at each before it. */
  oldestWaiting(): SubmissionId | null {
    for (const { record, chunksAvailable } of this.#ledger.submissions.values()) {
      if (chunksAvailable > 0) return record.id;
    }
    return null;
  }

  forget(id: SubmissionId): void {
    this.#begin(this.#nowMs);
    invariant(this.#ledger.submissions.get(id)?.state === 'ending', 'only an ending submission is forgotten');
    this.#ledger.submissions.delete(id);
    this.#finish();
  }

  advance(nowMs: number): void {
    this.#begin(nowMs);
    // Whoever calls this has no timer any more: the next deadline is announced, whenever it is.
    this.#announcedMs = Number.POSITIVE_INFINITY;
    const ledger = this.#ledger;
    ledger.plans.build();
    const isEarly = isRareNow(this.#random, 'scheduler: a reservation expires early');
    if (isEarly && ledger.firstToExpire !== null) this.#expire(ledger.firstToExpire, nowMs);
    for (let first = ledger.firstToExpire; first !== null && first.expiresMs <= nowMs; ) {
      this.#expire(first, nowMs);
      first = ledger.firstToExpire;
    }
    for (let first = ledger.delays.first; first !== undefined && first.dueMs <= nowMs; ) {
      ledger.endDelay(first);
      ledger.makeAvailable(first.submission, first.chunkIndex);
      first = ledger.delays.first;
    }
    ledger.shuns.advance(nowMs);
    this.#sick.advance(nowMs);
    this.#serve(nowMs);
    this.#finish();
  }

  nextDeadlineMs(): number | null {
    if (this.#ledger.plans.isBuilding) return this.#nowMs;
    const { firstToExpire, delays, shuns } = this.#ledger;
    const nextMs = Math.min(
      firstToExpire?.expiresMs ?? Number.POSITIVE_INFINITY,
      delays.first?.dueMs ?? Number.POSITIVE_INFINITY,
      shuns.nextMs ?? Number.POSITIVE_INFINITY,
      this.#sick.nextMs ?? Number.POSITIVE_INFINITY,
    );
    return nextMs === Number.POSITIVE_INFINITY ? null : nextMs;
  }

  holdHandOut(held: boolean, nowMs: number): void {
    this.#begin(nowMs);
    this.#isHeld = held;
    this.#serve(nowMs);
    this.#finish();
  }

  /** Counts everything anew and throws an InvariantError where something differs. O(everything): for tests. */
  checkInvariants(): void {
    const able = [...this.#waiting].filter(([, consumer]) => this.#sick.chunksMax(consumer) > 0);
    checkLedger(this.#ledger, this.#isHeld || this.#ledger.plans.isBuilding ? new Map() : new Map(able));
    invariant(this.counts.requestsWaiting === this.#waiting.size, 'requestsWaiting is a recount');
  }

  #begin(nowMs: number): undefined;
  #begin(nowMs: number, handle: ConsumerHandle): Consumer;
  #begin(nowMs: number, handle?: ConsumerHandle): Consumer | undefined {
    invariant(
      !this.#isBusy,
      'the scheduler is called by a handler of its events, or after a call that threw',
    );
    this.#isBusy = true;
    invariant(nowMs >= this.#nowMs, 'the time never steps back');
    this.#nowMs = nowMs;
    if (handle === undefined) return undefined;
    invariant(
      handle instanceof Consumer && !handle.isGone,
      'the consumer is one that was added and not removed',
    );
    return handle;
  }

  #finish(): void {
    const nextMs = this.nextDeadlineMs();
    if (nextMs !== null && nextMs < this.#announcedMs) {
      this.#announcedMs = nextMs;
      this.#events.deadlineChanged();
    }
    this.#isBusy = false;
  }

  /** Serves those who wait, in order; one who cannot be served does not keep the next one waiting. */
  #serve(nowMs: number): void {
    if (this.#waiting.size === 0) return;
    for (const [request, consumer] of this.#waiting) {
      if (this.#isHeld || this.counts.chunksAvailable === 0) return;
      this.#tryToServe(consumer, request, nowMs);
    }
  }

  #tryToServe(consumer: Consumer, request: ReservationRequest, nowMs: number): boolean {
    if (this.#isHeld || this.counts.chunksAvailable === 0) return false;
    const chunks = this.#handOut(consumer, request, nowMs);
    if (chunks.length === 0) return false;
    if (consumer.requests.size > 0) this.#unqueue(consumer, request);
    this.#events.reserved(consumer, request, chunks);
    return true;
  }

  #handOut(consumer: Consumer, request: ReservationRequest, nowMs: number): readonly ReservedChunk[] {
    const chunksMax = this.#sick.chunksMax(consumer);
    if (chunksMax === 0) return [];
    const ledger = this.#ledger;
    const plan = ledger.plans.planFor(request.strategy);
    if (plan === null) return [];
    const hidden = consumer.bars === null && consumer.shuns.size === 0 ? null : ledger.hideBarred(consumer);
    const isShort = isRareNow(this.#random, 'scheduler: an answer of one chunk');
    const { chunksAvailable, chunksReserved } = ledger.counts;
    const share = shareOf(
      { chunksAvailable, chunksReserved, askers: ledger.askers },
      consumer.chunksReserved,
    );
    const max = isShort ? 1 : Math.min(request.max, CHUNKS_PER_ANSWER_MAX, share, chunksMax);
    const chunks: ReservedChunk[] = [];
    while (chunks.length < max) {
      const submission = plan.first();
      if (submission === undefined) break;
      chunks.push(ledger.handOut(submission, consumer, nowMs));
    }
    if (hidden !== null) ledger.unhide(hidden);
    return chunks;
  }

  #unqueue(consumer: Consumer, request: ReservationRequest): void {
    if (!consumer.requests.delete(request)) return;
    this.#waiting.delete(request);
    this.#ledger.counts.requestsWaiting--;
  }

  #heldBy(consumer: Consumer, id: SubmissionId, chunkIndex: ChunkIndex): Reservation | undefined {
    const reservation = this.#ledger.submissions.get(id)?.reservations?.get(chunkIndex);
    return reservation?.consumer === consumer ? reservation : undefined;
  }

  /** A word about a chunk that the consumer does not hold is its answer to the expiry, if it owes one. */
  #answersExpiry(consumer: Consumer, id: SubmissionId, chunkIndex: ChunkIndex): boolean {
    const submission = this.#ledger.submissions.get(id);
    return submission !== undefined && this.#ledger.liftBar(consumer, submission, chunkIndex);
  }

  #giveBack(reservation: Reservation): void {
    this.#ledger.takeAway(reservation);
    this.#ledger.makeAvailable(reservation.submission, reservation.chunkIndex);
  }

  #failHeld(reservation: Reservation, failure: ChunkFailure, nowMs: number): FailOutcome {
    const { submission, chunkIndex } = reservation;
    const setback = this.#setbacks.failed(submission.triesOf(chunkIndex), failure, submission.record);
    this.#setBackByConsumer(reservation, setback, failure.delayMs ?? 0, nowMs);
    return setback.fatal === null ? 'retry' : 'failed';
  }

  /** After a restart a chunk that has failed waits as it did before, from now on. */
  #postpone(submission: Submission, chunkIndex: ChunkIndex, nowMs: number): void {
    if (!submission.hasOpenChunk(chunkIndex)) return;
    const delayMs = this.#setbacks.backOffMs(submission.triesOf(chunkIndex).retries, submission.record);
    if (delayMs > 0) this.#ledger.postpone(submission, chunkIndex, nowMs + delayMs);
  }

  #expire(reservation: Reservation, nowMs: number): void {
    const { submission, chunkIndex, consumer } = reservation;
    if (!consumer.silentOnExpiry) this.#ledger.bar(consumer, submission, chunkIndex);
    const setback = this.#setbacks.expired(submission.triesOf(chunkIndex), submission.record);
    this.#setBackByConsumer(reservation, setback, 0, nowMs, () =>
      this.#events.expired(consumer, submission, chunkIndex),
    );
  }

  /** A try that the consumer did not bring to its end: another one is to have the chunk first, and it may be sick. */
  #setBackByConsumer(
    reservation: Reservation,
    setback: Setback,
    askedMs: number,
    nowMs: number,
    tellFirst?: () => void,
  ): void {
    const { submission, chunkIndex, consumer } = reservation;
    const { shuns, counts } = this.#ledger;
    const isFirst = setback.tries.retries === 1 && submission.record.retry !== null;
    const pauseMs = this.#sick.failed(consumer, nowMs, counts.consumers);
    const goesElsewhere =
      setback.fatal === null && shuns.failed(consumer, submission, chunkIndex, nowMs + setback.delayMs);
    // Another one may have more luck: the waits are for what all fail.
    const delayMs =
      isFirst && goesElsewhere ? Math.max(askedMs, submission.record.retryDelayMs) : setback.delayMs;
    this.#setBack(reservation, { ...setback, delayMs }, nowMs, tellFirst);
    if (pauseMs === 0) return;
    counts.consumersSick = this.#sick.count;
    shuns.consumersChanged();
    this.#events.sick(consumer, { failuresInRow: consumer.failuresInRow, pauseMs });
  }

  #recovered(consumer: Consumer): void {
    this.#ledger.counts.consumersSick = this.#sick.count;
    this.#events.recovered(consumer);
  }

  /** The first unfinished chunks of a broken connection were running: as many as it works on at once. */
  #countDisconnects(consumer: Consumer, nowMs: number): void {
    const running: Reservation[] = [];
    for (let next = consumer.firstHeld; next !== null && running.length < consumer.concurrency; ) {
      running.push(next);
      next = next.heldAfter;
    }
    for (const reservation of running) {
      const { submission, chunkIndex } = reservation;
      // One before it may have ended the submission.
      if (submission.reservations?.get(chunkIndex) !== reservation) continue;
      const times = submission.disconnectTimesOf(chunkIndex);
      const setback = this.#setbacks.disconnected(submission.triesOf(chunkIndex), times, nowMs);
      this.#setBack(reservation, setback, nowMs);
    }
  }

  /** Takes a chunk away from its holder: it waits for another try, or ends its submission. */
  #setBack(reservation: Reservation, setback: Setback, nowMs: number, tellFirst?: () => void): void {
    const { submission, chunkIndex } = reservation;
    const { tries, fatal, delayMs } = setback;
    this.#ledger.takeAway(reservation);
    submission.setTries(chunkIndex, tries);
    if (delayMs > 0 && fatal === null) this.#ledger.delay(submission, chunkIndex, nowMs + delayMs);
    else this.#ledger.makeAvailable(submission, chunkIndex);
    tellFirst?.();
    this.#events.triesChanged(submission, chunkIndex, tries);
    if (fatal !== null) this.#end(submission, { state: 'failed', chunkIndex, failure: fatal });
  }

  #end(submission: Submission, cause: SubmissionEndCause): void {
    // Whoever has not answered the expiry of a chunk may still work on it.
    const late = [...(submission.bars ?? [])].map(([chunkIndex, those]) => ({
      chunkIndex,
      those: [...those],
    }));
    for (const { consumer, chunkIndex } of this.#ledger.close(submission)) {
      if (!consumer.isGone) this.#events.dropped(consumer, submission, chunkIndex, 'submission_ended');
    }
    for (const { chunkIndex, those } of late) {
      for (const each of those) this.#events.dropped(each, submission, chunkIndex, 'submission_ended');
    }
    this.#events.ending(submission, cause);
  }
}
