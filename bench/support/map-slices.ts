import { NO_CONTROL } from '../../src/model/control.ts';
import { MAP_CELLS_MAX } from '../../src/protocol/api/submissions.ts';
import type { SubmissionSight } from '../../src/scheduler/sight.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';
import { gridOf, mapOfOpen } from '../../src/views/answers/map.ts';
import { SLICE_MS } from '../../src/views/frames.ts';
import { halfDoneSet } from './prepared-store.ts';

export interface MapFigures {
  /** Of each computation. */
  readonly tookMs: readonly number[];
  /** What each computation was cut into, in milliseconds. */
  readonly slices: readonly (readonly number[])[];
}

/** Computes the map of an open submission, half of whose chunks are done in random order, as the queue does. */
export function mapInSlices(chunksTotal: number, rounds: number): MapFigures {
  const sight = sightOf(chunksTotal);
  const grid = gridOf(chunksTotal, { queue: null, cell: null, from: 0, cells: MAP_CELLS_MAX, mode: 'state' });
  const slices = Array.from({ length: rounds }, () => {
    const computation = mapOfOpen(sight, grid, 0);
    const tookMs: number[] = [];
    for (let isDone = false; !isDone; ) {
      const began = performance.now();
      let took = 0;
      while (!isDone && took < SLICE_MS) {
        isDone = computation.next().done === true;
        took = performance.now() - began;
      }
      tookMs.push(took);
    }
    return tookMs;
  });
  return { slices, tookMs: slices.map((each) => each.reduce((sum, ms) => sum + ms, 0)) };
}

function sightOf(chunksTotal: number): SubmissionSight {
  return {
    record: submissionRecord({ id: 1n, chunksTotal }),
    done: halfDoneSet(chunksTotal),
    failed: null,
    state: 'open',
    control: NO_CONTROL,
    completions: 0,
    tally: null,
    tallyMark: 0,
    isWithheld: false,
    chunksAvailable: chunksTotal / 2,
    chunksPaused: 0,
    chunksReserved: 0,
    chunksDelayed: 0,
    chunksFailed: 0,
    reservations: null,
    delays: null,
    tries: null,
    hasOpenChunk: () => true,
    reservation: () => undefined,
  };
}
