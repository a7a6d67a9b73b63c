import type { Logger } from '../../system/log/logger.ts';
import type { Clock, Timer } from '../../system/time/clock.ts';
import type { Journal } from './journal.ts';

export interface StoreWatchOptions {
  readonly journal: Journal;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Chunks are handed out no more after so long without a commit, in milliseconds. */
  readonly holdHandOutAfterMs: number;
  hold(held: boolean): void;
}

/**
 * Looks after a store that takes nothing: after some seconds no more chunks are handed out, because what comes of
 * them could not be kept. It goes on by itself when the store does.
 */
export class StoreWatch {
  readonly #o: StoreWatchOptions;
  readonly #stopListening: () => void;
  #isOk = true;
  #isHeld = false;
  #timer: Timer | null = null;

  constructor(options: StoreWatchOptions) {
    this.#o = options;
    this.#stopListening = options.journal.onHealth((health) => {
      this.#isOk = health.ok;
      if (health.ok) this.#recovered();
      else this.#stuck(health.stuckSinceMs);
    });
  }

  get isOk(): boolean {
    return this.#isOk;
  }

  /** No chunk is handed out until the store takes batches again. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  stop(): void {
    this.#stopListening();
    this.#timer?.cancel();
  }

  #stuck(sinceMs: number | null): void {
    if (this.#timer !== null || this.#isHeld) return;
    const { clock, holdHandOutAfterMs } = this.#o;
    const nowMs = clock.monotonicMs();
    const delayMs = Math.max(0, (sinceMs ?? nowMs) + holdHandOutAfterMs - nowMs);
    this.#timer = clock.after(delayMs, () => this.#hold(), { unref: true });
  }

  #hold(): void {
    this.#timer = null;
    this.#isHeld = true;
    this.#o.logger.error({}, 'no chunk is handed out until the store takes batches again');
    this.#o.hold(true);
  }

  #recovered(): void {
    this.#timer?.cancel();
    this.#timer = null;
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#o.logger.info({}, 'chunks are handed out again');
    this.#o.hold(false);
  }
}
