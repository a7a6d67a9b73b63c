import { MAP_BITS, type MapMode } from '../../src/protocol/api/submissions.ts';
import { count, duration } from '../../src/protocol/api/words.ts';

/** A piece of the map of a submission: so many chunks a cell, from some chunk on. */
export interface Cells {
  /** What its octets mean. */
  readonly mode: MapMode;
  readonly total: number;
  readonly from: number;
  /** Chunks of a cell. */
  readonly cell: number;
  readonly cells: number;
  /** Two octets for each. */
  readonly bytes: Uint8Array;
}

/** Reads `total=10000000; from=0; cell=1024; cells=9766`. */
export function cellsOf(mode: MapMode, header: string | null, bytes: Uint8Array): Cells {
  const fields = new Map(
    (header ?? '').split(';').map((field) => {
      const [name = '', value = ''] = field.trim().split('=');
      return [name, Number(value)] as const;
    }),
  );
  const field = (name: string) => fields.get(name) ?? 0;
  const cells = Math.min(field('cells'), bytes.length >> 1);
  return { mode, total: field('total'), from: field('from'), cell: Math.max(1, field('cell')), cells, bytes };
}

export interface Cell {
  readonly first: number;
  readonly last: number;
  /** 0 to 1. */
  readonly done: number;
  readonly isReserved: boolean;
  readonly isDelayed: boolean;
  readonly wasTried: boolean;
  readonly isStraggler: boolean;
  readonly isFailed: boolean;
}

export function cellAt({ bytes, from, cell, total }: Cells, index: number): Cell {
  const bits = bytes[index * 2 + 1] ?? 0;
  const first = from + index * cell;
  return {
    first,
    last: Math.min(first + cell, total) - 1,
    done: (bytes[index * 2] ?? 0) / 255,
    isReserved: (bits & MAP_BITS.reserved) !== 0,
    isDelayed: (bits & MAP_BITS.delayed) !== 0,
    wasTried: (bits & MAP_BITS.tried) !== 0,
    isStraggler: (bits & MAP_BITS.straggler) !== 0,
    isFailed: (bits & MAP_BITS.failed) !== 0,
  };
}

/** What a cell is of the durations of its chunks: their mean and the longest; null: none is known. */
export interface CellDurations {
  readonly first: number;
  readonly last: number;
  readonly meanMs: number | null;
  readonly longestMs: number | null;
}

export function durationsAt({ bytes, from, cell, total }: Cells, index: number): CellDurations {
  const first = from + index * cell;
  return {
    first,
    last: Math.min(first + cell, total) - 1,
    meanMs: msOf(bytes[index * 2] ?? 0),
    longestMs: msOf(bytes[index * 2 + 1] ?? 0),
  };
}

/** Each eighth further is twice as long. */
function msOf(octet: number): number | null {
  return octet === 0 ? null : 2 ** ((octet - 1) / 8);
}

/** The shortest and the longest mean of all cells; null: none is known. */
export function spanOf(cells: Cells): { readonly leastMs: number; readonly mostMs: number } | null {
  let [least, most] = [256, 0];
  for (let index = 0; index < cells.cells; index++) {
    const octet = cells.bytes[index * 2] ?? 0;
    if (octet === 0) continue;
    least = Math.min(least, octet);
    most = Math.max(most, octet);
  }
  const [leastMs, mostMs] = [msOf(least), msOf(most)];
  return most === 0 || leastMs === null || mostMs === null ? null : { leastMs, mostMs };
}

/** A power of two that is a multiple of eight of the one before, as far down as single chunks. */
export const ZOOM = 8;

/** What is looked at: chunks of a cell, and the first chunk. */
export interface Window {
  readonly cell: number;
  readonly from: number;
}

/** The smallest cells with which all fit into so many. */
export function wholeWindow(total: number, capacity: number): Window {
  let cell = 1;
  while (Math.ceil(total / cell) > capacity) cell *= 2;
  return { cell, from: 0 };
}

/** Smaller or larger cells, around a chunk that stays in the middle. */
export function zoomed(
  total: number,
  { cell }: Window,
  isIn: boolean,
  capacity: number,
  around: number,
): Window {
  const whole = wholeWindow(total, capacity);
  const next = isIn ? Math.max(1, cell / ZOOM) : cell * ZOOM;
  if (next >= whole.cell) return whole;
  return moved(total, { cell: Math.ceil(next), from: 0 }, capacity, around - (next * capacity) / 2);
}

/** The window from a chunk on, kept within the submission. */
export function moved(total: number, { cell }: Window, capacity: number, from: number): Window {
  const last = Math.max(0, total - cell * capacity);
  const first = Math.min(Math.max(0, from), last + cell - 1);
  return { cell, from: Math.floor(first / cell) * cell };
}

/** How cells are laid out: rows from the top, each from the left. */
export interface Grid {
  readonly columns: number;
  readonly rows: number;
  /** Of a cell with its gap, in pixels. */
  readonly size: number;
}

const SIZES = [22, 18, 14, 12, 10, 8, 7, 6, 5, 4];
const SIZE_MIN = 4;

/** The largest cells with which so many fit. */
export function gridFor(cells: number, width: number, height: number): Grid {
  for (const size of SIZES) {
    const columns = Math.max(1, Math.floor(width / size));
    const rows = Math.ceil(cells / columns);
    if (rows * size <= height || size === SIZE_MIN) return { columns, rows: Math.max(rows, 1), size };
  }
  throw new Error('no size');
}

export function capacityOf(width: number, height: number, max: number): number {
  return Math.max(1, Math.min(max, Math.floor(width / SIZE_MIN) * Math.floor(height / SIZE_MIN)));
}

/**
 * What is known of a cell, in words.
 *
 * @param rest what chunks are of which nothing is known
 */
export function wordsOf(cell: Cell, rest: string): string {
  const { first, last, done } = cell;
  const facts = [
    first === last
      ? done === 1
        ? 'done'
        : null
      : `${done > 0 && done < 1 ? Math.min(99, Math.max(1, Math.round(done * 100))) : done * 100} % done`,
    cell.isReserved ? 'in flight' : null,
    cell.isStraggler ? 'held for longer than usual' : null,
    cell.isDelayed ? 'waiting for a retry' : null,
    cell.isFailed ? 'failed' : cell.wasTried ? 'tried before' : null,
  ].filter((fact) => fact !== null);
  return `${nameOf(cell)}: ${facts.length === 0 ? rest : facts.join(', ')}`;
}

/** Likewise, of how long its chunks took. */
export function durationWordsOf(of: CellDurations): string {
  const { meanMs, longestMs } = of;
  const words =
    meanMs === null || longestMs === null
      ? 'not known'
      : `${duration(meanMs)} on average, the longest ${duration(longestMs)}`;
  return `${nameOf(of)}: ${words}`;
}

function nameOf({ first, last }: { readonly first: number; readonly last: number }): string {
  return first === last ? `Chunk ${count(first)}` : `Chunks ${count(first)} to ${count(last)}`;
}
