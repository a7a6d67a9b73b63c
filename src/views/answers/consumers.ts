import { listedQueue } from '../../model/queue-name.ts';
import { strategyText } from '../../model/strategy-text.ts';
import type {
  ConsumerAnswer,
  ConsumerGroup,
  ConsumerGrouping,
  ConsumerRow,
  ConsumerSort,
  ConsumerState,
  HeldItem,
} from '../../protocol/api/consumers.ts';
import type { List } from '../../protocol/api/lists.ts';
import { MINUTE } from '../../protocol/api/words.ts';
import type { ConsumerPeer } from '../../queue/peer.ts';
import type { ConsumerSight } from '../../scheduler/sight.ts';
import type { Computation } from '../frames.ts';
import { lastingSince, Page } from '../page.ts';
import { iso, most, queuesOf, rounded, type Sources } from '../sources.ts';
import { type ConsumerTally, consumerTallyOf } from '../tallies/tallies.ts';
import { CONSUMER_SAMPLES_MIN, type Slow, slowConsumers } from './slow-consumers.ts';

export interface ConsumersQuery {
  readonly queue: string | null;
  readonly strategy: string | null;
  readonly state: ConsumerState | null;
  readonly client: string | null;
  readonly address: string | null;
  readonly sort: ConsumerSort;
  readonly order: 'asc' | 'desc';
  readonly group: ConsumerGrouping;
  readonly limit: number;
  readonly cursor: string | null;
}

type Seen = ConsumerSight<ConsumerPeer>;

const STRIDE = 32;
const HOLDING_MAX = 200;
const SECOND_MS = 1_000;
/** Of what takes no time, so many times as long says nothing. */
const MS_MIN = 0.01;

/** Connected consumers that match, or groups of them. */
export function* consumers(
  sources: Sources,
  query: ConsumersQuery,
): Computation<Omit<List<ConsumerRow | ConsumerGroup>, 'as_of' | 'age_ms'>> {
  const nowMs = sources.clock.monotonicMs();
  // A cursor of groups is none of rows.
  const page = query.group === 'none' ? new Page<ConsumerRow>(query, query.sort === 'since') : null;
  const groups: ConsumerGroups = new Map();
  let looked = 0;
  for (const { name, schedule } of queuesOf(sources, query.queue)) {
    const slow = yield* slowConsumers(schedule);
    for (const consumer of schedule.consumers) {
      if (++looked % STRIDE === 0) yield;
      const item = consumerItem(sources, consumer, slow, name, nowMs);
      if (!matches(item, query)) continue;
      if (query.group === 'none') page?.add(sortValue(item, query.sort), item.conn_id, item);
      else addTo(groups, groupOf(item, query.group));
    }
  }
  if (page === null) return groupsPage(groups, query);
  const { matched, next, rows } = page.finish();
  return { matched, next, items: rows };
}

/** null: there is none with that name. */
export function* consumerDetails(
  sources: Sources,
  connId: string,
  queue: string | null,
): Computation<Omit<ConsumerAnswer, 'as_of' | 'age_ms'> | null> {
  const nowMs = sources.clock.monotonicMs();
  let looked = 0;
  for (const { name, schedule } of queuesOf(sources, queue)) {
    for (const consumer of schedule.consumers) {
      if (++looked % STRIDE === 0) yield;
      if (consumer.peer.facts.connId !== connId) continue;
      const slow = yield* slowConsumers(schedule);
      return { ...consumerItem(sources, consumer, slow, name, nowMs), holding: holdingOf(consumer, nowMs) };
    }
  }
  return null;
}

function consumerItem(
  { unixMs }: Sources,
  consumer: Seen,
  slow: ReadonlyMap<Seen, Slow>,
  queue: string,
  nowMs: number,
): ConsumerRow {
  const { peer, concurrency, chunksReserved, firstHeld, requests } = consumer;
  const { connId, address, client, sinceMs, heardMs, strategy } = peer.facts;
  const tally = consumerTallyOf(consumer);
  const spans = tally?.spans;
  return {
    conn_id: connId,
    queue: listedQueue(queue),
    address,
    client,
    strategy: strategy === null ? null : strategyText(strategy),
    state: stateOf(consumer),
    concurrency,
    held: chunksReserved,
    oldest_held_ms: firstHeld === null ? null : Math.round(nowMs - firstHeld.reservedMs),
    oldest_held_since: firstHeld === null ? null : iso(unixMs(firstHeld.reservedMs)),
    requests_waiting: requests.size,
    done: tally?.done ?? 0,
    set_back: tally?.setBack ?? 0,
    rate: tally === null ? 0 : rounded(rateOf(tally, nowMs - sinceMs, nowMs)),
    set_back_60s: Math.round(tally?.setBackOfLate.count(nowMs, MINUTE) ?? 0),
    durations_ms:
      spans === undefined || spans.count < CONSUMER_SAMPLES_MIN
        ? null
        : { p50: rounded(spans.quantile(0.5)), p90: rounded(spans.quantile(0.9)) },
    slow: timesOf(slow.get(consumer)),
    silent_ms: Math.max(0, Math.round(nowMs - heardMs)),
    heard: iso(unixMs(heardMs)),
    since: iso(unixMs(sinceMs)),
  };
}

function timesOf(slow: Slow | undefined): number | null {
  return slow === undefined ? null : rounded(slow.meanMs / Math.max(MS_MIN, slow.othersMs));
}

/** @param connectedMs for how long it is connected */
function rateOf({ doneOfLate }: ConsumerTally, connectedMs: number, nowMs: number): number {
  const periodMs = Math.min(MINUTE, Math.max(SECOND_MS, connectedMs));
  return doneOfLate.count(nowMs, MINUTE) / (periodMs / SECOND_MS);
}

function stateOf({ isSick, chunksReserved, requests, peer }: Seen): ConsumerState {
  if (isSick) return 'sick';
  if (peer.facts.isFull) return 'full';
  if (chunksReserved > 0) return 'working';
  return requests.size > 0 ? 'waiting' : 'idle';
}

function holdingOf({ firstHeld }: Seen, nowMs: number): HeldItem[] {
  const holding: HeldItem[] = [];
  for (let held = firstHeld; held !== null && holding.length < HOLDING_MAX; held = held.heldAfter) {
    const { submission, chunkIndex, reservedMs, expiresMs, retries } = held;
    holding.push({
      submission: String(submission.record.id),
      chunk: chunkIndex,
      held_ms: Math.round(nowMs - reservedMs),
      expires_in_ms: Math.max(0, Math.round(expiresMs - nowMs)),
      retries,
    });
  }
  return holding;
}

function matches(item: ConsumerRow, { strategy, state, client, address }: ConsumersQuery): boolean {
  if (strategy !== null && item.strategy !== strategy) return false;
  if (state !== null && item.state !== state) return false;
  if (client !== null && item.client !== client) return false;
  return address === null || item.address === address;
}

export function sortValue(item: ConsumerRow, sort: ConsumerSort): number {
  switch (sort) {
    case 'since':
      return Date.parse(item.since);
    case 'held':
      return item.held;
    case 'oldest_held':
      return lastingSince(item.oldest_held_since);
    case 'rate':
      return item.rate;
    case 'failed':
      return item.set_back_60s;
    case 'slowest':
      return item.durations_ms?.p50 ?? -1;
    case 'silent':
      return lastingSince(item.heard);
  }
}

function groupOf(item: ConsumerRow, by: Exclude<ConsumerGrouping, 'none'>): ConsumerGroup {
  return {
    group: item[by],
    consumers: 1,
    working: item.held > 0 ? 1 : 0,
    waiting: item.state === 'waiting' ? 1 : 0,
    slow: item.slow === null ? 0 : 1,
    held: item.held,
    rate: item.rate,
    set_back_60s: item.set_back_60s,
    oldest_held_ms: item.oldest_held_ms,
  };
}

export type ConsumerGroups = Map<string | null, ConsumerGroup>;

/** With those that are in the group of that name already. */
export function addTo(groups: ConsumerGroups, more: ConsumerGroup): void {
  const group = groups.get(more.group);
  if (group === undefined) groups.set(more.group, more);
  else {
    groups.set(more.group, {
      group: more.group,
      consumers: group.consumers + more.consumers,
      working: group.working + more.working,
      waiting: group.waiting + more.waiting,
      slow: group.slow + more.slow,
      held: group.held + more.held,
      rate: rounded(group.rate + more.rate),
      set_back_60s: group.set_back_60s + more.set_back_60s,
      oldest_held_ms: most(group.oldest_held_ms, more.oldest_held_ms),
    });
  }
}

export function groupsPage(groups: ConsumerGroups, query: ConsumersQuery) {
  const page = new Page<ConsumerGroup>({ ...query, sort: 'consumers' }, false);
  for (const group of groups.values()) page.add(group.consumers, group.group ?? '', group);
  const { matched, next, rows } = page.finish();
  return { matched, next, items: rows };
}
