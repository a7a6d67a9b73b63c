import type { ShardId } from '../model/ids.ts';
import { hashText } from '../model/shard.ts';
import type { NodePresent } from '../store/lease.ts';

export type BalancedNode = Pick<NodePresent, 'holder' | 'address'> & Partial<Pick<NodePresent, 'avoids'>>;

/** Who has what, as a node sees it. */
export interface Balance {
  /** Who should have what: {@link dealOut}. */
  readonly owners: ReadonlyMap<ShardId, string>;
  /** How many nodes take shards, this one included. */
  readonly nodes: number;
  /** This node, by its `holder`. */
  readonly self: string;
  /** What it has. */
  readonly held: readonly ShardId[];
  /** What nobody has. */
  readonly free: readonly ShardId[];
  /** What nobody has had for so long that the node that should have it is taken not to come. */
  readonly abandoned: ReadonlySet<ShardId>;
}

export interface BalancePlan {
  readonly take: readonly ShardId[];
  /** One at a time: each is away for a moment. */
  readonly give: readonly ShardId[];
}

/**
 * What a node is to do: it takes what it should have, and gives back what another should have while it has more than its
 * share. Every give brings a shard to where it stays, so that giving comes to an end.
 */
export function planOf({ owners, nodes, self, held, free, abandoned }: Balance): BalancePlan {
  const hasTooMany = held.length > shardsEach(owners.size, nodes);
  return {
    take: free.filter((shard) => owners.get(shard) === self || abandoned.has(shard)),
    give: hasTooMany ? held.filter((shard) => owners.get(shard) !== self) : [],
  };
}

/** A node that has more of that many shards gives some back. */
export function shardsEach(shards: number, nodes: number): number {
  return Math.ceil(shards / Math.max(1, nodes));
}

/**
 * Which node should have which shard: the same on every node that sees the same others. Rendezvous hashing, the highest
 * scores first, each node up to its share: they differ by one at most. One that its node avoids goes to the next that does not, if there is one, and moves no other. It goes by addresses, so that a node that is
 * restarted gets the same shards again.
 */
export function dealOut(
  shards: readonly ShardId[],
  nodes: readonly BalancedNode[],
): ReadonlyMap<ShardId, string> {
  const scores = nodes.flatMap(({ holder, address }) =>
    shards.map((shard) => ({ shard, holder, score: hashText(`${shard} ${address}`) })),
  );
  scores.sort((a, b) => b.score - a.score || a.shard - b.shard || (a.holder < b.holder ? -1 : 1));
  const least = Math.floor(shards.length / Math.max(1, nodes.length));
  /** How many may have one more than that. */
  let more = shards.length - least * nodes.length;
  const counts = new Map<string, number>();
  const owners = new Map<ShardId, string>();
  for (const { shard, holder } of scores) {
    const count = counts.get(holder) ?? 0;
    if (owners.has(shard) || count > least || (count === least && more === 0)) continue;
    if (count === least) more--;
    counts.set(holder, count + 1);
    owners.set(shard, holder);
  }
  const avoided = new Map(nodes.map(({ holder, avoids = [] }) => [holder, new Set(avoids)]));
  const isAvoided = (shard: ShardId, holder: string) => avoided.get(holder)?.has(shard) === true;
  for (const [shard, owner] of owners) {
    if (!isAvoided(shard, owner)) continue;
    const other = scores.find((each) => each.shard === shard && !isAvoided(shard, each.holder));
    if (other !== undefined) owners.set(shard, other.holder);
  }
  return owners;
}
