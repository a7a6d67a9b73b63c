import { type Scope, type ScopeControl, SERVER_SCOPE } from '../../model/control.ts';
import type { ShardId, SubmissionId } from '../../model/ids.ts';
import { SHARDS } from '../../model/shard.ts';
import type { Clock } from '../../system/time/clock.ts';
import type {
  LeaseClaim,
  LeaseHolder,
  LeaseName,
  LeaseSight,
  NodePresent,
  ShardGrant,
  StoreLeases,
} from '../lease.ts';

export interface MemoryShard {
  epoch: number;
  lastSeq: number;
  highestId: SubmissionId;
  lease: Lease | null;
}

export interface Lease extends LeaseClaim {
  /** On the monotonic time of the clock that all stores of the database have. */
  endsMs: number;
  isAwaited?: boolean;
}

/** Where leases stand. */
export interface LeaseBook {
  readonly leaseListeners: Set<() => void>;
  /** The nodes that are present, by `holder`. */
  readonly nodes: Map<string, Lease>;
  readonly scopes: ReadonlyMap<Scope, ScopeControl>;
  shard(shard: ShardId): MemoryShard;
}

/** Leases among the stores of one database. */
export class MemoryLeases implements StoreLeases {
  readonly #database: LeaseBook;
  readonly #clock: Clock;
  readonly #granted: (grant: ShardGrant) => void;

  /** @param granted is told what the store owns from then on */
  constructor(database: LeaseBook, clock: Clock, granted: (grant: ShardGrant) => void) {
    this.#database = database;
    this.#clock = clock;
    this.#granted = granted;
  }

  async look(node: LeaseClaim | null, renew: readonly LeaseName[] = []): Promise<LeaseSight> {
    const renewed: ShardId[] = [];
    for (const { shard, epoch } of renew) {
      const state = this.#database.shard(shard);
      if (state.epoch !== epoch) continue;
      renewLease(state, this.#clock);
      renewed.push(shard);
    }
    const { nodes, scopes } = this.#database;
    if (node !== null) this.#isPresent(node);
    for (const [holder, each] of nodes) if (this.#leftMs(each) <= 0) nodes.delete(holder);
    const leases: LeaseHolder[] = [];
    const free: LeaseName[] = [];
    for (let shard = 0; shard < SHARDS; shard++) {
      const { epoch, lease } = this.#database.shard(shard);
      const leftMs = lease === null ? 0 : this.#leftMs(lease);
      if (lease === null || leftMs <= 0) free.push({ shard, epoch });
      else {
        const { holder, address, leaseMs, isAwaited = false } = lease;
        leases.push({ shard, epoch, holder, address, leaseMs, isAwaited, leftMs });
      }
    }
    return {
      leases,
      free,
      nodes: [...nodes.values()]
        .map((each): NodePresent => {
          const { holder, address, avoids = [] } = each;
          return { holder, address, leftMs: this.#leftMs(each), avoids };
        })
        .sort((a, b) => (a.holder < b.holder ? -1 : 1)),
      renewed,
      server: scopes.get(SERVER_SCOPE) ?? null,
      reason: null,
    };
  }

  async take(free: readonly LeaseName[], claim: LeaseClaim): Promise<readonly ShardGrant[]> {
    const grants = free.flatMap(({ shard, epoch: seen }) => {
      const state = this.#database.shard(shard);
      const { lease } = state;
      if (state.epoch !== seen) return [];
      if (lease !== null && this.#leftMs(lease) > 0 && lease.holder !== claim.holder) return [];
      state.epoch++;
      state.lease = { ...claim, endsMs: 0 };
      renewLease(state, this.#clock);
      const { epoch, lastSeq, highestId } = state;
      return { shard, epoch, lastSeq, highestId };
    });
    for (const grant of grants) this.#granted(grant);
    if (grants.length > 0) this.#tell();
    return grants;
  }

  async give(leases: readonly LeaseName[]): Promise<readonly LeaseName[]> {
    for (const { shard, epoch } of leases) {
      const state = this.#database.shard(shard);
      if (state.epoch === epoch) state.lease = null;
    }
    this.#tell();
    return [];
  }

  async ready(leases: readonly LeaseName[]): Promise<readonly LeaseName[]> {
    for (const { shard, epoch } of leases) {
      const state = this.#database.shard(shard);
      if (state.epoch === epoch && state.lease !== null) state.lease.isAwaited = true;
    }
    this.#tell();
    return [];
  }

  async leave(holder: string): Promise<void> {
    if (this.#database.nodes.delete(holder)) this.#tell();
  }

  async proveCommit(): Promise<void> {}

  onNews(listener: () => void): () => void {
    this.#database.leaseListeners.add(listener);
    return () => void this.#database.leaseListeners.delete(listener);
  }

  #isPresent(node: LeaseClaim): void {
    const { nodes } = this.#database;
    const before = nodes.get(node.holder);
    const isNew = before === undefined || String(before.avoids ?? '') !== String(node.avoids ?? '');
    nodes.set(node.holder, { ...node, endsMs: this.#clock.monotonicMs() + node.leaseMs });
    if (isNew) this.#tell();
  }

  #leftMs({ endsMs }: Lease): number {
    return endsMs - this.#clock.monotonicMs();
  }

  #tell(): void {
    for (const listener of [...this.#database.leaseListeners]) listener();
  }
}

export function renewLease({ lease }: MemoryShard, clock: Clock): void {
  if (lease !== null) lease.endsMs = clock.monotonicMs() + lease.leaseMs;
}
