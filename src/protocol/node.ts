/** `starting`: the store is being opened; `stopping`: the process is about to end. */
const NODE_ROLES = ['starting', 'standby', 'active', 'stopping'] as const;

export type NodeRole = (typeof NODE_ROLES)[number];

/** What `/node` tells. */
export interface NodeInfo {
  /** The node's name, another one with each start. */
  readonly node: string;
  readonly role: NodeRole;
  /** When it got this role, in milliseconds since 1970. */
  readonly sinceMs: number;
  /** The shards that are open on this node. */
  readonly shards: readonly number[];
  /** Of the lease, as last seen; null while nothing is known of it. */
  readonly epoch: number | null;
  /** Which node holds the lease; null: none, as far as is known. */
  readonly holder: { readonly node: string; readonly address: string } | null;
  /** Where other nodes reach this one. */
  readonly address: string;
  /** Why it cannot become active; null if it can. */
  readonly reason: string | null;
  /** Since when, in milliseconds since 1970; null: it is not known, or it can. */
  readonly reasonSinceMs: number | null;
  readonly version: string;
}

export function formatNode({ sinceMs, reasonSinceMs, ...info }: NodeInfo): string {
  const reasonSince = reasonSinceMs === null ? null : new Date(reasonSinceMs).toISOString();
  return JSON.stringify({ ...info, reason_since: reasonSince, since: new Date(sinceMs).toISOString() });
}

/** What a node has said of itself. */
export interface NodeTold {
  readonly node: string;
  readonly role: NodeRole;
  readonly since: string | null;
  readonly shards: ReadonlySet<number>;
  readonly reason: string | null;
  readonly version: string | null;
}

/** null for what is not an answer of `/node`. */
export function parseNode(body: string): NodeTold | null {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return null;
  }
  const { node, role, since, shards, reason, version } = (value ?? {}) as Readonly<Record<string, unknown>>;
  if (typeof node !== 'string' || !Array.isArray(shards)) return null;
  return {
    node,
    role: NODE_ROLES.find((each) => each === role) ?? 'starting',
    since: textOrNull(since),
    shards: new Set(shards.filter((shard) => typeof shard === 'number')),
    reason: textOrNull(reason),
    version: textOrNull(version),
  };
}

function textOrNull(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

/** A request that one node has sent on for a client carries this header, with the node's name: it is not sent on again. */
export const FORWARDED_HEADER = 'opsqueue-forwarded';
/** The address of that client. */
export const FORWARDED_FOR_HEADER = 'opsqueue-forwarded-for';
/**
 * The name of the node that a request is for: the answer is to be of what that one has itself, out of which the node that asks
 * makes one of all. Any other refuses it.
 */
export const SCOPE_HEADER = 'opsqueue-scope';
/** With that, of an action by a filter: the shards, as `1,5`, that the node must have in whole for it to do anything. */
export const SHARDS_HEADER = 'opsqueue-shards';
