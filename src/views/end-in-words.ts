import type { SubmissionEnd } from '../model/submission.ts';
import { count, plural } from '../protocol/api/words.ts';

/** `failed`, `all 3 chunks failed`, `2 of 300 chunks failed` */
export function endInWords(end: SubmissionEnd, chunksTotal: number): string {
  if (end.state !== 'completed_with_failures') return end.state;
  return failedInWords(chunksTotal - end.chunksDone, chunksTotal);
}

export function failedInWords(failed: number, total: number): string {
  if (failed < total) return `${count(failed)} of ${plural(total, 'chunk')} failed`;
  return total === 1 ? 'its only chunk failed' : `all ${plural(total, 'chunk')} failed`;
}
