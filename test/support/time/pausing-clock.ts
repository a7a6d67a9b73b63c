import type { Clock, Timer } from '../../../src/system/time/clock.ts';

/**
 * The clock of a process that can be paused, as by SIGSTOP: time goes on meanwhile, but no timer of it runs; those that
 * became due run when it wakes.
 */
export class PausingClock implements Clock {
  readonly #clock: Clock;
  #isPaused = false;
  #due: { readonly run: () => void; isCancelled: boolean }[] = [];

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  nowMs(): number {
    return this.#clock.nowMs();
  }

  monotonicMs(): number {
    return this.#clock.monotonicMs();
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

  wake(): void {
    this.#isPaused = false;
    for (const entry of this.#due.splice(0)) if (!entry.isCancelled) entry.run();
  }
}
