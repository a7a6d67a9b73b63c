import { ChunkSet } from '../model/chunk-set.ts';
import { type Cancellation, UNKNOWN_CANCELLATION } from '../model/control.ts';
import type { ChunkId, ChunkIndex, SubmissionId } from '../model/ids.ts';
import type { SubmissionRecord } from '../model/submission.ts';
import { checkLedger } from './check.ts';
import { Controls } from './controls.ts';
import { DEADLINE_CHANGED, Effects } from './effects.ts';
import { HandOut } from './hand-out.ts';
import { invariant } from './invariant.ts';
import { Ledger } from './ledger.ts';
import { Outcomes } from './outcomes.ts';
import { SickConsumers } from './sick-consumers.ts';
import type { ScheduleSight } from './sight.ts';
import { Consumer, type Reservation } from './state.ts';
import type {
  ChunkFailure,
  ConsumerHandle,
  ConsumerOptions,
  ControlAt,
  FailOutcome,
  OpenSubmission,
  ReservationRequest,
  SchedulerCounts,
  SchedulerOptions,
  SubmissionProgress,
} from './types.ts';

const PLANS_MAX_DEFAULT = 32;

/**
 * Decides which chunk goes to which consumer. Pure: no I/O, no clock (every call that needs the time gets `nowMs`, of
 * a clock that never steps back), no randomness but the one handed in. It calls nobody: what follows from a call is
 * added to `effects`, for the caller to carry out after it.
 *
 * The rules of the schedule are here, in {@link HandOut} and in {@link Outcomes}; the bookkeeping below them is the
 * {@link Ledger}'s.
 *
 * A call that throws (wrong use, a broken invariant) leaves a scheduler that refuses everything from then on: a queue
 * that stops is better than one that loses or doubles work.
 */
export class Scheduler<Peer> {
  /** What follows from the calls so far, in order. The caller empties it. */
  readonly effects = new Effects<Peer>();
  readonly #ledger: Ledger<Peer>;
  readonly #sick: SickConsumers<Peer>;
  readonly #outcomes: Outcomes<Peer>;
  readonly #handOut: HandOut<Peer>;
  readonly #controls: Controls<Peer>;
  #isHeld = false;
  #isPaused = false;
  #nowMs = Number.NEGATIVE_INFINITY;
  /** What the caller's timer is for, or will be; Infinity if there is none, or `advance` has been called since. */
  #announcedMs = Number.POSITIVE_INFINITY;
  #isBusy = false;

  constructor(options: SchedulerOptions) {
    invariant(options.reservationExpirationMs > 0, 'reservationExpirationMs is above 0');
    this.#ledger = new Ledger({
      random: options.random,
      plansMax: options.plansMax ?? PLANS_MAX_DEFAULT,
      planSlice: options.planSlice,
      reservationExpirationMs: options.reservationExpirationMs,
      anotherFirstMs: options.anotherFirstMs,
    });
    this.#sick = new SickConsumers(options, (consumer) => this.#ledger.changes.free(consumer));
    this.#outcomes = new Outcomes(this.#ledger, this.#sick, this.effects, options);
    this.#handOut = new HandOut(this.#ledger, this.#sick, this.effects);
    this.#controls = new Controls(this.#ledger, this.#outcomes, this.effects);
  }

  get counts(): SchedulerCounts {
    return this.#ledger.counts;
  }

  /** For those who only look. */
  get sight(): ScheduleSight<Peer> {
    return this.#ledger;
  }

  /** One that has not ended, or whose end is not committed yet. */
  get hasSubmissions(): boolean {
    return this.#ledger.submissions.size > 0;
  }

  /** Of the submissions that have not ended, or whose end is not committed yet. */
  get(id: SubmissionId): OpenSubmission | undefined {
    return this.#ledger.submissions.get(id);
  }

  /** Open (not ending) submissions that carry all pairs, ids ascending; stops after `limit`. */
  find(pairs: ReadonlyMap<string, bigint>, limit: number): SubmissionId[] {
    const found: SubmissionId[] = [];
    for (const { record } of this.#ledger.matching(pairs)) {
      if (found.length === limit) break;
      found.push(record.id);
    }
    return found;
  }

  /** All of them, one by one. Calls may come in between: those that stay open are found once. */
  matching(pairs: ReadonlyMap<string, bigint>): Iterable<OpenSubmission> {
    return this.#ledger.matching(pairs);
  }

  /**
   * Takes in a submission whose insert is committed (`chunksTotal` >= 1), with what is known of its progress after a
   * restart, and what verbs have changed of it.
   */
  insert(
    record: SubmissionRecord,
    nowMs: number,
    progress?: SubmissionProgress,
    controlAt?: ControlAt,
  ): OpenSubmission {
    this.#begin(nowMs);
    invariant(record.chunksTotal >= 1, 'a submission on the schedule has at least one chunk');
    invariant(!this.#ledger.submissions.has(record.id), 'a submission is inserted twice');
    const done = progress?.done ?? new ChunkSet(record.chunksTotal);
    invariant(done.size === record.chunksTotal, 'the progress of a submission has its size');
    const submission = this.#ledger.open(record, done, nowMs, progress?.tries, progress?.failed);
    for (const index of progress?.tries.keys() ?? []) this.#outcomes.postpone(submission, index, nowMs);
    this.#outcomes.endIfSettled(submission);
    if (controlAt !== undefined && submission.state === 'open') {
      this.#controls.change(submission, controlAt, nowMs);
    }
    this.#finish();
    return submission;
  }

  /** A connection that may reserve chunks; `peer` names it in effects. */
  addConsumer(peer: Peer, options: ConsumerOptions = {}): ConsumerHandle<Peer> {
    this.#begin(this.#nowMs);
    const consumer = new Consumer(peer, options);
    this.#ledger.consumers.add(consumer);
    this.#ledger.counts.consumers++;
    this.#finish();
    return consumer;
  }

  /**
   * Gives back everything that it held. `orderly`: nothing counts; `broken`: its running chunks count a disconnect, but
   * not those that it was never told of (`untold`).
   */
  removeConsumer(
    handle: ConsumerHandle<Peer>,
    manner: 'orderly' | 'broken',
    nowMs: number,
    untold: readonly ChunkId[] = [],
  ): void {
    const consumer = this.#begin(nowMs, handle);
    consumer.isGone = true;
    for (const request of [...consumer.requests]) this.#handOut.takeBack(consumer, request);
    for (const [submission, indexes] of [...(consumer.bars ?? [])]) {
      for (const index of [...indexes]) this.#ledger.liftBar(consumer, submission, index);
    }
    for (const { submissionId, chunkIndex } of untold) {
      const reservation = this.#heldBy(consumer, submissionId, chunkIndex);
      if (reservation !== undefined) this.#outcomes.givenBack(reservation);
    }
    if (manner === 'broken') this.#outcomes.disconnected(consumer, nowMs);
    while (consumer.firstHeld !== null) this.#outcomes.givenBack(consumer.firstHeld);
    this.#ledger.consumers.delete(consumer);
    this.#ledger.counts.consumers--;
    if (consumer.isAsker) this.#ledger.askers--;
    this.#sick.gone(consumer, this.counts.consumers);
    this.#ledger.counts.consumersSick = this.#sick.count;
    this.#ledger.shuns.consumerGone(consumer);
    this.#finish();
  }

  /**
   * Asks for 1..max chunks (`max` >= 1), fewer than there are where they are few for all who ask. Answered by an effect,
   * of this call (true) or of the one that makes a chunk available.
   */
  reserve(handle: ConsumerHandle<Peer>, request: ReservationRequest, nowMs: number): boolean {
    const consumer = this.#begin(nowMs, handle);
    invariant(request.max >= 1, 'a reservation asks for at least one chunk');
    invariant(!consumer.requests.has(request), 'a request for a reservation waits already');
    if (!consumer.isAsker) {
      consumer.isAsker = true;
      this.#ledger.askers++;
    }
    const isAnswered = this.#handOut.ask(consumer, request, nowMs);
    this.#finish();
    return isAnswered;
  }

  /** Takes back a request that waits; false if it was answered already. */
  cancelReserve(handle: ConsumerHandle<Peer>, request: ReservationRequest): boolean {
    const consumer = this.#begin(this.#nowMs, handle);
    const wasWaiting = this.#handOut.takeBack(consumer, request);
    this.#finish();
    return wasWaiting;
  }

  /** The work is done, whichever consumer did it (null: not known). False if the chunk is unknown or was done before. */
  complete(
    handle: ConsumerHandle<Peer> | null,
    id: SubmissionId,
    chunkIndex: ChunkIndex,
    nowMs: number,
  ): boolean {
    const consumer = handle === null ? null : this.#begin(nowMs, handle);
    if (consumer === null) this.#begin(nowMs);
    const submission = this.#ledger.submissions.get(id);
    const isAccepted = submission?.hasOpenChunk(chunkIndex) ?? false;
    if (submission !== undefined && isAccepted) {
      this.#outcomes.completed(submission, chunkIndex, consumer);
      this.#handOut.serve(nowMs);
    }
    this.#finish();
    return isAccepted;
  }

  /** Only the holder's failure counts. Also the answer of old clients to an expired reservation (no second try). */
  fail(
    handle: ConsumerHandle<Peer>,
    id: SubmissionId,
    chunkIndex: ChunkIndex,
    failure: ChunkFailure,
    nowMs: number,
  ): FailOutcome {
    const consumer = this.#begin(nowMs, handle);
    const reservation = this.#heldBy(consumer, id, chunkIndex);
    const outcome = reservation === undefined ? 'stale' : this.#outcomes.failed(reservation, failure, nowMs);
    if (reservation === undefined) this.#answerExpiry(consumer, id, chunkIndex);
    this.#finish();
    return outcome;
  }

  /** Gives back a chunk uncounted. False if the consumer does not hold it. */
  release(handle: ConsumerHandle<Peer>, id: SubmissionId, chunkIndex: ChunkIndex, nowMs: number): boolean {
    const consumer = this.#begin(nowMs, handle);
    const reservation = this.#heldBy(consumer, id, chunkIndex);
    if (reservation !== undefined) this.#outcomes.givenBack(reservation);
    if (reservation === undefined) this.#answerExpiry(consumer, id, chunkIndex);
    this.#finish();
    return reservation !== undefined;
  }

  /** The holder still works on it: its reservation begins anew. False if it does not hold the chunk (any more). */
  extend(handle: ConsumerHandle<Peer>, id: SubmissionId, chunkIndex: ChunkIndex, nowMs: number): boolean {
    const consumer = this.#begin(nowMs, handle);
    const reservation = this.#heldBy(consumer, id, chunkIndex);
    if (reservation !== undefined) this.#ledger.extend(reservation, nowMs);
    this.#finish();
    return reservation !== undefined;
  }

  /**
   * What verbs have changed of a submission is this from now on. Chunks in flight go on. False if it is not there, or
   * ends.
   */
  control(id: SubmissionId, controlAt: ControlAt, nowMs: number): boolean {
    this.#begin(nowMs);
    const submission = this.#ledger.submissions.get(id);
    const isOpen = submission?.state === 'open';
    if (submission !== undefined && isOpen) this.#controls.change(submission, controlAt, nowMs);
    this.#finish();
    return isOpen;
  }

  /**
   * The chunks of the submission that were set aside are available again, and all its tries begin anew. Gives how many
   * chunks they are; null if it is unknown or ends.
   */
  retry(id: SubmissionId, nowMs: number): number | null {
    this.#begin(nowMs);
    const submission = this.#ledger.submissions.get(id);
    const isOpen = submission?.state === 'open';
    const chunks = isOpen ? this.#outcomes.retried(submission) : null;
    this.#finish();
    return chunks;
  }

  /** Takes the submission's chunks off the schedule. */
  cancel(
    id: SubmissionId,
    nowMs: number,
    { by, reason }: Cancellation = UNKNOWN_CANCELLATION,
  ): 'ending' | 'unknown' | 'already_ending' {
    this.#begin(nowMs);
    const submission = this.#ledger.submissions.get(id);
    const isOpen = submission?.state === 'open';
    if (submission !== undefined && isOpen) {
      this.#outcomes.end(submission, { state: 'cancelled', by, reason });
    }
    this.#finish();
    return submission === undefined ? 'unknown' : isOpen ? 'ending' : 'already_ending';
  }

  /** The end of an ending submission is committed: it is dropped. */
  forget(id: SubmissionId): void {
    this.#begin(this.#nowMs);
    invariant(this.#ledger.submissions.get(id)?.state === 'ending', 'only an ending submission is forgotten');
    this.#ledger.submissions.delete(id);
    this.#finish();
  }

  /** As if it had never been inserted, with what was to follow from that. Nobody may have asked for chunks by then. */
  withdraw(id: SubmissionId): void {
    this.#begin(this.#nowMs);
    const submission = this.#ledger.submissions.get(id);
    invariant(submission !== undefined, 'a submission is withdrawn that is not there');
    invariant(this.#ledger.askers === 0, 'nothing is withdrawn that may have been handed out');
    if (submission.state === 'open') this.#ledger.close(submission);
    this.#ledger.submissions.delete(id);
    this.effects.drop(submission);
    this.#finish();
  }

  /** The oldest submission of which a chunk is available; null if there is none. For metrics: looks at each before it. */
  oldestWaiting(): SubmissionId | null {
    for (const { record, chunksAvailable } of this.#ledger.submissions.values()) {
      if (chunksAvailable > 0) return record.id;
    }
    return null;
  }

  /**
   * Expires reservations, ends retry delays, starts and cancels submissions, as they are due.
   *
   * @param unixMs what the wall clock shows; default: it has gone as fast as the other one since it was last told
   */
  advance(nowMs: number, unixMs?: number): void {
    this.#begin(nowMs);
    // The caller's timer has fired: the next deadline is announced, whenever it is.
    this.#announcedMs = Number.POSITIVE_INFINITY;
    const ledger = this.#ledger;
    ledger.plans.build();
    this.#controls.advance(nowMs, unixMs);
    for (let first = ledger.firstToExpire; first !== null && first.expiresMs <= nowMs; ) {
      this.#outcomes.expired(first, nowMs);
      first = ledger.firstToExpire;
    }
    for (let first = ledger.delays.first; first !== undefined && first.dueMs <= nowMs; ) {
      ledger.endDelay(first);
      ledger.makeAvailable(first.submission, first.chunkIndex);
      first = ledger.delays.first;
    }
    ledger.shuns.advance(nowMs);
    this.#sick.advance(nowMs);
    this.#finish();
  }

  /** When `advance` is due next; null if nothing is timed. */
  nextDeadlineMs(): number | null {
    if (this.#ledger.plans.isBuilding) return this.#nowMs;
    const { firstToExpire, delays, shuns } = this.#ledger;
    const nextMs = Math.min(
      firstToExpire?.expiresMs ?? Number.POSITIVE_INFINITY,
      delays.first?.dueMs ?? Number.POSITIVE_INFINITY,
      shuns.nextMs ?? Number.POSITIVE_INFINITY,
      this.#sick.nextMs ?? Number.POSITIVE_INFINITY,
      this.#controls.nextMs(this.#nowMs) ?? Number.POSITIVE_INFINITY,
    );
    return nextMs === Number.POSITIVE_INFINITY ? null : nextMs;
  }

  /** The same, for the caller's timer, which is for this and nothing else from now on: an earlier one is announced. */
  deadlineForTimer(): number | null {
    const nextMs = this.nextDeadlineMs();
    this.#announcedMs = nextMs ?? Number.POSITIVE_INFINITY;
    return nextMs;
  }

  /** While held, nothing is handed out (the store is stuck); resuming serves those who wait. */
  holdHandOut(held: boolean, nowMs: number): void {
    this.#begin(nowMs);
    this.#isHeld = held;
    this.#hold();
  }

  /** While the whole schedule is paused, nothing is handed out either; each of the two needs its own end. */
  pause(isPaused: boolean, nowMs: number): void {
    this.#begin(nowMs);
    this.#isPaused = isPaused;
    this.#hold();
  }

  /** Counts everything anew and throws an InvariantError where something differs. O(everything): for tests. */
  checkInvariants(): void {
    const { total, inVain } = this.#handOut.waiting;
    checkLedger(this.#ledger, inVain);
    invariant(this.counts.requestsWaiting === total, 'requestsWaiting is a recount');
  }

  #begin(nowMs: number): undefined;
  #begin(nowMs: number, handle: ConsumerHandle<Peer>): Consumer<Peer>;
  #begin(nowMs: number, handle?: ConsumerHandle<Peer>): Consumer<Peer> | undefined {
    invariant(!this.#isBusy, 'the scheduler is not called after a call that threw');
    this.#isBusy = true;
    invariant(nowMs >= this.#nowMs, 'the time never steps back');
    this.#nowMs = nowMs;
    if (handle === undefined) return undefined;
    invariant(isConsumer(handle) && !handle.isGone, 'the consumer is one that was added and not removed');
    return handle;
  }

  #finish(): void {
    this.#handOut.serve(this.#nowMs);
    const nextMs = this.nextDeadlineMs();
    if (nextMs !== null && nextMs < this.#announcedMs) {
      this.#announcedMs = nextMs;
      this.effects.push(DEADLINE_CHANGED);
    }
    this.#isBusy = false;
  }

  #hold(): void {
    this.#handOut.hold(this.#isHeld || this.#isPaused);
    this.#finish();
  }

  #heldBy(consumer: Consumer<Peer>, id: SubmissionId, chunkIndex: ChunkIndex): Reservation<Peer> | undefined {
    const reservation = this.#ledger.submissions.get(id)?.reservations?.get(chunkIndex);
    return reservation?.consumer === consumer ? reservation : undefined;
  }

  /** A message about a chunk that the consumer does not hold is its answer to the expiry, if it owes one. */
  #answerExpiry(consumer: Consumer<Peer>, id: SubmissionId, chunkIndex: ChunkIndex): void {
    const submission = this.#ledger.submissions.get(id);
    if (submission !== undefined) this.#ledger.liftBar(consumer, submission, chunkIndex);
  }
}

function isConsumer<Peer>(handle: ConsumerHandle<Peer>): handle is Consumer<Peer> {
  return handle instanceof Consumer;
}
