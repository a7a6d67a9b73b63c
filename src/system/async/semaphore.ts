/**
 * Bounds what is under way at a time: a number of tasks, or bytes. Those that have to wait get in in order.
 *
 * By hand, because the libraries (async-sema, p-limit) answer with a promise in any case: here a call that finds room
 * costs none, amounts need not be one, and what is known only later (the length of a body) can be added then.
 */
export class Semaphore {
  readonly max: number;
  readonly #waiting: (() => void)[] = [];
  #held = 0;

  constructor(max: number) {
    this.max = max;
  }

  /** What is held now. */
  get held(): number {
    return this.#held;
  }

  /** Takes `amount` if there is room for all of it. */
  tryTake(amount = 1): boolean {
    if (this.#held + amount > this.max) return false;
    this.#held += amount;
    return true;
  }

  /** Takes `amount` as soon as there is any room: one that is larger than the rest gets in alone. A promise only where it has to wait. */
  take(amount = 1): Promise<void> | undefined {
    if (this.#held < this.max) {
      this.#held += amount;
      return undefined;
    }
    return new Promise((resolve) => {
      this.#waiting.push(() => {
        this.#held += amount;
        resolve();
      });
    });
  }

  /** Takes what has turned out to be needed beside what is held already, room or not. */
  add(amount: number): void {
    this.#held += amount;
  }

  /** Gives back, and lets in the next one that waits. */
  give(amount = 1): void {
    this.#held -= amount;
    if (this.#held < this.max) this.#waiting.shift()?.();
  }
}
