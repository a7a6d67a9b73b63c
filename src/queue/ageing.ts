import type { DueSubmission, Store } from '../store/store.ts';
import type { Clock, Timer } from '../system/clock.ts';
import type { Logger } from '../system/logger.ts';
import { isRareNow, type Random } from '../system/random.ts';
import type { Interest } from './interest.ts';

export interface AgeingOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly interest: Interest;
  /** Ended submissions are remembered for so long, in milliseconds. Default 1 hour. */
  readonly submissionAgeMsMax?: number | undefined;
  /**
   * Reading an ended submission keeps it for another `submissionAgeMsMax`, but not beyond so long after the time
   * at which it would have been forgotten, in milliseconds. Default 24 hours.
   */
  readonly readPostponementMaxMs?: number | undefined;
  /** How often to look. Default: a tenth of `submissionAgeMsMax`, between 100 ms and a minute. */
  readonly intervalMs?: number | undefined;
}

/** Submissions that are looked at, and forgotten, in one step, so that no commit waits for long. */
const STEP = 500;

/** Forgets ended submissions when their time is up. */
export class Ageing {
  readonly #o: AgeingOptions;
  readonly #ageMaxMs: number;
  readonly #postponementMaxMs: number;
  readonly #intervalMs: number;
  #timer: Timer | null = null;
  #running: Promise<unknown> = Promise.resolve();
  #isStopped = false;

  constructor(options: AgeingOptions) {
    this.#o = options;
    this.#ageMaxMs = options.submissionAgeMsMax ?? 3_600_000;
    this.#postponementMaxMs = options.readPostponementMaxMs ?? 24 * 3_600_000;
    this.#intervalMs = options.intervalMs ?? Math.min(Math.max(this.#ageMaxMs / 10, 100), 60_000);
  }

  start(): void {
    if (this.#isStopped) return;
    this.#timer = this.#o.clock.after(
      isRareNow(this.#o.random, 'ageing: at once') ? 0 : this.#intervalMs,
      () => {
        this.#running = this.runOnce()
          .catch((error: unknown) => {
            // The store may be closed before it has answered.
            if (this.#isStopped) return;
            this.#o.logger.warn({ err: error }, 'old submissions could not be forgotten; trying again later');
          })
          .then(() => this.start());
      },
      { unref: true },
    );
  }

  /** Waits for a step that is under way. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  /** Forgets all whose time is up, and says how many. */
  async runOnce(): Promise<{ readonly submissionsForgotten: number }> {
    const { clock, logger, interest } = this.#o;
    const dueMs = clock.nowMs() - this.#ageMaxMs;
    const postponableFromMs = dueMs - this.#postponementMaxMs;
    const read = interest.within(this.#ageMaxMs);
    const submissionsForgotten = await this.#forget(
      dueMs,
      ({ id, endedAtMs }) => endedAtMs < postponableFromMs || !read.has(id),
    );
    if (submissionsForgotten > 0) {
      logger.debug({ submissions: submissionsForgotten }, 'ended submissions are forgotten');
    }
    return { submissionsForgotten };
  }

  async #forget(endedBeforeMs: number, isOver: (submission: DueSubmission) => boolean): Promise<number> {
    const { store, random } = this.#o;
    let total = 0;
    let after: DueSubmission | undefined;
    while (!this.#isStopped) {
      const limit = isRareNow(random, 'ageing: one at a time') ? 1 : STEP;
      const due = await store.due({ endedBeforeMs, after, limit });
      total += await store.forget(due.filter(isOver).map(({ id }) => id));
      if (due.length < limit) break;
      after = due.at(-1);
    }
    return total;
  }
}
