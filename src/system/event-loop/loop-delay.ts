import type { Clock, Timer } from '../time/clock.ts';

const EVERY_MS = 100;

/** Measures how much later than wanted timers come: as long as that, the event loop was busy with something else. */
export class LoopDelay {
  readonly #clock: Clock;
  readonly #observe: (seconds: number) => void;
  #timer: Timer | null = null;

  constructor(clock: Clock, observe: (seconds: number) => void) {
    this.#clock = clock;
    this.#observe = observe;
  }

  start(): void {
    const dueMs = this.#clock.monotonicMs() + EVERY_MS;
    const run = () => {
      this.#observe(Math.max(0, this.#clock.monotonicMs() - dueMs) / 1000);
      this.start();
    };
    this.#timer = this.#clock.after(EVERY_MS, run, { unref: true });
  }

  stop(): void {
    this.#timer?.cancel();
  }
}
