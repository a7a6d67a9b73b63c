import type { BoundedStore } from '../../objects/bounded-store.ts';
import { type ChunkKind, chunkKey, digestsKey, disputesKey } from '../../objects/keys.ts';
import { BLOCK_CHUNKS } from './run/digest-block.ts';

/** Keys that one call removes: what S3 takes at a time. */
const KEYS_AT_A_TIME = 1_000;

export interface ChunksToDelete {
  readonly prefix: string;
  readonly chunks: number;
  readonly signal: AbortSignal;
}

/** Removes all that a submission of that many chunks has in the object store. What is missing is fine. Constant memory. */
export function deleteSubmission(store: BoundedStore, o: ChunksToDelete): Promise<void> {
  return deleteAll(store, keysOf(o), o.signal);
}

/** Removes the inputs of chunks 0..chunks-1. Those that are missing are fine. Constant memory. */
export function deleteInputs(store: BoundedStore, o: ChunksToDelete): Promise<void> {
  return deleteAll(store, chunkKeysOf(o, ['in']), o.signal);
}

/** The digests are the last: with them it is known that the rest is ours, should the deletion not get to its end. */
function* keysOf(o: ChunksToDelete): Generator<string, void> {
  yield* chunkKeysOf(o, ['in', 'out']);
  for (let block = 0; block * BLOCK_CHUNKS < o.chunks; block++) yield digestsKey(o.prefix, block);
  if (o.chunks > 0) yield disputesKey(o.prefix);
}

function* chunkKeysOf(
  { prefix, chunks }: ChunksToDelete,
  kinds: readonly ChunkKind[],
): Generator<string, void> {
  for (let index = 0; index < chunks; index++) {
    for (const kind of kinds) yield chunkKey(prefix, index, kind);
  }
}

async function deleteAll(store: BoundedStore, all: Iterable<string>, signal: AbortSignal): Promise<void> {
  let keys: string[] = [];
  for (const key of all) {
    if (keys.push(key) < KEYS_AT_A_TIME) continue;
    await store.delete(keys, { signal });
    keys = [];
  }
  if (keys.length > 0) await store.delete(keys, { signal });
}
