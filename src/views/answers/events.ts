import type { SubmissionId } from '../../model/ids.ts';
import { listedQueue } from '../../model/queue-name.ts';
import type { EventKind, EventRow } from '../../protocol/api/events.ts';
import { iso, type Sources } from '../sources.ts';
import type { Occurrence } from '../tallies/occurrences.ts';

export interface EventsQuery {
  readonly queue: string | null;
  /** Up to which number the reader has seen them; null: none. */
  readonly after: number | null;
  readonly kind: readonly EventKind[];
  readonly submission: SubmissionId | null;
  readonly take: 'next' | 'latest';
  readonly limit: number;
}

/** Events of one server. */
export interface OwnEvents {
  readonly items: readonly EventRow[];
  /** Up to which number the reader has seen them then. */
  readonly seen: number;
  readonly missed: number;
}

/** Events after that one which match, the oldest first. Not a view: everybody stands somewhere else. */
export function eventsAfter({ watcher }: Sources, query: EventsQuery): OwnEvents {
  const { ring } = watcher.occurrences;
  const { firstSeq, lastSeq } = ring;
  const after = query.after ?? firstSeq - 1;
  const forgotten = Math.max(0, firstSeq - 1 - after);
  const items: EventRow[] = [];
  const isLatest = query.take === 'latest';
  let skipped = 0;
  const from = Math.max(after + 1, firstSeq);
  for (let i = 0; i <= lastSeq - from; i++) {
    const seq = isLatest ? lastSeq - i : from + i;
    const occurrence = ring.at(seq);
    if (occurrence === undefined || !matches(occurrence, query)) continue;
    if (items.length < query.limit) items.push(eventRow(seq, occurrence));
    else if (isLatest && query.after !== null) skipped++;
    else break;
  }
  if (isLatest) return { items: items.reverse(), seen: lastSeq, missed: forgotten + skipped };
  const seen = items.length < query.limit ? lastSeq : items.at(-1)!.seq;
  return { items, seen, missed: forgotten };
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
