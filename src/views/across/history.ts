import type { History, HistorySeries } from '../../protocol/api/overview.ts';
import { rounded } from '../sources.ts';

type Content = Omit<History, 'as_of' | 'age_ms'>;

/** Of these the highest is shown; the others are added up. */
const HIGHEST: ReadonlySet<HistorySeries> = new Set([
  'commit_p50_ms',
  'commit_p99_ms',
  'event_loop_delay_ms',
]);
/** A node whose last point is that many steps older than another's does not decide where the columns end. */
const LATE_STEPS_MAX = 2;

/**
 * The history of all nodes. Each takes its points at moments of its own: they are put on one grid, which ends where the last
 * of the nodes does, since what is not known of one yet would look like a dip.
 */
export function mergeHistories(parts: readonly Content[]): Content {
  const [first] = parts as readonly [Content, ...Content[]];
  const { queue, window, step_ms: stepMs } = first;
  const names = Object.keys(first.series) as HistorySeries[];
  const slotOf = (atMs: number) => Math.round(atMs / stepMs);
  const ends = parts.flatMap(({ at_ms: atMs }) => atMs.slice(-1).map(slotOf));
  const latest = Math.max(...ends);
  const end = Math.min(...ends.filter((slot) => latest - slot <= LATE_STEPS_MAX));
  const slots = new Map<number, Map<HistorySeries, number | null>>();
  for (const { at_ms: atMs, series } of parts) {
    for (const [i, ms] of atMs.entries()) {
      const slot = slotOf(ms);
      if (slot > end) break;
      const values = slots.get(slot) ?? new Map<HistorySeries, number | null>();
      slots.set(slot, values);
      for (const name of names) {
        values.set(name, both(name, values.get(name) ?? null, series[name]?.[i] ?? null));
      }
    }
  }
  const sorted = [...slots].sort(([a], [b]) => a - b);
  return {
    since: parts.map(({ since }) => since).sort()[0] ?? first.since,
    queue,
    window,
    step_ms: stepMs,
    at_ms: sorted.map(([slot]) => slot * stepMs),
    series: Object.fromEntries(
      names.map((name) => [name, sorted.map(([, values]) => values.get(name) ?? null)]),
    ),
  };
}

function both(name: HistorySeries, a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return HIGHEST.has(name) ? Math.max(a, b) : rounded(a + b);
}
