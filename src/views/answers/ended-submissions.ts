import { ProtocolError } from '../../model/errors.ts';
import type { SubmissionId } from '../../model/ids.ts';
import { META_VALUE_MAX } from '../../model/limits.ts';
import { END_STATES, type EndState } from '../../model/submission.ts';
import type { SubmissionItem } from '../../protocol/api/submissions.ts';
import type { StoredSubmission } from '../../store/store.ts';
import { type Computation, inOneStep, ofEach } from '../frames.ts';
import { queuesOf, type Sources, STRIDE } from '../sources.ts';
import { endedItem, openItem } from './submission-item.ts';
import {
  candidatesOf,
  type Failed,
  matches,
  matchesRecord,
  type SubmissionRows,
  type SubmissionsQuery,
} from './submissions.ts';
import { standingOf } from './time-left.ts';

type Reads = Sources['queue']['reads'];

/** Submissions that are asked of the store for one page of an answer, at most. */
const LOOKED_MAX = 2_000;
const PAGE = 200;

/**
 * Submissions that have ended and are remembered, the newest first: a page of those that match. For `all`, with open ones
 * among them; what ends while the store is asked may be missing once.
 */
export async function endedList(
  sources: Sources,
  query: SubmissionsQuery,
  failed: Failed,
): Promise<Computation<SubmissionRows>> {
  if (query.sort !== 'inserted' || query.order !== 'desc') {
    throw new ProtocolError(
      'sort',
      'sort: submissions that have ended come in the order inserted, desc only',
    );
  }
  const { reads } = sources.queue;
  const states = END_STATES.filter((each) => query.state === 'all' || each === query.state);
  const before = beforeOf(query.cursor);
  const items: SubmissionItem[] = [];
  let [looked, next]: [number, string | null] = [0, null];
  for await (const stored of failed === null
    ? newestFirst(reads, states, query, before)
    : those(reads, failed, before)) {
    if (matchesEnded(stored, query, states)) items.push(endedItem(sources, stored));
    // What matches may be rare: the next page goes on from here.
    if (items.length < query.limit && ++looked < LOOKED_MAX) continue;
    next = String(stored.record.id);
    break;
  }
  return query.state === 'all'
    ? withOpen(sources, query, failed, { items, next })
    : inOneStep(counted(items, next, query));
}

/** How many there are is known where one page has them all. */
function counted(
  items: readonly SubmissionItem[],
  next: string | null,
  { cursor }: SubmissionsQuery,
): SubmissionRows {
  return { matched: next === null && cursor === null ? items.length : null, next, items };
}

/** With the open ones that are newer than the last of the others. */
function* withOpen(
  sources: Sources,
  query: SubmissionsQuery,
  failed: Failed,
  ended: { readonly items: readonly SubmissionItem[]; readonly next: string | null },
): Computation<SubmissionRows> {
  const nowMs = sources.clock.monotonicMs();
  const before = beforeOf(query.cursor);
  const last = BigInt(ended.next ?? -1);
  const found = new Map<string, () => SubmissionItem>(ended.items.map((item) => [item.id, () => item]));
  const isOpenWanted = query.ended_before === null && query.ended_after === null;
  let looked = 0;
  for (const sight of isOpenWanted ? queuesOf(sources, query.queue) : []) {
    const standing = standingOf(sources, sight);
    let taken = 0;
    for (const submission of candidatesOf(sight.schedule, query.meta).descending()) {
      if (++looked % STRIDE === 0) yield;
      const { id } = submission.record;
      if (id < last || taken > query.limit) break;
      if (before !== undefined && id >= before) continue;
      if (failed?.has(id) === false || !matches(submission, query, standing.isPaused, nowMs)) continue;
      found.set(String(id), () => openItem(sources, submission, standing, nowMs));
      taken++;
    }
  }
  const all = [...found].sort(([a], [b]) => Number(BigInt(b) - BigInt(a)));
  const items = yield* ofEach(all.slice(0, query.limit), ([, item]) => item());
  return counted(items, all.length > query.limit ? (items.at(-1)?.id ?? null) : ended.next, query);
}

function beforeOf(cursor: string | null): SubmissionId | undefined {
  if (cursor === null) return undefined;
  if (!/^[0-9]{1,19}$/.test(cursor)) {
    throw new ProtocolError('cursor', 'cursor: it is not of this list: begin without one');
  }
  const id = BigInt(cursor);
  return id > META_VALUE_MAX ? undefined : id;
}

/** What is asked of each queue and state at once: where each of them matches, no more than is shown, and whether there is more. */
function pageSizeFor({ meta, prefix, prefix_starts, limit, ...times }: SubmissionsQuery): number {
  const { inserted_before, inserted_after, ended_before, ended_after } = times;
  const wanted = [prefix, prefix_starts, inserted_before, inserted_after, ended_before, ended_after];
  const matchesAll = meta.size === 0 && wanted.every((each) => each === null);
  return matchesAll ? Math.min(PAGE, limit + 1) : PAGE;
}

/** All that ended in these states, of one queue or of all. */
async function* newestFirst(
  reads: Reads,
  states: readonly EndState[],
  query: SubmissionsQuery,
  before: SubmissionId | undefined,
): AsyncGenerator<StoredSubmission> {
  const { queue } = query;
  const size = pageSizeFor(query);
  const sources = await Promise.all(
    states.map(async (state) =>
      (queue === null ? await reads.endedQueues(state) : [queue]).map((name) => ({ state, name })),
    ),
  );
  for (let below = before; ; ) {
    const page: StoredSubmission[] = [];
    for (const { state, name } of sources.flat()) {
      page.push(...(await reads.ended(name, state, below, size)));
      page.sort((a, b) => (a.record.id > b.record.id ? -1 : 1));
      if (page.length > size) page.length = size;
    }
    yield* page;
    if (page.length < size) return;
    below = page.at(-1)?.record.id;
  }
}

/** Those of them that the store has. */
async function* those(
  reads: Reads,
  ids: ReadonlySet<SubmissionId>,
  before: SubmissionId | undefined,
): AsyncGenerator<StoredSubmission> {
  for (const id of [...ids].sort((a, b) => (a > b ? -1 : 1))) {
    const stored = before === undefined || id < before ? await reads.stored(id) : null;
    if (stored !== null) yield stored;
  }
}

function matchesEnded(
  { record, control, end }: StoredSubmission,
  query: SubmissionsQuery,
  states: readonly EndState[],
): boolean {
  if (end === null || !states.includes(end.state)) return false;
  if (query.queue !== null && record.queue !== query.queue) return false;
  const pairs = control.strategicMetadata ?? record.strategicMetadata;
  if (!matchesRecord(record.id, record.prefix, pairs, query)) return false;
  if (query.ended_before !== null && end.endedAtMs >= query.ended_before) return false;
  return query.ended_after === null || end.endedAtMs > query.ended_after;
}

/**
 * The page of one list that has been asked for, out of the same pages of its parts. Each part may have what has ended, and goes
 * only as far as its own end; what was counted of it is known to the one that it ended in.
 */
export function joinedByAge(parts: readonly SubmissionRows[], query: SubmissionsQuery): SubmissionRows {
  let end = -1n;
  for (const { next } of parts) if (BigInt(next ?? -1) > end) end = BigInt(next ?? -1);
  const found = new Map<string, SubmissionItem>();
  for (const item of parts.flatMap(({ items }) => items)) {
    if (BigInt(item.id) < end) continue;
    const known = found.get(item.id);
    const isBetter = item.ended === null || (known?.ended !== null && known?.set_back === null);
    if (known === undefined || isBetter) found.set(item.id, item);
  }
  const all = [...found.values()].sort((a, b) => Number(BigInt(b.id) - BigInt(a.id)));
  const items = all.slice(0, query.limit);
  const next = all.length > items.length ? (items.at(-1)?.id ?? null) : end < 0n ? null : String(end);
  return counted(items, next, query);
}
