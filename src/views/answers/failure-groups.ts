import type { SubmissionId } from '../../model/ids.ts';
import { listedQueue } from '../../model/queue-name.ts';
import type { FailureCause, FailureGroup, FailureRow, PairCount } from '../../protocol/api/failures.ts';
import type { List } from '../../protocol/api/lists.ts';
import { type Fingerprint, fingerprintOf } from '../fingerprint.ts';
import type { Computation } from '../frames.ts';
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
/** Each takes some microseconds. */
const STRIDE = 16;

/** Failures that are remembered, grouped or one by one, the latest first. */
export function* failures(
  sources: Sources,
  query: FailuresQuery,
): Computation<Omit<List<FailureGroup | FailureRow>, 'as_of' | 'age_ms'>> {
  if (query.group === 'none') {
    const page = new Page<FailedTry>({ ...query, order: 'desc', sort: 'at' }, true);
    for (const [seq, failure] of matching(sources, query)) {
      if (seq % STRIDE === 0) yield;
      const { atMs, submissionId, chunkIndex } = failure;
      page.add(atMs, failureId(String(submissionId), chunkIndex), failure);
    }
    const { matched, next, rows } = page.finish();
    return { matched, next, items: rows.map(failureRow) };
  }
  return failureGroupsPage(yield* grouped(matching(sources, query)), query);
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

/** Of one submission, those with most failures first. */
export function* failuresOf(sources: Sources, id: SubmissionId, max: number): Computation<FailureGroup[]> {
  const query = {
    queue: null,
    submission: id,
    meta: new Map(),
    consumer: null,
    cause: null,
    fingerprint: null,
  };
  const groups = yield* grouped(matching(sources, query));
  return groups.sort((a, b) => b.count - a.count).slice(0, max);
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

function* grouped(failures: Iterable<readonly [number, FailedTry]>): Computation<FailureGroup[]> {
  const groups = new Map<string, Gathered>();
  for (const [seq, failure] of failures) {
    if (seq % STRIDE === 0) yield;
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

/** The oldest first. */
function* matching(
  { watcher }: Sources,
  query: Omit<FailuresQuery, 'group' | 'limit' | 'cursor'>,
): Generator<readonly [number, FailedTry], void> {
  const { ring } = watcher.failures;
  for (let seq = ring.firstSeq; seq <= ring.lastSeq; seq++) {
    const failure = ring.at(seq);
    if (failure === undefined) continue;
    if (query.queue !== null && failure.queue !== query.queue) continue;
    if (query.submission !== null && failure.submissionId !== query.submission) continue;
    if (query.consumer !== null && failure.connId !== query.consumer) continue;
    if (query.cause !== null && failure.cause !== query.cause) continue;
    if (query.fingerprint !== null && fingerprintOf(failure).id !== query.fingerprint) continue;
    if (![...query.meta].every(([key, value]) => failure.metadata.get(key) === value)) continue;
    yield [seq, failure];
  }
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
    text: failure.text,
  };
}
