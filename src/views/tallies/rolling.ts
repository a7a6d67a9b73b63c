/**
 * How often something happened in the last period, in three numbers: those of the current period, and of the one before
 * as far as it reaches into the last one.
 */
export class Rolling {
  readonly #periodMs: number;
  #sinceMs = Number.NEGATIVE_INFINITY;
  #current = 0;
  #previous = 0;

  constructor(periodMs: number) {
    this.#periodMs = periodMs;
  }

  /** @param nowMs of a clock that never steps back */
  add(nowMs: number): void {
    if (nowMs - this.#sinceMs >= this.#periodMs) this.#roll(nowMs);
    this.#current++;
  }

  /** An estimate, exact if it happens evenly. */
  count(nowMs: number): number {
    const passedMs = nowMs - this.#sinceMs;
    if (passedMs >= 2 * this.#periodMs) return 0;
    const isOver = passedMs >= this.#periodMs;
    const share = 1 - (passedMs % this.#periodMs) / this.#periodMs;
    return isOver ? this.#current * share : this.#current + this.#previous * share;
  }

  #roll(nowMs: number): void {
    const passed = (nowMs - this.#sinceMs) / this.#periodMs;
    this.#previous = passed < 2 ? this.#current : 0;
    this.#current = 0;
    this.#sinceMs = passed < 2 ? this.#sinceMs + this.#periodMs : nowMs;
  }
}
