import type { ShardId } from '../model/ids.ts';
import { messageOf } from '../model/thrown.ts';
import type { LeaseClaim, LeaseHolder, LeaseName, LeaseSight, StoreLeases } from '../store/lease.ts';
import type { Logger } from '../system/log/logger.ts';
import { type Clock, sleep } from '../system/time/clock.ts';
import { Avoided } from './avoided.ts';

/** For how long a node that is to stop acts on while others prepare to take its shards. */
export const PREPARE_MS_MAX = 10_000;
/** What was prepared for a shard that is free, and that this node does not take, is kept for so long. */
const KEPT_MS_MAX = 30_000;
const TELL_AGAIN_MS = 50;
/** Owners renew at a third of their lease: one of which nothing is seen for this share of it is dying, most often. */
const SILENT_SHARE = 1 / 2;

export interface PreparationsOptions {
  readonly leases: StoreLeases;
  readonly claim: LeaseClaim;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly stop: AbortSignal;
  /** Reads what is to be known to take the shard, and keeps it until `dropped` fires or the shard is taken. */
  prepare(shard: ShardId, dropped: AbortSignal): Promise<void>;
}

interface Prepared {
  readonly lease: LeaseName;
  readonly holder: string;
  /** When this node was to take it, as last seen. */
  dueMs: number;
  readonly dropped: AbortController;
  /** The holder has not left: it is silent. */
  isAlarm: boolean;
  isReady: boolean;
  isTold: boolean;
}

/**
 * Shards of others that this node is about to take, because their node is to stop, is silent or has too many: what is to be
 * known for that is read while their leases are still on. It is dropped when the node turns out to be well, which is not believed to be silent
 * for a while then, or another node has the shard.
 */
export class Preparations {
  readonly #o: PreparationsOptions;
  readonly #all = new Map<ShardId, Prepared>();
  readonly #falseAlarms: Avoided<string>;
  /** That could not be prepared. */
  readonly #failed: Avoided<ShardId>;
  /** How long the leases of each node last. */
  readonly #lengths = new Map<string, number>();
  readonly #silence = new Map<string, number>();

  constructor(options: PreparationsOptions) {
    this.#o = options;
    this.#falseAlarms = new Avoided(options.clock, options.claim.leaseMs);
    this.#failed = new Avoided(options.clock, options.claim.leaseMs);
  }

  /** In how many milliseconds each other node that has or had leases is silent; 0: it is. */
  get silence(): ReadonlyMap<string, number> {
    return this.#silence;
  }

  /** To be called first with each look. */
  listen({ leases, nodes }: LeaseSight): void {
    const all = [...leases, ...nodes];
    for (const { holder, leaseMs } of leases) this.#lengths.set(holder, leaseMs);
    this.#silence.clear();
    for (const [holder, leaseMs] of this.#lengths) {
      const signs = all.flatMap((each) => (each.holder === holder ? each.leftMs : []));
      if (signs.length === 0) this.#lengths.delete(holder);
      else if (holder !== this.#o.claim.holder && !this.#falseAlarms.has(holder))
        this.#silence.set(holder, Math.max(0, Math.max(...signs) - leaseMs * (1 - SILENT_SHARE)));
    }
  }

  /** @param due the leases of others that this node is to take when they are over */
  follow({ leases, free, nodes }: LeaseSight, due: readonly LeaseHolder[]): void {
    const nowMs = this.#o.clock.monotonicMs();
    const dueShards = new Set(due.map(({ shard }) => shard));
    const epochs = new Map([...leases, ...free].map(({ shard, epoch }) => [shard, epoch]));
    const freeShards = new Set(free.map(({ shard }) => shard));
    const well = new Set<string>();
    for (const [shard, prepared] of this.#all) {
      const isTaken = epochs.get(shard) !== prepared.lease.epoch;
      const isOff = !dueShards.has(shard) && !freeShards.has(shard);
      if (dueShards.has(shard)) prepared.dueMs = nowMs;
      const isOld = nowMs - prepared.dueMs > KEPT_MS_MAX;
      if (!isTaken && !isOff && !isOld) continue;
      this.#all.delete(shard);
      prepared.dropped.abort();
      if (isOff && !isTaken && prepared.isAlarm) well.add(prepared.holder);
    }
    for (const holder of well) this.#falseAlarms.add(holder);
    const present = new Set(nodes.map(({ holder }) => holder));
    for (const lease of due) {
      let prepared = this.#all.get(lease.shard);
      if (prepared === undefined && this.#failed.has(lease.shard)) continue;
      prepared ??= this.#begin(lease, nowMs);
      prepared.isAlarm = present.has(lease.holder) && this.#silence.get(lease.holder) === 0;
    }
    this.#tellIfReady();
  }

  stop(): void {
    for (const { dropped } of this.#all.values()) dropped.abort();
    this.#all.clear();
  }

  #begin({ shard, epoch, holder }: LeaseHolder, dueMs: number): Prepared {
    const prepared: Prepared = {
      lease: { shard, epoch },
      holder,
      dueMs,
      dropped: new AbortController(),
      isAlarm: false,
      isReady: false,
      isTold: false,
    };
    this.#all.set(shard, prepared);
    this.#o.prepare(shard, prepared.dropped.signal).then(
      () => {
        prepared.isReady = true;
        this.#failed.wentWell(shard);
        this.#tellIfReady();
      },
      (error: unknown) => {
        if (this.#all.get(shard) === prepared) {
          // A later look tries again, and another one much later.
          this.#all.delete(shard);
          this.#failed.add(shard);
        }
        this.#tellProblem([prepared], error);
        this.#tellIfReady();
      },
    );
    return prepared;
  }

  /** A node that is to stop waits until all of its shards are awaited: all that are of one node are told together. */
  #tellIfReady(): void {
    const untold = [...this.#all.values()].filter(({ isAlarm, isTold }) => !isAlarm && !isTold);
    for (const awaited of Map.groupBy(untold, ({ holder }) => holder).values()) {
      if (awaited.some(({ isReady }) => !isReady)) continue;
      for (const prepared of awaited) prepared.isTold = true;
      void this.#tell(awaited);
    }
  }

  /** One that a batch is being written under may take another time. Nobody waits for longer than {@link PREPARE_MS_MAX}. */
  async #tell(awaited: readonly Prepared[]): Promise<void> {
    const { leases, clock, stop } = this.#o;
    const untilMs = clock.monotonicMs() + PREPARE_MS_MAX;
    let left: readonly LeaseName[] = awaited.map(({ lease }) => lease);
    try {
      for (;;) {
        left = await leases.ready(left);
        if (left.length === 0) return;
        if (clock.monotonicMs() > untilMs) throw new Error('a batch is being written');
        await sleep(clock, TELL_AGAIN_MS, stop);
      }
    } catch (error) {
      const untold = awaited.filter(({ lease }) => left.some(({ shard }) => shard === lease.shard));
      // A later look tries again.
      for (const prepared of untold) prepared.isTold = false;
      this.#tellProblem(untold, error);
    }
  }

  #tellProblem(prepared: readonly Prepared[], error: unknown): void {
    const shards = prepared.map(({ lease }) => lease.shard);
    this.#o.logger.debug({ shards, error: messageOf(error) }, 'cannot prepare to take shards');
  }
}
