import type { PauseItem } from '../../protocol/api/lists.ts';
import {
  type Attention,
  type AttentionCode,
  type Overview,
  type OverviewCounts,
  type QueueState,
  type Rates,
  SEVERITIES,
  type StoreHealth,
  type StrategyRow,
  type Totals,
} from '../../protocol/api/overview.ts';
import { ATTENTION_MAX } from '../answers/attention.ts';
import { STRATEGIES_MAX } from '../answers/overview.ts';
import { longestOf } from '../answers/overview-left.ts';
import { most, rounded } from '../sources.ts';

type Content = Omit<Overview, 'as_of' | 'age_ms'>;

/** The worst first; a node that stops is no longer one of them, unless all do. */
const STATES: readonly QueueState[] = ['store_stuck', 'paused', 'running', 'stopping'];

/** The overview of all nodes, out of those that each gives of what it has. There is at least one. */
export function mergeOverviews(parts: readonly Content[]): Content {
  const [first] = parts as readonly [Content, ...Content[]];
  return {
    since: parts.map(({ since }) => since).sort()[0] ?? first.since,
    queue: first.queue,
    state: STATES.find((state) => parts.some((part) => part.state === state)) ?? first.state,
    counts: summed<OverviewCounts>(parts.map(({ counts }) => counts)),
    totals: summed<Totals>(parts.map(({ totals }) => totals)),
    rates: {
      last_1s: ratesOf(parts.map(({ rates }) => rates.last_1s)),
      last_10s: ratesOf(parts.map(({ rates }) => rates.last_10s)),
      last_60s: ratesOf(parts.map(({ rates }) => rates.last_60s)),
    },
    oldest_waiting: parts.map((part) => part.oldest_waiting).reduce(older),
    left_ms: parts.map((part) => part.left_ms).reduce(most),
    longest_left: longestOf(parts.flatMap((part) => part.longest_left)),
    strategies: mergeStrategies(parts),
    store: parts.map(({ store }) => store).reduce(bothStores),
    event_loop_delay_ms: parts.map((part) => part.event_loop_delay_ms).reduce(higher),
    pauses: mergePauses(parts.map(({ pauses }) => pauses)),
    attention: mergeAttention(parts),
  };
}

function summed<Counts extends { readonly [Name in keyof Counts]: number }>(all: readonly Counts[]): Counts {
  const names = Object.keys(all[0] ?? {}) as (keyof Counts)[];
  const sums = names.map((name) => [name, all.reduce((sum, each) => sum + each[name], 0)] as const);
  return Object.fromEntries(sums) as Counts;
}

/** Of the nodes that know theirs; null if none does. */
function ratesOf(all: readonly Rates[]): Rates {
  const sum = (name: keyof Rates) => {
    const known = all.map((rates) => rates[name]).filter((rate) => rate !== null);
    return known.length === 0 ? null : rounded(known.reduce((a, b) => a + b));
  };
  return { inserted: sum('inserted'), done: sum('done'), set_back: sum('set_back') };
}

function older(a: Overview['oldest_waiting'], b: Overview['oldest_waiting']): Overview['oldest_waiting'] {
  if (a === null || b === null) return a ?? b;
  return BigInt(a.submission) < BigInt(b.submission) ? a : b;
}

function mergeStrategies(parts: readonly Content[]): StrategyRow[] {
  const rows = new Map<string | null, StrategyRow>();
  for (const row of parts.flatMap(({ strategies }) => strategies)) {
    const known = rows.get(row.strategy) ?? { consumers: 0, waiting: 0, held: 0 };
    rows.set(row.strategy, {
      strategy: row.strategy,
      consumers: known.consumers + row.consumers,
      waiting: known.waiting + row.waiting,
      held: known.held + row.held,
    });
  }
  return [...rows.values()].sort((a, b) => b.consumers - a.consumers).slice(0, STRATEGIES_MAX);
}

/** It is one store, seen from two places; the disks are two. */
function bothStores(a: StoreHealth, b: StoreHealth): StoreHealth {
  const fuller = leftOf(b) < leftOf(a) ? b : a;
  return {
    healthy: a.healthy && b.healthy,
    error: a.error ?? b.error,
    stuck_ms: most(a.stuck_ms, b.stuck_ms),
    hand_out_held: a.hand_out_held || b.hand_out_held,
    commit_ms:
      a.commit_ms === null || b.commit_ms === null
        ? (a.commit_ms ?? b.commit_ms)
        : higher(a.commit_ms, b.commit_ms),
    last_commit: latest(a.last_commit, b.last_commit),
    pending_bytes: a.pending_bytes + b.pending_bytes,
    size_bytes: most(a.size_bytes, b.size_bytes),
    disk_free_bytes: fuller.disk_free_bytes,
    disk_total_bytes: fuller.disk_total_bytes,
  };
}

function leftOf({ disk_free_bytes: free, disk_total_bytes: total }: StoreHealth): number {
  return free === null || total === null || total === 0 ? Number.POSITIVE_INFINITY : free / total;
}

function latest(a: string | null, b: string | null): string | null {
  return a === null || b === null ? (a ?? b) : a > b ? a : b;
}

interface P50P99 {
  readonly p50: number;
  readonly p99: number;
}

function higher(a: P50P99, b: P50P99): P50P99 {
  return { p50: Math.max(a.p50, b.p50), p99: Math.max(a.p99, b.p99) };
}

/** Those of the whole server, in the order of their coming: every node knows of them. */
function mergePauses(all: readonly (readonly PauseItem[])[]): PauseItem[] {
  const byCause = new Map(all.flat().map((pause) => [pause.cause, pause]));
  return [...byCause.values()];
}

/**
 * What is told apart from others of its kind by less than its words. Of shards that nobody has, one node may have heard later than
 * another; failures are remembered by the node that had their queue then.
 */
const SAID_ONCE: Readonly<Partial<Record<AttentionCode, (each: Attention) => string>>> = {
  shards_missing: () => '',
  failing: ({ link }) => link,
  submissions_failed: ({ link, example }) => `${link} ${example?.submission ?? ''}`,
};

/** What several nodes say in the same words is said once. */
function mergeAttention(parts: readonly Content[]): Attention[] {
  const found = new Map<string, Attention>();
  for (const each of parts.flatMap(({ attention }) => attention)) {
    const key = `${each.code}${SAID_ONCE[each.code]?.(each) ?? ` ${each.link} ${each.text}`}`;
    if ((found.get(key)?.count ?? 0) < each.count) found.set(key, each);
  }
  const rank = ({ severity }: Attention) => SEVERITIES.indexOf(severity);
  return [...found.values()].sort((a, b) => rank(a) - rank(b)).slice(0, ATTENTION_MAX);
}
