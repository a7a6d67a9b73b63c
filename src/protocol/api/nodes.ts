import type { NodeRole } from '../node.ts';
import type { List } from './lists.ts';

/**
 * Beside what a node says of itself: `unreachable` does not answer, but has leases or is written down as present; `stopped` has ended
 * in good order; `silent` has not, and its leases have run out.
 */
export const NODE_STATES = [
  'starting',
  'standby',
  'active',
  'stopping',
  'unreachable',
  'stopped',
  'silent',
] as const satisfies readonly (NodeRole | 'unreachable' | 'stopped' | 'silent')[];

/** An item of `GET /api/v1/nodes`. */
export interface NodeRow {
  /** Another one with each start. */
  readonly node: string;
  /** Where other nodes reach it. */
  readonly address: string;
  /** null where it does not answer. */
  readonly version: string | null;
  readonly state: (typeof NODE_STATES)[number];
  /** Since when; null: it is not known. */
  readonly since: string | null;
  /** How many are open on it; of one that does not answer, how many leases it has. */
  readonly shards: number;
  /** When it last gave a sign of life in the database. */
  readonly alive: string;
  /** It takes shards that become free. */
  readonly ready: boolean;
  /** Why it is not ready; null if it is. */
  readonly reason: string | null;
  /** The one that answers. */
  readonly asked: boolean;
}

/** `GET /api/v1/nodes`: those that share the store, as the one sees it that is asked. */
export type NodesAnswer = List<NodeRow>;
