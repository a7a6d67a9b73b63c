import type { Clock, Timer } from '../../system/time/clock.ts';

export interface HeartbeatOptions {
  readonly clock: Clock;
  /** A ping goes out when nothing was received for this time, in milliseconds. */
  readonly intervalMs: number;
  /** So many pings in a row may stay without any sign of life; one more and the peer is dead. */
  readonly missableHeartbeatsMax: number;
}

/** What a heartbeat does to its connection. */
export interface HeartbeatTarget {
  ping(): void;
  /** Called once, then never anything again. */
  dead(): void;
}

/**
 * Notices that a peer is gone. Whatever arrives counts as a sign of life and costs one reading of the clock: the
 * timer is not moved for it, but looks again for the rest of the interval when it fires.
 *
 *     stopped --start (pings at once)--> beating --silence x (missableHeartbeatsMax + 1)--> dead
 *                                          +--stop--> stopped
 */
export class Heartbeat {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #missableHeartbeatsMax: number;
  readonly #target: HeartbeatTarget;
  #timer: Timer | null = null;
  #heardMs = 0;
  #missed = 0;
  #isHeld = false;

  constructor(options: HeartbeatOptions, target: HeartbeatTarget) {
    this.#clock = options.clock;
    this.#intervalMs = options.intervalMs;
    this.#missableHeartbeatsMax = options.missableHeartbeatsMax;
    this.#target = target;
  }

  start(): void {
    this.#heardMs = this.#clock.monotonicMs();
    this.#missed = 0;
    this.#target.ping();
    this.#arm(this.#intervalMs);
  }

  /** When something arrived last, on the monotonic clock. */
  get heardMs(): number {
    return this.#heardMs;
  }

  /** Something arrived. */
  alive(): void {
    this.#heardMs = this.#clock.monotonicMs();
    this.#missed = 0;
  }

  /** As long as it is held, nothing of the peer is read: it is pinged, so that it stays, and misses nothing. */
  hold(isHeld: boolean): void {
    this.#isHeld = isHeld;
    this.alive();
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #arm(delayMs: number): void {
    this.#timer = this.#clock.after(delayMs, this.#tick, { unref: true });
  }

  readonly #tick = (): void => {
    const now = this.#clock.monotonicMs();
    if (this.#isHeld) {
      this.alive();
      this.#arm(this.#intervalMs);
      this.#target.ping();
      return;
    }
    const dueMs = this.#heardMs + this.#intervalMs * (this.#missed + 1);
    // Timers fire up to a millisecond early.
    if (dueMs - now >= 1) {
      this.#arm(dueMs - now);
      return;
    }
    this.#missed++;
    if (this.#missed > this.#missableHeartbeatsMax) {
      this.#timer = null;
      this.#target.dead();
      return;
    }
    this.#arm(this.#intervalMs);
    this.#target.ping();
  };
}
