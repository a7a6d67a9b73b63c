import type { PausedBy } from '../../model/control.ts';
import { submissionIdTimeMs } from '../../model/ids.ts';
import { listedQueue } from '../../model/queue-name.ts';
import { strategyText } from '../../model/strategy-text.ts';
import type { PauseItem } from '../../protocol/api/lists.ts';
import type {
  Overview,
  OverviewCounts,
  QueueState,
  Rates,
  StoreHealth,
  StrategyRow,
  Totals,
} from '../../protocol/api/overview.ts';
import type { QueueSight } from '../../queue/queue.ts';
import { NO_COUNTS, type SchedulerCounts } from '../../scheduler/types.ts';
import type { Computation } from '../frames.ts';
import { iso, queuesOf, rounded, type Sources, STRIDE } from '../sources.ts';
import type { QueueTally } from '../tallies/tallies.ts';
import { attention } from './attention.ts';
import { leftOfAll } from './overview-left.ts';

type Content<T> = Omit<T, 'as_of' | 'age_ms'>;

export const STRATEGIES_MAX = 50;

/** What consumers do, counted. */
interface ConsumerCounts {
  working: number;
  waiting: number;
  readonly byStrategy: Map<string | null, { consumers: number; waiting: number; held: number }>;
}

/** @param name null: all queues together */
export function* overview(sources: Sources, name: string | null): Computation<Content<Overview>> {
  const { queue, watcher, sampler, sinceMs } = sources;
  const queues = [...queuesOf(sources, name)];
  const consumers: ConsumerCounts = { working: 0, waiting: 0, byStrategy: new Map() };
  for (const each of queues) yield* countConsumers(each, consumers);
  const oldest = yield* oldestWaiting(queues.filter((each) => !queue.isPaused(each.name)));
  const left = yield* leftOfAll(sources, queues);
  const found = yield* attention(sources, name);
  // All counts as of now: queues may have come, gone or been paused since.
  const sights = [...queuesOf(sources, name)];
  const counts = name === null ? queue.counts : (sights[0]?.counts ?? NO_COUNTS);
  const goingOn = sights.filter((each) => !queue.isPaused(each.name));
  const nowMs = sources.clock.nowMs();
  const pace = sampler.pace(name);
  const rates = (seconds: number): Rates => ({
    inserted: roundedOrNull(pace?.mean('inserted', seconds)),
    done: roundedOrNull(pace?.mean('done', seconds)),
    set_back: roundedOrNull(pace?.mean('setBack', seconds)),
  });
  const pauses = queue.pausesOf(name);
  const { loopDelaysOfLate } = queue.stats;
  return {
    since: iso(sinceMs),
    queue: name === null ? null : listedQueue(name),
    state: stateOf(sources, pauses),
    counts: countsOf(
      counts,
      goingOn.reduce((sum, each) => sum + each.counts.chunksAvailable, 0),
      consumers,
    ),
    totals: totalsOf(name === null ? watcher.total : watcher.tallyOf(name)),
    rates: { last_1s: rates(1), last_10s: rates(10), last_60s: rates(60) },
    oldest_waiting:
      oldest === null
        ? null
        : {
            submission: String(oldest.id),
            queue: listedQueue(oldest.queue),
            age_ms: Math.max(0, nowMs - submissionIdTimeMs(oldest.id)),
          },
    ...left,
    strategies: strategiesOf(consumers),
    store: storeHealth(sources),
    event_loop_delay_ms: {
      p50: milliseconds(loopDelaysOfLate.quantile(0.5)),
      p99: milliseconds(loopDelaysOfLate.quantile(0.99)),
    },
    pauses: pauses.map(pauseItem),
    attention: found,
  };
}

export function pauseItem({ cause, by, reason, sinceMs }: PausedBy): PauseItem {
  return { cause, by, reason, since: iso(sinceMs) };
}

function* countConsumers({ schedule }: QueueSight, counted: ConsumerCounts): Computation<void> {
  let looked = 0;
  for (const { chunksReserved, requests, peer } of schedule.consumers) {
    if (++looked % STRIDE === 0) yield;
    const waits = chunksReserved === 0 && requests.size > 0;
    if (chunksReserved > 0) counted.working++;
    if (waits) counted.waiting++;
    const { strategy } = peer.facts;
    const text = strategy === null ? null : strategyText(strategy);
    const group = counted.byStrategy.get(text) ?? { consumers: 0, waiting: 0, held: 0 };
    counted.byStrategy.set(text, group);
    group.consumers++;
    if (waits) group.waiting++;
    group.held += chunksReserved;
  }
}

function strategiesOf({ byStrategy }: ConsumerCounts): StrategyRow[] {
  return Array.from(byStrategy, ([strategy, counts]) => ({ strategy, ...counts }))
    .sort((a, b) => b.consumers - a.consumers)
    .slice(0, STRATEGIES_MAX);
}

/** The one of all queues that was inserted first, of which a chunk could be handed out. */
function* oldestWaiting(
  queues: readonly QueueSight[],
): Computation<{ readonly id: bigint; readonly queue: string } | null> {
  let oldest: { readonly id: bigint; readonly queue: string } | null = null;
  for (const { name, counts, schedule } of queues) {
    if (counts.chunksAvailable === 0) continue;
    let looked = 0;
    for (const { record, chunksAvailable } of schedule.submissions.values()) {
      if (++looked % STRIDE === 0) yield;
      if (chunksAvailable === 0) continue;
      if (oldest === null || record.id < oldest.id) oldest = { id: record.id, queue: name };
      break;
    }
  }
  return oldest;
}

function stateOf({ queue }: Sources, pauses: readonly PausedBy[]): QueueState {
  if (!queue.isReady) return 'stopping';
  if (!queue.isHealthy) return 'store_stuck';
  return pauses.length > 0 ? 'paused' : 'running';
}

/** @param chunksWaiting available ones of queues that are not paused */
function countsOf(
  counts: SchedulerCounts,
  chunksWaiting: number,
  { working, waiting }: ConsumerCounts,
): OverviewCounts {
  return {
    submissions_open: counts.submissionsOpen,
    submissions_paused: counts.submissionsPaused,
    chunks_backlog: counts.chunksInBacklog,
    operations_backlog: counts.operationsInBacklog,
    chunks_waiting: chunksWaiting,
    chunks_reserved: counts.chunksReserved,
    chunks_delayed: counts.chunksDelayed,
    chunks_paused: counts.chunksPaused + counts.chunksAvailable - chunksWaiting,
    chunks_failed: counts.chunksFailed,
    consumers: counts.consumers,
    consumers_working: working,
    consumers_waiting: waiting,
    consumers_sick: counts.consumersSick,
  };
}

function totalsOf({ inserted, completed, failed, cancelled, done, setBack }: QueueTally): Totals {
  return {
    submissions_inserted: inserted,
    submissions_completed: completed,
    submissions_failed: failed,
    submissions_cancelled: cancelled,
    chunks_done: done,
    chunks_set_back: setBack,
  };
}

function storeHealth({ queue, clock, disk, unixMs }: Sources): StoreHealth {
  const { ok, error, stuckSinceMs, bytesPending } = queue.journalHealth;
  const { commitsOfLate } = queue.stats;
  return {
    healthy: ok,
    error: error === null ? null : { code: error.code, text: error.message },
    stuck_ms: stuckSinceMs === null ? null : Math.round(clock.monotonicMs() - stuckSinceMs),
    hand_out_held: queue.isHandOutHeld,
    commit_ms: commitsOfLate.isQuiet
      ? null
      : {
          p50: milliseconds(commitsOfLate.quantile(0.5)),
          p99: milliseconds(commitsOfLate.quantile(0.99)),
        },
    last_commit: commitsOfLate.latestMs === null ? null : iso(unixMs(commitsOfLate.latestMs)),
    pending_bytes: bytesPending,
    size_bytes: disk.sizeBytes,
    disk_free_bytes: disk.freeBytes,
    disk_total_bytes: disk.totalBytes,
  };
}

function roundedOrNull(rate: number | null | undefined): number | null {
  return rate === null || rate === undefined ? null : rounded(rate);
}

function milliseconds(seconds: number): number {
  return rounded(seconds * 1000);
}
