import {
  HISTORY_SERIES,
  HISTORY_WINDOWS,
  type HistorySeries,
  type HistoryWindow,
} from '../../protocol/api/overview.ts';

/** Of one second; null where nothing is known. */
export type Sample = Readonly<Record<HistorySeries, number | null>>;

const WINDOWS = Object.keys(HISTORY_WINDOWS) as HistoryWindow[];

/** Columns of a window: points are put together from those of the window before. */
class Columns {
  readonly capacity: number;
  /** Seconds of a point. */
  readonly seconds: number;
  /** The second in which each point ended, in seconds since the start. */
  readonly #at: Uint32Array;
  readonly #values: ReadonlyMap<HistorySeries, Float32Array>;
  #length = 0;
  #next = 0;

  constructor({ points, seconds }: { readonly points: number; readonly seconds: number }) {
    this.capacity = points;
    this.seconds = seconds;
    this.#at = new Uint32Array(points);
    this.#values = new Map(HISTORY_SERIES.map((series) => [series, new Float32Array(points)]));
  }

  get length(): number {
    return this.#length;
  }

  push(atSecond: number, sample: Sample): void {
    this.#at[this.#next] = atSecond;
    for (const [series, column] of this.#values) column[this.#next] = sample[series] ?? Number.NaN;
    this.#next = (this.#next + 1) % this.capacity;
    this.#length = Math.min(this.#length + 1, this.capacity);
  }

  /** @param i 0 = the oldest */
  atSecond(i: number): number {
    return this.#at[this.#place(i)]!;
  }

  value(series: HistorySeries, i: number): number | null {
    const value = this.#values.get(series)![this.#place(i)]!;
    return Number.isNaN(value) ? null : value;
  }

  /** The mean of the last `count` points. */
  mean(series: HistorySeries, count: number): number | null {
    let sum = 0;
    let known = 0;
    for (let i = Math.max(0, this.#length - count); i < this.#length; i++) {
      const value = this.value(series, i);
      if (value === null) continue;
      sum += value;
      known++;
    }
    return known === 0 ? null : sum / known;
  }

  #place(i: number): number {
    return (this.#next - this.#length + i + this.capacity) % this.capacity;
  }
}

export interface Point {
  /** When it ended, in seconds since the start. */
  readonly atSecond: number;
  readonly values: readonly (number | null)[];
}

/** Ten minutes by the second, six hours by ten seconds, seven days by the minute. About 600 kB. */
export class HistoryRings {
  readonly #columns = new Map(WINDOWS.map((window) => [window, new Columns(HISTORY_WINDOWS[window])]));

  #lastSecond = 0;

  /** @param second since the start; rises with each call */
  push(second: number, sample: Sample): void {
    const seconds = this.#columns.get('10m')!;
    seconds.push(second, sample);
    for (const columns of this.#columns.values()) {
      const { seconds: step } = columns;
      if (columns === seconds || Math.floor(second / step) === Math.floor(this.#lastSecond / step)) continue;
      const means = HISTORY_SERIES.map((series) => [series, seconds.mean(series, columns.seconds)]);
      columns.push(second, Object.fromEntries(means) as Sample);
    }
    this.#lastSecond = second;
  }

  /** The oldest first; neighbours are put together until there are no more than `pointsMax`. */
  points(window: HistoryWindow, series: readonly HistorySeries[], pointsMax: number): Point[] {
    const columns = this.#columns.get(window)!;
    const step = Math.ceil(columns.capacity / pointsMax);
    const points: Point[] = [];
    // So that points stay what they are while time goes on: groups end at multiples of the step.
    for (let from = 0; from < columns.length; ) {
      const group = Math.floor((columns.atSecond(from) - 1) / (step * columns.seconds));
      let to = from + 1;
      while (
        to < columns.length &&
        Math.floor((columns.atSecond(to) - 1) / (step * columns.seconds)) === group
      )
        to++;
      const values = series.map((name) => meanOf(columns, name, from, to));
      points.push({ atSecond: columns.atSecond(to - 1), values });
      from = to;
    }
    return points.slice(-pointsMax);
  }
}

function meanOf(columns: Columns, series: HistorySeries, from: number, to: number): number | null {
  let sum = 0;
  let known = 0;
  for (let i = from; i < to; i++) {
    const value = columns.value(series, i);
    if (value === null) continue;
    sum += value;
    known++;
  }
  return known === 0 ? null : sum / known;
}
