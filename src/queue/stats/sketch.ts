import type { Clock } from '../../system/time/clock.ts';

/** Neighbouring buckets differ by this factor, so that a quantile is off by 1 % at most. */
const GAMMA = 1.02;
const LOG_GAMMA = Math.log(GAMMA);
/** The smallest value that is told apart from 0, in seconds. */
const LEAST = 1e-7;
const LOG_LEAST = Math.log(LEAST);
/** Up to 1e7 seconds. */
const BUCKETS = Math.ceil((Math.log(1e7) - LOG_LEAST) / LOG_GAMMA) + 1;
/** Buckets of a doubling. */
const OCTAVE = Math.LN2 / LOG_GAMMA;
/** For the first bits of a double's fraction, how many buckets they are above a power of two: a look-up instead of a logarithm. */
const FRACTION_BITS = 10;
const ABOVE = Float64Array.from(
  { length: 1 << FRACTION_BITS },
  (_, i) => OCTAVE * Math.log2(1 + (i + 0.5) / (1 << FRACTION_BITS)),
);
const EXPONENT_ZERO = 1023;
/** Lies over the two halves of a double. */
const double = new Float64Array(1);
const halves = new Uint32Array(double.buffer);

/** Quantiles are over the last one to two of these periods. */
const PERIOD_MS = 60_000;

/**
 * Quantiles of durations, in constant memory and some nanoseconds an observation (those of prom-client cost over a
 * microsecond, and there are several for each chunk). Sum and count are over all time.
 */
export class Sketch {
  readonly #clock: Clock;
  #sum = 0;
  #count = 0;
  #latestMs: number | null = null;
  #current: Window | null = null;
  #previous: Window | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  get sum(): number {
    return this.#sum;
  }

  get count(): number {
    return this.#count;
  }

  /** When something was observed last, on the monotonic clock; null: nothing was yet. */
  get latestMs(): number | null {
    return this.#latestMs;
  }

  /** @param nowMs monotonic, which whoever measures has at hand */
  observe(seconds: number, nowMs: number): void {
    this.#sum += seconds;
    this.#count++;
    this.#latestMs = nowMs;
    const current = this.#windowAt(nowMs);
    current.buckets[seconds <= LEAST ? 0 : Math.min(bucketOf(seconds), BUCKETS - 1)]!++;
    current.count++;
    if (seconds < current.least) current.least = seconds;
    if (seconds > current.greatest) current.greatest = seconds;
  }

  /** Whether nothing was observed lately. */
  get isQuiet(): boolean {
    return this.#windowAt(this.#clock.monotonicMs()).count + (this.#previous?.count ?? 0) === 0;
  }

  /** @param quantile 0 to 1; @returns 0 if nothing was observed lately */
  quantile(quantile: number): number {
    this.#windowAt(this.#clock.monotonicMs());
    const windows = [this.#current, this.#previous].filter((window) => window !== null);
    const count = windows.reduce((sum, window) => sum + window.count, 0);
    if (count === 0) return 0;
    const least = Math.min(...windows.map((window) => window.least));
    const greatest = Math.max(...windows.map((window) => window.greatest));
    if (quantile <= 0) return least;
    if (quantile >= 1) return greatest;
    let left = quantile * count;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      for (const window of windows) left -= window.buckets[bucket]!;
      if (left <= 0) {
        const middle = Math.exp(LOG_LEAST + (bucket - 0.5) * LOG_GAMMA);
        return Math.min(Math.max(middle, least), greatest);
      }
    }
    return greatest;
  }

  #windowAt(nowMs: number): Window {
    const current = this.#current;
    if (current !== null && nowMs - current.sinceMs < PERIOD_MS) return current;
    this.#previous = current !== null && nowMs - current.sinceMs < 2 * PERIOD_MS ? current : null;
    this.#current = {
      sinceMs: nowMs,
      buckets: new Uint32Array(BUCKETS),
      count: 0,
      least: Number.POSITIVE_INFINITY,
      greatest: 0,
    };
    return this.#current;
  }
}

/** Off by a fortieth of a bucket at most. */
function bucketOf(seconds: number): number {
  double[0] = seconds;
  const high = halves[1]!;
  const exponent = (high >>> 20) - EXPONENT_ZERO;
  const fraction = (high >>> (20 - FRACTION_BITS)) & ((1 << FRACTION_BITS) - 1);
  return Math.ceil(exponent * OCTAVE + ABOVE[fraction]! - LOG_LEAST / LOG_GAMMA);
}

interface Window {
  readonly sinceMs: number;
  readonly buckets: Uint32Array;
  count: number;
  least: number;
  greatest: number;
}
