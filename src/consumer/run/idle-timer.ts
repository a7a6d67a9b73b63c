import type { Clock, Timer } from '../../system/time/clock.ts';
import type { Activity } from '../activity.ts';

export interface IdleTimerOptions {
  readonly clock: Clock;
  readonly activity: Activity;
  /** null: it is never too long. */
  readonly untilIdleMs: number | null;
  /** It was idle for that long. */
  readonly due: () => void;
}

/** Knows since when a run has been idle. */
export class IdleTimer {
  readonly #o: IdleTimerOptions;
  #isIdle = false;
  #timer: Timer | null = null;

  constructor(options: IdleTimerOptions) {
    this.#o = options;
    options.activity.busy(this);
  }

  set(isIdle: boolean): void {
    if (isIdle === this.#isIdle) return;
    const { activity, clock, untilIdleMs, due } = this.#o;
    this.#isIdle = isIdle;
    this.#timer?.cancel();
    if (isIdle) activity.idle(this);
    else activity.busy(this);
    if (isIdle && untilIdleMs !== null) this.#timer = clock.after(untilIdleMs, due);
  }

  /** The run is over. */
  end(): void {
    this.#timer?.cancel();
    this.#o.activity.gone(this);
  }
}
