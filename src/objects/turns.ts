import type { Clock } from '../system/clock.ts';

/** A turn of the event loop that has lasted this long is ended. */
const TURN_MS_MAX = 4;

/**
 * Keeps calls that finish synchronously from starving their thread. A loop that awaits nothing but such calls runs in
 * microtasks only: no timer, no socket and no heartbeat would get a turn until it ends.
 */
export class Turns {
  readonly #clock: Clock;
  #beganMs: number | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** To be awaited before a call if it is not null: this turn has lasted long enough. */
  due(): Promise<void> | null {
    if (this.#beganMs === null) {
      this.#beganMs = this.#clock.monotonicMs();
      this.#clock.soon(() => {
        this.#beganMs = null;
      });
      return null;
    }
    if (this.#clock.monotonicMs() - this.#beganMs < TURN_MS_MAX) return null;
    return new Promise((resolve) => this.#clock.soon(resolve));
  }
}
