import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import {
  MAP_CELLS_MAX,
  MAP_HEADER,
  MAP_MODES,
  type MapMode,
  type SubmissionAnswer,
} from '../../src/protocol/api/submissions.ts';
import { count, duration } from '../../src/protocol/api/words.ts';
import { getOctets } from '../lib/api.ts';
import { useFeed } from '../lib/live.ts';
import { apiPath, goTo, hrefTo, useRoute } from '../lib/route.ts';
import { useColourScheme } from '../ui/colours.ts';
import { ParamChoice } from '../ui/filters.tsx';
import { Icon, type IconName } from '../ui/icons.tsx';
import { pausedWords } from '../ui/parts.tsx';
import { AsOf, Heading } from '../ui/text.tsx';
import {
  type Cells,
  capacityOf,
  cellAt,
  cellsOf,
  durationsAt,
  durationWordsOf,
  type Grid,
  gridFor,
  moved,
  spanOf,
  type Window,
  wholeWindow,
  wordsOf,
  zoomed,
} from './cells.ts';
import { byDuration, byState, draw, palette, type Rest } from './draw.ts';
import { MapTable } from './map-table.tsx';
import { usePinch } from './pinch.ts';

const HEIGHT = 248;

const MODE_WORDS = { state: 'states', duration: 'durations' } as const satisfies Record<MapMode, string>;

const reading =
  (mode: MapMode) =>
  (path: string, signal: AbortSignal): Promise<Cells> =>
    getOctets(path, signal).then(({ bytes, headers }) => cellsOf(mode, headers.get(MAP_HEADER), bytes));
/** What a move of the map changes in its request: the cells of before stay meanwhile. */
const WINDOW = ['cell', 'from', 'cells'];
const READ = { state: reading('state'), duration: reading('duration') } as const;

/** Every chunk of a submission as a cell, or many of them as one. */
export function ChunkMap({ submission }: { readonly submission: SubmissionAnswer }) {
  const { id, chunks, state } = submission;
  const { total } = chunks;
  const rest = chunks.paused > 0 ? 'paused' : 'waiting';
  const restWords = rest === 'paused' ? pausedWords(state) : rest;
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [chosen, setChosen] = useState<Window | null>(null);
  const [pointed, setPointed] = useState(-1);

  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);

  const capacity = capacityOf(width, HEIGHT, MAP_CELLS_MAX);
  const whole = useMemo(() => wholeWindow(total, capacity), [total, capacity]);
  const window = chosen ?? whole;
  const mode = useRoute().query.get('map') === 'duration' ? 'duration' : 'state';
  const query = `cell=${window.cell}&from=${window.from}&cells=${capacity}${mode === 'state' ? '' : `&mode=${mode}`}`;
  const feed = useFeed<Cells>(width === 0 ? null : apiPath(`submissions/${id}/map`, query), {
    slower: 2,
    keeps: WINDOW,
    read: READ[mode],
  });
  const { data: cells } = feed;
  const grid = cells === null ? null : gridFor(cells.cells, width, HEIGHT);

  const middle = () =>
    cells === null || pointed < 0 ? window.from + (window.cell * capacity) / 2 : cellAt(cells, pointed).first;
  const zoom = (isIn: boolean, around = middle()) => {
    const next = zoomed(total, window, isIn, capacity, around);
    setChosen(next.cell === whole.cell ? null : next);
    setPointed(-1);
  };
  const move = (share: number) =>
    setChosen(moved(total, window, capacity, window.from + Math.round(share * capacity) * window.cell));
  const isWhole = window.cell === whole.cell;

  return (
    <section class="panel map" aria-labelledby="map-title">
      <AsOf feed={feed} />
      <Heading
        aside={
          <span class="map-tools">
            <ParamChoice
              label="What the colours tell"
              param="map"
              values={MAP_MODES}
              words={(value) => MODE_WORDS[value]}
            />
            <Tool
              label="Earlier chunks"
              icon="left"
              isOff={isWhole || window.from === 0}
              press={() => move(-0.5)}
            />
            <Tool
              label="Later chunks"
              icon="right"
              isOff={isWhole || window.from + window.cell * capacity >= total}
              press={() => move(0.5)}
            />
            <Tool label="Zoom out" icon="minus" isOff={isWhole} press={() => zoom(false)} />
            <Tool label="Zoom in" icon="plus" isOff={window.cell === 1} press={() => zoom(true)} />
          </span>
        }
      >
        <span id="map-title">Chunks</span>
      </Heading>
      <p class="map-words">{summary(submission)}</p>
      <div ref={frame} class="map-frame">
        {cells === null || grid === null ? null : (
          <Canvas
            cells={cells}
            grid={grid}
            rest={rest}
            pointed={pointed}
            point={setPointed}
            zoom={zoom}
            open={(index) => {
              const { first, last } = cellAt(cells, index);
              if (first === last || cells.cell <= 64)
                goTo(hrefTo(`submissions/${id}/chunks`, `from=${first}`));
              else zoom(true, first);
            }}
          />
        )}
      </div>
      <p class="map-below">
        <span class="map-pointed" aria-live="polite">
          {cells !== null && pointed >= 0 && pointed < cells.cells
            ? pointedWords(cells, pointed, restWords)
            : `One cell is ${window.cell === 1 ? 'one chunk' : `${count(window.cell)} chunks`}${mode === 'duration' ? '; durations are kept for neighbours together' : ''}`}
        </span>
        {cells?.mode === 'duration' ? (
          <DurationLegend cells={cells} />
        ) : (
          <Legend rest={rest} words={restWords} />
        )}
      </p>
      {cells === null ? null : <MapTable cells={cells} />}
    </section>
  );
}

function pointedWords(cells: Cells, index: number, rest: string): string {
  return cells.mode === 'duration'
    ? durationWordsOf(durationsAt(cells, index))
    : wordsOf(cellAt(cells, index), rest);
}

function Tool({
  label,
  icon,
  isOff,
  press,
}: {
  readonly label: string;
  readonly icon: IconName;
  readonly isOff: boolean;
  press(): void;
}) {
  return (
    <button type="button" class="tool" aria-label={label} title={label} disabled={isOff} onClick={press}>
      <Icon name={icon} />
    </button>
  );
}

function summary({ chunks, state, first_not_done }: SubmissionAnswer): string {
  const { total, done, reserved, failed, delayed, paused } = chunks;
  const parts = [
    `${count(done)} of ${count(total)} done`,
    `${count(reserved)} in flight`,
    delayed > 0 ? `${count(delayed)} waiting for a retry` : null,
    paused > 0 ? `${count(paused)} ${pausedWords(state)}` : null,
    `${count(failed)} failed`,
  ].filter((part) => part !== null);
  return `${parts.join(', ')}${first_not_done === null ? '' : `; first not done: ${count(first_not_done)}`}`;
}

interface CanvasProps {
  readonly cells: Cells;
  readonly grid: Grid;
  readonly rest: Rest;
  readonly pointed: number;
  point(index: number): void;
  zoom(isIn: boolean, around?: number): void;
  open(index: number): void;
}

/** The cells themselves. Wheel with Ctrl or a pinch zooms, a click opens; with the keys likewise. */
function Canvas({ cells, grid, rest, pointed, point, zoom, open }: CanvasProps) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const scheme = useColourScheme();
  const colours = useMemo(() => palette(rest), [scheme, rest]);
  useEffect(() => {
    if (canvas.current === null) return;
    const paint = cells.mode === 'duration' ? byDuration(cells, colours) : byState(cells, colours);
    draw(canvas.current, cells.cells, grid, paint, { index: pointed, colour: colours.text });
  });
  const zoomAt = (isIn: boolean, at: Pick<MouseEvent, 'clientX' | 'clientY'>) => {
    const index = indexAt(canvas.current, grid, cells, at);
    if (index >= 0) zoom(isIn, cellAt(cells, index).first);
  };
  const pinch = usePinch(zoomAt);
  // Passive listeners cannot keep the page from zooming. A pinch on a pad comes as a wheel with Ctrl.
  useEffect(() => {
    const element = canvas.current;
    const wheel = (event: WheelEvent) => {
      if (!event.ctrlKey) return;
      event.preventDefault();
      zoomAt(event.deltaY < 0, event);
    };
    element?.addEventListener('wheel', wheel, { passive: false });
    return () => element?.removeEventListener('wheel', wheel);
  });

  const press = (event: KeyboardEvent) => {
    const at = Math.max(pointed, 0);
    const steps: Readonly<Record<string, number>> = {
      ArrowLeft: at - 1,
      ArrowRight: pointed < 0 ? 0 : at + 1,
      ArrowUp: at - grid.columns,
      ArrowDown: pointed < 0 ? 0 : at + grid.columns,
      Home: 0,
      End: cells.cells - 1,
    };
    const next = steps[event.key];
    if (next !== undefined) point(Math.min(Math.max(next, 0), cells.cells - 1));
    else if (event.key === '+' || event.key === '=') zoom(true);
    else if (event.key === '-') zoom(false);
    else if (event.key === 'Enter' && pointed >= 0) open(pointed);
    else if (event.key === 'Escape') point(-1);
    else return;
    event.preventDefault();
    event.stopPropagation();
  };

  const { columns, rows, size } = grid;
  return (
    <canvas
      ref={canvas}
      width={columns * size}
      height={rows * size}
      style={{ width: `${columns * size}px`, height: `${rows * size}px` }}
      tabIndex={0}
      role="img"
      aria-label="Map of the chunks. Arrow keys move, plus and minus zoom, Enter opens."
      onKeyDown={press}
      onPointerDown={pinch.down}
      onPointerUp={pinch.up}
      onPointerCancel={pinch.up}
      onPointerMove={(event) => {
        pinch.move(event);
        if (!pinch.isPinching()) point(indexAt(canvas.current, grid, cells, event));
      }}
      onPointerLeave={(event) => {
        pinch.up(event);
        point(-1);
      }}
      onClick={(event) => {
        const index = indexAt(canvas.current, grid, cells, event);
        if (index >= 0) open(index);
      }}
    />
  );
}

function indexAt(
  element: HTMLCanvasElement | null,
  grid: Grid,
  { cells }: Cells,
  event: Pick<MouseEvent, 'clientX' | 'clientY'>,
): number {
  if (element === null) return -1;
  const box = element.getBoundingClientRect();
  const column = Math.floor((event.clientX - box.left) / grid.size);
  const row = Math.floor((event.clientY - box.top) / grid.size);
  const index = row * grid.columns + column;
  return column >= 0 && column < grid.columns && row >= 0 && index < cells ? index : -1;
}

const LEGEND = [
  ['done', 'done'],
  ['reserved', 'in flight'],
  ['delayed', 'retry later'],
  ['failed', 'failed'],
] as const;

function Legend({ rest, words: restWords }: { readonly rest: Rest; readonly words: string }) {
  return (
    <span class="legend">
      {[[rest, restWords] as const, ...LEGEND].map(([kind, words]) => (
        <span key={kind} class="legend-item">
          <i class={`swatch swatch-${kind} pattern-${kind}`} />
          {words}
        </span>
      ))}
    </span>
  );
}

/** From the shortest to the longest, where any is known. */
function DurationLegend({ cells }: { readonly cells: Cells }) {
  const span = spanOf(cells);
  return (
    <span class="legend">
      <span class="legend-item">
        <i class="swatch swatch-waiting" />
        not known
      </span>
      {span === null ? null : (
        <span class="legend-item">
          {duration(span.leastMs)} <i class="ramp" /> {duration(span.mostMs)}
        </span>
      )}
    </span>
  );
}
