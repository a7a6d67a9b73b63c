/** Buckets of a doubling: neighbours differ by a quarter of it or less, so that a quantile is off by 12 % at most. */
const STEPS_BITS = 2;
/** Of 2^-4 ms and less. */
const LOWEST_EXPONENT = -4;
/** From 1/16 ms to 2^32 ms: seven weeks. */
const BUCKETS = (32 - LOWEST_EXPONENT) << STEPS_BITS;
/** Lies over the two halves of a double. */
const double = new Float64Array(1);
const halves = new Uint32Array(double.buffer);

/** Durations, in some hundred octets and some nanoseconds for each. */
export class Spans {
  readonly #buckets = new Uint32Array(BUCKETS);
  #count = 0;
  #max = 0;

  get count(): number {
    return this.#count;
  }

  get maxMs(): number {
    return this.#max;
  }

  /** @param times that it counts for so many */
  add(ms: number, times = 1): void {
    this.#buckets[bucketOf(ms)]! += times;
    this.#count += times;
    if (ms > this.#max) this.#max = ms;
  }

  /** @param quantile 0 to 1; @returns 0 if there are none */
  quantile(quantile: number): number {
    let left = Math.max(1, quantile * this.#count);
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.#buckets[bucket]!;
      if (left <= 0) return Math.min(middleOf(bucket), this.#max);
    }
    return this.#max;
  }
}

/** The exponent of the double and the first bits of its fraction, of which no logarithm is needed. */
function bucketOf(ms: number): number {
  double[0] = ms;
  const bits = halves[1]! >>> (20 - STEPS_BITS);
  const bucket = bits - ((1023 + LOWEST_EXPONENT) << STEPS_BITS);
  return bucket < 0 ? 0 : bucket >= BUCKETS ? BUCKETS - 1 : bucket;
}

function middleOf(bucket: number): number {
  const steps = 1 << STEPS_BITS;
  const exponent = (bucket >> STEPS_BITS) + LOWEST_EXPONENT;
  return 2 ** exponent * (1 + ((bucket & (steps - 1)) + 0.5) / steps);
}
