import { ChunkSet } from '../../model/chunk-set.ts';
import { ProtocolError } from '../../model/errors.ts';
import type { SubmissionId } from '../../model/ids.ts';
import { NO_TRIES } from '../../model/submission.ts';
import type { List } from '../../protocol/api/lists.ts';
import type { ChunkItemState, ChunkRow, ChunkSort } from '../../protocol/api/submissions.ts';
import type { ConsumerPeer } from '../../queue/peer.ts';
import type { SubmissionSight } from '../../scheduler/sight.ts';
import { type Computation, ofEach } from '../frames.ts';
import { Page } from '../page.ts';
import { type Sources, STRIDE } from '../sources.ts';
import { submissionTallyOf } from '../tallies/tallies.ts';
import { openSubmission, storedSubmission } from './found.ts';
import { stragglerAfterMs } from './stragglers.ts';

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
    const failed = await reads.failedChunks(record.queue, id, beginOf(query), query.limit);
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
  const { state, sort, from } = query;
  const isPaused = sources.queue.isPaused(open.record.queue);
  const row = rowMaker(sources, open, isPaused);
  if (sort !== 'index') {
    const page = new Page<number>({ ...query, order: 'desc' }, false);
    let looked = 0;
    for (const index of (sort === 'tries' ? open.tries : open.reservations)?.keys() ?? []) {
      if (++looked % STRIDE === 0) yield;
      if (index < from || (state !== null && stateAt(open, index, isPaused) !== state)) continue;
      page.add(sort === 'tries' ? triesOf(open, index) : heldValue(open, index), String(index), index);
    }
    const { matched, next, rows } = page.finish();
    return { matched, next, items: yield* ofEach(rows, row) };
  }
  const few = fewIn(open, state);
  if (few === null) {
    return yield* walk(
      open.record.chunksTotal,
      query,
      (index) => stateAt(open, index, isPaused),
      row,
      (index) => (state === 'done' ? index : open.done.nextMissing(index)),
    );
  }
  const begin = beginOf(query);
  const page = new Page<number>({ sort, order: 'asc', limit: query.limit, cursor: null }, true);
  let matched = 0;
  for (const index of few ?? []) {
    if (index >= from && ++matched % STRIDE === 0) yield;
    if (index >= begin) page.add(index, String(index), index);
  }
  const { next, rows } = page.finish();
  return { matched, next: next === null ? null : String(rows.at(-1)! + 1), items: yield* ofEach(rows, row) };
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

function triesOf(open: Open, index: number): number {
  const { retries, disconnects } = open.tries?.get(index) ?? NO_TRIES;
  return retries + disconnects;
}

/** Since when it is held: that does not change from page to page. */
function heldValue(open: Open, index: number): number {
  return -(open.reservations?.get(index)?.reservedMs ?? Number.POSITIVE_INFINITY);
}

/** @param isPaused its queue, or the server */
function stateAt(open: Open, index: number, isPaused: boolean): ChunkItemState {
  if (open.done.has(index)) return 'done';
  if (open.reservations?.has(index)) return 'reserved';
  if (open.delays?.has(index)) return 'delayed';
  if (open.failed?.has(index)) return 'failed';
  return isPaused || open.isWithheld ? 'paused' : 'waiting';
}

/** Chunks that are looked at for one page of an answer, at most. */
const LOOKED_MAX = 50_000;

/** The lowest index that is wanted: a cursor of a list by index is one. */
function beginOf({ from, cursor }: ChunksQuery): number {
  if (cursor === null) return from;
  if (/^[0-9]{1,10}$/.test(cursor)) return Number(cursor);
  throw new ProtocolError('cursor', 'cursor: it is not of this list: begin without one');
}

/**
 * By index, from the cursor on; in a state, those that are in it. Where they are rare, the next page goes on from where this
 * one has stopped looking.
 *
 * @param skip the first one from that index on that may be in the state
 */
function* walk(
  chunksTotal: number,
  query: ChunksQuery,
  stateOf: (index: number) => ChunkItemState,
  row: (index: number) => ChunkRow,
  skip: (index: number) => number = (index) => index,
): Computation<Rows> {
  const { state, from, limit } = query;
  const items: ChunkRow[] = [];
  let index = beginOf(query);
  for (let looked = 0; index < chunksTotal && items.length < limit && looked < LOOKED_MAX; index++) {
    if (++looked % STRIDE === 0) yield;
    if (state !== null) index = skip(index);
    if (index < chunksTotal && (state === null || stateOf(index) === state)) items.push(row(index));
  }
  const next = index < chunksTotal ? String(index) : null;
  return { matched: state === null ? Math.max(0, chunksTotal - from) : null, next, items };
}

function rowMaker(sources: Sources, open: Open, isPaused: boolean): (index: number) => ChunkRow {
  const nowMs = sources.clock.monotonicMs();
  const stragglerMs = stragglerAfterMs(submissionTallyOf(open));
  const failures = lastFailures(sources, open.record.id);
  return (index) => {
    const held = open.reservations?.get(index);
    const heldMs = held === undefined ? null : nowMs - held.reservedMs;
    const dueMs = open.delays?.get(index)?.dueMs;
    const { retries, disconnects } = open.tries?.get(index) ?? NO_TRIES;
    return {
      ...plainRow(index, stateAt(open, index, isPaused), failures.get(index) ?? null),
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
