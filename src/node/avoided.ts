import type { Clock } from '../system/time/clock.ts';
import { ABSENCE_MS_MAX, absenceMs } from './absence.ts';

/** What a node keeps away from for a while, because it was in vain: for a lease at first, then for twice as long each time. */
export class Avoided<Key> {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #all = new Map<Key, { readonly untilMs: number; readonly lengthMs: number }>();

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
  }

  has(key: Key): boolean {
    const found = this.#all.get(key);
    return found !== undefined && this.#clock.monotonicMs() < found.untilMs;
  }

  /** Returns for how long it is one of them now. */
  add(key: Key): number {
    const nowMs = this.#clock.monotonicMs();
    const before = this.#all.get(key);
    // One that has gone well for long begins anew.
    const isAgain = before !== undefined && nowMs - before.untilMs < ABSENCE_MS_MAX;
    const lengthMs = absenceMs(isAgain ? before.lengthMs : 0, this.#leaseMs);
    this.#all.set(key, { untilMs: nowMs + lengthMs, lengthMs });
    return lengthMs;
  }

  /** How long each of them still is one. */
  get leftMs(): readonly number[] {
    const nowMs = this.#clock.monotonicMs();
    return [...this.#all.values()].flatMap(({ untilMs }) => (untilMs > nowMs ? untilMs - nowMs : []));
  }
}
