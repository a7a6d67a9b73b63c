import { listedQueue } from '../../model/queue-name.ts';
import { SHARDS } from '../../model/shard.ts';
import { strategyText } from '../../model/strategy-text.ts';
import type { Attention, Severity } from '../../protocol/api/overview.ts';
import type { ConsumerPeer } from '../../queue/peer.ts';
import type { QueueSight } from '../../queue/queue.ts';
import type { SubmissionSight } from '../../scheduler/sight.ts';
import type { Computation } from '../frames.ts';
import { plural } from '../plural.ts';
import { queuesOf, type Sources } from '../sources.ts';
import { consumerTallyOf, submissionTallyOf } from '../tallies/tallies.ts';
import { ofFailedEnds, ofFailures } from './attention-failures.ts';
import { type Add, Concerned, whereOf } from './known-by.ts';
import { stragglerAfterMs } from './stragglers.ts';
import { comingBackInWords, inWords, isComingBack, pausesInWords } from './why-checks.ts';

const MINUTE_MS = 60_000;
/** There may be several in each of a thousand queues. */
export const ATTENTION_MAX = 100;
/** The text of a strategy takes some microseconds. */
const STRIDE = 32;
const STALLED_SECONDS = 300;
const DISK_LOW = 0.1;
const DISK_CRITICAL = 0.02;
/** A consumer that takes so many times what the others do is slow. */
const SLOW_TIMES = 5;
const SLOW_TIMES_MEDIAN = 2.5;
/** Of fewer consumers it cannot be said who is the odd one. */
const ALIKE_MIN = 3;
const SAMPLES_MIN = 5;
const CLOCK_STEP_MS = 2_000;
const CLOCK_STEP_SHOWN_MS = 60 * MINUTE_MS;
const INTERVAL_LONG_MS = 5_000;
const REFUSED_FOR: Readonly<Record<string, string>> = {
  limit: 'at the limit of connections (--max-connections)',
  descriptors: 'for lack of file descriptors (ulimit -n)',
  error: 'for an error of the system',
};
const RANK: Readonly<Record<Severity, number>> = { critical: 0, warning: 1, info: 2 };

/** What a person should look at, the most severe first. */
export function* attention(sources: Sources, name: string | null): Computation<Attention[]> {
  const found: Attention[] = [];
  const add: Add = (code, severity, text, link, count = 1, about = ABOUT_NONE) =>
    void found.push({ code, severity, count, text, link, ...about });
  ofServer(sources, add);
  if (name === null) ofShards(sources, add);
  for (const sight of [...queuesOf(sources, name)]) {
    yield;
    yield* ofWork(sources, name, sight, add);
    yield* ofConsumers(sources, sight, add);
  }
  yield* ofFailures(sources, name, add);
  yield* ofFailedEnds(sources, name, add);
  return found.sort((a, b) => RANK[a.severity] - RANK[b.severity]).slice(0, ATTENTION_MAX);
}

const ABOUT_NONE = { submissions: [], metadata: {}, example: null } as const;

function ofServer({ queue, clock, disk, sampler, throttling, refusals, address }: Sources, add: Add): void {
  const { ok, error, stuckSinceMs } = queue.journalHealth;
  if (!ok) {
    const forMs = clock.monotonicMs() - (stuckSinceMs ?? clock.monotonicMs());
    const text = `the store has taken nothing for ${inWords(forMs)}: ${error?.message ?? 'it does not answer'}`;
    add('store_unhealthy', 'critical', text, 'queue');
  }
  if (queue.isHandOutHeld) {
    add('hand_out_held', 'critical', 'no chunk is handed out until the store takes batches again', 'why');
  }
  const { freeBytes, totalBytes } = disk;
  if (freeBytes !== null && totalBytes !== null && freeBytes < totalBytes * DISK_LOW) {
    const severity = freeBytes < totalBytes * DISK_CRITICAL ? 'critical' : 'warning';
    const percent = ((freeBytes / totalBytes) * 100).toFixed(1);
    add('disk_low', severity, `${percent} % of the disk of the database is free`, 'queue');
  }
  const pauses = queue.pausesOf(null);
  if (pauses.length > 0) {
    add(
      'paused_with_work',
      'warning',
      `the server is paused ${pausesInWords(pauses)}`,
      'queue',
      pauses.length,
    );
  }
  const refusedBy = Object.entries(refusals()).filter(([, count]) => count > 0);
  const refused = refusedBy.reduce((sum, [, count]) => sum + count, 0);
  const reasons = refusedBy.map(([reason, count]) => `${count} ${REFUSED_FOR[reason] ?? `for ${reason}`}`);
  if (refused > 0) {
    add(
      'clients_refused',
      'info',
      `${plural(refused, 'connection was', 'connections were')} refused by ${address()} since its start: ${reasons.join(', ')}`,
      'queue',
      refused,
    );
  }
  const { lastStep } = sampler;
  const steppedAgoMs = clock.monotonicMs() - (lastStep?.atMs ?? 0);
  if (lastStep !== null && Math.abs(lastStep.byMs) > CLOCK_STEP_MS && steppedAgoMs < CLOCK_STEP_SHOWN_MS) {
    const direction = lastStep.byMs > 0 ? 'forward' : 'back';
    const text = `the clock of the machine was set ${direction} by ${inWords(Math.abs(lastStep.byMs))}, ${inWords(steppedAgoMs)} ago`;
    add('clock_stepped', 'info', text, 'queue');
  }
  if (throttling() > INTERVAL_LONG_MS) {
    add(
      'views_throttled',
      'info',
      `what is shown is computed every ${inWords(throttling())} only: many look, or the queue is busy`,
      'queue',
    );
  }
}

function ofShards({ shardsMissing }: Sources, add: Add): void {
  const missing = shardsMissing();
  if (missing === 0) return;
  const text = `${missing} of ${SHARDS} shards ${missing === 1 ? 'is' : 'are'} open on no node: queues stand still, and what is shown is without them`;
  add('shards_missing', 'critical', text, 'queue', missing);
}

function* ofWork(
  { queue, sampler }: Sources,
  asked: string | null,
  sight: QueueSight,
  add: Add,
): Computation<void> {
  const { name, counts, takenOverForMs } = sight;
  const listed = listedQueue(name);
  const where = name === '' ? '' : ` in queue ${name}`;
  const { chunksAvailable, chunksPaused, chunksReserved, consumers, submissionsPaused } = counts;
  if (chunksAvailable > 0 && consumers === 0) {
    const waits = `${plural(chunksAvailable, 'chunk waits', 'chunks wait')}${where}`;
    const link = `why?queue=${listed}` as const;
    if (isComingBack(takenOverForMs))
      add('no_consumers', 'info', `${waits}: ${comingBackInWords(takenOverForMs)}`, link, chunksAvailable);
    else add('no_consumers', 'warning', `${waits}, and no consumer is connected`, link, chunksAvailable);
  }
  // Those of the server are told apart, once.
  const ofServer = new Set(queue.pausesOf(null));
  const pauses = queue.pausesOf(name).filter((pause) => !ofServer.has(pause));
  if (pauses.length > 0) {
    const text = `queue ${listed} is paused ${pausesInWords(pauses)}`;
    add('paused_with_work', 'warning', text, `queue?queue=${listed}`);
  } else if (chunksPaused > 0 && submissionsPaused > 0) yield* ofPaused(asked, sight, add);
  if ((sampler.pace(name)?.standsForSeconds ?? 0) >= STALLED_SECONDS && chunksReserved > 0) {
    const text = `nothing was done for five minutes${where}, and ${plural(chunksReserved, 'chunk is', 'chunks are')} in the hands of ${plural(consumers, 'consumer')}`;
    add('stalled', 'warning', text, `consumers?queue=${listed}&sort=oldest_held`, chunksReserved);
  }
}

/** Submissions that are withheld, and by whom if it is only one. */
function* ofPaused(
  asked: string | null,
  { name, counts, schedule }: QueueSight,
  add: Add,
): Computation<void> {
  const { chunksPaused, submissionsPaused } = counts;
  const concerned = new Concerned();
  let only: SubmissionSight<ConsumerPeer> | null = null;
  let looked = 0;
  for (const submission of schedule.submissions.descending()) {
    if (++looked % STRIDE === 0) yield;
    if (!submission.isWithheld) continue;
    only = submission;
    concerned.add({ ...submission.record, metadata: submission.record.strategicMetadata });
    if (concerned.count >= submissionsPaused) break;
  }
  if (only === null) return;
  const who = `${concerned.inWords(whereOf(asked, name))} with ${plural(chunksPaused, 'chunk')}`;
  const about = { ...concerned.facts, example: null };
  if (concerned.count > 1) {
    const text = `${who} are paused, or have not begun`;
    const link = `submissions?state=paused&queue=${listedQueue(name)}` as const;
    add('paused_with_work', 'info', text, link, concerned.count, about);
    return;
  }
  const { record, control } = only;
  const why =
    control.pauses.length > 0 ? `is paused ${pausesInWords(control.pauses)}` : 'has not begun, as was asked';
  add('paused_with_work', 'info', `${who} ${why}`, `submissions/${record.id}`, 1, about);
}

function* ofConsumers(
  { clock, queue }: Sources,
  { name, counts, schedule }: QueueSight,
  add: Add,
): Computation<void> {
  const nowMs = clock.monotonicMs();
  const listed = listedQueue(name);
  const usual = new Map<string, Usual[]>();
  const clients = new Set<string>();
  let idle = 0;
  let stragglers = 0;
  let longestMs = 0;
  let looked = 0;
  for (const consumer of schedule.consumers) {
    if (++looked % STRIDE === 0) yield;
    const { chunksReserved, requests, firstHeld, peer, isSick } = consumer;
    const { client, address, connId, strategy } = peer.facts;
    // One that is sick is kept waiting on purpose.
    if (chunksReserved === 0 && requests.size > 0 && !isSick) idle++;
    if (client !== null) clients.add(client);
    const tally = consumerTallyOf(consumer);
    if (tally !== null && tally.spans.count >= SAMPLES_MIN && strategy !== null) {
      const text = strategyText(strategy);
      const alike = usual.get(text) ?? [];
      usual.set(text, alike);
      alike.push({
        meanMs: tally.meanMs,
        medianMs: tally.spans.quantile(0.5),
        who: `${address ?? 'a consumer'} (${connId})`,
      });
    }
    if (firstHeld === null) continue;
    const heldMs = nowMs - firstHeld.reservedMs;
    if (heldMs <= stragglerAfterMs(submissionTallyOf(firstHeld.submission))) continue;
    stragglers++;
    longestMs = Math.max(longestMs, heldMs);
  }
  if (idle > 0 && counts.chunksAvailable > 0 && !queue.isHandOutHeld && !queue.isPaused(name)) {
    const text = `${plural(idle, 'consumer waits', 'consumers wait')} although ${plural(counts.chunksAvailable, 'chunk')} could be handed out: their strategies exclude them`;
    add('consumers_idle', 'warning', text, `why?queue=${listed}`, idle);
  }
  if (stragglers > 0) {
    const text = `${plural(stragglers, 'consumer holds', 'consumers hold')} a chunk far longer than others take, the longest for ${inWords(longestMs)}`;
    add('stragglers', 'warning', text, `consumers?queue=${listed}&sort=oldest_held`, stragglers);
  }
  slowOnes([...usual.values()], listed, add);
  if (clients.size > 1) {
    const text = `consumers of ${clients.size} versions are connected: ${[...clients].sort().slice(0, 5).join(', ')}`;
    add('versions_mixed', 'info', text, `consumers?queue=${listed}&group=client`, clients.size);
  }
}

/** What a chunk takes a consumer of late. */
interface Usual {
  readonly meanMs: number;
  readonly medianMs: number;
  readonly who: string;
}

/**
 * Compared are those with the same strategy: with another one, they may do other work. The mean says how slow one is; the
 * median, that it is not so for a single chunk.
 */
function slowOnes(groups: readonly Usual[][], listed: string, add: Add): void {
  let count = 0;
  let slowest: (Usual & { readonly othersMs: number }) | null = null;
  for (const usual of groups) {
    if (usual.length < ALIKE_MIN) continue;
    const othersMs = medianOf(usual.map(({ meanMs }) => meanMs));
    const medianMs = medianOf(usual.map((each) => each.medianMs));
    for (const each of usual) {
      if (each.meanMs <= SLOW_TIMES * othersMs || each.medianMs <= SLOW_TIMES_MEDIAN * medianMs) continue;
      count++;
      if (each.meanMs > (slowest?.meanMs ?? 0)) slowest = { ...each, othersMs };
    }
  }
  if (slowest === null) return;
  const text = `${plural(count, 'consumer is', 'consumers are')} far slower than the others: a chunk takes ${slowest.who} ${inWords(slowest.meanMs)}, the others ${inWords(slowest.othersMs)}`;
  add('slow_consumers', 'warning', text, `consumers?queue=${listed}&sort=slowest`, count);
}

function medianOf(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}
