import type { ShardId } from '../model/ids.ts';
import type { Clock } from '../system/time/clock.ts';
import { ABSENCE_MS_MAX, absenceMs } from './absence.ts';

/**
 * Shards that this node does not take for a while, because it has found damaged what is stored of them: for a lease at
 * first, so that others can try, then for twice as long each time.
 */
export class DamagedShards {
  readonly #clock: Clock;
  readonly #leaseMs: number;
  readonly #all = new Map<ShardId, { readonly untilMs: number; readonly lengthMs: number }>();

  constructor(clock: Clock, leaseMs: number) {
    this.#clock = clock;
    this.#leaseMs = leaseMs;
  }

  has(shard: ShardId): boolean {
    const found = this.#all.get(shard);
    return found !== undefined && this.#clock.monotonicMs() < found.untilMs;
  }

  /** Returns for how long it is one of them now. */
  add(shard: ShardId): number {
    const nowMs = this.#clock.monotonicMs();
    const before = this.#all.get(shard);
    // One that has gone well for long begins anew.
    const isAgain = before !== undefined && nowMs - before.untilMs < ABSENCE_MS_MAX;
    const lengthMs = absenceMs(isAgain ? before.lengthMs : 0, this.#leaseMs);
    this.#all.set(shard, { untilMs: nowMs + lengthMs, lengthMs });
    return lengthMs;
  }

  /** How long each of them still is one. */
  get leftMs(): readonly number[] {
    const nowMs = this.#clock.monotonicMs();
    return [...this.#all.values()].flatMap(({ untilMs }) => (untilMs > nowMs ? untilMs - nowMs : []));
  }
}
