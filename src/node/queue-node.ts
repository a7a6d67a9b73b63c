import { messageOf } from '../model/thrown.ts';
import { StoreError } from '../store/errors.ts';
import { type LeaseHolder, type StoreLeases, type Tenure, unlimitedTenure } from '../store/lease.ts';
import type { Store } from '../store/store.ts';
import type { Logger } from '../system/log/logger.ts';
import type { Random } from '../system/random.ts';
import { Backoff } from '../system/time/backoff.ts';
import { type Clock, sleep } from '../system/time/clock.ts';
import { instantOf } from '../system/time/instant.ts';
import { LeaseTenure } from './lease-tenure.ts';

const SHARD = 0;
/** A standby looks at the lease after this share of its length at the latest: the active node may be another one by then. */
const LOOK_SHARE = 1 / 3;
/** The lease of another node has run out for certain when a look comes this much later. */
const LOOK_LATE_MS = 5;
const RETRY_FIRST_MS = 50;

/** `starting`: it does not know yet; `standby` also while it takes over and the queue is being loaded. */
type Role = 'starting' | 'standby' | 'active' | 'stopped';

/** What is done while this node is active: a queue that is open, and whoever talks to it. */
export interface Office {
  /** Fires when it cannot go on; the reason says why. */
  readonly lost: AbortSignal;
  /** Ends it; what can still be written down is when it resolves. */
  stop(): Promise<void>;
}

export interface QueueNodeOptions {
  readonly store: Store;
  /** By which other nodes know this one; never used again. */
  readonly id: string;
  /** Where they reach it. */
  readonly address: string;
  readonly leaseMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Takes up office: opens the queue. Rejects with the store's error if that fails. */
  open(tenure: Tenure): Promise<Office>;
  /** Role or holder are others now. */
  changed?(): void;
}

/** What a node knows of itself and of the active one. */
export interface NodeState {
  readonly role: Role;
  /** Since when, in milliseconds since 1970. */
  readonly sinceMs: number;
  /** Of the lease, whoever holds it; null while nothing is known. */
  readonly epoch: number | null;
  /** Who holds the lease, as last seen; null: nobody. */
  readonly holder: Pick<LeaseHolder, 'holder' | 'address'> | null;
  /** Why this node cannot take the lease even if nobody has it; null if it can. */
  readonly reason: string | null;
}

/**
 * Decides when this node is the one that acts, and takes up and gives up office accordingly. On a store that is not shared
 * it always is.
 *
 *     starting --another node has the lease--> standby
 *       either --the lease is taken, the office open--> active --the lease is lost--> standby
 *       any --stop--> stopped
 *       any --the store cannot be used, the office cannot go on--> stopped, `ended` rejects
 */
export class QueueNode {
  /** Resolves when the node has stopped; rejects if it stopped by itself. */
  readonly ended: Promise<void>;
  readonly #o: QueueNodeOptions;
  readonly #backoff: Backoff;
  readonly #settled = Promise.withResolvers<void>();
  readonly #stop = new AbortController();
  #state: NodeState;
  #tenure: Tenure | null = null;
  #takeovers = 0;
  #lastTakeoverMs: number | null = null;

  constructor(options: QueueNodeOptions) {
    this.#o = options;
    this.#backoff = new Backoff(options.random, {
      firstMs: RETRY_FIRST_MS,
      maxMs: options.leaseMs * LOOK_SHARE,
    });
    this.#state = {
      role: 'starting',
      sinceMs: options.clock.nowMs(),
      epoch: null,
      holder: null,
      reason: null,
    };
    this.ended = this.#run();
    // A caller that does not care for it must not be brought down by it.
    this.ended.catch(() => {});
  }

  get state(): NodeState {
    return this.#state;
  }

  /** How often it has become active, the first time included. */
  get takeovers(): number {
    return this.#takeovers;
  }

  /** In milliseconds since 1970; null: never. */
  get lastTakeoverMs(): number | null {
    return this.#lastTakeoverMs;
  }

  /** How long ago its lease was renewed; null: it holds none that could run out. */
  get leaseAgeMs(): number | null {
    return this.#tenure instanceof LeaseTenure ? this.#tenure.ageMs : null;
  }

  /** Resolves when it knows for the first time what its role is; rejects if it ends before. */
  get settled(): Promise<void> {
    return Promise.race([this.#settled.promise, this.ended]);
  }

  /** Gives up office in good order, then the lease. Idempotent. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.ended.catch(() => {});
  }

  async #run(): Promise<void> {
    const { leases } = this.#o.store;
    try {
      if (leases === undefined) await this.#serve(await this.#takenForGood());
      while (leases !== undefined && !this.#isStopping()) {
        const tenure = await this.#seek(leases);
        if (tenure === null) break;
        await this.#serve(tenure);
      }
    } finally {
      this.#become({ role: 'stopped', holder: null });
    }
  }

  /** A call, because TypeScript would otherwise not believe that it changes during an await. */
  #isStopping(): boolean {
    return this.#stop.signal.aborted;
  }

  async #takenForGood(): Promise<Tenure> {
    const [grant] = await this.#o.store.acquire([SHARD], `opsqueue ${this.#o.id}`);
    if (grant === undefined) throw new Error('the store granted no shard');
    return unlimitedTenure(grant);
  }

  /** Until this node has the lease; null when it is to stop. */
  async #seek(leases: StoreLeases): Promise<LeaseTenure | null> {
    const { id: holder, address, leaseMs, clock, logger } = this.#o;
    let failure: string | null = null;
    while (!this.#isStopping()) {
      const news = new News(leases);
      let waitMs: number;
      try {
        const sent = instantOf(clock);
        const answer = await leases.take(SHARD, { holder, address, leaseMs });
        if (failure !== null) logger.info({}, 'the lease can be looked at again');
        failure = null;
        this.#backoff.reset();
        if (answer.kind === 'taken') {
          news.end();
          const tenure = new LeaseTenure({ leases, grant: answer.grant, leaseMs, sent, clock, logger });
          if (!this.#isStopping()) return tenure;
          await tenure.give();
          return null;
        }
        this.#see(answer.by, answer.kind === 'refused' ? answer.reason : null);
        waitMs = Math.min((answer.by?.leftMs ?? leaseMs) + LOOK_LATE_MS, leaseMs * LOOK_SHARE);
        this.#settled.resolve();
      } catch (error) {
        if (!isPassing(error)) throw error;
        if (failure === null)
          logger.warn({ error: messageOf(error) }, 'cannot look at the lease, trying again');
        failure = messageOf(error);
        waitMs = this.#backoff.nextMs();
      }
      await elapsed(clock, waitMs, AbortSignal.any([this.#stop.signal, news.signal]));
      news.end();
    }
    return null;
  }

  /** Another node has the lease, or nobody. */
  #see(by: LeaseHolder | null, reason: string | null): void {
    const { holder, epoch } = this.#state;
    if (reason !== null && reason !== this.#state.reason) {
      this.#o.logger.error({ reason }, 'this node cannot take the lease: it only passes connections on');
    }
    // One that this node had itself, and that has not run out yet, is nobody's.
    const other = by === null || by.holder === this.#o.id ? null : by;
    const isNew = this.#state.role === 'starting' || reason !== this.#state.reason;
    if (!isNew && other?.epoch === epoch && other?.holder === holder?.holder) return;
    if (other !== null) {
      this.#o.logger.info(
        { holder: other.holder, address: other.address, epoch: other.epoch },
        'standing by',
      );
    }
    const role = this.#state.role === 'starting' ? { role: 'standby' as const } : {};
    const known = other === null ? null : { holder: other.holder, address: other.address };
    this.#become({ ...role, epoch: by?.epoch ?? epoch, holder: known, reason });
  }

  /** From taking up office to the end of it. */
  async #serve(tenure: Tenure): Promise<void> {
    const { clock, logger } = this.#o;
    const { epoch } = tenure.grant;
    let office: Office;
    // What is being loaded is not waited for when this node is to stop.
    const leave = () => void this.#leave(tenure);
    this.#stop.signal.addEventListener('abort', leave, { once: true });
    try {
      office = await this.#o.open(tenure);
    } catch (error) {
      await this.#leave(tenure);
      if (tenure instanceof LeaseTenure && this.#isStopping()) return;
      if (tenure instanceof LeaseTenure && isPassing(error)) {
        logger.warn({ epoch, error: messageOf(error) }, 'cannot open the queue, trying again');
        await elapsed(clock, this.#o.leaseMs * LOOK_SHARE, this.#stop.signal);
        return;
      }
      throw error;
    } finally {
      this.#stop.signal.removeEventListener('abort', leave);
    }
    if (!this.#isStopping()) this.#tookOver(tenure);
    await aborted(AbortSignal.any([office.lost, this.#stop.signal]));
    this.#tenure = null;
    if (!this.#isStopping()) this.#become({ role: 'standby', holder: null });
    await office.stop();
    const { reason } = office.lost;
    const isFenced =
      tenure instanceof LeaseTenure && reason instanceof StoreError && reason.storeClass === 'fenced';
    if (isFenced) logger.warn({ epoch, error: reason.message }, 'this node is not active any more');
    await this.#leave(tenure);
    if (office.lost.aborted && !isFenced) throw reason;
  }

  #tookOver(tenure: Tenure): void {
    const { clock, logger, id, address } = this.#o;
    const { epoch } = tenure.grant;
    this.#tenure = tenure;
    this.#takeovers++;
    this.#lastTakeoverMs = clock.nowMs();
    this.#become({ role: 'active', epoch, holder: { holder: id, address }, reason: null });
    if (tenure instanceof LeaseTenure) logger.info({ epoch }, 'this node has the lease and is active');
    this.#settled.resolve();
  }

  async #leave(tenure: Tenure): Promise<void> {
    if (tenure instanceof LeaseTenure) await tenure.give();
  }

  #become(change: Partial<NodeState>): void {
    const sinceMs = change.role === undefined ? this.#state.sinceMs : this.#o.clock.nowMs();
    this.#state = { ...this.#state, sinceMs, ...change };
    this.#o.changed?.();
  }
}

/** Whether it may be otherwise in a moment, or on another node. */
function isPassing(error: unknown): boolean {
  return error instanceof StoreError && ['transient', 'full', 'fenced'].includes(error.storeClass);
}

/** Fires when there is news of leases, from the moment on when it was made. */
class News {
  readonly signal: AbortSignal;
  readonly end: () => void;

  constructor(leases: StoreLeases) {
    const come = new AbortController();
    this.signal = come.signal;
    this.end = leases.onNews(() => come.abort());
  }
}

/** Resolves after that time, or when the signal fires. */
async function elapsed(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  await sleep(clock, ms, signal).catch(() => {});
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
