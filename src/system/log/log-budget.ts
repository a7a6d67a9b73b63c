import type { Clock } from '../time/clock.ts';

/** Lines that may be logged at once, and how many more a second. */
export interface LogBudgetOptions {
  readonly burst: number;
  readonly perSecond: number;
}

/** Keeps a line that may come at any rate from flooding the log. */
export class LogBudget {
  readonly #clock: Clock;
  readonly #o: LogBudgetOptions;
  #left: number;
  #filledMs: number;
  #skipped = 0;

  constructor(clock: Clock, options: LogBudgetOptions) {
    this.#clock = clock;
    this.#o = options;
    this.#left = options.burst;
    this.#filledMs = clock.monotonicMs();
  }

  /** How many were skipped since the last one that was logged; null: this one is to be skipped as well. */
  take(): number | null {
    const nowMs = this.#clock.monotonicMs();
    const { burst, perSecond } = this.#o;
    this.#left = Math.min(burst, this.#left + ((nowMs - this.#filledMs) / 1000) * perSecond);
    this.#filledMs = nowMs;
    if (this.#left < 1) {
      this.#skipped++;
      return null;
    }
    this.#left--;
    const skipped = this.#skipped;
    this.#skipped = 0;
    return skipped;
  }
}
