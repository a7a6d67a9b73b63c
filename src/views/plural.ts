import type { SubmissionEnd } from '../model/submission.ts';

/** `1 chunk`, `5 chunks` */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${count} ${count === 1 ? one : many}`;
}

/** `failed`, `all 3 chunks failed`, `2 of 300 chunks failed` */
export function endInWords(end: SubmissionEnd, chunksTotal: number): string {
  if (end.state !== 'completed_with_failures') return end.state;
  const { chunksDone } = end;
  if (chunksDone === 0)
    return chunksTotal === 1 ? 'its only chunk failed' : `all ${chunksTotal} chunks failed`;
  return `${chunksTotal - chunksDone} of ${chunksTotal} chunks failed`;
}
