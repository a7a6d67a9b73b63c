import type { Clock } from '../time/clock.ts';

/** A turn of the event loop that has lasted this long is ended, in milliseconds. */
const TURN_MS_MAX = 5;

/**
 * Keeps work that awaits nothing, or only calls that finish synchronously, from starving its thread: a loop of such calls
 * runs in microtasks only, and no timer, socket or heartbeat would get a turn until it ends.
 */
export class EventLoopShare {
  readonly #clock: Clock;
  #beganMs: number | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Whether this turn has lasted long enough. Its first call begins the turn. */
  isOver(nowMs = this.#clock.monotonicMs()): boolean {
    if (this.#beganMs !== null) return nowMs - this.#beganMs >= TURN_MS_MAX;
    this.#beganMs = nowMs;
    this.#clock.soon(() => {
      this.#beganMs = null;
    });
    return false;
  }

  /** To be awaited before more is done, if it is not null. */
  due(): Promise<void> | null {
    return this.isOver() ? new Promise((resolve) => this.#clock.soon(resolve)) : null;
  }
}
