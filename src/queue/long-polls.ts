import type { SubmissionId } from '../model/ids.ts';
import type { OpenSubmission } from '../scheduler/types.ts';
import type { Clock, Timer } from '../system/time/clock.ts';
import type { EventBatch, QueueEvents } from './events.ts';

interface Waiter {
  readonly submission: OpenSubmission;
  /** Woken when more chunks than these are done or set aside; null: only by the end. */
  readonly doneAbove: number | null;
  readonly wake: () => void;
  timer: Timer | null;
}

/** Events that are kept of one turn; beyond, all that wait are looked at. */
const EVENTS_MAX = 1_000;

/** Holds requests that wait for a submission to move on or to end. */
export class LongPolls {
  readonly #clock: Clock;
  readonly #events: QueueEvents;
  /** Not by their records, which verbs replace. */
  readonly #waiters = new Map<SubmissionId, Set<Waiter>>();
  /** While any waits. */
  #unsubscribe: (() => void) | null = null;

  constructor(clock: Clock, events: QueueEvents) {
    this.#clock = clock;
    this.#events = events;
  }

  /**
   * Calls `wake` once: when more than `doneAbove` chunks are done or set aside (null: not for that), when the end is committed,
   * when the time is up, or when the queue stops.
   *
   * @returns takes it back
   */
  wait(submission: OpenSubmission, doneAbove: number | null, waitMs: number, wake: () => void): () => void {
    const waiter: Waiter = { submission, doneAbove, wake, timer: null };
    const { id } = submission.record;
    const waiters = this.#waiters.get(id);
    if (waiters === undefined) this.#waiters.set(id, new Set([waiter]));
    else waiters.add(waiter);
    waiter.timer = this.#clock.after(waitMs, () => this.#wake(waiter), { unref: true });
    this.#unsubscribe ??= this.#events.subscribe(EVENTS_MAX, (batch) => this.#take(batch));
    return () => this.#remove(waiter);
  }

  /** Those who wait for a submission of such a queue. */
  wakeAll(isOne: (queue: string) => boolean): void {
    for (const [id, [first]] of [...this.#waiters]) {
      if (first !== undefined && isOne(first.submission.record.queue)) this.#ended(id);
    }
  }

  #take({ events, changed, missed }: EventBatch): void {
    for (const submission of changed) this.#moved(submission.record.id);
    for (const event of events) {
      if (event.kind === 'submission_ended') this.#ended(event.record.id);
      else if (event.kind === 'chunk_set_back' && event.isFatal) this.#moved(event.submission.record.id);
    }
    // The end of any of them may be among what was missed: a look too many does no harm.
    if (missed > 0) this.wakeAll(() => true);
  }

  #moved(id: SubmissionId): void {
    for (const waiter of this.#waiters.get(id) ?? []) {
      const isDue = waiter.doneAbove !== null && settledCount(waiter.submission) > waiter.doneAbove;
      if (isDue) this.#wake(waiter);
    }
  }

  #ended(id: SubmissionId): void {
    for (const waiter of this.#waiters.get(id) ?? []) this.#wake(waiter);
  }

  #wake(waiter: Waiter): void {
    this.#remove(waiter);
    waiter.wake();
  }

  #remove(waiter: Waiter): void {
    waiter.timer?.cancel();
    const { id } = waiter.submission.record;
    const waiters = this.#waiters.get(id);
    if (!waiters?.delete(waiter) || waiters.size > 0) return;
    this.#waiters.delete(id);
    if (this.#waiters.size > 0) return;
    this.#unsubscribe?.();
    this.#unsubscribe = null;
  }
}

/** Chunks that are not worked on any more. */
export function settledCount({ done, failed }: OpenSubmission): number {
  return done.count + (failed?.count ?? 0);
}
