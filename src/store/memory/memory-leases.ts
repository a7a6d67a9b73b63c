import type { ShardId, SubmissionId } from '../../model/ids.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { LeaseAnswer, LeaseClaim, StoreLeases } from '../lease.ts';

export interface MemoryShard {
  epoch: number;
  lastSeq: number;
  highestId: SubmissionId;
  lease: Lease | null;
}

interface Lease extends LeaseClaim {
  /** On the monotonic time of the clock that all stores of the database have. */
  endsMs: number;
}

/** Where leases stand. */
interface LeaseBook {
  readonly leaseListeners: Set<() => void>;
  shard(shard: ShardId): MemoryShard;
}

/** Leases among the stores of one database. */
export class MemoryLeases implements StoreLeases {
  readonly #database: LeaseBook;
  readonly #clock: Clock;

  constructor(database: LeaseBook, clock: Clock) {
    this.#database = database;
    this.#clock = clock;
  }

  async take(shard: ShardId, claim: LeaseClaim): Promise<LeaseAnswer> {
    const state = this.#database.shard(shard);
    const { lease, epoch } = state;
    const leftMs = (lease?.endsMs ?? 0) - this.#clock.monotonicMs();
    if (lease !== null && leftMs > 0 && lease.holder !== claim.holder) {
      return { kind: 'held', by: { holder: lease.holder, address: lease.address, epoch, leftMs } };
    }
    state.epoch++;
    state.lease = { ...claim, endsMs: 0 };
    renewLease(state, this.#clock);
    this.#tell();
    const { lastSeq, highestId } = state;
    return { kind: 'taken', grant: { shard, epoch: state.epoch, lastSeq, highestId } };
  }

  async renew(shard: ShardId, epoch: number): Promise<boolean> {
    const state = this.#database.shard(shard);
    if (state.epoch !== epoch || state.lease === null) return false;
    renewLease(state, this.#clock);
    return true;
  }

  async give(shard: ShardId, epoch: number): Promise<void> {
    const state = this.#database.shard(shard);
    if (state.epoch !== epoch) return;
    state.lease = null;
    this.#tell();
  }

  onNews(listener: () => void): () => void {
    this.#database.leaseListeners.add(listener);
    return () => void this.#database.leaseListeners.delete(listener);
  }

  #tell(): void {
    for (const listener of [...this.#database.leaseListeners]) listener();
  }
}

export function renewLease({ lease }: MemoryShard, clock: Clock): void {
  if (lease !== null) lease.endsMs = clock.monotonicMs() + lease.leaseMs;
}
