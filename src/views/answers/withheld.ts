import type { QueueSight } from '../../queue/queue.ts';
import type { Computation } from '../frames.ts';
import { STRIDE } from '../sources.ts';
import { pausesInWords, type WithheldSituation } from './why-checks.ts';

/** What is paused or has not begun; null if there is none, or something else could be handed out, now or at its next try. */
export function* withheldOf(
  { counts, schedule }: QueueSight,
  nowMs: number,
): Computation<WithheldSituation | null> {
  const { chunksAvailable, chunksDelayed, chunksPaused, submissionsOpen, submissionsPaused } = counts;
  if (submissionsPaused === 0 || chunksAvailable > 0 || chunksPaused + chunksDelayed === 0) return null;
  if (chunksDelayed > 0 && submissionsPaused < submissionsOpen) return null;
  const reasons = new Set<string>();
  let [submissions, chunks, paused, looked] = [0, 0, 0, 0];
  let startsAtMs = Number.POSITIVE_INFINITY;
  let first: string | null = null;
  for (const submission of schedule.submissions.values()) {
    if (++looked % STRIDE === 0) yield;
    if (!submission.isWithheld) continue;
    const { record, control } = submission;
    first ??= String(record.id);
    submissions++;
    chunks += submission.chunksPaused + submission.chunksDelayed;
    if (control.pauses.length > 0) paused++;
    else startsAtMs = Math.min(startsAtMs, control.startAfterMs ?? nowMs);
    // Of very many, two tell that they differ.
    if (reasons.size < 2) reasons.add(pausesInWords(control.pauses));
  }
  if (submissions === 0) return null;
  return {
    submissions,
    chunks,
    submissionsPaused: paused,
    only: submissions === 1 ? first : null,
    pausedBy: reasons.size === 1 ? [...reasons].join('') : '',
    startsInMs: Math.max(0, startsAtMs - nowMs),
  };
}
