import { colour } from '../ui/colours.ts';
import { type Cell, type Cells, cellAt, durationsAt, type Grid, spanOf } from './cells.ts';

/** What chunks are that are neither done nor anywhere. */
export type Rest = 'waiting' | 'paused';

export interface Palette {
  readonly waiting: string;
  readonly done: string;
  readonly reserved: string;
  readonly delayed: string;
  readonly failed: string;
  readonly straggler: string;
  readonly text: string;
  /** Of what lies upon a cell. */
  readonly pattern: string;
}

/** @param rest of which nothing else is to be told */
export function palette(rest: Rest): Palette {
  return {
    waiting: colour(rest),
    done: colour('done'),
    reserved: colour('reserved'),
    delayed: colour('delayed'),
    failed: colour('failed'),
    straggler: colour('straggler'),
    text: colour('text'),
    pattern: colour('pattern'),
  };
}

/** Below this size of a cell there is no room for a pattern. */
const PATTERN_SIZE_MIN = 7;
/** Shares of done chunks that have a colour of their own. */
const SHADES = 16;
/** Of durations: the shortest is told from what is not known. */
const SHADE_LEAST = 4;

/** Draws a cell at a place, of that size. */
type Paint = (context: CanvasRenderingContext2D, index: number, x: number, y: number, size: number) => void;

/** All cells by colour and pattern: in flight is hatched, failed is crossed. */
export function byState(cells: Cells, colours: Palette): Paint {
  const shades = shadesOf(colours.waiting, colours.done);
  const fillOf = ({ isFailed, isReserved, isDelayed, done }: Cell) =>
    isFailed
      ? colours.failed
      : isReserved
        ? colours.reserved
        : isDelayed
          ? colours.delayed
          : (shades[shadeOf(done)] ?? colours.waiting);
  return (context, index, x, y, size) => {
    const cell = cellAt(cells, index);
    context.fillStyle = fillOf(cell);
    context.fillRect(x, y, size, size);
    if (size < PATTERN_SIZE_MIN - 1) return;
    if (cell.isFailed) cross(context, x, y, size, colours.pattern);
    else if (cell.isReserved) hatch(context, x, y, size, colours.pattern);
    if (cell.isStraggler) frame(context, x, y, size, colours.straggler);
  };
}

/** All cells by how long their chunks took, on average: from the shortest of them to the longest, each step so many times as long. */
export function byDuration(cells: Cells, colours: Palette): Paint {
  const shades = shadesOf(colours.waiting, colours.delayed);
  const span = spanOf(cells);
  const octaves = span === null ? 0 : Math.log2(span.mostMs / span.leastMs);
  return (context, index, x, y, size) => {
    const { meanMs } = durationsAt(cells, index);
    const share =
      meanMs === null || span === null
        ? null
        : octaves === 0
          ? 0.5
          : Math.log2(meanMs / span.leastMs) / octaves;
    context.fillStyle =
      share === null
        ? colours.waiting
        : (shades[SHADE_LEAST + Math.round(share * (SHADES - SHADE_LEAST))] ?? colours.delayed);
    context.fillRect(x, y, size, size);
  };
}

export function draw(
  canvas: HTMLCanvasElement,
  cells: number,
  grid: Grid,
  paint: Paint,
  pointed: { readonly index: number; readonly colour: string },
): void {
  const context = canvas.getContext('2d');
  if (context === null) return;
  const ratio = devicePixelRatio;
  const width = grid.columns * grid.size;
  const height = grid.rows * grid.size;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  const inner = grid.size - 1;
  const xOf = (index: number) => (index % grid.columns) * grid.size;
  const yOf = (index: number) => Math.floor(index / grid.columns) * grid.size;
  for (let index = 0; index < cells; index++) paint(context, index, xOf(index), yOf(index), inner);
  const { index, colour: stroke } = pointed;
  if (index >= 0) frame(context, xOf(index) - 1, yOf(index) - 1, inner + 2, stroke);
}

function shadesOf(from: string, to: string): readonly string[] {
  return Array.from({ length: SHADES + 1 }, (_, i) => mix(from, to, i / SHADES));
}

/** None and all have shades of their own. */
function shadeOf(done: number): number {
  if (done === 0 || done === 1) return done * SHADES;
  return Math.min(SHADES - 1, Math.max(1, Math.round(done * SHADES)));
}

function mix(from: string, to: string, share: number): string {
  return `color-mix(in srgb, ${to} ${share * 100}%, ${from})`;
}

function hatch(context: CanvasRenderingContext2D, x: number, y: number, size: number, stroke: string): void {
  context.strokeStyle = stroke;
  context.lineWidth = 1;
  context.beginPath();
  for (let at = 3; at < size * 2; at += 4) {
    context.moveTo(x + Math.max(0, at - size), y + Math.min(at, size));
    context.lineTo(x + Math.min(at, size), y + Math.max(0, at - size));
  }
  context.stroke();
}

function cross(context: CanvasRenderingContext2D, x: number, y: number, size: number, stroke: string): void {
  context.strokeStyle = stroke;
  context.lineWidth = 1.25;
  context.beginPath();
  context.moveTo(x + 1.5, y + 1.5);
  context.lineTo(x + size - 1.5, y + size - 1.5);
  context.moveTo(x + size - 1.5, y + 1.5);
  context.lineTo(x + 1.5, y + size - 1.5);
  context.stroke();
}

function frame(context: CanvasRenderingContext2D, x: number, y: number, size: number, stroke: string): void {
  context.strokeStyle = stroke;
  context.lineWidth = 1.5;
  context.strokeRect(x + 0.75, y + 0.75, size - 1.5, size - 1.5);
}
