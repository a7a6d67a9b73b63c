import type { Random } from '../random.ts';

/** How long to wait before the next try. */
export interface BackoffOptions {
  /** The first wait, in milliseconds. Default 50. */
  readonly firstMs?: number;
  /** The longest wait, in milliseconds. Default 5000. */
  readonly maxMs?: number;
}

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
   * The wait before the next try, in milliseconds. Where the other side asked for one (`askedMs`, 0: it did not), it knows better:
   * that, and up to a quarter more.
   */
  nextMs(askedMs = 0): number {
    const step = Math.min(this.#firstMs * 2 ** Math.min(this.#tries++, 30), this.#maxMs);
    if (askedMs > 0) return askedMs + (this.#random.next() * askedMs) / 4;
    return step / 2 + (this.#random.next() * step) / 2;
  }

  /** After a success. */
  reset(): void {
    this.#tries = 0;
  }
}
