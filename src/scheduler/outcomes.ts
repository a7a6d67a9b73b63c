import type { ChunkIndex } from '../model/ids.ts';
import type { Effects, SetBack, SubmissionEndCause } from './effects.ts';
import type { Ledger } from './ledger.ts';
import { type Setback, SetbackRules } from './setbacks.ts';
import type { SickConsumers } from './sick-consumers.ts';
import type { Consumer, Reservation, ScheduledSubmission } from './state.ts';
import type { ChunkFailure, FailOutcome, SchedulerOptions } from './types.ts';

/** What becomes of chunks that are done or were handed out in vain, of those who held them, and of submissions that end. */
export class Outcomes<Peer> {
  readonly #ledger: Ledger<Peer>;
  readonly #sick: SickConsumers<Peer>;
  readonly #effects: Effects<Peer>;
  readonly #rules: SetbackRules;

  constructor(
    ledger: Ledger<Peer>,
    sick: SickConsumers<Peer>,
    effects: Effects<Peer>,
    options: SchedulerOptions,
  ) {
    this.#ledger = ledger;
    this.#sick = sick;
    this.#effects = effects;
    this.#rules = new SetbackRules(options);
  }

  /** Back on the schedule, and uncounted. */
  givenBack(reservation: Reservation<Peer>): void {
    this.#ledger.takeAway(reservation);
    this.#ledger.makeAvailable(reservation.submission, reservation.chunkIndex);
  }

  /** Done, by `consumer` or by one that is not known. */
  completed(
    submission: ScheduledSubmission<Peer>,
    chunkIndex: ChunkIndex,
    consumer: Consumer<Peer> | null,
  ): void {
    const reservation = submission.reservations?.get(chunkIndex);
    if (reservation !== undefined) this.#ledger.takeAway(reservation);
    // Those who have not answered the expiry of the chunk.
    const late = submission.bars === null ? null : [...(submission.bars.get(chunkIndex) ?? [])];
    const hadFailed = this.#ledger.finish(submission, chunkIndex, reservation !== undefined);
    const hasRecovered = this.#sick.completed(consumer);
    const holder = reservation === undefined ? null : reservation.consumer;
    if (holder !== null && holder !== consumer) this.#drop(holder, submission, chunkIndex);
    if (late !== null) {
      for (const each of late) if (each !== consumer) this.#drop(each, submission, chunkIndex);
    }
    if (consumer !== null && hasRecovered) {
      this.#ledger.counts.consumersSick = this.#sick.count;
      this.#effects.push({ kind: 'recovered', consumer });
    }
    const reservedMs = reservation === undefined ? null : reservation.reservedMs;
    this.#effects.push({ kind: 'completed', submission, chunkIndex, hadFailed, reservedMs, by: consumer });
    this.endIfSettled(submission);
  }

  failed(reservation: Reservation<Peer>, failure: ChunkFailure, nowMs: number): FailOutcome {
    const { submission, chunkIndex } = reservation;
    const setback = this.#rules.failed(submission.triesOf(chunkIndex), failure, submission.record);
    this.#setBackByConsumer(reservation, setback, failure, nowMs);
    if (setback.fatal === null) return 'retry';
    return submission.record.failureMode === 'collect' ? 'set_aside' : 'failed';
  }

  expired(reservation: Reservation<Peer>, nowMs: number): void {
    const { submission, chunkIndex, consumer } = reservation;
    if (!consumer.silentOnExpiry) this.#ledger.bar(consumer, submission, chunkIndex);
    const setback = this.#rules.expired(submission.triesOf(chunkIndex), submission.record);
    this.#setBackByConsumer(reservation, setback, null, nowMs);
  }

  /** The first unfinished chunks of a broken connection were running: as many as it works on at once. */
  disconnected(consumer: Consumer<Peer>, nowMs: number): void {
    const running: Reservation<Peer>[] = [];
    for (let next = consumer.firstHeld; next !== null && running.length < consumer.concurrency; ) {
      running.push(next);
      next = next.heldAfter;
    }
    for (const reservation of running) {
      const { submission, chunkIndex } = reservation;
      // One before it may have ended the submission.
      if (!reservation.isHeld) continue;
      const times = submission.disconnectTimesOf(chunkIndex);
      const setback = this.#rules.disconnected(submission.triesOf(chunkIndex), times, nowMs);
      this.#setBack(reservation, setback, 'disconnected', null, nowMs);
    }
  }

  /** After a restart a chunk that has failed waits as it did before, from now on. */
  postpone(submission: ScheduledSubmission<Peer>, chunkIndex: ChunkIndex, nowMs: number): void {
    if (!submission.hasOpenChunk(chunkIndex)) return;
    const delayMs = this.#rules.backOffMs(submission.triesOf(chunkIndex).retries, submission.record);
    if (delayMs > 0) this.#ledger.postpone(submission, chunkIndex, nowMs + delayMs);
  }

  /** Nothing of it is left to be done, or in flight. */
  endIfSettled(submission: ScheduledSubmission<Peer>): void {
    if (!submission.isSettled) return;
    this.end(submission, { state: submission.done.isFull ? 'completed' : 'completed_with_failures' });
  }

  /** What was set aside gets its tries anew, and so does all else. Returns how many chunks were set aside. */
  retried(submission: ScheduledSubmission<Peer>): number {
    const { chunksFailed } = submission;
    if (chunksFailed === 0) return 0;
    this.#ledger.retry(submission);
    this.#effects.push({ kind: 'retried', submission });
    return chunksFailed;
  }

  end(submission: ScheduledSubmission<Peer>, cause: SubmissionEndCause): void {
    // Those who have not answered the expiry of a chunk may still work on it.
    const late = [...(submission.bars ?? [])].flatMap(([chunkIndex, consumers]) =>
      Array.from(consumers, (consumer) => ({ consumer, chunkIndex })),
    );
    for (const { consumer, chunkIndex } of [...this.#ledger.close(submission), ...late]) {
      if (consumer.isGone) continue;
      this.#effects.push({ kind: 'dropped', consumer, submission, chunkIndex, reason: 'submission_ended' });
    }
    this.#effects.push({ kind: 'ending', submission, cause });
  }

  /** Another one has completed the chunk. */
  #drop(consumer: Consumer<Peer>, submission: ScheduledSubmission<Peer>, chunkIndex: ChunkIndex): void {
    const reason = 'completed_elsewhere';
    this.#effects.push({ kind: 'dropped', consumer, submission, chunkIndex, reason });
  }

  /** A try that the consumer did not bring to its end (`failure` null: it expired): another one is to have the chunk first, and it may be sick. */
  #setBackByConsumer(
    reservation: Reservation<Peer>,
    setback: Setback,
    failure: ChunkFailure | null,
    nowMs: number,
  ): void {
    const { submission, chunkIndex, consumer } = reservation;
    const { shuns, counts } = this.#ledger;
    const askedMs = failure?.delayMs ?? 0;
    const isFirst = setback.tries.retries === 1 && submission.record.retry !== null;
    const pauseMs = this.#sick.failed(consumer, nowMs, counts.consumers);
    const goesElsewhere =
      setback.fatal === null && shuns.failed(consumer, submission, chunkIndex, nowMs + setback.delayMs);
    // Another one may have more luck: the waits are for what all fail.
    const delayMs =
      isFirst && goesElsewhere ? Math.max(askedMs, submission.record.retryDelayMs) : setback.delayMs;
    const cause = failure === null ? 'expired' : 'failed';
    this.#setBack(reservation, { ...setback, delayMs }, cause, failure?.text ?? null, nowMs);
    if (pauseMs === 0) return;
    counts.consumersSick = this.#sick.count;
    shuns.consumersChanged();
    this.#effects.push({ kind: 'sick', consumer, failuresInRow: consumer.failuresInRow, pauseMs });
  }

  /** Takes a chunk away from its holder: it waits for another try, or ends its submission. */
  #setBack(
    reservation: Reservation<Peer>,
    { tries, fatal, delayMs }: Setback,
    cause: SetBack<Peer>['cause'],
    failure: string | null,
    nowMs: number,
  ): void {
    const { submission, chunkIndex, consumer, reservedMs } = reservation;
    this.#ledger.takeAway(reservation);
    submission.setTries(chunkIndex, tries);
    const isSetAside = fatal !== null && submission.record.failureMode === 'collect';
    if (isSetAside) this.#ledger.setAside(submission, chunkIndex);
    else if (delayMs > 0 && fatal === null) this.#ledger.delay(submission, chunkIndex, nowMs + delayMs);
    else this.#ledger.makeAvailable(submission, chunkIndex);
    this.#effects.push({
      kind: 'set_back',
      cause,
      consumer,
      submission,
      chunkIndex,
      tries,
      fatal,
      failure,
      reservedMs,
    });
    if (isSetAside) this.endIfSettled(submission);
    else if (fatal !== null) this.end(submission, { state: 'failed', chunkIndex, failure: fatal });
  }
}
