import type { SubmissionId } from '../../model/ids.ts';
import { listedQueue } from '../../model/queue-name.ts';
import type {
  FailureCause,
  FailureGroup,
  FailureRow,
  FailuresAnswer,
  PairCount,
} from '../../protocol/api/failures.ts';
import type { SubmissionAnswer } from '../../protocol/api/submissions.ts';
import { type Fingerprint, fingerprintOf, gistOf } from '../fingerprint.ts';
import { type Computation, ofEach } from '../frames.ts';
import { Page } from '../page.ts';
import { iso, type Sources } from '../sources.ts';
import type { FailedTry } from '../tallies/failures.ts';

export interface FailuresQuery {
  readonly queue: string | null;
  readonly submission: SubmissionId | null;
  readonly meta: ReadonlyMap<string, bigint>;
  readonly consumer: string | null;
  readonly cause: FailureCause | null;
  readonly fingerprint: string | null;
  readonly group: 'fingerprint' | 'none';
  readonly limit: number;
  readonly cursor: string | null;
}

/** Pairs of metadata that a group names. */
const PAIRS_MAX = 8;

type Filter = Omit<FailuresQuery, 'group' | 'limit' | 'cursor'>;

/** Failures that are remembered, grouped or one by one, the latest first. */
export function* failures(
  sources: Sources,
  query: FailuresQuery,
): Computation<Omit<FailuresAnswer, 'as_of' | 'age_ms'>> {
  const { cutAtMs } = sources.watcher.failures;
  const known = { since: iso(cutAtMs ?? sources.sinceMs), forgotten: cutAtMs !== null };
  if (query.group === 'none') {
    const page = new Page<FailedTry>({ ...query, order: 'desc', sort: 'at' }, true);
    for (const failure of matching(sources, query)) {
      yield;
      if (failure === null) continue;
      const { atMs, submissionId, chunkIndex } = failure;
      page.add(atMs, failureId(String(submissionId), chunkIndex), failure);
    }
    const { matched, next, rows } = page.finish();
    return { ...known, matched, next, items: yield* ofEach(rows, failureRow) };
  }
  return { ...known, ...failureGroupsPage(yield* grouped(matching(sources, query)), query) };
}

export function failureGroupsPage(groups: Iterable<FailureGroup>, query: FailuresQuery) {
  const page = new Page<FailureGroup>({ ...query, order: 'desc', sort: 'count' }, false);
  for (const group of groups) page.add(group.count, group.fingerprint, group);
  const { matched, next, rows } = page.finish();
  return { matched, next, items: rows };
}

/** Tells failures of the same millisecond apart, on whichever node they were. */
export function failureId(submission: string, chunk: number): string {
  return `${submission} ${chunk}`;
}

/**
 * Of one submission, those with most failures first.
 *
 * @param setBack as often as its tries failed; null: nobody knows
 */
export function* failuresOf(
  sources: Sources,
  id: SubmissionId,
  setBack: number | null,
  max: number,
): Computation<Pick<SubmissionAnswer, 'failures' | 'failures_since'>> {
  const query = {
    queue: null,
    submission: id,
    meta: new Map(),
    consumer: null,
    cause: null,
    fingerprint: null,
  };
  const groups = yield* grouped(matching(sources, query));
  const { cutAtMs } = sources.watcher.failures;
  const areAll = cutAtMs === null || groups.reduce((sum, { count }) => sum + count, 0) === setBack;
  return {
    failures: groups.sort((a, b) => b.count - a.count).slice(0, max),
    failures_since: areAll ? null : iso(cutAtMs),
  };
}

interface Gathered {
  readonly fingerprint: Fingerprint;
  readonly first: FailedTry;
  last: FailedTry;
  count: number;
  readonly submissions: Set<SubmissionId>;
  readonly consumers: Set<string>;
  readonly pairs: PairCounts;
}

function* grouped(failures: Iterable<FailedTry | null>): Computation<FailureGroup[]> {
  const groups = new Map<string, Gathered>();
  for (const failure of failures) {
    yield;
    if (failure === null) continue;
    const fingerprint = fingerprintOf(failure);
    let group = groups.get(fingerprint.id);
    if (group === undefined) {
      const none = { count: 0, submissions: new Set<SubmissionId>(), consumers: new Set<string>() };
      group = { ...none, pairs: new Map(), fingerprint, first: failure, last: failure };
      groups.set(fingerprint.id, group);
    }
    group.count++;
    group.last = failure;
    group.submissions.add(failure.submissionId);
    group.consumers.add(failure.connId);
    for (const [key, value] of failure.metadata) addPair(group.pairs, key, String(value), 1);
  }
  return Array.from(groups.values(), (group) => ({
    fingerprint: group.fingerprint.id,
    title: group.fingerprint.title,
    cause: group.last.cause,
    count: group.count,
    submissions: group.submissions.size,
    consumers: group.consumers.size,
    metadata: commonest(group.pairs),
    first: iso(group.first.atMs),
    last: iso(group.last.atMs),
    example: failureRow(group.last),
  }));
}

/** Pairs of metadata with how often they occur, by `key:value`. */
export type PairCounts = Map<string, PairCount>;

export function addPair(pairs: PairCounts, key: string, value: string, count: number): void {
  const pair = `${key}:${value}`;
  pairs.set(pair, { key, value, count: count + (pairs.get(pair)?.count ?? 0) });
}

export function commonest(pairs: PairCounts): PairCount[] {
  return [...pairs]
    .sort(([a, { count: countA }], [b, { count: countB }]) => countB - countA || (a < b ? -1 : 1))
    .slice(0, PAIRS_MAX)
    .map(([, counted]) => counted);
}

/** The oldest first; null for each that does not match, since that takes time as well: a fingerprint up to a millisecond. */
function* matching({ watcher }: Sources, query: Filter): Generator<FailedTry | null, void> {
  const { ring } = watcher.failures;
  for (let seq = ring.firstSeq; seq <= ring.lastSeq; seq++) {
    const failure = ring.at(seq);
    yield failure !== undefined && matches(failure, query) ? failure : null;
  }
}

function matches(failure: FailedTry, query: Filter): boolean {
  if (query.queue !== null && failure.queue !== query.queue) return false;
  if (query.submission !== null && failure.submissionId !== query.submission) return false;
  if (query.consumer !== null && failure.connId !== query.consumer) return false;
  if (query.cause !== null && failure.cause !== query.cause) return false;
  if (![...query.meta].every(([key, value]) => failure.metadata.get(key) === value)) return false;
  return query.fingerprint === null || fingerprintOf(failure).id === query.fingerprint;
}

export function failureRow(failure: FailedTry): FailureRow {
  return {
    at: iso(failure.atMs),
    submission: String(failure.submissionId),
    queue: listedQueue(failure.queue),
    chunk: failure.chunkIndex,
    conn_id: failure.connId,
    cause: failure.cause,
    fatal: failure.isFatal,
    took_ms: Math.round(failure.tookMs),
    fingerprint: fingerprintOf(failure).id,
    gist: gistOf(failure.text),
    text: failure.text,
  };
}
