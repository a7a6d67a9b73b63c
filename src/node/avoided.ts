import type { Clock } from '../system/time/clock.ts';

/** However often it has been in vain, unless a lease is longer. */
const LENGTH_MS_MAX = 60_000;
/** Where there is no other choice, it is tried again after this share of a lease. */
const TRY_SHARE = 1 / 3;

interface Time {
  readonly beganMs: number;
  readonly lengthMs: number;
  /** It is not tried before, even where there is no other choice. */
  readonly isStrict: boolean;
}

/** What a node keeps away from for a while, because it was in vain: for a lease at first, then for twice as long each time. */
export class Avoided<Key> {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #all = new Map<Key, Time>();

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
  }

  has(key: Key): boolean {
    const found = this.#all.get(key);
    return found !== undefined && this.#leftMs(found) > 0;
  }

  /** Those that it has. */
  get keys(): readonly Key[] {
    return [...this.#all.keys()].filter((key) => this.has(key));
  }

  /** Whether it may be tried where there is no other choice. */
  mayTry(key: Key): boolean {
    const found = this.#all.get(key);
    if (found === undefined || found.isStrict) return !this.has(key);
    return this.#clock.monotonicMs() - found.beganMs >= this.#leaseMs * TRY_SHARE;
  }

  /** Whether it is one of them, and {@link mayTry} comes before that is over. */
  isTriedSoon(key: Key): boolean {
    return this.has(key) && this.#all.get(key)?.isStrict === false;
  }

  /** Returns for how long it is one of them now. */
  add(key: Key, isStrict = false): number {
    const before = this.#all.get(key);
    // One that has gone well for long begins anew.
    const isAgain = before !== undefined && this.#leftMs(before) > -LENGTH_MS_MAX;
    const wantedMs = isAgain ? before.lengthMs * 2 : this.#leaseMs;
    const lengthMs = Math.min(wantedMs, Math.max(this.#leaseMs, LENGTH_MS_MAX));
    this.#all.set(key, { beganMs: this.#clock.monotonicMs(), lengthMs, isStrict });
    return lengthMs;
  }

  /** It went well. One that is not to be tried has to do so for long: it may have been found out late. */
  wentWell(key: Key): void {
    if (this.#all.get(key)?.isStrict === false) this.#all.delete(key);
  }

  /** How long each of them still is one. */
  get leftMs(): readonly number[] {
    return [...this.#all.values()].map((each) => this.#leftMs(each)).filter((ms) => ms > 0);
  }

  #leftMs({ beganMs, lengthMs }: Time): number {
    return beganMs + lengthMs - this.#clock.monotonicMs();
  }
}
