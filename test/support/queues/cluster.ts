import assert from 'node:assert/strict';
import { SHARDS, shardOfQueue } from '../../../src/model/shard.ts';
import { type MemoryDatabase, MemoryStore } from '../../../src/store/memory/memory-store.ts';
import { systemClock } from '../../../src/system/time/clock.ts';
import { eventually } from '../time/eventually.ts';

/** A connection that begins with a request about the node stays there, whatever comes after it. */
export const ONCE = { connection: 'close' } as const;

/** A store of which a node hears nothing about the leases of others while it `isDeaf`, unless it looks. */
export function deafStore(database: MemoryDatabase): MemoryStore & { isDeaf: boolean } {
  const store = Object.assign(new MemoryStore({ database, clock: systemClock }), { isDeaf: false });
  const leases = store.leases!;
  const onNews = leases.onNews.bind(leases);
  leases.onNews = (listener) => onNews(() => (store.isDeaf ? undefined : listener()));
  return store;
}

/** What a node tells of itself. */
export interface NodeAnswer extends Readonly<Record<string, unknown>> {
  readonly node: string;
  readonly role: string;
  readonly shards: readonly number[];
  readonly holder: { readonly node: string; readonly address: string } | null;
}

/** A node of a shared store, in this process or in one of its own. */
export interface ClusterNode {
  readonly port: number;
}

/** @param queue whose holder it is to tell; '' is the unnamed one */
export async function nodeOf({ port }: ClusterNode, queue = ''): Promise<NodeAnswer> {
  const path = queue === '' ? '/node' : `/q/${queue}/node`;
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { headers: ONCE });
  assert.equal(response.status, 200);
  return (await response.json()) as NodeAnswer;
}

/** Until all shards are open on these nodes, and none has more than its share. */
export async function balanced(...nodes: readonly ClusterNode[]): Promise<void> {
  await eventually(async () => {
    const counts = await Promise.all(nodes.map(async (node) => (await nodeOf(node)).shards.length));
    const total = counts.reduce((sum, count) => sum + count);
    return total === SHARDS && Math.max(...counts) <= Math.ceil(SHARDS / nodes.length);
  }, 30_000);
  // Each knows of all others by then, or a moment later.
  for (const node of nodes) {
    for (const other of nodes)
      await eventually(async () => (await ownerOf(node, await queueAt(other))) === other.port);
  }
}

/** The port of the node that has the queue, as that node sees it; NaN: none. */
export async function ownerOf(node: ClusterNode, queue: string): Promise<number> {
  return Number((await nodeOf(node, queue)).holder?.address.split(':').at(-1));
}

/** The name of a queue that belongs to one of the node's shards. */
export async function queueAt(node: ClusterNode, prefix = 'queue'): Promise<string> {
  const { shards } = await nodeOf(node);
  assert.ok(shards.length > 0);
  for (let i = 0; ; i++) if (shards.includes(shardOfQueue(`${prefix}-${i}`))) return `${prefix}-${i}`;
}
