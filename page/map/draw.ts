import { colour } from '../ui/colours.ts';
import { type Cells, cellAt, type Grid } from './cells.ts';

export interface Palette {
  readonly waiting: string;
  readonly done: string;
  readonly reserved: string;
  readonly delayed: string;
  readonly failed: string;
  readonly straggler: string;
  readonly text: string;
}

export function palette(): Palette {
  return {
    waiting: colour('waiting'),
    done: colour('done'),
    reserved: colour('reserved'),
    delayed: colour('delayed'),
    failed: colour('failed'),
    straggler: colour('straggler'),
    text: colour('text'),
  };
}

/** Below this size of a cell there is no room for a pattern. */
const PATTERN_SIZE_MIN = 7;
/** Shares of done chunks that have a colour of their own. */
const SHADES = 16;

/** All cells, by colour and pattern: in flight is hatched, failed is crossed. */
export function draw(
  canvas: HTMLCanvasElement,
  cells: Cells,
  grid: Grid,
  colours: Palette,
  pointed: number,
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
  const shades = Array.from({ length: SHADES + 1 }, (_, i) => mix(colours.waiting, colours.done, i / SHADES));
  for (let index = 0; index < cells.cells; index++) {
    const cell = cellAt(cells, index);
    const x = (index % grid.columns) * grid.size;
    const y = Math.floor(index / grid.columns) * grid.size;
    context.fillStyle = cell.isFailed
      ? colours.failed
      : cell.isReserved
        ? colours.reserved
        : cell.isDelayed
          ? colours.delayed
          : (shades[shadeOf(cell.done)] ?? colours.waiting);
    context.fillRect(x, y, inner, inner);
    if (grid.size < PATTERN_SIZE_MIN) continue;
    if (cell.isFailed) cross(context, x, y, inner);
    else if (cell.isReserved) hatch(context, x, y, inner);
    if (cell.isStraggler) frame(context, x, y, inner, colours.straggler);
  }
  if (pointed >= 0) {
    const x = (pointed % grid.columns) * grid.size;
    const y = Math.floor(pointed / grid.columns) * grid.size;
    frame(context, x - 1, y - 1, inner + 2, colours.text);
  }
}

/** None and all have shades of their own. */
function shadeOf(done: number): number {
  if (done === 0 || done === 1) return done * SHADES;
  return Math.min(SHADES - 1, Math.max(1, Math.round(done * SHADES)));
}

function mix(from: string, to: string, share: number): string {
  return `color-mix(in srgb, ${to} ${share * 100}%, ${from})`;
}

function hatch(context: CanvasRenderingContext2D, x: number, y: number, size: number): void {
  context.strokeStyle = 'rgb(255 255 255 / 0.65)';
  context.lineWidth = 1;
  context.beginPath();
  for (let at = 3; at < size * 2; at += 4) {
    context.moveTo(x + Math.max(0, at - size), y + Math.min(at, size));
    context.lineTo(x + Math.min(at, size), y + Math.max(0, at - size));
  }
  context.stroke();
}

function cross(context: CanvasRenderingContext2D, x: number, y: number, size: number): void {
  context.strokeStyle = 'rgb(255 255 255 / 0.9)';
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
