import type { LeaseClaim, LeaseName, LeaseSight, ShardGrant, StoreLeases } from '../../src/store/lease.ts';
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
  /** This process owns the shard from now on. */
  taken(grant: LeaseName): void;
}

/** One process's view of the leases of a store: calls take time and go wrong, news are late or lost. */
export class SimLeases implements StoreLeases {
  readonly #inner: StoreLeases;
  readonly #o: SimLeasesOptions;

  constructor(inner: StoreLeases, options: SimLeasesOptions) {
    this.#inner = inner;
    this.#o = options;
  }

  look(node: LeaseClaim | null, renew: readonly LeaseName[] = []): Promise<LeaseSight> {
    // One that a batch is being written under is not renewed.
    const atOnce = renew.filter(() => this.#o.random.next() >= 0.1);
    return this.#o.call(() => this.#inner.look(node, atOnce));
  }

  take(free: readonly LeaseName[], claim: LeaseClaim): Promise<readonly ShardGrant[]> {
    return this.#o.call(async () => {
      const grants = await this.#inner.take(free, claim);
      for (const grant of grants) this.#o.taken(grant);
      return grants;
    });
  }

  give(leases: readonly LeaseName[]): Promise<readonly LeaseName[]> {
    return this.#o.call(() => this.#inner.give(leases));
  }

  leave(holder: string): Promise<void> {
    return this.#o.call(() => this.#inner.leave(holder));
  }

  ready(leases: readonly LeaseName[]): Promise<readonly LeaseName[]> {
    return this.#o.call(() => this.#inner.ready(leases));
  }

  proveCommit(): Promise<void> {
    return this.#o.call(() => this.#inner.proveCommit());
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
