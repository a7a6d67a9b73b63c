import { messageOf } from '../model/thrown.ts';
import { StoreError } from '../store/errors.ts';
import type { ShardGrant, StoreLeases, Tenure } from '../store/lease.ts';
import type { Logger } from '../system/log/logger.ts';
import type { Clock, Timer } from '../system/time/clock.ts';
import { type Instant, instantOf, msSince } from '../system/time/instant.ts';

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
  /** When the claim was sent. */
  readonly sent: Instant;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * A lease that this node has, measured on its own clocks: from the moment before the last claim, renewal or commit that
 * took place was sent. So it ends before it does in the store, whatever the answer took, and whether or not this process,
 * or its machine, ran meanwhile.
 *
 *     on --not renewed in time, another has taken it, given away--> ended
 */
export class LeaseTenure implements Tenure {
  readonly grant: ShardGrant;
  readonly ended: AbortSignal;
  readonly #o: LeaseTenureOptions;
  readonly #ended = new AbortController();
  #sent: Instant;
  #given: Promise<void> | null = null;
  #renewTimer: Timer;
  #endTimer: Timer;

  constructor(options: LeaseTenureOptions) {
    this.#o = options;
    this.grant = options.grant;
    this.ended = this.#ended.signal;
    this.#sent = options.sent;
    this.#renewTimer = this.#renewAfter(this.#dueMs);
    this.#endTimer = this.#lookAtEnd();
  }

  /** How long ago what renewed it last was sent. */
  get ageMs(): number {
    return msSince(this.#sent, this.#o.clock);
  }

  isOn(): boolean {
    if (this.ended.aborted) return false;
    if (this.#leftMs > 0) return true;
    this.end(new StoreError('fenced', `the lease was not renewed within ${this.#o.leaseMs} ms`));
    return false;
  }

  renewed(sent: Instant): void {
    if (sent.monotonicMs > this.#sent.monotonicMs) this.#sent = sent;
  }

  /** From here on nothing is done in its name. Idempotent. */
  end(reason: StoreError): void {
    this.#renewTimer.cancel();
    this.#endTimer.cancel();
    this.#ended.abort(reason);
  }

  /**
   * Ends it, and lets another node have the lease at once. Never rejects: if it does not succeed, the lease runs out.
   * Idempotent.
   */
  give(): Promise<void> {
    this.#given ??= this.#give();
    return this.#given;
  }

  async #give(): Promise<void> {
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

  get #leftMs(): number {
    return this.#o.leaseMs * (1 - MARGIN_SHARE) - this.ageMs;
  }

  /** Until it is to be renewed. */
  get #dueMs(): number {
    return this.#o.leaseMs * RENEW_SHARE - this.ageMs;
  }

  #renewAfter(ms: number): Timer {
    return this.#o.clock.after(Math.max(0, ms), () => void this.#renew(), { unref: true });
  }

  #lookAtEnd(): Timer {
    const { clock } = this.#o;
    const look = () => {
      if (this.isOn()) this.#endTimer = this.#lookAtEnd();
    };
    return clock.after(Math.max(0, this.#leftMs), look, { unref: true });
  }

  async #renew(): Promise<void> {
    if (!this.isOn()) return;
    const { leases, clock, leaseMs } = this.#o;
    let retryMs: number | null = null;
    // Unless commits have renewed it.
    if (this.#dueMs <= 0) {
      const sent = instantOf(clock);
      try {
        if (await leases.renew(this.grant.shard, this.grant.epoch)) this.renewed(sent);
        else this.end(new StoreError('fenced', 'another node has taken the lease'));
      } catch (error) {
        const { epoch } = this.grant;
        this.#o.logger.warn({ epoch, error: messageOf(error) }, 'cannot renew the lease, trying again');
        retryMs = leaseMs * RETRY_SHARE;
      }
    }
    if (this.isOn()) this.#renewTimer = this.#renewAfter(retryMs ?? this.#dueMs);
  }
}
