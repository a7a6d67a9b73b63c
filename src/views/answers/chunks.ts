import { ChunkSet } from '../../model/chunk-set.ts';
import type { SubmissionId } from '../../model/ids.ts';
import { NO_TRIES } from '../../model/submission.ts';
import type { List } from '../../protocol/api/lists.ts';
import type { ChunkItemState, ChunkRow, ChunkSort } from '../../protocol/api/submissions.ts';
import type { ConsumerPeer } from '../../queue/peer.ts';
import type { SubmissionSight } from '../../scheduler/sight.ts';
import type { Computation } from '../frames.ts';
import { Page } from '../page.ts';
import { type Sources, STRIDE } from '../sources.ts';
import { submissionTallyOf } from '../tallies/tallies.ts';
import { stragglerAfterMs } from './stragglers.ts';
import { openSubmission, storedSubmission } from './submission.ts';

export interface ChunksQuery {
  readonly queue: string | null;
  readonly state: ChunkItemState | null;
  readonly sort: ChunkSort;
  readonly from: number;
  readonly limit: number;
  readonly cursor: string | null;
}

type Rows = Omit<List<ChunkRow>, 'as_of' | 'age_ms'>;
type Open = SubmissionSight<ConsumerPeer>;

/** Chunks of a submission: by index, those held longest first, or those tried most. */
export async function chunks(
  sources: Sources,
  id: SubmissionId,
  query: ChunksQuery,
): Promise<Computation<Rows>> {
  const open = openSubmission(sources, id, query.queue);
  if (open !== undefined) return ofOpen(sources, open, query);
  const { record, end } = await storedSubmission(sources, id, query.queue);
  const { reads } = sources.queue;
  const { chunksTotal } = record;
  const done =
    end?.state === 'completed' ? null : ((await reads.chunksDoneOf(id)) ?? new ChunkSet(chunksTotal));
  const others = end?.state === 'completed_with_failures' ? 'failed' : 'skipped';
  const texts = new Map<number, string>();
  if (others === 'failed') {
    const failed = await reads.failedChunks(record.queue, id, query.from, query.limit);
    for (const { chunkIndex, failure } of failed ?? []) texts.set(chunkIndex, failure);
  }
  if (end !== null && 'failedChunk' in end) texts.set(end.failedChunk.chunkIndex, end.failedChunk.failure);
  const stateAt = (index: number) =>
    done === null || done.has(index) ? 'done' : texts.has(index) ? 'failed' : others;
  return walk(chunksTotal, query, stateAt, (index) =>
    plainRow(index, stateAt(index), texts.get(index) ?? null),
  );
}

function* ofOpen(sources: Sources, open: Open, query: ChunksQuery): Computation<Rows> {
  const { state, sort } = query;
  const few =
    sort === 'tries' ? open.tries?.keys() : sort === 'held' ? open.reservations?.keys() : fewIn(open, state);
  const row = rowMaker(sources, open);
  if (few === null) {
    return yield* walk(open.record.chunksTotal, query, (index) => stateAt(open, index), row);
  }
  const nowMs = sources.clock.monotonicMs();
  const page = new Page<number>({ ...query, order: sort === 'index' ? 'asc' : 'desc' }, sort === 'index');
  let looked = 0;
  for (const index of few ?? []) {
    if (++looked % STRIDE === 0) yield;
    if (index < query.from || (state !== null && stateAt(open, index) !== state)) continue;
    page.add(sortValue(open, index, sort, nowMs), String(index), index);
  }
  const { matched, next, rows } = page.finish();
  return { matched, next, items: rows.map(row) };
}

/** All in that state, where they are kept by themselves; null: they have to be looked for. */
function fewIn(
  { reservations, delays, failed }: Open,
  state: ChunkItemState | null,
): Iterable<number> | undefined | null {
  switch (state) {
    case 'reserved':
      return reservations?.keys();
    case 'delayed':
      return delays?.keys();
    case 'failed':
      return failed ?? undefined;
    default:
      return null;
  }
}

function sortValue(open: Open, index: number, sort: ChunkSort, nowMs: number): number {
  if (sort === 'index') return index;
  if (sort === 'held') return nowMs - (open.reservations?.get(index)?.reservedMs ?? nowMs);
  const { retries, disconnects } = open.tries?.get(index) ?? NO_TRIES;
  return retries + disconnects;
}

function stateAt(open: Open, index: number): ChunkItemState {
  if (open.done.has(index)) return 'done';
  if (open.reservations?.has(index)) return 'reserved';
  if (open.delays?.has(index)) return 'delayed';
  if (open.failed?.has(index)) return 'failed';
  return open.isWithheld ? 'paused' : 'waiting';
}

/** By index, from the cursor on; in a state, those that are in it. */
function* walk(
  chunksTotal: number,
  { state, from, limit, cursor }: ChunksQuery,
  stateOf: (index: number) => ChunkItemState,
  row: (index: number) => ChunkRow,
): Computation<Rows> {
  const begin = cursor !== null && /^[0-9]{1,10}$/.test(cursor) ? Number(cursor) : from;
  const items: ChunkRow[] = [];
  let index = begin;
  for (; index < chunksTotal && items.length < limit; index++) {
    if (index % STRIDE === 0) yield;
    if (state === null || stateOf(index) === state) items.push(row(index));
  }
  const next = index < chunksTotal ? String(index) : null;
  return { matched: state === null ? Math.max(0, chunksTotal - from) : null, next, items };
}

function rowMaker(sources: Sources, open: Open): (index: number) => ChunkRow {
  const nowMs = sources.clock.monotonicMs();
  const stragglerMs = stragglerAfterMs(submissionTallyOf(open));
  const failures = lastFailures(sources, open.record.id);
  return (index) => {
    const held = open.reservations?.get(index);
    const heldMs = held === undefined ? null : nowMs - held.reservedMs;
    const dueMs = open.delays?.get(index)?.dueMs;
    const { retries, disconnects } = open.tries?.get(index) ?? NO_TRIES;
    return {
      ...plainRow(index, stateAt(open, index), failures.get(index) ?? null),
      holder: held?.consumer.peer.facts.connId ?? null,
      held_ms: heldMs === null ? null : Math.round(heldMs),
      expires_in_ms: held === undefined ? null : Math.max(0, Math.round(held.expiresMs - nowMs)),
      due_in_ms: dueMs === undefined ? null : Math.max(0, Math.round(dueMs - nowMs)),
      straggler: heldMs !== null && heldMs > stragglerMs,
      retries,
      disconnects,
    };
  };
}

function plainRow(index: number, state: ChunkItemState, failure: string | null): ChunkRow {
  return {
    index,
    state,
    holder: null,
    held_ms: null,
    expires_in_ms: null,
    due_in_ms: null,
    straggler: false,
    retries: 0,
    disconnects: 0,
    last_failure: failure,
  };
}

/** Of those that are remembered. */
function lastFailures({ watcher }: Sources, id: SubmissionId): ReadonlyMap<number, string> {
  const { ring } = watcher.failures;
  const texts = new Map<number, string>();
  for (let seq = ring.firstSeq; seq <= ring.lastSeq; seq++) {
    const failure = ring.at(seq);
    if (failure?.submissionId === id) texts.set(failure.chunkIndex, failure.text);
  }
  return texts;
}
