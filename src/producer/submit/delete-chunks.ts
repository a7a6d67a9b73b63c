import type { BoundedStore } from '../../objects/bounded-store.ts';
import { type ChunkKind, chunkKey } from '../../objects/keys.ts';

/** Keys that one call removes: what S3 takes at a time. */
const KEYS_AT_A_TIME = 1_000;

export interface ChunksToDelete {
  readonly prefix: string;
  readonly chunks: number;
  readonly kinds: readonly ChunkKind[];
  readonly signal: AbortSignal;
}

/** Removes the bodies of chunks 0..chunks-1. Those that are missing are fine. Constant memory. */
export async function deleteChunks(
  store: BoundedStore,
  { prefix, chunks, kinds, signal }: ChunksToDelete,
): Promise<void> {
  let keys: string[] = [];
  for (let index = 0; index < chunks; index++) {
    for (const kind of kinds) keys.push(chunkKey(prefix, index, kind));
    if (keys.length < KEYS_AT_A_TIME) continue;
    await store.delete(keys, { signal });
    keys = [];
  }
  if (keys.length > 0) await store.delete(keys, { signal });
}
