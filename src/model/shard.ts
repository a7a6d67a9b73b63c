import type { ShardId } from './ids.ts';

/** How many parts the queues of a store that several nodes share are dealt out to. A node owns any number of them. */
export const SHARDS = 64;

const UTF8 = new TextEncoder();

/**
 * The shard of a queue by its name: the same in every version and on every machine, because what is stored goes by it. The
 * unnamed queue has shard 0.
 */
export function shardOfQueue(name: string): ShardId {
  return name === '' ? 0 : hashText(name) % SHARDS;
}

/**
 * 32 bits of a text: FNV-1a over its UTF-8, mixed once more (the last step of MurmurHash3), because the low bits of FNV
 * alone depend on little.
 */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of UTF8.encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
