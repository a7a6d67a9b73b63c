import type { ChunkIndex } from '../../../model/ids.ts';
import { decodeRecord, encodeRecord } from './stored-record.ts';

/**
 * What producers of a run have put over the chunks of each other: an object of its own, because digests are written by
 * all of them, and whoever writes what it has read before would forget it.
 */
export interface Disputes {
  /** How often a producer found that it had put chunks among those of another one. */
  readonly count: number;
  /** Chunks of which nobody can say whose they are. */
  readonly chunks: ReadonlySet<ChunkIndex>;
}

export const NO_DISPUTES: Disputes = { count: 0, chunks: new Set() };

export function moreDisputes({ count, chunks }: Disputes, more: Iterable<ChunkIndex>): Disputes {
  return { count: count + 1, chunks: new Set([...chunks, ...more]) };
}

export function encodeDisputes({ count, chunks }: Disputes): Uint8Array {
  return encodeRecord({ count, chunks: [...chunks] });
}

/** null: damaged, or of a version that is not known. */
export function decodeDisputes(bytes: Uint8Array): Disputes | null {
  const { count, chunks } = decodeRecord(bytes) ?? {};
  if (!Number.isSafeInteger(count) || !Array.isArray(chunks)) return null;
  return { count: Number(count), chunks: new Set(chunks.filter((index) => Number.isSafeInteger(index))) };
}
