import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ChunkSet } from '../../src/model/chunk-set.ts';
import { NO_CONTROL } from '../../src/model/control.ts';
import { ProtocolError } from '../../src/model/errors.ts';
import { MAP_BITS, MAP_CELLS_MAX } from '../../src/protocol/api/submissions.ts';
import type { HeldSight, SubmissionSight } from '../../src/scheduler/sight.ts';
import { submissionRecord } from '../../src/store/conformance/records.ts';
import { durationOctet, gridOf, mapOfOpen } from '../../src/views/answers/map.ts';
import type { Computation } from '../../src/views/frames.ts';

const QUERY = { queue: null, cell: null, from: 0, cells: MAP_CELLS_MAX, mode: 'state' } as const;

interface Chunks {
  readonly total: number;
  readonly done: readonly number[];
  readonly reserved: readonly number[];
  readonly delayed: readonly number[];
  readonly tried: readonly number[];
  readonly failed: readonly number[];
}

function setOf(total: number, indexes: readonly number[]): ChunkSet {
  const set = new ChunkSet(total);
  for (const index of indexes) set.add(index);
  return set;
}

function sight({ total, done, reserved, delayed, tried, failed }: Chunks): SubmissionSight {
  const held = (chunkIndex: number) => ({ chunkIndex, reservedMs: 0 }) as HeldSight;
  return {
    record: submissionRecord({ id: 1n, chunksTotal: total }),
    done: setOf(total, done),
    failed: setOf(total, failed),
    state: 'open',
    control: NO_CONTROL,
    completions: 0,
    tally: null,
    tallyMark: 0,
    isWithheld: false,
    chunksAvailable: 0,
    chunksPaused: 0,
    chunksReserved: reserved.length,
    chunksDelayed: delayed.length,
    chunksFailed: failed.length,
    reservations: new Map(reserved.map((index) => [index, held(index)])),
    delays: new Map(delayed.map((chunkIndex) => [chunkIndex, { chunkIndex, dueMs: 0 }])),
    tries: new Map(tried.map((index) => [index, { retries: 1, disconnects: 0 }])),
    hasOpenChunk: () => true,
    reservation: () => undefined,
  };
}

function finish<T>(computation: Computation<T>): T {
  for (;;) {
    const { done, value } = computation.next();
    if (done === true) return value;
  }
}

const indexes = (total: number) => fc.array(fc.nat(total - 1), { maxLength: 60 });
const someChunks = fc.integer({ min: 1, max: 20_000 }).chain((total) =>
  fc.record({
    total: fc.constant(total),
    // Runs, too: pages that are full, and cells that are.
    done: fc
      .array(fc.tuple(fc.nat(total - 1), fc.constantFrom(1, 3, 64, 5_000)), { maxLength: 12 })
      .map((runs) =>
        runs.flatMap(([from, length]) =>
          Array.from({ length: Math.min(length, total - from) }, (_, i) => from + i),
        ),
      ),
    reserved: indexes(total),
    delayed: indexes(total),
    tried: indexes(total),
    failed: indexes(total),
  }),
);

test('each cell of a map has the share that is done and what there is in it, as counted one by one', () => {
  fc.assert(
    fc.property(
      someChunks,
      fc.constantFrom(1, 2, 8, 64, 4_096, 32_768),
      fc.nat(30),
      fc.integer({ min: 1, max: 300 }),
      (chunks, cell, skipped, cells) => {
        const grid = gridOf(chunks.total, { ...QUERY, cell, from: cell * skipped, cells });
        const { octets } = finish(mapOfOpen(sight(chunks), grid, 0));
        assert.equal(octets.length, 2 * grid.cells);
        const [done, reserved, delayed, tried, failed] = [
          chunks.done,
          chunks.reserved,
          chunks.delayed,
          chunks.tried,
          chunks.failed,
        ].map((each) => new Set(each));
        for (let i = 0; i < grid.cells; i++) {
          const begin = grid.from + i * cell;
          const inside = Array.from({ length: Math.min(cell, chunks.total - begin) }, (_, k) => begin + k);
          const count = inside.filter((index) => done!.has(index)).length;
          const share = octets[2 * i]!;
          if (count === 0) assert.equal(share, 0);
          else if (count === inside.length) assert.equal(share, 255);
          else assert.ok(share >= 1 && share <= 254 && Math.abs(share - (255 * count) / inside.length) <= 1);
          const bits = [
            [reserved, MAP_BITS.reserved],
            [delayed, MAP_BITS.delayed],
            [tried, MAP_BITS.tried],
            [failed, MAP_BITS.failed],
          ] as const;
          const wanted = bits.map(([set, bit]) => (inside.some((index) => set!.has(index)) ? bit : 0));
          assert.equal(
            octets[2 * i + 1],
            wanted.reduce<number>((all, bit) => all | bit, 0),
          );
        }
      },
    ),
    { numRuns: 60 },
  );
});

test('without a cell all chunks fit, in cells as small as may be', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 2 ** 32 }), (total) => {
      const { cell, cells, from } = gridOf(total, QUERY);
      assert.ok(from === 0 && cells <= MAP_CELLS_MAX && cells * cell >= total);
      assert.ok(cell === 1 || total / (cell / 2) > MAP_CELLS_MAX);
    }),
  );
  assert.throws(() => gridOf(100, { ...QUERY, cell: 3 }), ProtocolError);
  assert.throws(() => gridOf(100, { ...QUERY, cell: 8, from: 4 }), ProtocolError);
  assert.equal(gridOf(100, { ...QUERY, cell: 8, from: 800 }).cells, 0);
});

test('octets of durations double with every eighth, from a millisecond on', () => {
  assert.deepEqual([0.1, 1, 2, 1024, 1e12].map(durationOctet), [1, 1, 9, 81, 255]);
});
