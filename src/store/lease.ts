import type { ScopeControl } from '../model/control.ts';
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
 * What a store offers that several nodes share: which of them may act for a shard, and until when. Time is the store's, so
 * clocks of nodes do not matter. A lease lasts `leaseMs` from its last claim, renewal or committed batch on. It only
 * spares work that would be for nothing: what keeps the data whole is the epoch, which each commit names.
 */
export interface StoreLeases {
  /**
   * How things stand, after it has renewed those of the leases that can be renewed at once: one that a batch is being
   * written under is not waited for. Writes the node down as present for `leaseMs`; null: it only looks.
   */
  look(node: LeaseClaim | null, renew?: readonly LeaseName[]): Promise<LeaseSight>;
  /**
   * Takes those of the shards that no other node has a lease on, and nobody has taken since that epoch was seen, for the
   * claim's node; their former owners are fenced from then on. Brings what is stored up to date first, if an older version
   * wrote it and no lease is on.
   */
  take(free: readonly LeaseName[], claim: LeaseClaim): Promise<readonly ShardGrant[]>;
  /**
   * Gives leases away: the next one to ask has them at once. Leaves those that another owner has taken. Returns those that
   * could not be given, because a batch is being written under them: no other lease is to wait for that.
   */
  give(leases: readonly LeaseName[]): Promise<readonly LeaseName[]>;
  /** Whoever has them learns that the next owner has prepared. Leaves, and returns, as {@link give} does. */
  ready(leases: readonly LeaseName[]): Promise<readonly LeaseName[]>;
  /** The node takes no more shards: it is not written down as present any longer. Its leases stay. */
  leave(holder: string): Promise<void>;
  /** Resolves when the store has committed something, as it does a batch, that changes nothing: so one knows that it can. */
  proveCommit(): Promise<void>;
  /**
   * Calls back when a lease may have been taken or given away, a node has come or left, or has prepared; returns what ends that. Only
   * spares waiting: it may be late, or never come.
   */
  onNews(listener: () => void): () => void;
}

export interface LeaseClaim {
  /** The node, by a name that no other one ever has. */
  readonly holder: string;
  /** Where other nodes reach it: `host:port`. */
  readonly address: string;
  readonly leaseMs: number;
  /** Shards that it could not open lately: others are to have them. Default none. */
  readonly avoids?: readonly ShardId[];
}

export interface LeaseName {
  readonly shard: ShardId;
  readonly epoch: number;
}

/** A node that is present: it takes shards. It tells how the shards are to be dealt out, and nothing else. */
export interface NodePresent {
  readonly holder: string;
  readonly address: string;
  /** By the store's time. */
  readonly leftMs: number;
  readonly avoids: readonly ShardId[];
}

/** Whose lease it is. */
export interface LeaseHolder extends Omit<NodePresent, 'avoids'>, LeaseName {
  /** How long it lasts from its last renewal on. */
  readonly leaseMs: number;
  /** The node that is to have it next has prepared. */
  readonly isAwaited: boolean;
}

/** How leases stand. */
export interface LeaseSight {
  /** The leases that are on, by shard. */
  readonly leases: readonly LeaseHolder[];
  /** The shards that nobody has a lease on, with the epoch of the last one, by shard. */
  readonly free: readonly LeaseName[];
  /** By `holder`. */
  readonly nodes: readonly NodePresent[];
  /** The leases that were renewed. */
  readonly renewed: readonly ShardId[];
  /** What verbs have changed of the whole server; null: nothing. */
  readonly server: ScopeControl | null;
  /** Why this version must not take any: a newer one wrote what is stored, say. null: it may. */
  readonly reason: string | null;
}

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
