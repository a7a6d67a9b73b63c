import { SAMPLES_MIN, type SubmissionTally } from '../tallies/tallies.ts';

/** A chunk that is held for so many times what nine of ten take, and for so long at least, is a straggler. */
const TIMES = 3;
const STRAGGLER_MS_MIN = 10_000;

/** Infinity while too few chunks of the submission are done to say. */
export function stragglerAfterMs(tally: SubmissionTally | null): number {
  const spans = tally?.spans ?? null;
  if (tally === null || spans === null || tally.done < SAMPLES_MIN) return Number.POSITIVE_INFINITY;
  return Math.max(STRAGGLER_MS_MIN, TIMES * spans.quantile(0.9));
}
