import { ChunkSet } from '../../model/chunk-set.ts';
import { ProtocolError } from '../../model/errors.ts';
import type { SubmissionId } from '../../model/ids.ts';
import { MAP_BITS, MAP_CELLS_MAX, type MapMode } from '../../protocol/api/submissions.ts';
import type { SubmissionSight } from '../../scheduler/sight.ts';
import type { Computation } from '../frames.ts';
import type { Sources } from '../sources.ts';
import { type Regions, submissionTallyOf } from '../tallies/tallies.ts';
import { openSubmission, storedSubmission } from './found.ts';
import { stragglerAfterMs } from './stragglers.ts';

export interface MapQuery {
  readonly queue: string | null;
  /** Chunks of a cell; null: as few as let all fit. */
  readonly cell: number | null;
  readonly from: number;
  readonly cells: number;
  readonly mode: MapMode;
}

/** Two octets for each cell. */
export interface ChunkMap {
  readonly octets: Uint8Array;
  readonly total: number;
  readonly from: number;
  readonly cell: number;
  readonly cells: number;
}

/** Between two offers to give others their turn. */
const CELLS_STRIDE = 128;
const CHUNKS_STRIDE = 2_048;
const OCTET_MAX = 255;
/** Octets of a doubling of a duration. */
const OCTAVE = 8;

/** Where the chunks of a submission stand, in cells of a power of two. */
export async function chunkMap(
  sources: Sources,
  id: SubmissionId,
  query: MapQuery,
): Promise<Computation<ChunkMap>> {
  const open = openSubmission(sources, id, query.queue);
  if (open !== undefined) {
    const grid = gridOf(open.record.chunksTotal, query);
    return query.mode === 'state'
      ? mapOfOpen(open, grid, sources.clock.monotonicMs())
      : mapOfDurations(submissionTallyOf(open)?.regions ?? null, grid);
  }
  const { record, end } = await storedSubmission(sources, id, query.queue);
  const grid = gridOf(record.chunksTotal, query);
  if (query.mode === 'duration') return mapOfDurations(null, grid);
  const isComplete = end?.state === 'completed';
  const done = isComplete ? null : await sources.queue.reads.chunksDoneOf(id);
  const isFailed = end?.state === 'completed_with_failures';
  return mapOfDone(isComplete ? null : (done ?? new ChunkSet(record.chunksTotal)), isFailed, grid);
}

interface Grid {
  readonly total: number;
  readonly cell: number;
  readonly from: number;
  readonly cells: number;
}

export function gridOf(total: number, { cell: wanted, from, cells: cellsMax }: MapQuery): Grid {
  let cell = wanted ?? 1;
  if (wanted === null) while (total / cell > MAP_CELLS_MAX) cell *= 2;
  if (!Number.isInteger(Math.log2(cell))) {
    throw new ProtocolError('cell', `cell: a power of 2 was expected, got ${cell}`);
  }
  if (from % cell !== 0) {
    throw new ProtocolError('from', `from: a multiple of the cell, ${cell}, was expected, got ${from}`);
  }
  const cells = Math.max(0, Math.min(cellsMax, Math.ceil((total - from) / cell)));
  return { total, cell, from, cells };
}

/** @param nowMs on the monotonic clock */
export function* mapOfOpen(submission: SubmissionSight, grid: Grid, nowMs: number): Computation<ChunkMap> {
  const { done, failed, reservations, delays, tries } = submission;
  const octets = yield* sharesOf(done, grid);
  let looked = 0;
  const mark = (chunkIndex: number, bits: number) => {
    const at = Math.floor((chunkIndex - grid.from) / grid.cell);
    if (at >= 0 && at < grid.cells) octets[2 * at + 1]! |= bits;
  };
  const stragglerMs = stragglerAfterMs(submissionTallyOf(submission));
  for (const { chunkIndex, reservedMs } of reservations?.values() ?? []) {
    if (++looked % CHUNKS_STRIDE === 0) yield;
    mark(chunkIndex, MAP_BITS.reserved | (nowMs - reservedMs > stragglerMs ? MAP_BITS.straggler : 0));
  }
  for (const chunkIndex of delays?.keys() ?? []) {
    if (++looked % CHUNKS_STRIDE === 0) yield;
    mark(chunkIndex, MAP_BITS.delayed);
  }
  for (const chunkIndex of tries?.keys() ?? []) {
    if (++looked % CHUNKS_STRIDE === 0) yield;
    mark(chunkIndex, MAP_BITS.tried);
  }
  if (failed !== null) yield* markIn(failed, octets, grid);
  return { octets, ...grid };
}

/** @param done null: all are */
function* mapOfDone(done: ChunkSet | null, isFailed: boolean, grid: Grid): Computation<ChunkMap> {
  if (done === null) {
    const octets = new Uint8Array(2 * grid.cells);
    for (let i = 0; i < octets.length; i += 2) octets[i] = OCTET_MAX;
    return { octets, ...grid };
  }
  const octets = yield* sharesOf(done, grid);
  // What is not done was set aside.
  if (isFailed)
    for (let i = 0; i < octets.length; i += 2) if (octets[i]! < OCTET_MAX) octets[i + 1] = MAP_BITS.failed;
  return { octets, ...grid };
}

/** Of each cell the share that is done: 0 and 255 are none and all, however many there are. */
function* sharesOf(done: ChunkSet, { total, cell, from, cells }: Grid): Computation<Uint8Array> {
  const octets = new Uint8Array(2 * cells);
  for (let i = 0; i < cells; i++) {
    if (i % CELLS_STRIDE === 0) yield;
    const begin = from + i * cell;
    const end = Math.min(total, begin + cell);
    const count = done.countIn(begin, end);
    const size = end - begin;
    octets[2 * i] =
      count === 0
        ? 0
        : count === size
          ? OCTET_MAX
          : Math.min(OCTET_MAX - 1, Math.max(1, Math.round((count / size) * OCTET_MAX)));
  }
  return octets;
}

function* markIn(
  failed: ChunkSet,
  octets: Uint8Array,
  { total, cell, from, cells }: Grid,
): Computation<void> {
  for (let i = 0; i < cells; i++) {
    if (i % CELLS_STRIDE === 0) yield;
    const begin = from + i * cell;
    if (failed.countIn(begin, Math.min(total, begin + cell)) > 0) octets[2 * i + 1]! |= MAP_BITS.failed;
  }
}

function* mapOfDurations(regions: Regions | null, grid: Grid): Computation<ChunkMap> {
  const octets = new Uint8Array(2 * grid.cells);
  const size = regions === null ? 1 : 2 ** regions.shift;
  for (let i = 0; i < grid.cells && regions !== null; i++) {
    if (i % CELLS_STRIDE === 0) yield;
    const begin = grid.from + i * grid.cell;
    const last = Math.min(
      regions.length - 1,
      Math.floor((Math.min(grid.total, begin + grid.cell) - 1) / size),
    );
    let sum = 0;
    let count = 0;
    let longest = 0;
    for (let region = Math.floor(begin / size); region <= last; region++) {
      sum += regions.sum(region);
      count += regions.count(region);
      longest = Math.max(longest, regions.longest(region));
    }
    octets[2 * i] = count === 0 ? 0 : durationOctet(sum / count);
    octets[2 * i + 1] = count === 0 ? 0 : durationOctet(longest);
  }
  return { octets, ...grid };
}

/** 1 for a millisecond and less; each eighth further is twice as long. */
export function durationOctet(ms: number): number {
  return Math.min(OCTET_MAX, Math.max(1, Math.round(1 + OCTAVE * Math.log2(Math.max(1, ms)))));
}
