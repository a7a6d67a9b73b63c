import type { Quantiles } from '../../protocol/api/lists.ts';
import type { LeftUnknown } from '../../protocol/api/submissions.ts';
import { MINUTE } from '../../protocol/api/words.ts';
import type { QueueSight } from '../../queue/queue.ts';
import type { SubmissionSight } from '../../scheduler/sight.ts';
import type { Sources } from '../sources.ts';
import { runningMs, type Stops } from '../tallies/stops.ts';
import { SAMPLES_MIN, type SubmissionTally, submissionTallyOf } from '../tallies/tallies.ts';

const TEN_SECONDS_MS = 10_000;
/** How far a count lies below its mean, in standard deviations, in one case of ten. */
const DEVIATIONS = 1.28;

/** Whether a queue hands out, and when it did not. */
export interface Standing {
  readonly isPaused: boolean;
  /** Until the store takes batches again. */
  readonly isHeld: boolean;
  readonly consumers: number;
  readonly stops: Stops | null;
}

export function standingOf({ queue, sampler }: Sources, { name, counts }: QueueSight): Standing {
  return {
    isPaused: queue.isPaused(name),
    isHeld: queue.isHandOutHeld,
    consumers: counts.consumers,
    stops: sampler.stops(name),
  };
}

/** Chunks per second, over that time or since the first one. */
export function rateOf(tally: SubmissionTally | null, nowMs: number, periodMs = MINUTE): number {
  if (tally === null) return 0;
  const sinceMs = Math.max(1_000, nowMs - begunMs(tally, nowMs - periodMs));
  return (tally.doneOfLate.count(nowMs, periodMs) / Math.min(periodMs, sinceMs)) * 1000;
}

/** Neither done nor set aside. */
export function chunksLeft({ record, done, chunksFailed }: SubmissionSight): number {
  return record.chunksTotal - done.count - chunksFailed;
}

/** How long an open submission still takes, or why nobody can say. */
export function leftOf(
  submission: SubmissionSight,
  standing: Standing,
  nowMs: number,
): { readonly ms: Quantiles; readonly unknown: null } | { readonly ms: null; readonly unknown: LeftUnknown } {
  const tally = submissionTallyOf(submission);
  const unknown = whyUnknown(submission, tally, standing, nowMs);
  if (unknown !== null || tally === null) return { ms: null, unknown: unknown ?? 'few_done' };
  return { ms: timeLeft(tally, chunksLeft(submission), nowMs, standing.stops), unknown: null };
}

function whyUnknown(
  { isWithheld, control, chunksReserved, chunksDelayed, chunksAvailable }: SubmissionSight,
  tally: SubmissionTally | null,
  { isPaused, isHeld, consumers }: Standing,
  nowMs: number,
): LeftUnknown | null {
  if (isWithheld) return control.pauses.length > 0 ? 'paused' : 'not_started';
  if (isPaused) return 'queue_paused';
  if (isHeld) return 'store_stuck';
  if (chunksReserved === 0) {
    if (consumers === 0) return 'no_consumers';
    if (chunksDelayed > 0 && chunksAvailable === 0) return 'all_delayed';
    if ((tally?.doneOfLate.count(nowMs, MINUTE) ?? 0) < 1) return 'stands_still';
  }
  return tally === null || tally.done < SAMPLES_MIN ? 'few_done' : null;
}

/**
 * How long so many chunks take from now on: as likely more as less (p50), at the pace of the last minute; and in nine cases of
 * ten less than that (p90), at the slowest of what that pace may be by chance, of the last ten seconds and of all the time, and
 * with the longest of the last chunks. The time in which it stood still does not count; where it has been going on for some seconds
 * only, or chunks take minutes, the pace is that of all the time.
 *
 * @param tally of at least twenty chunks
 */
export function timeLeft(
  tally: SubmissionTally,
  chunksLeft: number,
  nowMs: number,
  stops: Stops | null = null,
): Quantiles {
  const done60 = tally.doneOfLate.count(nowMs, MINUTE);
  const ran = (periodMs: number) => {
    const fromMs = begunMs(tally, nowMs - periodMs);
    return { forMs: nowMs - fromMs, runningMs: runningMs(fromMs, nowMs, [tally.stops, stops]) };
  };
  const all = ran(Number.POSITIVE_INFINITY);
  const minute = ran(MINUTE);
  const isOfLate = done60 >= 1 && (minute.runningMs >= TEN_SECONDS_MS || minute.runningMs === minute.forMs);
  const done = isOfLate ? done60 : tally.done;
  const doneMs = Math.max(1_000, isOfLate ? minute.runningMs : all.runningMs);
  const { spans } = tally;
  const { meanMs, variation } = spans?.moments() ?? { meanMs: 0, variation: 1 };
  const usual = done / doneMs;
  const sure = Math.max(done - DEVIATIONS * Math.max(1, variation) * Math.sqrt(done), done / 10);
  const latest = ran(TEN_SECONDS_MS);
  const ofLate =
    latest.runningMs < latest.forMs
      ? usual
      : tally.doneOfLate.count(nowMs, TEN_SECONDS_MS) / Math.max(1_000, latest.runningMs);
  const slow = Math.min(
    sure / doneMs,
    Math.max(ofLate, usual / 2),
    tally.done / Math.max(1_000, all.runningMs),
  );
  // Chunks in flight at the end: the longest one of these ends it.
  const last = Math.max(1, Math.min(chunksLeft, usual * meanMs));
  const longest = (share: number) => spans?.quantile(1 - share / last) ?? 0;
  const p50 = chunksLeft / usual + longest(0.5) / 2;
  return { p50: Math.round(p50), p90: Math.round(Math.max(p50, chunksLeft / slow + longest(0.1))) };
}

/** When its first chunk was begun, or then if that is later; on the monotonic clock. */
function begunMs({ firstDoneMs, firstTookMs }: SubmissionTally, fromMs: number): number {
  return firstDoneMs === null ? fromMs : Math.max(fromMs, firstDoneMs - firstTookMs);
}
