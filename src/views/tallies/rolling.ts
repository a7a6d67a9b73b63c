/** Of a bucket, in milliseconds. */
const BUCKET_MS = 10_000;
/** As many as make the longest period that can be asked for, and the one that the period begins in. */
const BUCKETS = 7;
/** Before the first one. */
const NEVER = -1e9;

/** How often something happened in the last ten seconds, up to the last minute: what happens costs one comparison and one sum, of small integers. */
export class Rolling {
  /** Of those that the clock is cut into. */
  #bucket = NEVER;
  #current = 0;
  /** Those before it, the latest first. */
  #before: number[] | null = null;

  /** @param nowMs of a clock that never steps back */
  add(nowMs: number): void {
    const bucket = bucketAt(nowMs);
    if (bucket > this.#bucket) this.#roll(bucket);
    this.#current++;
  }

  /** So many more of them happened when the last one did, or later but in the same bucket. */
  addToLast(count: number): void {
    this.#current += count;
  }

  /**
   * An estimate, exact if it happens evenly.
   *
   * @param periodMs ten seconds to a minute
   */
  count(nowMs: number, periodMs: number): number {
    const bucket = bucketAt(nowMs);
    if (bucket > this.#bucket) this.#roll(bucket);
    const buckets = Math.min(BUCKETS - 1, Math.floor(periodMs / BUCKET_MS));
    const before = this.#before ?? [];
    let count = this.#current;
    for (let i = 0; i < buckets - 1; i++) count += before[i] ?? 0;
    const share = Math.min(1, Math.max(0, this.#bucket + 1 - nowMs / BUCKET_MS));
    return count + (before[buckets - 1] ?? 0) * share;
  }

  #roll(bucket: number): void {
    const passed = bucket - this.#bucket;
    if (passed >= BUCKETS) this.#before = null;
    else {
      const none = new Array<number>(passed - 1).fill(0);
      this.#before = [...none, this.#current, ...(this.#before ?? [])].slice(0, BUCKETS);
    }
    this.#bucket = bucket;
    this.#current = 0;
  }
}

/** What happens in the same bucket need not be told apart. It goes on for six hundred years. */
export function bucketAt(nowMs: number): number {
  return (nowMs / BUCKET_MS) | 0;
}
