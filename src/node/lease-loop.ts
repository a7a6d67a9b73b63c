import type { ShardId } from '../model/ids.ts';
import { messageOf } from '../model/thrown.ts';
import { isStoreError } from '../store/errors.ts';
import type { LeaseClaim, LeaseHolder, LeaseName, LeaseSight } from '../store/lease.ts';
import type { Random } from '../system/random.ts';
import { Backoff } from '../system/time/backoff.ts';
import { endsWithin, sleep } from '../system/time/clock.ts';
import { instantOf } from '../system/time/instant.ts';
import { Avoided } from './avoided.ts';
import { type BalancedNode, type BalancePlan, dealOut, planOf, shardsEach } from './balance.ts';
import type { LeaseTenure } from './lease-tenure.ts';
import { LeaseTrouble } from './lease-trouble.ts';
import { PREPARE_MS_MAX, Preparations, type PreparationsOptions } from './preparations.ts';
import type { Tenures } from './tenures.ts';

/** A node looks at the leases after this share of their length at the latest: others may have them by then. */
const LOOK_SHARE = 1 / 3;
/** By a node that has leases to renew, a look that failed is repeated after this share. */
const RETRY_SHARE = 1 / 10;
/** The lease of another node has run out for certain when a look comes this much later. */
const LOOK_LATE_MS = 5;
const RETRY_FIRST_MS = 50;

export interface LeaseLoopOptions extends PreparationsOptions {
  readonly tenures: Tenures;
  /** All there are. */
  readonly shards: readonly ShardId[];
  readonly random: Random;
  /** Whether the node is at work for the shard: from its claim to the end of its office. */
  isBusy(shard: ShardId): boolean;
  /** Shards whose offices are open. */
  open(): readonly ShardId[];
  /** How things stand; before what follows from it. */
  seen(sight: LeaseSight): void;
  /** Whether it can be seen how things stand, and something be written, has changed: {@link LeaseLoop.trouble} has why not. */
  troubled(): void;
  taken(tenure: LeaseTenure): void;
  /** Nothing is left that this node would take. */
  rested(): void;
  /** Ends the office of a shard, then gives its lease away. */
  handOver(shard: ShardId): void;
}

/** Of other nodes that are to take the shards of one that stops; `nobody`: there are none, as far as can be seen. */
export type Readiness = 'ready' | 'late' | 'nobody';

/** Another node is to have it. */
interface HandOver {
  readonly shard: ShardId;
  /** When it was free; null: it is not yet. */
  freeMs: number | null;
}

/**
 * Looks how the leases of all shards stand, renews those of this node, takes what it should have and gives back what another
 * node should have, round for round: at a third of the lease at the latest, and when there is news.
 */
export class LeaseLoop {
  readonly #o: LeaseLoopOptions;
  readonly #backoff: Backoff;
  /** That this node could not open; strictly, where what is stored of them is damaged. */
  readonly #avoided: Avoided<ShardId>;
  readonly #preparations: Preparations;
  /** Since when nobody has had them, and the epoch by which that is known. */
  readonly #freeSince = new Map<ShardId, { readonly epoch: number; readonly ms: number }>();
  /** When shards that are free are taken to be abandoned, counted from the last look. */
  #abandonedInMs: number[] = [];
  #owners: { readonly of: string; readonly owners: ReadonlyMap<ShardId, string> } | null = null;
  #handOver: HandOver | null = null;
  /** Since when another node is to have some, and none was given that is awaited. */
  #givingSinceMs: number | null = null;
  #isPresent = false;
  /** This node is to stop. */
  #announced: PromiseWithResolvers<Readiness> | null = null;
  readonly #trouble: LeaseTrouble;
  /** Of the round that goes on: it has seen how things stand, and leases are to be taken or renewed. */
  #hasLooked = false;
  #isWriting = false;
  #reason: string | null = null;
  /** Fires when the next round is not to wait. */
  #wake = new AbortController();

  constructor(options: LeaseLoopOptions) {
    this.#o = options;
    const { random, claim, clock } = options;
    this.#backoff = new Backoff(random, { firstMs: RETRY_FIRST_MS, maxMs: claim.leaseMs * LOOK_SHARE });
    this.#avoided = new Avoided(clock, claim.leaseMs);
    this.#preparations = new Preparations(options);
    this.#trouble = new LeaseTrouble(options, () => options.troubled());
  }

  /** Until it is to stop. @throws StoreError for a store that cannot be used */
  async run(): Promise<void> {
    const { leases, clock, stop } = this.#o;
    try {
      while (!stop.aborted) {
        this.#wake = new AbortController();
        const wake = this.#wake;
        const endNews = leases.onNews(() => wake.abort());
        try {
          const waitMs = await this.#round().catch((error: unknown) => this.#failed(error));
          await sleep(clock, waitMs, AbortSignal.any([stop, wake.signal])).catch(() => {});
        } finally {
          endNews();
        }
      }
    } finally {
      this.#preparations.stop();
    }
  }

  /** Why this node takes no shards, and since when, in milliseconds since 1970; null: it can. */
  get trouble(): LeaseTrouble['now'] {
    return this.#trouble.now;
  }

  /** What this node does has changed. */
  wake(): void {
    this.#wake.abort();
  }

  couldOpen(shard: ShardId): void {
    this.#avoided.wentWell(shard);
  }

  /** Others are to try, for longer each time. */
  couldNotOpen(shard: ShardId): void {
    this.#avoided.add(shard);
    this.wake();
  }

  /** What is stored of that shard is damaged. Returns for how long this node does not take it. */
  avoid(shard: ShardId): number {
    return this.#avoided.add(shard, true);
  }

  /** This node takes no more shards from others. Never rejects. */
  async leave(): Promise<void> {
    if (!this.#isPresent) return;
    this.#isPresent = false;
    const { leases, claim, logger } = this.#o;
    await leases.leave(claim.holder).catch((error: unknown) => {
      logger.warn({ error: messageOf(error) }, 'cannot leave the other nodes: they will notice');
    });
  }

  /**
   * Before it stops: others read what they will have to know, while this node still acts. Resolves when all of its shards
   * are awaited, or nobody else is present, or it takes too long. Never rejects.
   */
  async announce(): Promise<Readiness> {
    const { tenures, claim, clock, stop } = this.#o;
    const { ageMs } = tenures;
    // One whose database does not answer has nobody to talk to.
    if (ageMs === null || ageMs > claim.leaseMs / 2 || stop.aborted) return 'nobody';
    this.#announced ??= Promise.withResolvers();
    await this.leave();
    this.wake();
    const { promise } = this.#announced;
    return (await endsWithin(clock, PREPARE_MS_MAX, promise)) ? promise : 'late';
  }

  /** A shard that was to be handed over is free. */
  handedOver(shard: ShardId): void {
    if (this.#handOver?.shard === shard) this.#handOver.freeMs ??= this.#o.clock.monotonicMs();
  }

  /** Returns how long to wait for the next one. */
  async #round(): Promise<number> {
    const { leases, tenures, clock } = this.#o;
    const isPresent = this.#announced === null;
    if (isPresent) this.#isPresent = true;
    const sent = instantOf(clock);
    const due = tenures.due();
    this.#hasLooked = false;
    this.#isWriting = due.length > 0;
    const sight = await leases.look(isPresent ? this.#self : null, due);
    this.#hasLooked = true;
    this.#trouble.looked(sight.renewed.length > 0);
    this.#backoff.reset();
    tenures.seen(sight, sent);
    this.#preparations.listen(sight);
    this.#seeReason(sight.reason);
    this.#o.seen(sight);
    // It was present once more by this look.
    if (isPresent && this.#announced !== null) {
      this.#isPresent = true;
      await this.leave();
    }
    const readiness = this.#readinessOf(sight);
    if (readiness !== 'late') this.#announced?.resolve(readiness);
    this.#prepare(sight);
    const free = this.#freeOf(sight);
    const plan = this.#plan(sight, free);
    const toTake = free.filter(({ shard }) => plan.take.includes(shard));
    this.#isWriting = toTake.length > 0;
    const isComplete = await this.#take(toTake);
    await this.#proveCommit();
    const isPatient = sight.free.some(({ shard }) => this.#avoided.isTriedSoon(shard));
    if (isComplete && plan.take.length === 0 && !isPatient) this.#o.rested();
    const give = this.#nextToGive(plan.give, sight);
    if (give !== null && !this.#o.stop.aborted) {
      this.#handOver = { shard: give, freeMs: null };
      this.#o.handOver(give);
    }
    return isComplete ? this.#waitMs(sight) : this.#backoff.nextMs();
  }

  #failed(error: unknown): number {
    const { tenures, claim } = this.#o;
    const isOwner = tenures.ageMs !== null;
    // An owner goes on until its leases are over.
    if (!isOwner && !isPassing(error)) throw error;
    this.#trouble.failed(error, this.#hasLooked, this.#isWriting);
    this.#announced?.resolve('nobody');
    return isOwner ? claim.leaseMs * RETRY_SHARE : this.#backoff.nextMs();
  }

  /** false: not all of them were to be had. */
  async #take(names: readonly LeaseName[]): Promise<boolean> {
    const { leases, tenures, claim, clock, stop } = this.#o;
    if (names.length === 0 || stop.aborted) return true;
    const sent = instantOf(clock);
    const grants = await leases.take(names, claim);
    if (grants.length > 0) this.#trouble.looked(true);
    for (const grant of grants) this.#o.taken(tenures.add(grant, sent));
    return grants.length === names.length;
  }

  /** That it could not is over, where nothing else tells. */
  async #proveCommit(): Promise<void> {
    if (!this.#trouble.isOfWriting) return;
    this.#isWriting = true;
    await this.#o.leases.proveCommit();
    this.#trouble.looked(true);
  }

  #seeReason(reason: string | null): void {
    if (reason !== null && reason !== this.#reason)
      this.#o.logger.error({ reason }, 'this node cannot take shards: it only passes connections on');
    this.#reason = reason;
  }

  /** What nobody has and this node may take: also what it has by a claim whose answer was lost. */
  #freeOf({ leases, free }: LeaseSight): readonly LeaseName[] {
    const { shards, claim, clock } = this.#o;
    const own = leases.filter(({ holder }) => holder === claim.holder);
    const found = [...free, ...own].filter(
      ({ shard }) => shards.includes(shard) && !this.#o.isBusy(shard) && this.#avoided.mayTry(shard),
    );
    const nowMs = clock.monotonicMs();
    const known = new Map(this.#freeSince);
    this.#freeSince.clear();
    for (const { shard, epoch } of found) {
      const before = known.get(shard);
      this.#freeSince.set(shard, before?.epoch === epoch ? before : { epoch, ms: nowMs });
    }
    return found;
  }

  #plan(sight: LeaseSight, free: readonly LeaseName[]): BalancePlan {
    const { claim, clock } = this.#o;
    this.#abandonedInMs = [];
    if (sight.reason !== null || this.#announced !== null) return { take: [], give: [] };
    const nowMs = clock.monotonicMs();
    const abandoned = new Set<ShardId>();
    for (const [shard, { ms }] of this.#freeSince) {
      const leftMs = ms + claim.leaseMs - nowMs;
      if (leftMs < 0) abandoned.add(shard);
      else this.#abandonedInMs.push(leftMs);
    }
    const nodes = this.#takers(sight);
    const plan = planOf({
      owners: this.#dealOut(nodes),
      nodes: nodes.length,
      self: claim.holder,
      held: this.#o.open(),
      free: free.map(({ shard }) => shard),
      abandoned,
    });
    this.#seeHandOver(sight.leases);
    return this.#handOver === null ? plan : { ...plan, give: [] };
  }

  /** One that its next owner is ready for; or any of them, if that takes too long. */
  #nextToGive(give: readonly ShardId[], { leases }: LeaseSight): ShardId | null {
    const { clock, claim } = this.#o;
    const nowMs = clock.monotonicMs();
    if (give.length === 0) {
      if (this.#handOver === null) this.#givingSinceMs = null;
      return null;
    }
    this.#givingSinceMs ??= nowMs;
    const awaited = leases.find(
      ({ shard, holder, isAwaited }) => isAwaited && holder === claim.holder && give.includes(shard),
    );
    if (awaited !== undefined) {
      this.#givingSinceMs = nowMs;
      return awaited.shard;
    }
    return nowMs - this.#givingSinceMs < PREPARE_MS_MAX ? null : Math.min(...give);
  }

  /** As the others see it. */
  get #self(): LeaseClaim {
    return {
      ...this.#o.claim,
      avoids: this.#avoided.keys.toSorted((a, b) => a - b),
    };
  }

  /** The nodes to deal the shards out to. */
  #takers({ nodes }: LeaseSight): readonly BalancedNode[] {
    const { claim } = this.#o;
    const { silence } = this.#preparations;
    const others = nodes.filter(({ holder }) => holder !== claim.holder && silence.get(holder) !== 0);
    return [...others, this.#self];
  }

  #readinessOf({ leases, nodes }: LeaseSight): Readiness {
    const { holder: self } = this.#o.claim;
    if (nodes.every(({ holder }) => holder === self)) return 'nobody';
    return leases.every(({ holder, isAwaited }) => holder !== self || isAwaited) ? 'ready' : 'late';
  }

  /** What this node should have, and will: of a node that is to stop, or silent, or has too many. */
  #prepare(sight: LeaseSight): void {
    const { claim, shards } = this.#o;
    const { silence } = this.#preparations;
    const present = new Set(sight.nodes.map(({ holder }) => holder));
    const takers = this.#takers(sight);
    const owners = this.#dealOut(takers);
    const all = sight.leases.filter(({ shard }) => shards.includes(shard));
    const share = shardsEach(shards.length, takers.length);
    const hasTooMany = (holder: string) => all.filter((each) => each.holder === holder).length > share;
    const isTaker = present.has(claim.holder) && sight.reason === null;
    const due = all.filter(
      ({ shard, holder }) =>
        isTaker &&
        holder !== claim.holder &&
        owners.get(shard) === claim.holder &&
        (!present.has(holder) || silence.get(holder) === 0 || hasTooMany(holder)),
    );
    this.#preparations.follow(sight, due);
  }

  #dealOut(nodes: readonly BalancedNode[]): ReadonlyMap<ShardId, string> {
    const of = JSON.stringify(nodes.map(({ holder, address, avoids }) => [holder, address, avoids]).sort());
    if (this.#owners?.of !== of) this.#owners = { of, owners: dealOut(this.#o.shards, nodes) };
    return this.#owners.owners;
  }

  /** It is over when its new owner has it, or does not come for it. */
  #seeHandOver(leases: readonly LeaseHolder[]): void {
    const { clock, claim } = this.#o;
    if (this.#handOver === null) return;
    const { shard, freeMs } = this.#handOver;
    const isTaken = leases.some((each) => each.shard === shard && each.holder !== claim.holder);
    const isOver = freeMs !== null && clock.monotonicMs() - freeMs > claim.leaseMs;
    if (isTaken || isOver) this.#handOver = null;
  }

  #waitMs({ leases, nodes }: LeaseSight): number {
    const { claim, tenures } = this.#o;
    const { leaseMs, holder: self } = claim;
    // What could not be renewed because a batch is being written under it need not be, most often.
    const dueMs = Math.max(tenures.dueMs, leaseMs * RETRY_SHARE);
    const ends = [...leases, ...nodes].flatMap(({ holder, leftMs }) => (holder === self ? [] : leftMs));
    // To those that are silent it has listened.
    const silent = [...this.#preparations.silence.values()].filter((ms) => ms > 0);
    return Math.min(
      leaseMs * LOOK_SHARE,
      dueMs,
      ...[...ends, ...silent, ...this.#abandonedInMs, ...this.#avoided.leftMs].map((ms) => ms + LOOK_LATE_MS),
    );
  }
}

/** Whether it may be otherwise in a moment, or on another node. */
export function isPassing(error: unknown): boolean {
  return isStoreError(error, 'transient', 'full', 'fenced');
}
