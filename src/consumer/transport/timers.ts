import type { Clock, Timer } from '../../system/time/clock.ts';

/** Timers that go away together. */
export class Timers {
  readonly #clock: Clock;
  readonly #armed = new Set<Timer>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get size(): number {
    return this.#armed.size;
  }

  after(delayMs: number, run: () => void): void {
    const timer = this.#clock.after(delayMs, () => {
      this.#armed.delete(timer);
      run();
    });
    this.#armed.add(timer);
  }

  close(): void {
    for (const timer of this.#armed) timer.cancel();
    this.#armed.clear();
  }
}
