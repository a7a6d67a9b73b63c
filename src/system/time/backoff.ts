import type { Random } from '../random.ts';

/** How long to wait before the next try. */
export interface BackoffOptions {
  /** The first wait, in milliseconds. Default 50. */
  readonly firstMs?: number;
  /** The longest wait, in milliseconds. Default 5000. */
  readonly maxMs?: number;
}

const SOON_MS = 1_000;

/** Doubling back-off with full jitter between half the step and the step, so that a fleet does not come back at once. */
export class Backoff {
  readonly #random: Random;
  readonly #firstMs: number;
  readonly #maxMs: number;
  #tries = 0;

  constructor(random: Random, options: BackoffOptions = {}) {
    this.#random = random;
    this.#firstMs = options.firstMs ?? 50;
    this.#maxMs = options.maxMs ?? 5000;
  }

  /** How often `nextMs` was called since the last `reset`. */
  get tries(): number {
    return this.#tries;
  }

  /**
   * The wait before the next try, in milliseconds. Where the other side asked for one (`askedMs`, 0: it did not), it knows
   * better: that, and up to a quarter more. A second, the least that `Retry-After` can say, means soon: not more than that.
   */
  nextMs(askedMs = 0): number {
    const step = Math.min(this.#firstMs * 2 ** Math.min(this.#tries++, 30), this.#maxMs);
    if (askedMs > SOON_MS) return askedMs + (this.#random.next() * askedMs) / 4;
    const wait = step / 2 + (this.#random.next() * step) / 2;
    return askedMs > 0 ? Math.min(wait, askedMs) : wait;
  }

  /** After a success. */
  reset(): void {
    this.#tries = 0;
  }
}
