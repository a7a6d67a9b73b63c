/** Of a bucket, in milliseconds. */
const BUCKET_MS = 10_000;
/** As many as make the longest period that can be asked for, and the one that the period begins in. */
const BUCKETS = 7;

/** How often something happened in the last ten seconds, up to the last minute: what happens costs one comparison and one sum. */
export class Rolling {
  /** Of the clock that is handed in, when the current bucket is full. */
  #untilMs = Number.NEGATIVE_INFINITY;
  #current = 0;
  /** Those before it, the latest first. */
  #before: number[] = [];

  /** @param nowMs of a clock that never steps back */
  add(nowMs: number): void {
    if (nowMs >= this.#untilMs) this.#roll(nowMs);
    this.#current++;
  }

  /**
   * An estimate, exact if it happens evenly.
   *
   * @param periodMs ten seconds to a minute
   */
  count(nowMs: number, periodMs: number): number {
    if (nowMs >= this.#untilMs) this.#roll(nowMs);
    const buckets = Math.min(BUCKETS - 1, Math.floor(periodMs / BUCKET_MS));
    let count = this.#current;
    for (let i = 0; i < buckets - 1; i++) count += this.#before[i] ?? 0;
    const share = Math.min(1, Math.max(0, (this.#untilMs - nowMs) / BUCKET_MS));
    return count + (this.#before[buckets - 1] ?? 0) * share;
  }

  #roll(nowMs: number): void {
    const passed = (nowMs - this.#untilMs) / BUCKET_MS;
    if (passed >= BUCKETS) {
      this.#before = [];
      this.#untilMs = nowMs + BUCKET_MS;
    } else {
      for (let i = 0; i <= passed; i++) {
        this.#before.unshift(i === 0 ? this.#current : 0);
        this.#untilMs += BUCKET_MS;
      }
      if (this.#before.length > BUCKETS) this.#before.length = BUCKETS;
    }
    this.#current = 0;
  }
}
