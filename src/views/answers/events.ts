import type { SubmissionId } from '../../model/ids.ts';
import { listedQueue } from '../../model/queue-name.ts';
import type { EventKind, EventRow, EventsAnswer } from '../../protocol/api/events.ts';
import { iso, type Sources } from '../sources.ts';
import type { Occurrence } from '../tallies/occurrences.ts';

export interface EventsQuery {
  readonly queue: string | null;
  readonly after: number | null;
  readonly kind: readonly EventKind[];
  readonly submission: SubmissionId | null;
  readonly limit: number;
}

/** Events after that one which match, the oldest first. Not a view: everybody stands somewhere else. */
export function eventsAfter(
  { watcher }: Sources,
  query: EventsQuery,
): Omit<EventsAnswer, 'as_of' | 'age_ms'> {
  const { ring } = watcher.occurrences;
  const { firstSeq, lastSeq } = ring;
  // A number of an earlier life of the server is above all that there are.
  const after = query.after === null || query.after > lastSeq ? firstSeq - 1 : query.after;
  const items: EventRow[] = [];
  let seq = Math.max(after + 1, firstSeq);
  for (; seq <= lastSeq && items.length < query.limit; seq++) {
    const occurrence = ring.at(seq);
    if (occurrence !== undefined && matches(occurrence, query)) items.push(eventRow(seq, occurrence));
  }
  return { matched: null, next: String(seq - 1), missed: Math.max(0, firstSeq - 1 - after), items };
}

function matches({ kind, queue, submissionId }: Occurrence, query: EventsQuery): boolean {
  if (query.kind.length > 0 && !query.kind.includes(kind)) return false;
  if (query.queue !== null && queue !== query.queue) return false;
  return query.submission === null || submissionId === query.submission;
}

function eventRow(seq: number, occurrence: Occurrence): EventRow {
  const { kind, atMs, queue, submissionId, connId, by, text } = occurrence;
  return {
    seq,
    at: iso(atMs),
    kind,
    queue: queue === null ? null : listedQueue(queue),
    submission: submissionId === null ? null : String(submissionId),
    conn_id: connId,
    by,
    text,
  };
}
