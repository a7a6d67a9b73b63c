import type { ShardId } from '../model/ids.ts';
import { messageOf } from '../model/thrown.ts';
import { isStoreError, type StoreError } from '../store/errors.ts';
import {
  type LeaseSight,
  type NodePresent,
  type StoreLeases,
  type Tenure,
  unlimitedTenure,
} from '../store/lease.ts';
import type { Store } from '../store/store.ts';
import type { Logger } from '../system/log/logger.ts';
import type { Random } from '../system/random.ts';
import type { Clock } from '../system/time/clock.ts';
import { isPassing, LeaseLoop } from './lease-loop.ts';
import { LeaseTenure } from './lease-tenure.ts';
import { type NodeSeen, NodesSeen } from './nodes-seen.ts';
import { ShardLines } from './shard-lines.ts';
import { Tenures } from './tenures.ts';

/** `starting`: it does not know yet; `standby` also while it takes over and its first shard is being loaded. */
type Role = 'starting' | 'standby' | 'active' | 'stopped';

/** What is done while this node has a shard: its part of the queue is open, and its clients are served. */
export interface Office {
  /** Fires when it cannot go on; the reason says why. */
  readonly lost: AbortSignal;
  /** Ends it; what can still be written down is when it resolves. */
  stop(): Promise<void>;
}

export interface QueueNodeOptions {
  readonly store: Store;
  /** All there are. A store that is not shared has one, 0. */
  readonly shards: readonly ShardId[];
  /** By which other nodes know this one; never used again. */
  readonly id: string;
  /** Where they reach it. */
  readonly address: string;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Takes up office for a shard, several of them at a time. Rejects with the store's error if that fails. */
  open(tenure: Tenure): Promise<Office>;
  /**
   * While another node has the shard: reads what `open` will have to know. It is kept until then, or until `dropped` fires.
   * Default: nothing is to be read.
   */
  prepare?(shard: ShardId, dropped: AbortSignal): Promise<void>;
  /** The state is another one now. */
  changed?(): void;
  /** The node has looked at how things stand. */
  looked?(sight: LeaseSight): void;
}

export interface ShardHeld {
  /** Of its last lease that is known of. */
  readonly epoch: number;
  /** Who has it, as last seen; null: nobody. */
  readonly holder: Pick<NodePresent, 'holder' | 'address'> | null;
  /** Its office is open on this node. */
  readonly isHere: boolean;
}

/** What a node knows of itself and of the others. */
export interface NodeState {
  /** Active with one shard at least. */
  readonly role: Role;
  /** Since when, in milliseconds since 1970. */
  readonly sinceMs: number;
  /** Those that are known of. */
  readonly shards: ReadonlyMap<ShardId, ShardHeld>;
  /** Those that take shards, this one included if it does. */
  readonly nodes: readonly Pick<NodePresent, 'holder' | 'address'>[];
  /** Why this node cannot take shards even if nobody has them; null if it can. */
  readonly reason: string | null;
  /** Since when, in milliseconds since 1970; null: it is not known, or it can. */
  readonly reasonSinceMs: number | null;
}

/** What this node does for a shard: from its claim to the end of its office. */
interface Service {
  readonly tenure: Tenure;
  /** Fires when another node is to have it. */
  readonly handOver: AbortController;
  /** null: it is being opened, or ended. */
  office: Office | null;
}

/**
 * Decides for which shards this node is the one that acts, and takes up and gives up office accordingly. On a store that is
 * not shared it always has the only one. The nodes of a shared one deal its shards out (`balance.ts`) by what each sees;
 * what two of them see differently costs time, and nothing else: a shard has one owner, by its lease.
 *
 *     starting --other nodes have the shards--> standby
 *       either --a shard is taken, its office open--> active --the last one is lost or given--> standby
 *       any --stop--> stopped
 *       any --the store cannot be used, an office cannot go on--> stopped, `ended` rejects
 *
 * What is damaged in a shared store is a shard: this node goes on without it, and tries it again later.
 */
export class QueueNode {
  /** Resolves when the node has stopped; rejects if it stopped by itself. */
  readonly ended: Promise<void>;
  readonly #o: QueueNodeOptions;
  readonly #self: Pick<NodePresent, 'holder' | 'address'>;
  readonly #settled = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  readonly #services = new Map<ShardId, Service>();
  /** What is going on. */
  readonly #running = new Set<Promise<void>>();
  readonly #tenures: Tenures | null;
  readonly #loop: LeaseLoop | null;
  readonly #lines: ShardLines;
  /** Resolves when this node does not take part any more, and others take what it gives. */
  #left: Promise<void> = Promise.resolve();
  #sight: LeaseSight | null = null;
  readonly #nodesSeen: NodesSeen;
  #failure: { readonly error: unknown } | null = null;
  #state: NodeState;
  #takeovers = 0;
  #lastTakeoverMs: number | null = null;

  constructor(options: QueueNodeOptions) {
    const { store, clock, id, address, shards } = options;
    this.#o = options;
    this.#self = { holder: id, address };
    this.#lines = new ShardLines({ ...options, isActive: () => this.#state.role === 'active' });
    this.#nodesSeen = new NodesSeen(id, options.leaseMs);
    this.#state = {
      role: 'starting',
      sinceMs: clock.nowMs(),
      shards: new Map(),
      nodes: [],
      reason: null,
      reasonSinceMs: null,
    };
    const { leases } = store;
    this.#tenures = leases === undefined ? null : new Tenures({ ...options, leases });
    this.#loop = leases === undefined || this.#tenures === null ? null : this.#loopOf(leases, this.#tenures);
    this.ended = this.#run(shards);
    // A caller that does not care for it must not be brought down by it.
    this.ended.catch(() => {});
  }

  get state(): NodeState {
    return this.#state;
  }

  /** The other nodes that it has seen, those that are gone included. */
  get nodesSeen(): readonly NodeSeen[] {
    return this.#nodesSeen.all;
  }

  /** How often it has become active, the first time included. */
  get takeovers(): number {
    return this.#takeovers;
  }

  /** In milliseconds since 1970; null: never. */
  get lastTakeoverMs(): number | null {
    return this.#lastTakeoverMs;
  }

  /** How long ago its leases were renewed, at most; null: it holds none that could run out. */
  get leaseAgeMs(): number | null {
    return this.#tenures?.ageMs ?? null;
  }

  /** Who acts for a shard. */
  holderOf(shard: ShardId): 'here' | Pick<NodePresent, 'holder' | 'address'> | null {
    const state = this.#state.shards.get(shard);
    return state?.isHere === true ? 'here' : (state?.holder ?? null);
  }

  /** Resolves when it knows for the first time what its role is; rejects if it ends before. */
  get settled(): Promise<void> {
    return Promise.race([this.#settled.promise, this.ended]);
  }

  /**
   * Before {@link stop}: while this node still acts, others that are there read what they will have to know. Resolves when
   * they are ready, or nobody is there, or it takes too long. Never rejects.
   */
  async announceStop(): Promise<void> {
    const { clock, logger } = this.#o;
    if (this.#state.role !== 'active') return;
    const beganMs = clock.monotonicMs();
    const readiness = await this.#loop?.announce();
    const tookMs = Math.round(clock.monotonicMs() - beganMs);
    if (readiness === 'ready') logger.info({ tookMs }, 'other nodes can take over');
    if (readiness === 'late')
      logger.warn({ tookMs }, 'stopping although other nodes are not ready: their queues open later');
  }

  /** Gives up its offices in good order, then the leases. Idempotent. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.ended.catch(() => {});
  }

  #loopOf(leases: StoreLeases, tenures: Tenures): LeaseLoop {
    const { leaseMs } = this.#o;
    return new LeaseLoop({
      ...this.#o,
      leases,
      tenures,
      claim: { ...this.#self, leaseMs },
      stop: this.#stop.signal,
      prepare: async (shard, dropped) => this.#o.prepare?.(shard, dropped),
      isBusy: (shard) => this.#services.has(shard),
      open: () => [...this.#services].flatMap(([shard, { office }]) => (office === null ? [] : shard)),
      seen: (sight) => {
        this.#sight = sight;
        this.#nodesSeen.look(sight, this.#o.clock.nowMs());
        this.#update();
        this.#o.looked?.(sight);
      },
      troubled: () => this.#update(),
      taken: (tenure) => {
        this.#lines.taken(tenure.grant.shard);
        this.#start(tenure);
      },
      rested: () => this.#rested(),
      handOver: (shard) => this.#services.get(shard)?.handOver.abort(),
    });
  }

  async #run(shards: readonly ShardId[]): Promise<void> {
    // A store that is not to be used is found so by a later turn: whoever made this node must be able to listen.
    await null;
    try {
      if (this.#loop === null) await this.#takeForGood(shards);
      else await this.#takePart(this.#loop);
      while (this.#running.size > 0) await Promise.all(this.#running);
      if (this.#failure !== null) throw this.#failure.error;
    } finally {
      this.#stop.abort();
      this.#update('stopped');
      this.#lines.stop();
    }
  }

  /** A store that is not shared. */
  async #takeForGood(shards: readonly ShardId[]): Promise<void> {
    const grants = await this.#o.store.acquire(shards, `opsqueue ${this.#o.id}`);
    for (const grant of grants) this.#start(unlimitedTenure(grant));
  }

  async #takePart(loop: LeaseLoop): Promise<void> {
    const ended = loop.run();
    // In the end others are to take what this node gives.
    this.#left = ended.catch(() => {}).then(() => loop.leave());
    try {
      await ended;
    } catch (error) {
      this.#fail(error);
    }
    await this.#left;
  }

  /** This node cannot go on. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#stop.abort();
  }

  #start(tenure: Tenure): void {
    const { shard } = tenure.grant;
    const service: Service = { tenure, handOver: new AbortController(), office: null };
    this.#services.set(shard, service);
    const running = this.#serve(service)
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#running.delete(running);
        this.#services.delete(shard);
        this.#loop?.handedOver(shard);
        this.#loop?.wake();
        this.#update();
      });
    this.#running.add(running);
  }

  /** From taking up office to the end of it. */
  async #serve(service: Service): Promise<void> {
    const { tenure, handOver } = service;
    const stop = this.#stop.signal;
    const office = await this.#open(service);
    if (office === null) return;
    if (!stop.aborted) {
      service.office = office;
      this.#opened(tenure.grant.shard);
    }
    await aborted(AbortSignal.any([office.lost, stop, handOver.signal]));
    service.office = null;
    this.#update();
    await office.stop();
    const { aborted: isLost, reason } = office.lost;
    const isFenced = tenure instanceof LeaseTenure && isStoreError(reason, 'fenced');
    const isDamaged = this.#isDamaged(tenure, reason);
    if (isFenced) this.#lines.lost(tenure.grant.shard, reason.message);
    if (isDamaged) this.#avoid(tenure, reason);
    // Its end may end the office.
    await this.#release(tenure);
    if (isLost && !isFenced && !isDamaged) throw reason;
  }

  /** null: it is not to be, or another node is to try. */
  async #open(service: Service): Promise<Office | null> {
    const { tenure } = service;
    const stop = this.#stop.signal;
    // What is being loaded is not waited for when this node is to stop.
    const release = () => void this.#release(tenure);
    if (stop.aborted) {
      await this.#release(tenure);
      return null;
    }
    stop.addEventListener('abort', release, { once: true });
    try {
      return await this.#o.open(tenure);
    } catch (error) {
      const isDamaged = this.#isDamaged(tenure, error);
      const isPast = tenure instanceof LeaseTenure && (stop.aborted || isDamaged || isPassing(error));
      if (isDamaged) this.#avoid(tenure, error);
      else if (isPast && !stop.aborted) {
        const { shard } = tenure.grant;
        this.#lines.couldNotOpen(shard, messageOf(error));
        if (tenure.isOn()) this.#loop?.couldNotOpen(shard);
      }
      await this.#release(tenure);
      if (isPast) return null;
      throw error;
    } finally {
      stop.removeEventListener('abort', release);
    }
  }

  #isDamaged(tenure: Tenure, error: unknown): error is StoreError {
    return tenure instanceof LeaseTenure && isStoreError(error, 'corrupt') && !this.#o.store.lost.aborted;
  }

  #avoid({ grant: { shard, epoch } }: Tenure, { message }: StoreError): void {
    const retryMs = this.#loop?.avoid(shard);
    this.#o.logger.error(
      { shard, epoch, retryMs, error: message },
      'this node goes on without a damaged shard, and tries it again later',
    );
  }

  async #release(tenure: Tenure): Promise<void> {
    if (!(tenure instanceof LeaseTenure)) return;
    if (this.#stop.signal.aborted) await this.#left;
    await this.#tenures?.give(tenure);
  }

  #opened(shard: ShardId): void {
    this.#loop?.couldOpen(shard);
    this.#lines.opened(shard);
    // Another node may be to have one of those that are open by now.
    this.#loop?.wake();
    this.#update();
  }

  #rested(): void {
    if (this.#state.role === 'starting' && this.#services.size === 0) this.#update('standby');
  }

  /** Works out the state anew. @param role if it is a certain one */
  #update(role?: Role): void {
    const { clock } = this.#o;
    const before = this.#state;
    if (before.role === 'stopped') return;
    const isActive = [...this.#services.values()].some(({ office }) => office !== null);
    const byOffices = isActive ? 'active' : before.role === 'starting' ? 'starting' : 'standby';
    const next = role ?? (this.#stop.signal.aborted ? before.role : byOffices);
    const isNew = next !== before.role;
    const trouble = this.#loop?.trouble ?? null;
    const state: NodeState = {
      role: next,
      sinceMs: isNew ? clock.nowMs() : before.sinceMs,
      shards: this.#shardsNow(),
      nodes:
        next === 'stopped'
          ? []
          : (this.#sight?.nodes ?? []).map(({ holder, address }) => ({ holder, address })),
      reason: this.#sight?.reason ?? trouble?.reason ?? null,
      reasonSinceMs: this.#sight?.reason ? null : (trouble?.sinceMs ?? null),
    };
    if (isSame(before, state)) return;
    this.#state = state;
    if (isNew) this.#becameOther(before.role);
    this.#o.changed?.();
    if (next === 'active' || next === 'standby') this.#settled.resolve();
  }

  #becameOther(before: Role): void {
    const { clock, logger } = this.#o;
    const { role, shards } = this.#state;
    if (role === 'active') {
      this.#takeovers++;
      this.#lastTakeoverMs = clock.nowMs();
      if (this.#loop !== null) logger.info({}, 'this node has leases and is active');
    }
    if (role === 'standby' && before === 'starting') {
      const holders = new Set([...shards.values()].flatMap(({ holder }) => holder?.address ?? []));
      logger.info({ holders: [...holders] }, 'standing by');
    }
  }

  #shardsNow(): ReadonlyMap<ShardId, ShardHeld> {
    const shards = new Map<ShardId, ShardHeld>();
    for (const { shard, epoch } of this.#sight?.free ?? [])
      shards.set(shard, { epoch, holder: null, isHere: false });
    for (const { shard, epoch, holder, address } of this.#sight?.leases ?? []) {
      // One that this node had itself, and that has not run out yet, is nobody's.
      const other = holder === this.#o.id ? null : { holder, address };
      shards.set(shard, { epoch, holder: other, isHere: false });
    }
    for (const [shard, { tenure, office }] of this.#services) {
      const { epoch } = tenure.grant;
      const seen = shards.get(shard);
      if (seen !== undefined && seen.epoch > epoch) continue;
      const isHere = office !== null;
      shards.set(shard, { epoch, holder: isHere ? this.#self : null, isHere });
    }
    return shards;
  }
}

function isSame(a: NodeState, b: NodeState): boolean {
  const others = [a, b].map(({ shards, nodes, ...rest }) => JSON.stringify([rest, [...shards], nodes]));
  return others[0] === others[1];
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
