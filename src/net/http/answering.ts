import type { Clock } from '../../system/time/clock.ts';

/** The right to answer requests that only the owner of something may answer, for as long as it is the owner. */
export class AnsweringRight {
  /** Asked before each answer: once this is false, it is a 503. */
  readonly isOn: () => boolean;
  #unanswered = 0;
  readonly #whenIdle = new Set<() => void>();

  constructor(isOn: () => boolean) {
    this.isOn = isOn;
  }

  /** A request has come that depends on it. */
  began(): void {
    this.#unanswered++;
  }

  /** One of them is answered, or its peer is gone. */
  ended(): void {
    this.#unanswered--;
    if (this.#unanswered === 0) for (const run of [...this.#whenIdle]) run();
  }

  /** Resolves when all of them are, or after `graceMs`. */
  idle(clock: Clock, graceMs: number): Promise<void> {
    if (this.#unanswered === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        timer.cancel();
        this.#whenIdle.delete(done);
        resolve();
      };
      const timer = clock.after(graceMs, done);
      this.#whenIdle.add(done);
    });
  }
}
