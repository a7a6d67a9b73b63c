/** What pages and ends say about the chunks that are done: the same in every store. */
import { ChunkSet, PAGE_CHUNKS, type PageContent } from '../../model/chunk-set.ts';
import type { SubmissionId } from '../../model/ids.ts';
import type { SubmissionEnd } from '../../model/submission.ts';
import { StoreError } from '../errors.ts';

/** @throws StoreError `corrupt` for a page that the submission cannot have */
export function setStoredPage(done: ChunkSet, id: SubmissionId, page: number, content: PageContent): void {
  try {
    done.setPage(page, content);
  } catch (cause) {
    const message = `the database is damaged: submission ${id}: ${(cause as Error).message}`;
    throw new StoreError('corrupt', message, { cause });
  }
}

/** The chunks of a completed submission, whose pages are gone. */
export function allChunks(chunksTotal: number): ChunkSet {
  const done = new ChunkSet(chunksTotal);
  for (let page = 0; page < done.pagesTotal; page++) done.setPage(page, 'full');
  return done;
}

/** How many chunks of a submission of that size are in the page. */
export function countChunks(chunksTotal: number, page: number, content: PageContent): number {
  const size = Math.min(PAGE_CHUNKS, chunksTotal - page * PAGE_CHUNKS);
  const chunks = new ChunkSet(size);
  chunks.setPage(0, content);
  return chunks.count;
}

/**
 * How many chunks of a submission are done: its end says so; while it is open its pages do.
 *
 * @param count counts the chunks in its pages
 */
export function chunksDoneIn(chunksTotal: number, end: SubmissionEnd | null, count: () => number): number {
  if (end === null) return count();
  return end.state === 'completed' ? chunksTotal : end.chunksDone;
}
