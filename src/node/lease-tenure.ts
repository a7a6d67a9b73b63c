import { messageOf } from '../model/thrown.ts';
import { StoreError } from '../store/errors.ts';
import type { ShardGrant, StoreLeases, Tenure } from '../store/lease.ts';
import type { Logger } from '../system/log/logger.ts';
import type { Clock, Timer } from '../system/time/clock.ts';

/** An idle owner renews after this share of its lease. */
const RENEW_SHARE = 1 / 3;
/** A renewal that failed is tried again after this share. */
const RETRY_SHARE = 1 / 10;
/** This share of a lease is never used: clocks run at a little different rates, and between a look and an act there is time. */
const MARGIN_SHARE = 1 / 10;

export interface LeaseTenureOptions {
  readonly leases: StoreLeases;
  readonly grant: ShardGrant;
  readonly leaseMs: number;
  /** When the claim was sent, on the monotonic clock. */
  readonly sentMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * A lease that this node has, measured on its own monotonic clock: from the moment before the last claim, renewal or
 * commit that took place was sent. So it ends before it does in the store, whatever the answer took, and whether or not
 * this process ran meanwhile.
 *
 *     on --not renewed in time, another has taken it, given away--> ended
 */
export class LeaseTenure implements Tenure {
  readonly grant: ShardGrant;
  readonly ended: AbortSignal;
  readonly #o: LeaseTenureOptions;
  readonly #ended = new AbortController();
  #sentMs: number;
  #renewTimer: Timer;
  #endTimer: Timer;

  constructor(options: LeaseTenureOptions) {
    this.#o = options;
    this.grant = options.grant;
    this.ended = this.#ended.signal;
    this.#sentMs = options.sentMs;
    this.#renewTimer = this.#renewAt(this.#sentMs + options.leaseMs * RENEW_SHARE);
    this.#endTimer = this.#lookAtEnd();
  }

  /** How long ago what renewed it last was sent. */
  get ageMs(): number {
    return this.#o.clock.monotonicMs() - this.#sentMs;
  }

  isOn(): boolean {
    if (this.ended.aborted) return false;
    if (this.#o.clock.monotonicMs() < this.#endMs) return true;
    this.end(new StoreError('fenced', `the lease was not renewed within ${this.#o.leaseMs} ms`));
    return false;
  }

  renewed(sentMs: number): void {
    this.#sentMs = Math.max(this.#sentMs, sentMs);
  }

  /** From here on nothing is done in its name. Idempotent. */
  end(reason: StoreError): void {
    this.#renewTimer.cancel();
    this.#endTimer.cancel();
    this.#ended.abort(reason);
  }

  /** Ends it, and lets another node have the lease at once. Never rejects: if it does not succeed, the lease runs out. */
  async give(): Promise<void> {
    if (!this.isOn()) return;
    const { leases, logger } = this.#o;
    const { shard, epoch } = this.grant;
    this.end(new StoreError('fenced', 'this node has given its lease away'));
    try {
      await leases.give(shard, epoch);
    } catch (error) {
      logger.warn({ epoch, error: messageOf(error) }, 'cannot give the lease away: it runs out by itself');
    }
  }

  get #endMs(): number {
    return this.#sentMs + this.#o.leaseMs * (1 - MARGIN_SHARE);
  }

  #renewAt(atMs: number): Timer {
    const { clock } = this.#o;
    return clock.after(Math.max(0, atMs - clock.monotonicMs()), () => void this.#renew(), { unref: true });
  }

  #lookAtEnd(): Timer {
    const { clock } = this.#o;
    const look = () => {
      if (this.isOn()) this.#endTimer = this.#lookAtEnd();
    };
    return clock.after(Math.max(0, this.#endMs - clock.monotonicMs()), look, { unref: true });
  }

  async #renew(): Promise<void> {
    if (!this.isOn()) return;
    const { leases, clock, leaseMs } = this.#o;
    const dueMs = this.#sentMs + leaseMs * RENEW_SHARE;
    const sentMs = clock.monotonicMs();
    let nextMs = sentMs + leaseMs * RENEW_SHARE;
    // Commits have renewed it.
    if (dueMs > sentMs) nextMs = dueMs;
    else {
      try {
        if (await leases.renew(this.grant.shard, this.grant.epoch)) this.renewed(sentMs);
        else this.end(new StoreError('fenced', 'another node has taken the lease'));
      } catch (error) {
        const { epoch } = this.grant;
        this.#o.logger.warn({ epoch, error: messageOf(error) }, 'cannot renew the lease, trying again');
        nextMs = clock.monotonicMs() + leaseMs * RETRY_SHARE;
      }
    }
    if (this.isOn()) this.#renewTimer = this.#renewAt(nextMs);
  }
}
