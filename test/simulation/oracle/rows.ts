import { ChunkSet } from '../../../src/model/chunk-set.ts';
import type { ChunkId } from '../../../src/model/ids.ts';
import type { MemoryDatabase } from '../../../src/store/memory/memory-store.ts';

/** What is on disk. */
export type Rows = MemoryDatabase['rows'];
export type Row = Rows extends Map<unknown, infer R> ? R : never;

/** The chunks that are done as its pages say. */
export function doneOf({ record, pages }: Row): ChunkSet {
  const done = new ChunkSet(record.chunksTotal);
  for (const [page, content] of pages) done.setPage(page, content);
  return done;
}

export function allChunks({ record }: Row): ChunkSet {
  const all = new ChunkSet(record.chunksTotal);
  for (let page = 0; page < all.pagesTotal; page++) all.setPage(page, 'full');
  return all;
}

export function isDoneOnDisk(rows: Rows, { submissionId, chunkIndex }: ChunkId): boolean {
  const row = rows.get(submissionId);
  if (row === undefined) return false;
  if (row.end?.state === 'completed') return true;
  const content = row.pages.get(ChunkSet.pageOf(chunkIndex));
  if (content === undefined || content === 'empty') return false;
  if (content === 'full') return true;
  return (content[(chunkIndex & 4095) >> 3]! & (1 << (chunkIndex & 7))) !== 0;
}

/** The prefix of a submission, or its idempotency key. */
export function nameOf({ record, idempotencyKey }: Row): string | null {
  return record.prefix ?? idempotencyKey;
}
