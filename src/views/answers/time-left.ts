import type { Quantiles } from '../../protocol/api/lists.ts';
import type { SubmissionTally } from '../tallies/tallies.ts';

/** Below, nothing is said: a bad estimate is worse than none. */
export const SAMPLES_MIN = 20;
const MINUTE_MS = 60_000;
const TEN_SECONDS_MS = 10_000;
/** How far a count lies below its mean, in standard deviations, in one case of ten. */
const DEVIATIONS = 1.28;

/** Chunks per second, over the last minute or since the first one. */
export function rateOf(tally: SubmissionTally | null, nowMs: number): number {
  return tally === null ? 0 : perMs(tally, tally.doneOfLate.count(nowMs, MINUTE_MS), MINUTE_MS, nowMs) * 1000;
}

/**
 * How long so many chunks take from now on, at the pace of the last minute: as likely more as less (p50), and in nine cases
 * of ten less than that (p90), with the last chunk's own duration. null: too few are done to say.
 */
export function timeLeft(tally: SubmissionTally | null, chunksLeft: number, nowMs: number): Quantiles | null {
  if (tally === null || tally.done < SAMPLES_MIN) return null;
  const done60 = tally.doneOfLate.count(nowMs, MINUTE_MS);
  if (done60 < 1) return null;
  const usual = perMs(tally, done60, MINUTE_MS, nowMs);
  const sure = Math.max(done60 - DEVIATIONS * Math.sqrt(done60), done60 / 10);
  const ofLate = perMs(tally, tally.doneOfLate.count(nowMs, TEN_SECONDS_MS), TEN_SECONDS_MS, nowMs);
  const slow = Math.min(perMs(tally, sure, MINUTE_MS, nowMs), Math.max(ofLate, usual / 2));
  const p50 = chunksLeft / usual;
  const lastChunkMs = tally.spans?.quantile(0.9) ?? 0;
  return { p50: Math.round(p50), p90: Math.round(Math.max(p50, chunksLeft / slow) + lastChunkMs) };
}

function perMs({ firstDoneMs }: SubmissionTally, count: number, periodMs: number, nowMs: number): number {
  const sinceMs = firstDoneMs === null ? periodMs : Math.max(1_000, nowMs - firstDoneMs);
  return count / Math.min(periodMs, sinceMs);
}
