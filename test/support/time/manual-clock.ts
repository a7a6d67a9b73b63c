import type { Clock, Timer } from '../../../src/system/time/clock.ts';

interface Pending {
  readonly atMs: number;
  readonly run: () => void;
}

/** Time stands still until `advance`. `soon` is the real event loop's, so that awaiting it needs no stepping. */
export class ManualClock implements Clock {
  /** Not the time of day: a remainder of a microsecond would be lost in it, and a timer for it armed again for ever. */
  #elapsedMs = 0;
  readonly #startMs: number;
  readonly #timers = new Set<Pending>();

  constructor(startMs = 1_700_000_000_000) {
    this.#startMs = startMs;
  }

  nowMs(): number {
    return this.#startMs + this.#elapsedMs;
  }

  monotonicMs(): number {
    return this.#elapsedMs;
  }

  after(delayMs: number, run: () => void): Timer {
    const timer: Pending = { atMs: this.#elapsedMs + Math.max(delayMs, 0), run };
    this.#timers.add(timer);
    return { cancel: () => void this.#timers.delete(timer) };
  }

  soon(run: () => void): void {
    setImmediate(run);
  }

  /** Timers that are armed. */
  get timersPending(): number {
    return this.#timers.size;
  }

  /** Fires everything that becomes due, in order of time. */
  advance(byMs: number): void {
    const untilMs = this.#elapsedMs + byMs;
    for (;;) {
      let next: Pending | null = null;
      for (const timer of this.#timers)
        if (timer.atMs <= untilMs && timer.atMs < (next?.atMs ?? Infinity)) next = timer;
      if (next === null) break;
      this.#timers.delete(next);
      this.#elapsedMs = Math.max(this.#elapsedMs, next.atMs);
      next.run();
    }
    this.#elapsedMs = untilMs;
  }
}
