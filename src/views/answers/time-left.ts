import type { Quantiles } from '../../protocol/api/lists.ts';
import { SAMPLES_MIN, type SubmissionTally } from '../tallies/tallies.ts';

const MINUTE_MS = 60_000;
const TEN_SECONDS_MS = 10_000;
/** How far a count lies below its mean, in standard deviations, in one case of ten. */
const DEVIATIONS = 1.28;

/** Chunks per second, over that time or since the first one. */
export function rateOf(tally: SubmissionTally | null, nowMs: number, periodMs = MINUTE_MS): number {
  return tally === null ? 0 : perMs(tally, tally.doneOfLate.count(nowMs, periodMs), periodMs, nowMs) * 1000;
}

/**
 * How long so many chunks take from now on: as likely more as less (p50), at the pace of the last minute; and in nine cases of
 * ten less than that (p90), at the slowest of what that pace may be by chance, of the last ten seconds and of all the time, and
 * with the longest of the last chunks. null: too few are done to say.
 */
export function timeLeft(tally: SubmissionTally | null, chunksLeft: number, nowMs: number): Quantiles | null {
  if (tally === null || tally.done < SAMPLES_MIN) return null;
  const done60 = tally.doneOfLate.count(nowMs, MINUTE_MS);
  if (done60 < 1) return null;
  const { spans } = tally;
  const { meanMs, variation } = spans?.moments() ?? { meanMs: 0, variation: 1 };
  const usual = perMs(tally, done60, MINUTE_MS, nowMs);
  const sure = Math.max(done60 - DEVIATIONS * Math.max(1, variation) * Math.sqrt(done60), done60 / 10);
  const ofLate = perMs(tally, tally.doneOfLate.count(nowMs, TEN_SECONDS_MS), TEN_SECONDS_MS, nowMs);
  const slow = Math.min(
    perMs(tally, sure, MINUTE_MS, nowMs),
    Math.max(ofLate, usual / 2),
    perMs(tally, tally.done, Number.POSITIVE_INFINITY, nowMs),
  );
  // Chunks in flight at the end: the longest one of these ends it.
  const last = Math.max(1, Math.min(chunksLeft, usual * meanMs));
  const longest = (share: number) => spans?.quantile(1 - share / last) ?? 0;
  const p50 = chunksLeft / usual + longest(0.5) / 2;
  return { p50: Math.round(p50), p90: Math.round(Math.max(p50, chunksLeft / slow + longest(0.1))) };
}

/** Since the first chunk was begun, or over that time. */
function perMs(
  { firstDoneMs, firstTookMs }: SubmissionTally,
  count: number,
  periodMs: number,
  nowMs: number,
): number {
  const sinceMs = firstDoneMs === null ? periodMs : Math.max(1_000, nowMs - firstDoneMs + firstTookMs);
  return count / Math.min(periodMs, sinceMs);
}
