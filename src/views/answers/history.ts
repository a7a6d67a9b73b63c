import { listedQueue } from '../../model/queue-name.ts';
import {
  HISTORY_SERIES,
  HISTORY_WINDOWS,
  type History,
  type HistorySeries,
  type HistoryWindow,
} from '../../protocol/api/overview.ts';
import { iso, rounded, type Sources } from '../sources.ts';

export interface HistoryQuery {
  /** null: all queues together. */
  readonly queue: string | null;
  readonly window: HistoryWindow;
  readonly series: readonly HistorySeries[];
  readonly points: number;
}

export function history(
  { sampler, sinceMs }: Sources,
  { queue, window, series: wanted, points: pointsMax }: HistoryQuery,
): Omit<History, 'as_of' | 'age_ms'> {
  const names = wanted.length === 0 ? HISTORY_SERIES : wanted;
  const rings = sampler.history(queue);
  const points = rings?.points(window, names, pointsMax) ?? [];
  const step = Math.ceil(HISTORY_WINDOWS[window].points / pointsMax);
  const series = names.map((name, i) => [
    name,
    points.map(({ values }) => {
      const value = values[i] ?? null;
      return value === null ? null : rounded(value);
    }),
  ]);
  return {
    since: iso(sinceMs),
    queue: queue === null ? null : listedQueue(queue),
    window,
    step_ms: step * HISTORY_WINDOWS[window].seconds * 1000,
    // As the clock has it now.
    at_ms: points.map(({ atSecond }) => Math.round(sinceMs + sampler.steppedMs) + atSecond * 1000),
    series: Object.fromEntries(series),
  };
}
