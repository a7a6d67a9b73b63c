import type { SubmissionEnd } from '../model/submission.ts';

/** `1 chunk`, `5 chunks` */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** `failed`, `all 3 chunks failed`, `2 of 300 chunks failed` */
export function endInWords(end: SubmissionEnd, chunksTotal: number): string {
  if (end.state !== 'completed_with_failures') return end.state;
  return failedInWords(chunksTotal - end.chunksDone, chunksTotal);
}

export function failedInWords(failed: number, total: number): string {
  if (failed < total) return `${failed} of ${plural(total, 'chunk')} failed`;
  return total === 1 ? 'its only chunk failed' : `all ${total} chunks failed`;
}
