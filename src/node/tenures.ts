import type { ShardId } from '../model/ids.ts';
import { messageOf } from '../model/thrown.ts';
import { StoreError } from '../store/errors.ts';
import type { LeaseName, LeaseSight, ShardGrant, StoreLeases } from '../store/lease.ts';
import type { Logger } from '../system/log/logger.ts';
import { type Clock, sleep, type Timer } from '../system/time/clock.ts';
import type { Instant } from '../system/time/instant.ts';
import { LeaseTenure } from './lease-tenure.ts';

/** An idle owner renews after this share of its lease. */
const RENEW_SHARE = 1 / 3;
/** Those of this share go along when another is renewed: so the idle ones are renewed together. */
const ALONG_SHARE = 1 / 4;

/** A batch that is still being written under a lease, or a clean-up, has ended by then, most often. */
const GIVE_AGAIN_MS = 30;
const GIVE_TRIES_MAX = 10;

export interface TenuresOptions {
  readonly leases: StoreLeases;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The leases of this node: each ends for itself, all go by one timer. */
export class Tenures {
  readonly #o: TenuresOptions;
  readonly #all = new Map<ShardId, LeaseTenure>();
  /** What is to be given with the next call. */
  #giving: LeaseName[] = [];
  #given: Promise<void> | null = null;
  #endTimer: Timer | null = null;

  constructor(options: TenuresOptions) {
    this.#o = options;
  }

  /** @param sent when the claim was */
  add(grant: ShardGrant, sent: Instant): LeaseTenure {
    const { leaseMs, clock } = this.#o;
    const tenure = new LeaseTenure({ grant, leaseMs, sent, clock });
    this.#all.set(grant.shard, tenure);
    this.#lookAtEnds();
    return tenure;
  }

  has(shard: ShardId): boolean {
    return this.#all.get(shard)?.isOn() === true;
  }

  /** How long ago the one was renewed that has not been for longest; null: there is none. */
  get ageMs(): number | null {
    const ages = this.#on().map(({ ageMs }) => ageMs);
    return ages.length === 0 ? null : Math.max(...ages);
  }

  /** How long until the first one is to be renewed; Infinity: there is none. Commits may put it off. */
  get dueMs(): number {
    return this.#o.leaseMs * RENEW_SHARE - (this.ageMs ?? Number.NEGATIVE_INFINITY);
  }

  /** What a look is to renew that is sent now. */
  due(): readonly LeaseName[] {
    const fromMs = this.#o.leaseMs * ALONG_SHARE;
    return this.#on().flatMap(({ ageMs, grant }) => (ageMs >= fromMs ? grant : []));
  }

  /** The answer to a look. @param sent when it was */
  seen({ leases, free, renewed }: LeaseSight, sent: Instant): void {
    for (const shard of renewed) this.#all.get(shard)?.renewed(sent);
    for (const { shard, epoch } of [...leases, ...free]) {
      const tenure = this.#all.get(shard);
      if (tenure === undefined || tenure.grant.epoch >= epoch) continue;
      this.#end(tenure, 'another node has taken the lease');
    }
  }

  /**
   * Ends it, and lets another node have the lease at once. Never rejects: if it does not succeed, the lease runs out.
   * Those that are given meanwhile go with the next call.
   */
  async give(tenure: LeaseTenure): Promise<void> {
    if (!tenure.isOn()) return;
    this.#end(tenure, 'this node has given its lease away');
    this.#giving.push(tenure.grant);
    await this.#given;
    // Another one that has waited for that took it along.
    this.#given ??= this.#giveAll();
    await this.#given;
  }

  async #giveAll(): Promise<void> {
    const { leases, clock, logger } = this.#o;
    let left: readonly LeaseName[] = this.#giving;
    this.#giving = [];
    let problem = 'a batch is being written';
    try {
      for (let tries = 0; left.length > 0 && tries < GIVE_TRIES_MAX; tries++) {
        if (tries > 0) await sleep(clock, GIVE_AGAIN_MS);
        left = await leases.give(left);
      }
    } catch (error) {
      problem = messageOf(error);
    } finally {
      this.#given = null;
    }
    if (left.length === 0) return;
    const shards = left.map(({ shard }) => shard);
    logger.warn({ shards, error: problem }, 'cannot give leases away: they run out by themselves');
  }

  #on(): LeaseTenure[] {
    return [...this.#all.values()].filter((tenure) => tenure.isOn());
  }

  #end(tenure: LeaseTenure, reason: string): void {
    tenure.end(new StoreError('fenced', reason));
    this.#lookAtEnds();
  }

  /** So that each ends in time also if nobody asks. */
  #lookAtEnds(): void {
    this.#endTimer?.cancel();
    this.#endTimer = null;
    for (const [shard, tenure] of this.#all) if (!tenure.isOn()) this.#all.delete(shard);
    if (this.#all.size === 0) return;
    const leftMs = Math.min(...[...this.#all.values()].map((tenure) => tenure.leftMs));
    // Whole ones: the time between may be too short for a clock to move on.
    const waitMs = Math.ceil(Math.max(0, leftMs));
    this.#endTimer = this.#o.clock.after(waitMs, () => this.#lookAtEnds(), { unref: true });
  }
}
