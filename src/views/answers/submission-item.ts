import { submissionIdTimeMs } from '../../model/ids.ts';
import { listedQueue } from '../../model/queue-name.ts';
import type { SubmissionItem } from '../../protocol/api/submissions.ts';
import { MINUTE } from '../../protocol/api/words.ts';
import { openStateOf } from '../../queue/verbs/open-state.ts';
import type { SubmissionSight } from '../../scheduler/sight.ts';
import type { StoredSubmission } from '../../store/store.ts';
import { iso, isoOrNull, rounded, type Sources } from '../sources.ts';
import { type SubmissionTally, submissionTallyOf } from '../tallies/tallies.ts';
import { textPairs } from './known-by.ts';
import { pauseItem } from './overview.ts';
import { leftOf, rateOf, type Standing } from './time-left.ts';

/** Tries of it failed in the last minute, or something waits for its next try or is set aside. */
export function isFailing(submission: SubmissionSight, nowMs: number): boolean {
  if (submission.chunksFailed > 0 || submission.chunksDelayed > 0) return true;
  return (submissionTallyOf(submission)?.setBackOfLate?.count(nowMs, MINUTE) ?? 0) > 0;
}

/** Since when its oldest reservation lasts; null: it has none. On the monotonic clock. */
export function oldestHeldMs({ reservations }: SubmissionSight): number | null {
  for (const { reservedMs } of reservations?.values() ?? []) return reservedMs;
  return null;
}

/** @param nowMs on the monotonic clock */
export function openItem(
  { unixMs }: Pick<Sources, 'unixMs'>,
  submission: SubmissionSight,
  standing: Standing,
  nowMs: number,
): SubmissionItem {
  const { record, control, done } = submission;
  const tally: SubmissionTally | null = submissionTallyOf(submission);
  const left = leftOf(submission, standing, nowMs);
  const heldSinceMs = oldestHeldMs(submission);
  return {
    id: String(record.id),
    queue: listedQueue(record.queue),
    prefix: record.prefix,
    state: openStateOf(submission, standing.isPaused),
    failing: isFailing(submission, nowMs),
    chunks: {
      total: record.chunksTotal,
      done: done.count,
      reserved: submission.chunksReserved,
      waiting: standing.isPaused ? 0 : submission.chunksAvailable,
      delayed: submission.chunksDelayed,
      paused: submission.chunksPaused + (standing.isPaused ? submission.chunksAvailable : 0),
      failed: submission.chunksFailed,
    },
    chunk_size: sizeOf(record.chunkSizeOps),
    rate: rounded(rateOf(tally, nowMs)),
    left_ms: left.ms,
    left_unknown: left.unknown,
    metadata: textPairs(record.strategicMetadata),
    inserted: iso(submissionIdTimeMs(record.id)),
    ended: null,
    deadline: isoOrNull(control.deadlineMs),
    start_after: isoOrNull(control.startAfterMs),
    set_back: tally?.setBack ?? 0,
    oldest_held_ms: heldSinceMs === null ? null : Math.round(nowMs - heldSinceMs),
    oldest_held_since: heldSinceMs === null ? null : iso(unixMs(heldSinceMs)),
    pauses: control.pauses.map(pauseItem),
  };
}

export function endedItem(
  { watcher }: Pick<Sources, 'watcher'>,
  { record, control, end, chunksDone }: StoredSubmission,
): SubmissionItem {
  const { chunksTotal } = record;
  const done = end?.state === 'completed' ? chunksTotal : chunksDone;
  const failed =
    end?.state === 'completed_with_failures' ? chunksTotal - done : end?.state === 'failed' ? 1 : 0;
  return {
    id: String(record.id),
    queue: listedQueue(record.queue),
    prefix: record.prefix,
    state: end?.state ?? 'waiting',
    failing: false,
    chunks: { total: chunksTotal, done, reserved: 0, waiting: 0, delayed: 0, paused: 0, failed },
    chunk_size: sizeOf(record.chunkSizeOps),
    rate: 0,
    left_ms: null,
    left_unknown: null,
    metadata: textPairs(control.strategicMetadata ?? record.strategicMetadata),
    inserted: iso(submissionIdTimeMs(record.id)),
    ended: end === null ? null : iso(end.endedAtMs),
    deadline: isoOrNull(control.deadlineMs),
    start_after: isoOrNull(control.startAfterMs),
    set_back: watcher.ended.figuresOf(record.id)?.setBack ?? null,
    oldest_held_ms: null,
    oldest_held_since: null,
    pauses: [],
  };
}

function sizeOf(chunkSizeOps: number): number | null {
  return chunkSizeOps === 0 ? null : chunkSizeOps;
}
