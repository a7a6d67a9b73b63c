import type { ShardId, SubmissionId } from '../model/ids.ts';
import type { Instant } from '../system/time/instant.ts';

export interface ShardGrant {
  readonly shard: ShardId;
  readonly epoch: number;
  /** The last batch that took place; 0 before the first. */
  readonly lastSeq: number;
  /** The highest id ever inserted, cleaned-up ones included; 0n before the first. */
  readonly highestId: SubmissionId;
}

/**
 * What a store offers that several nodes share: who of them may act for a shard, and until when. Time is the store's, so
 * clocks of nodes do not matter. A lease lasts `leaseMs` from its last claim, renewal or committed batch on. It only
 * spares work that would be for nothing: what keeps the data whole is the epoch, which each commit names.
 */
export interface StoreLeases {
  /**
   * Takes the shard for the claim's node if no other node's lease is on; a former owner is fenced from then on. Brings
   * what is stored up to date first, if an older version wrote it.
   */
  take(shard: ShardId, claim: LeaseClaim): Promise<LeaseAnswer>;
  /** false: another owner has taken the shard. */
  renew(shard: ShardId, epoch: number): Promise<boolean>;
  /** Gives the lease away: who asks next may have it at once. Changes nothing if another owner has taken the shard. */
  give(shard: ShardId, epoch: number): Promise<void>;
  /**
   * Calls back when a lease may have been taken or given away; returns what ends that. Only spares waiting: it may be
   * late, or never come.
   */
  onNews(listener: () => void): () => void;
}

export interface LeaseClaim {
  /** The node, by a name that no other one ever has. */
  readonly holder: string;
  /** Where other nodes reach it: `host:port`. */
  readonly address: string;
  readonly leaseMs: number;
}

/** Whose lease it is. */
export interface LeaseHolder {
  readonly holder: string;
  readonly address: string;
  readonly epoch: number;
  /** By the store's time. */
  readonly leftMs: number;
}

export type LeaseAnswer =
  | { readonly kind: 'taken'; readonly grant: ShardGrant }
  | { readonly kind: 'held'; readonly by: LeaseHolder }
  /** This version must not have it, because a newer one wrote what is stored. `by` null: nobody has it. */
  | { readonly kind: 'refused'; readonly reason: string; readonly by: LeaseHolder | null };

/** The right to act for a shard, as long as it lasts. */
export interface Tenure {
  readonly grant: ShardGrant;
  /**
   * Whether it lasts. Looks at the clock, so it is right before any timer has fired: to be asked before anything leaves
   * that only the owner may say.
   */
  isOn(): boolean;
  /** Fires when it has ended, in the call of `isOn` that finds it so at the latest. The reason is a StoreError `fenced`. */
  readonly ended: AbortSignal;
  /** A batch that was sent at that moment has taken place, which renewed the lease. */
  renewed(sent: Instant): void;
}

/** Of a store that has one owner at a time: until the next one fences it. */
export function unlimitedTenure(grant: ShardGrant): Tenure {
  return { grant, isOn: () => true, ended: new AbortController().signal, renewed: () => {} };
}
