import { StoreError } from '../store/errors.ts';
import type { ShardGrant, Tenure } from '../store/lease.ts';
import type { Clock } from '../system/time/clock.ts';
import { type Instant, msSince } from '../system/time/instant.ts';

/** This share of a lease is never used: clocks run at a little different rates, and between a look and an act there is time. */
const MARGIN_SHARE = 1 / 10;

export interface LeaseTenureOptions {
  readonly grant: ShardGrant;
  readonly leaseMs: number;
  /** When the claim was sent. */
  readonly sent: Instant;
  readonly clock: Clock;
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

  constructor(options: LeaseTenureOptions) {
    this.#o = options;
    this.grant = options.grant;
    this.ended = this.#ended.signal;
    this.#sent = options.sent;
  }

  /** How long ago what renewed it last was sent. */
  get ageMs(): number {
    return msSince(this.#sent, this.#o.clock);
  }

  get leftMs(): number {
    return this.#o.leaseMs * (1 - MARGIN_SHARE) - this.ageMs;
  }

  isOn(): boolean {
    if (this.ended.aborted) return false;
    if (this.leftMs > 0) return true;
    this.end(new StoreError('fenced', `the lease was not renewed within ${this.#o.leaseMs} ms`));
    return false;
  }

  renewed(sent: Instant): void {
    if (sent.monotonicMs > this.#sent.monotonicMs) this.#sent = sent;
  }

  /** From here on nothing is done in its name. Idempotent. */
  end(reason: StoreError): void {
    this.#ended.abort(reason);
  }
}
