import type { LongSubmission, Overview } from '../../protocol/api/overview.ts';
import type { QueueSight } from '../../queue/queue.ts';
import type { Computation } from '../frames.ts';
import { most, type Sources, STRIDE } from '../sources.ts';
import { namedSubmission } from './known-by.ts';
import { leftOf, standingOf } from './time-left.ts';

/** Submissions that are looked at: more would take more of the queue's time than the rest of the overview. */
const LOOKED_MAX = 2_000;
export const LONGEST_MAX = 5;
const MINUTE_S = 60;
const SECOND_MS = 1_000;

type Left = Pick<Overview, 'left_ms' | 'longest_left'>;

/** How long what is open still takes. */
export function* leftOfAll(sources: Sources, queues: readonly QueueSight[]): Computation<Left> {
  const { clock, sampler } = sources;
  const nowMs = clock.monotonicMs();
  const longest: LongSubmission[] = [];
  let leftMs: number | null = null;
  let looked = 0;
  for (const sight of queues) {
    const { name, counts, schedule } = sight;
    const standing = standingOf(sources, sight);
    const perSecond = sampler.pace(name)?.mean('done', MINUTE_S) ?? 0;
    const chunks = counts.chunksInBacklog - counts.chunksPaused;
    if (chunks > 0 && perSecond > 0 && !standing.isPaused && !standing.isHeld) {
      leftMs = most(leftMs, Math.round((chunks / perSecond) * SECOND_MS));
    }
    for (const submission of schedule.submissions.values()) {
      if (looked === LOOKED_MAX) break;
      if (++looked % STRIDE === 0) yield;
      const { ms } = leftOf(submission, standing, nowMs);
      if (ms === null) continue;
      const { record } = submission;
      longest.push({ ...namedSubmission({ ...record, metadata: record.strategicMetadata }), left_ms: ms });
      if (longest.length >= 10 * LONGEST_MAX) longest.splice(0, longest.length, ...longestOf(longest));
    }
  }
  return { left_ms: leftMs, longest_left: longestOf(longest) };
}

/** The longest first; of those that take equally long, the oldest. */
export function longestOf(all: readonly LongSubmission[]): LongSubmission[] {
  return all
    .toSorted((a, b) => b.left_ms.p50 - a.left_ms.p50 || (BigInt(a.id) < BigInt(b.id) ? -1 : 1))
    .slice(0, LONGEST_MAX);
}
