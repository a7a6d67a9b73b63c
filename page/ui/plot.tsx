import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import { clockTime, dateOf, ticks } from '../lib/format.ts';
import { preferences } from '../lib/preferences.ts';
import { useStore } from '../lib/store.ts';
import { inTurn } from '../lib/turns.ts';
import { colour, useColourScheme } from './colours.ts';

/** The only file that knows uPlot, but for its classes in `style/plots.css`. */

export interface Line {
  readonly label: string;
  /** Of the style sheet. */
  readonly colour: string;
  readonly isFilled?: boolean;
  readonly values: readonly (number | null)[];
}

export interface PlotProps {
  readonly title: string;
  /** Unix seconds. */
  readonly times: readonly number[];
  readonly lines: readonly Line[];
  /** Values below are no integers. */
  readonly isFine?: boolean;
  format(value: number): string;
}

const HEIGHT = 140;
const AXIS_WIDTH = 46;
const SYNC = 'plots';
const WINDOW_SECONDS_MIN = 60;
/** Of counts: so that the axis has a few. */
const INTEGER_RANGE_MIN = 4;
const INTEGER_STEPS = Array.from({ length: 13 }, (_, power) =>
  [1, 2, 5].map((digit) => digit * 10 ** power),
).flat();

/** Lines over time, with the latest values beside their names, or those under the pointer. */
export function Plot({ title, times, lines, isFine = false, format }: PlotProps) {
  const frame = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const data = [
    times as number[],
    ...lines.map(({ values }) => values as (number | null)[]),
  ] satisfies uPlot.AlignedData;
  const latest = useRef<uPlot.AlignedData>(data);
  latest.current = data;
  const { isUtc } = useStore(preferences);
  const scheme = useColourScheme();
  const [pointed, setPointed] = useState<number | null>(null);
  const shape = lines.map(({ label }) => label).join();

  useEffect(() => {
    const element = frame.current;
    if (element === null) return;
    const observer = new ResizeObserver(() =>
      plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }),
    );
    const cancel = inTurn(() => {
      const options = optionsOf({
        width: element.clientWidth,
        lines,
        isFine,
        format,
        isUtc,
        point: setPointed,
      });
      plot.current = new uPlot(options, latest.current, element);
      observer.observe(element);
    });
    return () => {
      cancel();
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [shape, scheme, isUtc]);

  useEffect(() => {
    plot.current?.setData(latest.current);
  });

  const at = pointed ?? times.length - 1;
  const shown = lines.map(({ label, values }) => `${label} ${textOf(values[at], format)}`).join(', ');
  return (
    <figure class="panel plot">
      <figcaption>
        <span class="plot-title">{title}</span>
        <span class="legend">
          {lines.map((line) => (
            <span key={line.label} class="legend-item">
              <i class={`swatch swatch-${line.colour}`} />
              {line.label} <b>{textOf(line.values[at], format)}</b>
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={frame} class="plot-frame" role="img" aria-label={`${title}: ${shown}`} />
    </figure>
  );
}

interface Drawing {
  readonly width: number;
  readonly lines: readonly Line[];
  readonly isFine: boolean;
  readonly isUtc: boolean;
  format(value: number): string;
  point(index: number | null): void;
}

function textOf(value: number | null | undefined, format: (value: number) => string): string {
  return value === null || value === undefined ? '–' : format(value);
}

function optionsOf({ width, lines, isFine, format, isUtc, point }: Drawing): uPlot.Options {
  const axis: uPlot.Axis = {
    stroke: colour('muted'),
    font: '11px system-ui, sans-serif',
    grid: { stroke: colour('line'), width: 1 },
    ticks: { show: false },
  };
  return {
    width,
    height: HEIGHT,
    padding: [8, 18, 0, 0],
    legend: { show: false },
    cursor: { sync: { key: SYNC }, drag: { x: false, y: false }, points: { size: 5 } },
    scales: {
      // A queue that has just been started has a short history.
      x: { time: true, range: (_plot, min, max) => [Math.min(min, max - WINDOW_SECONDS_MIN), max] },
      y: { range: (_plot, _min, max) => [0, Math.max(max ?? 0, isFine ? 1 : INTEGER_RANGE_MIN) * 1.08] },
    },
    axes: [
      {
        ...axis,
        size: 22,
        space: 70,
        values: (_plot, splits) => splits.map((at, i) => timeText(at, splits[i - 1], isUtc)),
      },
      {
        ...axis,
        size: AXIS_WIDTH,
        space: 28,
        ...(isFine ? {} : { incrs: INTEGER_STEPS }),
        values: (_plot, splits) => ticks(splits, format),
      },
    ],
    series: [
      {},
      ...lines.map(({ label, colour: name, isFilled }) => ({
        label,
        stroke: colour(name),
        width: 1.5,
        points: { show: false },
        ...(isFilled ? { fill: `color-mix(in srgb, ${colour(name)} 14%, transparent)` } : {}),
      })),
    ],
    hooks: { setCursor: [({ cursor }) => point(cursor.idx ?? null)] },
  };
}

/** The date only where it changes. */
function timeText(at: number, before: number | undefined, isUtc: boolean): string {
  const [date, time] = [dateOf(at * 1_000, isUtc), clockTime(at * 1_000, isUtc)];
  if (before !== undefined && dateOf(before * 1_000, isUtc) !== date) return date.slice(5);
  return time.endsWith(':00') ? time.slice(0, 5) : time;
}
