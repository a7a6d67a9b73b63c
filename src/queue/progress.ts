import type { OpenSubmission } from '../scheduler/types.ts';
import type { Clock } from '../system/clock.ts';
import { isRareNow, type Random } from '../system/random.ts';
import { Companion, type ProgressWaiter } from './companion.ts';

/** Holds requests that wait for a submission to move on or to end. */
export class ProgressWaiters {
  readonly #clock: Clock;
  readonly #random: Random;
  /** Those with waiters. */
  readonly #submissions = new Set<OpenSubmission>();

  constructor(clock: Clock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  /**
   * Calls `wake` once: when more than `doneAbove` chunks are done (null: not for that), when the end is committed,
   * when the time is up, or when the queue stops.
   *
   * @returns takes it back
   */
  wait(submission: OpenSubmission, doneAbove: number | null, waitMs: number, wake: () => void): () => void {
    const companion = Companion.of(submission);
    companion.waiters ??= new Set();
    const waiter: ProgressWaiter = { doneAbove, wake, timer: null };
    companion.waiters.add(waiter);
    this.#submissions.add(submission);
    waiter.timer = this.#clock.after(waitMs, () => this.#wake(submission, waiter), { unref: true });
    return () => this.#remove(submission, waiter);
  }

  /** Chunks of it were done. */
  moved(submission: OpenSubmission): void {
    const waiters = submission.attachment instanceof Companion ? submission.attachment.waiters : null;
    if (waiters === null) return;
    for (const waiter of waiters) {
      const isDue = waiter.doneAbove !== null && submission.done.count > waiter.doneAbove;
      if (isDue || isRareNow(this.#random, 'progress: woken for nothing')) this.#wake(submission, waiter);
    }
  }

  ended(submission: OpenSubmission): void {
    const waiters = submission.attachment instanceof Companion ? submission.attachment.waiters : null;
    for (const waiter of waiters ?? []) this.#wake(submission, waiter);
  }

  wakeAll(): void {
    for (const submission of [...this.#submissions]) this.ended(submission);
  }

  #wake(submission: OpenSubmission, waiter: ProgressWaiter): void {
    this.#remove(submission, waiter);
    waiter.wake();
  }

  #remove(submission: OpenSubmission, waiter: ProgressWaiter): void {
    waiter.timer?.cancel();
    const companion = Companion.of(submission);
    companion.waiters?.delete(waiter);
    if (companion.waiters?.size !== 0) return;
    companion.waiters = null;
    this.#submissions.delete(submission);
  }
}
