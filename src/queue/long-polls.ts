import type { OpenSubmission } from '../scheduler/types.ts';
import type { Clock, Timer } from '../system/clock.ts';

interface Waiter {
  /** Woken when more chunks than these are done; null: only by the end. */
  readonly doneAbove: number | null;
  readonly wake: () => void;
  timer: Timer | null;
}

/** Holds requests that wait for a submission to move on or to end. */
export class LongPolls {
  readonly #clock: Clock;
  readonly #waiters = new Map<OpenSubmission, Set<Waiter>>();
  /** Chunks of these were done in this turn of the event loop; with its end those who wait for that are woken. */
  readonly #moved = new Set<OpenSubmission>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Calls `wake` once: when more than `doneAbove` chunks are done (null: not for that), when the end is committed,
   * when the time is up, or when the queue stops.
   *
   * @returns takes it back
   */
  wait(submission: OpenSubmission, doneAbove: number | null, waitMs: number, wake: () => void): () => void {
    const waiter: Waiter = { doneAbove, wake, timer: null };
    const waiters = this.#waiters.get(submission);
    if (waiters === undefined) this.#waiters.set(submission, new Set([waiter]));
    else waiters.add(waiter);
    waiter.timer = this.#clock.after(waitMs, () => this.#wake(submission, waiter), { unref: true });
    return () => this.#remove(submission, waiter);
  }

  /** Chunks of it were done. */
  moved(submission: OpenSubmission): void {
    if (this.#waiters.size === 0 || !this.#waiters.has(submission)) return;
    if (this.#moved.size === 0) this.#clock.soon(() => this.#wakeMoved());
    this.#moved.add(submission);
  }

  ended(submission: OpenSubmission): void {
    for (const waiter of this.#waiters.get(submission) ?? []) this.#wake(submission, waiter);
  }

  wakeAll(): void {
    for (const submission of [...this.#waiters.keys()]) this.ended(submission);
  }

  #wakeMoved(): void {
    const moved = [...this.#moved];
    this.#moved.clear();
    for (const submission of moved) {
      for (const waiter of this.#waiters.get(submission) ?? []) {
        if (waiter.doneAbove !== null && submission.done.count > waiter.doneAbove)
          this.#wake(submission, waiter);
      }
    }
  }

  #wake(submission: OpenSubmission, waiter: Waiter): void {
    this.#remove(submission, waiter);
    waiter.wake();
  }

  #remove(submission: OpenSubmission, waiter: Waiter): void {
    waiter.timer?.cancel();
    const waiters = this.#waiters.get(submission);
    if (waiters?.delete(waiter) && waiters.size === 0) this.#waiters.delete(submission);
  }
}
