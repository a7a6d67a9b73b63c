/** Buckets of a doubling: neighbours differ by a quarter of it or less, so that a quantile is off by 12 % at most. */
const STEPS_BITS = 2;
/** Of 2^-4 ms and less. */
const LOWEST_EXPONENT = -4;
/** From 1/16 ms to 2^32 ms: seven weeks. */
const BUCKETS = (32 - LOWEST_EXPONENT) << STEPS_BITS;
/** Lies over the two halves of a double. */
const double = new Float64Array(1);
const halves = new Uint32Array(double.buffer);

/** What a duration counts where older ones fade: more with each time that they do, until that would be too much. */
const WEIGHT_MIN = 1 << 8;
const WEIGHT_MAX = 1 << 20;

/** Durations, in some hundred octets and some nanoseconds for each. */
export class Spans {
  readonly #buckets = new Uint32Array(BUCKETS);
  readonly #fadingAfter: number;
  /** What each one counts from now on. */
  #weight: number;
  #sum = 0;
  #max = 0;

  /** @param fadingAfter each time that there are so many, they count half: quantiles are those of the last ones. Default: never */
  constructor(fadingAfter = Number.POSITIVE_INFINITY) {
    this.#fadingAfter = fadingAfter;
    this.#weight = fadingAfter === Number.POSITIVE_INFINITY ? 1 : WEIGHT_MIN;
  }

  /** How many there are, those that fade counted less. */
  get count(): number {
    return this.#sum / this.#weight;
  }

  get maxMs(): number {
    return this.#max;
  }

  /** @param times that it counts for so many */
  add(ms: number, times = 1): void {
    this.#buckets[bucketOf(ms)]! += times * this.#weight;
    this.#sum += times * this.#weight;
    if (ms > this.#max) this.#max = ms;
    if (this.#sum >= this.#fadingAfter * this.#weight) this.#fade();
  }

  /** @param quantile 0 to 1; @returns 0 if there are none */
  quantile(quantile: number): number {
    let left = Math.max(1, quantile * this.#sum);
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      left -= this.#buckets[bucket]!;
      if (left <= 0) return Math.min(middleOf(bucket), this.#max);
    }
    return this.#max;
  }

  /** Their mean, and how far they are off it as a rule, as a share of it. */
  moments(): { readonly meanMs: number; readonly variation: number } {
    if (this.#sum === 0) return { meanMs: 0, variation: 0 };
    let sum = 0;
    let squares = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      const count = this.#buckets[bucket]!;
      if (count === 0) continue;
      const ms = Math.min(middleOf(bucket), this.#max);
      sum += count * ms;
      squares += count * ms * ms;
    }
    const meanMs = sum / this.#sum;
    return { meanMs, variation: Math.sqrt(Math.max(0, squares / this.#sum - meanMs * meanMs)) / meanMs };
  }

  /** Later ones count twice as much, which needs no look at those that are there. */
  #fade(): void {
    this.#weight *= 2;
    if (this.#weight <= WEIGHT_MAX) return;
    const shift = Math.log2(this.#weight / WEIGHT_MIN);
    this.#weight = WEIGHT_MIN;
    this.#sum = 0;
    for (let bucket = 0; bucket < BUCKETS; bucket++) {
      this.#buckets[bucket]! >>>= shift;
      this.#sum += this.#buckets[bucket]!;
    }
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
