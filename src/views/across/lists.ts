import type { ConsumerGroup, ConsumerRow } from '../../protocol/api/consumers.ts';
import type { FailureGroup, FailureRow, FailuresAnswer, PairCount } from '../../protocol/api/failures.ts';
import type { Frame, List } from '../../protocol/api/lists.ts';
import type { SubmissionItem } from '../../protocol/api/submissions.ts';
import type { KeyRow, ValueRow, ValueSort, ValuesAnswer } from '../../protocol/api/values.ts';
import {
  addTo,
  type ConsumerGroups,
  type ConsumersQuery,
  groupsPage,
  sortValue,
} from '../answers/consumers.ts';
import {
  addPair,
  commonest,
  type FailuresQuery,
  failureGroupsPage,
  failureId,
  type PairCounts,
} from '../answers/failure-groups.ts';
import { itemSortValue, type SubmissionsQuery } from '../answers/submissions.ts';
import { type KeysQuery, keysPage, type ValuesQuery } from '../answers/values.ts';
import { DEPTH_MAX, Page, type PageQuery } from '../page.ts';
import { rounded } from '../sources.ts';

type Content<Answer extends Frame> = Omit<Answer, 'as_of' | 'age_ms'>;
type Rows<Row> = Content<List<Row>>;
type Parts<Row> = readonly Rows<Row>[];

/** A node that is asked for groups gives all that it has, up to this many: what is in several is put together before they are sorted. */
export const WHOLE = { cursor: null, limit: DEPTH_MAX } as const;

/** Whether nodes are asked for the page that is wanted; if not, for all that they have. */
export function isPaged(query: Pick<FailuresQuery | ConsumersQuery, 'group'>): boolean {
  return query.group === 'none';
}

export function mergeSubmissions(
  parts: Parts<SubmissionItem>,
  query: SubmissionsQuery,
): Rows<SubmissionItem> {
  return joined(parts, query, query.sort === 'inserted', (item) => [
    itemSortValue(item, query.sort),
    item.id,
  ]);
}

export function mergeConsumers(
  parts: Parts<ConsumerRow | ConsumerGroup>,
  query: ConsumersQuery,
): Rows<ConsumerRow | ConsumerGroup> {
  if (isPaged(query)) {
    return joined(parts as Parts<ConsumerRow>, query, query.sort === 'since', (item) => [
      sortValue(item, query.sort),
      item.conn_id,
    ]);
  }
  const groups: ConsumerGroups = new Map();
  for (const { items } of parts as Parts<ConsumerGroup>) for (const group of items) addTo(groups, group);
  return { ...groupsPage(groups, query), ...counted(parts, groups.size) };
}

export function mergeFailures(
  parts: readonly Content<FailuresAnswer>[],
  query: FailuresQuery,
): Content<FailuresAnswer> {
  // All are known only since the last of these times.
  const since = parts
    .map((part) => part.since)
    .sort()
    .at(-1)!;
  const known = { since, forgotten: parts.some((part) => part.forgotten) };
  if (isPaged(query)) {
    const page = { ...query, sort: 'at', order: 'desc' } as const;
    const rows = joined(parts as Parts<FailureRow>, page, true, ({ at, submission, chunk }) => [
      Date.parse(at),
      failureId(submission, chunk),
    ]);
    return { ...known, ...rows };
  }
  const groups = new Map<string, FailureGroup>();
  for (const { items } of parts as Parts<FailureGroup>) {
    for (const group of items) {
      const known = groups.get(group.fingerprint);
      groups.set(group.fingerprint, known === undefined ? group : bothGroups(known, group));
    }
  }
  return { ...known, ...failureGroupsPage(groups.values(), query), ...counted(parts, groups.size) };
}

/** No submission or consumer is on two nodes. */
function bothGroups(a: FailureGroup, b: FailureGroup): FailureGroup {
  const earlier = a.first < b.first ? a : b;
  return {
    ...(b.last > a.last ? b : a),
    count: a.count + b.count,
    submissions: a.submissions + b.submissions,
    consumers: a.consumers + b.consumers,
    metadata: bothPairs(a.metadata, b.metadata),
    first: earlier.first,
  };
}

function bothPairs(a: readonly PairCount[], b: readonly PairCount[]): PairCount[] {
  const pairs: PairCounts = new Map();
  for (const { key, value, count } of [...a, ...b]) addPair(pairs, key, value, count);
  return commonest(pairs);
}

export function mergeKeys(parts: Parts<KeyRow>, query: KeysQuery): Rows<KeyRow> {
  const keys = new Map<string, number>();
  for (const { items } of parts) {
    for (const { key, values } of items) keys.set(key, Math.max(keys.get(key) ?? 0, values));
  }
  return { ...keysPage(keys, query), ...counted(parts, keys.size) };
}

interface Merged {
  readonly row: ValueRow;
  /** Of the oldest submission, in Unix milliseconds. */
  readonly oldestMs: number;
}

/** @param parts each as of its own moment */
export function mergeValues(parts: readonly ValuesAnswer[], query: ValuesQuery): Content<ValuesAnswer> {
  const merged = new Map<string, Merged>();
  for (const { as_of: asOf, items } of parts) {
    for (const row of items) {
      const of = { row, oldestMs: Date.parse(asOf) - row.oldest_ms };
      const known = merged.get(row.value);
      merged.set(row.value, known === undefined ? of : bothValues(known, of));
    }
  }
  const inFlight = parts.reduce((sum, part) => sum + part.in_flight, 0);
  const asOfMs = Math.max(...parts.map((part) => Date.parse(part.as_of)));
  const page = new Page<ValueRow>(query, query.sort === 'value');
  for (const { row, oldestMs } of merged.values()) {
    const share = inFlight === 0 ? 0 : row.in_flight / inFlight;
    const whole = { ...row, share, oldest_ms: Math.max(0, asOfMs - oldestMs) };
    page.add(valueSortValue(whole, query.sort, oldestMs), row.value, whole);
  }
  const isCut = parts.some(({ next }) => next !== null);
  const { next, rows } = page.finish(query.sort === 'value' && isCut);
  return { matched: isCut ? null : merged.size, next, in_flight: inFlight, items: rows };
}

/** Values that never change are asked for by pages, the others all together. */
export function isPagedValues({ sort }: ValuesQuery): boolean {
  return sort === 'value';
}

function bothValues(a: Merged, b: Merged): Merged {
  const rates = [a.row.rate, b.row.rate].filter((rate) => rate !== null);
  return {
    row: {
      ...a.row,
      submissions: a.row.submissions + b.row.submissions,
      waiting: a.row.waiting + b.row.waiting,
      in_flight: a.row.in_flight + b.row.in_flight,
      backlog: a.row.backlog + b.row.backlog,
      set_back_60s: a.row.set_back_60s + b.row.set_back_60s,
      rate: rates.length === 0 ? null : rounded(rates.reduce((sum, rate) => sum + rate, 0)),
    },
    oldestMs: Math.min(a.oldestMs, b.oldestMs),
  };
}

function valueSortValue(row: ValueRow, sort: ValueSort, oldestMs: number): number {
  if (sort === 'oldest') return -oldestMs;
  if (sort === 'rate') return row.rate ?? -1;
  if (sort === 'set_back') return row.set_back_60s;
  return Number(row[sort]);
}

/** The page that has been asked for, of one list, out of the same pages of its parts, which have no row in common. */
function joined<Row>(
  parts: Parts<Row>,
  query: PageQuery,
  isStable: boolean,
  placeOf: (row: Row) => readonly [value: number, id: string],
): Rows<Row> {
  const page = new Page<Row>(query, isStable);
  for (const { items } of parts) for (const row of items) page.add(...placeOf(row), row);
  const { next, rows } = page.finish(parts.some((part) => part.next !== null));
  return { matched: sum(parts.map(({ matched }) => matched)), next, items: rows };
}

/** How many groups there are, if no node had more of them than it gave. */
function counted(parts: Parts<unknown>, count: number): { readonly matched: number | null } {
  return { matched: parts.some(({ next }) => next !== null) ? null : count };
}

function sum(counts: readonly (number | null)[]): number | null {
  let total = 0;
  for (const count of counts) {
    if (count === null) return null;
    total += count;
  }
  return total;
}
