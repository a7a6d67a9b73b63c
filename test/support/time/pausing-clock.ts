import type { Clock, Timer } from '../../../src/system/time/clock.ts';

/**
 * The clock of a process that can be paused, as by SIGSTOP: time goes on meanwhile, but no timer of it runs; those that
 * became due run when it wakes.
 */
export class PausingClock implements Clock {
  readonly #clock: Clock;
  #isPaused = false;
  /** By how much the monotonic clock is behind; while the machine is suspended, when that began. */
  #suspendedMs = 0;
  #suspendedAtMs: number | null = null;
  #due: { readonly run: () => void; isCancelled: boolean }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  monotonicMs(): number {
    return (this.#suspendedAtMs ?? this.#clock.monotonicMs()) - this.#suspendedMs;
  }

  after(delayMs: number, run: () => void, options?: { readonly unref?: boolean }): Timer {
    const entry = { run, isCancelled: false };
    const fire = () => {
      if (this.#isPaused) this.#due.push(entry);
      else run();
    };
    const timer = this.#clock.after(delayMs, fire, options);
    return {
      cancel: () => {
        entry.isCancelled = true;
        timer.cancel();
      },
    };
  }

  soon(run: () => void): void {
    this.#clock.soon(run);
  }

  pause(): void {
    this.#isPaused = true;
  }

  /** With its machine: its monotonic clock stands still meanwhile. */
  suspend(): void {
    this.pause();
    this.#suspendedAtMs = this.#clock.monotonicMs();
  }

  wake(): void {
    this.#isPaused = false;
    if (this.#suspendedAtMs !== null) this.#suspendedMs += this.#clock.monotonicMs() - this.#suspendedAtMs;
    this.#suspendedAtMs = null;
    for (const entry of this.#due.splice(0)) if (!entry.isCancelled) entry.run();
  }
}
