import { SubmissionNotFoundError } from '../../model/errors.ts';
import type { SubmissionId } from '../../model/ids.ts';
import type { ConsumerPeer } from '../../queue/peer.ts';
import type { SubmissionSight } from '../../scheduler/sight.ts';
import type { StoredSubmission } from '../../store/store.ts';
import { queuesOf, type Sources } from '../sources.ts';

/** On the schedule; undefined: it is not, or not in that queue. */
export function openSubmission(
  sources: Sources,
  id: SubmissionId,
  queue: string | null,
): SubmissionSight<ConsumerPeer> | undefined {
  for (const { schedule } of queuesOf(sources, queue)) {
    const found = schedule.submissions.get(id);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** @throws SubmissionNotFoundError */
export async function storedSubmission(
  { queue: { reads } }: Sources,
  id: SubmissionId,
  queue: string | null,
): Promise<StoredSubmission> {
  const stored = await reads.stored(id);
  if (stored === null) throw new SubmissionNotFoundError(id);
  if (queue !== null && stored.record.queue !== queue)
    throw new SubmissionNotFoundError(id, stored.record.queue);
  return stored;
}
