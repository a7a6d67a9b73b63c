import type { ShardId } from '../../src/model/ids.ts';
import type { LeaseAnswer, LeaseClaim, StoreLeases } from '../../src/store/lease.ts';
import { type Random, randomInt } from '../../src/system/random.ts';
import type { SimClock } from './sim-clock.ts';
import type { SimWorld } from './sim-world.ts';

export interface SimLeasesOptions {
  readonly clock: SimClock;
  readonly random: Random;
  /** The process that they are of. */
  readonly world: SimWorld;
  /** A call to the database, which may go wrong before or after it takes place. */
  call<T>(run: () => Promise<T>): Promise<T>;
  /** This process owns the store from now on. */
  taken(epoch: number): void;
}

/** One process's view of the leases of a store: calls take time and go wrong, news are late or lost. */
export class SimLeases implements StoreLeases {
  readonly #inner: StoreLeases;
  readonly #o: SimLeasesOptions;

  constructor(inner: StoreLeases, options: SimLeasesOptions) {
    this.#inner = inner;
    this.#o = options;
  }

  take(shard: ShardId, claim: LeaseClaim): Promise<LeaseAnswer> {
    return this.#o.call(async () => {
      const answer = await this.#inner.take(shard, claim);
      if (answer.kind === 'taken') this.#o.taken(answer.grant.epoch);
      return answer;
    });
  }

  renew(shard: ShardId, epoch: number): Promise<boolean> {
    return this.#o.call(() => this.#inner.renew(shard, epoch));
  }

  give(shard: ShardId, epoch: number): Promise<void> {
    return this.#o.call(() => this.#inner.give(shard, epoch));
  }

  /** They only spare waiting. */
  onNews(listener: () => void): () => void {
    const { clock, random, world } = this.#o;
    return this.#inner.onNews(() => {
      if (random.next() < 0.3) return;
      clock.at(clock.elapsedMs + randomInt(random, 50), () => world.arrives(listener));
    });
  }
}
