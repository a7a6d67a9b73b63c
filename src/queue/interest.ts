import type { SubmissionId } from '../model/ids.ts';
import type { Clock } from '../system/clock.ts';

/** Of so many ended submissions it is remembered when they were read last; the one unread for longest is dropped. */
const SUBMISSIONS_MAX = 100_000;

/** Remembers which ended submissions somebody has read lately. */
export class Interest {
  readonly #clock: Clock;
  /** When each was read last, on the monotonic clock; in that order. */
  readonly #readAtMs = new Map<SubmissionId, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  touch(id: SubmissionId): void {
    this.#readAtMs.delete(id);
    this.#readAtMs.set(id, this.#clock.monotonicMs());
    if (this.#readAtMs.size <= SUBMISSIONS_MAX) return;
    const [oldest] = this.#readAtMs.keys();
    if (oldest !== undefined) this.#readAtMs.delete(oldest);
  }

  /** Those that were read within `periodMs`; the others are forgotten here. */
  within(periodMs: number): ReadonlySet<SubmissionId> {
    const sinceMs = this.#clock.monotonicMs() - periodMs;
    for (const [id, atMs] of this.#readAtMs) {
      if (atMs > sinceMs) break;
      this.#readAtMs.delete(id);
    }
    return new Set(this.#readAtMs.keys());
  }
}
