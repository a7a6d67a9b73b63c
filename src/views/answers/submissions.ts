import { ProtocolError } from '../../model/errors.ts';
import { type SubmissionId, submissionIdTimeMs } from '../../model/ids.ts';
import type { List } from '../../protocol/api/lists.ts';
import type { SubmissionFilter, SubmissionItem, SubmissionSort } from '../../protocol/api/submissions.ts';
import { openStateOf } from '../../queue/verbs/open-state.ts';
import type { Listed, ScheduleSight, SubmissionSight } from '../../scheduler/sight.ts';
import { SortedMap } from '../../system/sorted-map.ts';
import { fingerprintOf } from '../fingerprint.ts';
import { type Computation, ofEach } from '../frames.ts';
import { lastingSince, Page } from '../page.ts';
import { queuesOf, rounded, type Sources, STRIDE } from '../sources.ts';
import { submissionTallyOf } from '../tallies/tallies.ts';
import { isFailing, oldestHeldMs, openItem } from './submission-item.ts';
import { leftOf, rateOf, type Standing, standingOf } from './time-left.ts';

export interface SubmissionsQuery {
  readonly queue: string | null;
  readonly state: SubmissionFilter;
  readonly meta: ReadonlyMap<string, bigint>;
  readonly prefix: string | null;
  readonly prefix_starts: string | null;
  readonly inserted_before: number | null;
  readonly inserted_after: number | null;
  readonly ended_before: number | null;
  readonly ended_after: number | null;
  readonly failure: string | null;
  readonly sort: SubmissionSort;
  readonly order: 'asc' | 'desc';
  readonly limit: number;
  readonly cursor: string | null;
}

export type SubmissionRows = Omit<List<SubmissionItem>, 'as_of' | 'age_ms'>;

/** Those with the failure that a query names; null: it names none. */
export type Failed = ReadonlySet<SubmissionId> | null;

/** Open submissions that match, a page of them. */
export function* openList(
  sources: Sources,
  query: SubmissionsQuery,
  failed: Failed = null,
): Computation<SubmissionRows> {
  const page = new Page<{ readonly submission: SubmissionSight; readonly standing: Standing }>(
    query,
    query.sort === 'inserted',
  );
  if (query.ended_before !== null || query.ended_after !== null) {
    throw new ProtocolError(
      'state',
      'state: ended_before and ended_after are for submissions that have ended',
    );
  }
  const nowMs = sources.clock.monotonicMs();
  let looked = 0;
  for (const sight of queuesOf(sources, query.queue)) {
    const { schedule } = sight;
    const standing = standingOf(sources, sight);
    const candidates = candidatesOf(schedule, query.meta);
    // They come in the order of the list: once enough of them have come, the others are only counted.
    const isInOrder = query.sort === 'inserted';
    const begun = looked;
    let taken = 0;
    for (const submission of isInOrder && query.order === 'desc'
      ? candidates.descending()
      : candidates.values()) {
      if (++looked % STRIDE === 0) yield;
      if (!matches(submission, query, standing.isPaused, nowMs)) continue;
      const { id } = submission.record;
      if (failed !== null && !failed.has(id)) continue;
      if (taken <= query.limit || !isInOrder) {
        const value = sortValue(sources, submission, standing, query.sort, nowMs);
        if (page.add(value, String(id), { submission, standing })) taken++;
      } else if (isFiltered(query)) page.addBeyond(1);
      else {
        page.addBeyond(Math.max(1, candidates.size - (looked - begun) + 1));
        break;
      }
    }
  }
  const { matched, next, rows } = page.finish();
  const items = yield* ofEach(rows, ({ submission, standing }) =>
    openItem(sources, submission, standing, nowMs),
  );
  return { matched, next, items };
}

/** Submissions of which a try failed so, of those that are remembered. */
export function* submissionsWith(
  { watcher }: Sources,
  fingerprint: string,
): Computation<ReadonlySet<SubmissionId>> {
  const { ring } = watcher.failures;
  const found = new Set<SubmissionId>();
  for (let seq = ring.firstSeq; seq <= ring.lastSeq; seq++) {
    const failure = ring.at(seq);
    if (failure !== undefined && fingerprintOf(failure).id === fingerprint) found.add(failure.submissionId);
    yield;
  }
  return found;
}

/** Whether some open submissions do not match. */
function isFiltered(query: SubmissionsQuery): boolean {
  const { state, meta, prefix, prefix_starts: starts, failure } = query;
  const { inserted_before: before, inserted_after: after } = query;
  return (
    state !== 'open' ||
    meta.size > 0 ||
    [prefix, starts, before, after, failure].some((each) => each !== null)
  );
}

const NONE = new SortedMap<never>();

/** Those that carry the rarest of the pairs, where there are pairs. */
export function candidatesOf<Peer>(
  { submissions, metadata }: ScheduleSight<Peer>,
  pairs: ReadonlyMap<string, bigint>,
): Listed<SubmissionSight<Peer>> {
  let rarest = submissions;
  for (const [key, value] of pairs) {
    const carriers = metadata.key(key)?.values.get(value)?.carriers;
    if (carriers === undefined) return NONE;
    if (carriers.size < rarest.size) rarest = carriers;
  }
  return rarest;
}

export function matches(
  submission: SubmissionSight,
  query: SubmissionsQuery,
  isPaused: boolean,
  nowMs: number,
): boolean {
  const { id, prefix, strategicMetadata } = submission.record;
  switch (query.state) {
    case 'open':
    case 'all':
      break;
    case 'failing':
      if (!isFailing(submission, nowMs)) return false;
      break;
    default:
      if (openStateOf(submission, isPaused) !== query.state) return false;
  }
  return matchesRecord(id, prefix, strategicMetadata, query);
}

export function matchesRecord(
  id: SubmissionId,
  prefix: string | null,
  pairs: ReadonlyMap<string, bigint>,
  query: SubmissionsQuery,
): boolean {
  if (query.prefix !== null && prefix !== query.prefix) return false;
  if (query.prefix_starts !== null && prefix?.startsWith(query.prefix_starts) !== true) return false;
  for (const [key, value] of query.meta) if (pairs.get(key) !== value) return false;
  const { inserted_before: before, inserted_after: after } = query;
  if (before === null && after === null) return true;
  const insertedMs = submissionIdTimeMs(id);
  return insertedMs < (before ?? Number.POSITIVE_INFINITY) && insertedMs > (after ?? -1);
}

/** As the item shows it: see `itemSortValue`. */
function sortValue(
  { unixMs }: Sources,
  submission: SubmissionSight,
  standing: Standing,
  sort: SubmissionSort,
  nowMs: number,
): number {
  const tally = submissionTallyOf(submission);
  switch (sort) {
    case 'inserted':
      return submissionIdTimeMs(submission.record.id);
    case 'left':
      return leftOf(submission, standing, nowMs).ms?.p50 ?? Number.POSITIVE_INFINITY;
    case 'done':
      return submission.done.count / submission.record.chunksTotal;
    case 'waiting':
      return standing.isPaused ? 0 : submission.chunksAvailable;
    case 'rate':
      return rounded(rateOf(tally, nowMs));
    case 'tries':
      return tally?.setBack ?? 0;
    case 'oldest_held': {
      const sinceMs = oldestHeldMs(submission);
      return sinceMs === null ? Number.NEGATIVE_INFINITY : -unixMs(sinceMs);
    }
  }
}

/** What an open submission is sorted by, of its item alone. */
export function itemSortValue(
  { id, chunks, rate, left_ms: leftMs, set_back: setBack, oldest_held_since: oldestHeld }: SubmissionItem,
  sort: SubmissionSort,
): number {
  switch (sort) {
    case 'inserted':
      return submissionIdTimeMs(BigInt(id));
    case 'left':
      return leftMs?.p50 ?? Number.POSITIVE_INFINITY;
    case 'done':
      return chunks.done / chunks.total;
    case 'waiting':
      return chunks.waiting;
    case 'rate':
      return rate;
    case 'tries':
      return setBack ?? 0;
    case 'oldest_held':
      return lastingSince(oldestHeld);
  }
}
