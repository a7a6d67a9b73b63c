import { listedQueue } from '../../model/queue-name.ts';
import { SHARDS } from '../../model/shard.ts';
import type { Strategy } from '../../model/strategy.ts';
import type { Attention, Severity } from '../../protocol/api/overview.ts';
import { count, duration, MINUTE, percent, plural } from '../../protocol/api/words.ts';
import type { ConsumerPeer } from '../../queue/peer.ts';
import type { QueueSight } from '../../queue/queue.ts';
import type { HeldLink, SubmissionSight } from '../../scheduler/sight.ts';
import type { Computation } from '../frames.ts';
import { queuesOf, type Sources } from '../sources.ts';
import { submissionTallyOf } from '../tallies/tallies.ts';
import { ofFailedEnds, ofFailures } from './attention-failures.ts';
import { Excluded, waitingIn } from './excluded.ts';
import { type Add, Concerned, whereOf } from './known-by.ts';
import { type Slow, slowConsumers } from './slow-consumers.ts';
import { stragglerAfterMs } from './stragglers.ts';
import { comingBackInWords, isComingBack, pausesInWords, waitingHasInWords } from './why-checks.ts';

/** There may be several in each of a thousand queues. */
export const ATTENTION_MAX = 100;
/** The text of a strategy takes some microseconds. */
const STRIDE = 32;
/** Submissions of a queue that are looked at for those that are paused: there may be very many, and the overview is computed each second. */
const PAUSED_LOOKED_MAX = 1_000;
const STALLED_SECONDS = 300;
const DISK_LOW = 0.1;
const DISK_CRITICAL = 0.02;
const CLOCK_STEP_MS = 2_000;
const CLOCK_STEP_SHOWN_MS = 60 * MINUTE;
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
    const text = `the store has taken nothing for ${duration(forMs)}: ${error?.message ?? 'it does not answer'}`;
    add('store_unhealthy', 'critical', text, 'queue');
  }
  if (queue.isHandOutHeld) {
    add('hand_out_held', 'critical', 'no chunk is handed out until the store takes batches again', 'why');
  }
  const { freeBytes, totalBytes } = disk;
  if (freeBytes !== null && totalBytes !== null && freeBytes < totalBytes * DISK_LOW) {
    const severity = freeBytes < totalBytes * DISK_CRITICAL ? 'critical' : 'warning';
    add(
      'disk_low',
      severity,
      `${percent(freeBytes / totalBytes)} of the disk of the database is free`,
      'queue',
    );
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
  const reasons = refusedBy.map(
    ([reason, times]) => `${count(times)} ${REFUSED_FOR[reason] ?? `for ${reason}`}`,
  );
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
    const text = `the clock of the machine was set ${direction} by ${duration(Math.abs(lastStep.byMs))}, ${duration(steppedAgoMs)} ago`;
    add('clock_stepped', 'info', text, 'queue');
  }
  if (throttling() > INTERVAL_LONG_MS) {
    add(
      'views_throttled',
      'info',
      `what is shown is computed every ${duration(throttling())} only: many look, or the queue is busy`,
      'queue',
    );
  }
}

function ofShards({ shardsMissing }: Sources, add: Add): void {
  const missing = shardsMissing();
  if (missing === 0) return;
  const text = `${missing} of ${plural(SHARDS, 'shard')} ${missing === 1 ? 'is' : 'are'} open on no node: queues stand still, and what is shown is without them`;
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

/** Submissions that are withheld, and by whom if it is only one; what they are is said as far as they are among the newest. */
function* ofPaused(
  asked: string | null,
  { name, counts, schedule }: QueueSight,
  add: Add,
): Computation<void> {
  const concerned = new Concerned();
  let only: SubmissionSight<ConsumerPeer> | null = null;
  let looked = 0;
  for (const submission of schedule.submissions.descending()) {
    if (++looked % STRIDE === 0) yield;
    if (submission.isWithheld) {
      only = submission;
      concerned.add({ ...submission.record, metadata: submission.record.strategicMetadata });
    }
    if (looked === PAUSED_LOOKED_MAX || concerned.count >= counts.submissionsPaused) break;
  }
  const { chunksPaused, submissionsPaused } = counts;
  concerned.addUnseen(submissionsPaused - concerned.count);
  if (concerned.count === 0) return;
  const who = `${concerned.inWords(whereOf(asked, name))} with ${plural(chunksPaused, 'chunk')}`;
  const about = { ...concerned.facts, example: null };
  if (concerned.count > 1 || only === null) {
    const text = `${who} ${concerned.count === 1 ? 'is paused, or has' : 'are paused, or have'} not begun`;
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
  const clients = new Set<string>();
  const idle: Strategy[] = [];
  let stragglers = 0;
  let longestMs = 0;
  let longest: Held['submission'] | null = null;
  let looked = 0;
  for (const consumer of schedule.consumers) {
    if (++looked % STRIDE === 0) yield;
    const { chunksReserved, requests, firstHeld, peer, isSick } = consumer;
    const { client, strategy } = peer.facts;
    // One that is sick is kept waiting on purpose.
    if (chunksReserved === 0 && requests.size > 0 && !isSick && strategy !== null) idle.push(strategy);
    if (client !== null) clients.add(client);
    if (firstHeld === null) continue;
    const heldMs = nowMs - firstHeld.reservedMs;
    if (heldMs <= stragglerAfterMs(submissionTallyOf(firstHeld.submission))) continue;
    stragglers++;
    if (heldMs > longestMs) [longestMs, longest] = [heldMs, firstHeld.submission];
  }
  if (counts.chunksAvailable > 0 && !queue.isHandOutHeld && !queue.isPaused(name)) {
    yield* ofExcluded(schedule, { idle, name, chunks: counts.chunksAvailable }, add);
  }
  if (longest !== null) {
    const concerned = new Concerned();
    concerned.add({ ...longest.record, metadata: longest.record.strategicMetadata });
    const last = isLastInFlight(longest) ? ', which waits for its last chunks' : '';
    const text = `${plural(stragglers, 'consumer holds', 'consumers hold')} a chunk far longer than others take, the longest for ${duration(longestMs)}, of ${concerned.inWords()}${last}`;
    const about = { ...concerned.facts, example: null };
    add('stragglers', 'warning', text, `consumers?queue=${listed}&sort=oldest_held`, stragglers, about);
  }
  yield* slowOnes(schedule, listed, add);
  if (clients.size > 1) {
    const text = `consumers of ${count(clients.size)} versions are connected: ${[...clients].sort().slice(0, 5).join(', ')}`;
    add('versions_mixed', 'info', text, `consumers?queue=${listed}&group=client`, clients.size);
  }
}

/** Which consumers have nothing to do, since they take other work than what waits. */
function* ofExcluded(
  schedule: QueueSight['schedule'],
  {
    idle,
    name,
    chunks,
  }: { readonly idle: readonly Strategy[]; readonly name: string; readonly chunks: number },
  add: Add,
): Computation<void> {
  if (idle.length === 0) return;
  const excluded = new Excluded(schedule, yield* waitingIn(schedule));
  let looked = 0;
  for (const strategy of idle) {
    if (++looked % STRIDE === 0) yield;
    excluded.add(strategy);
  }
  const { consumers, taking, takings, having } = excluded;
  if (consumers === 0) return;
  const waiting = `${plural(consumers, 'consumer has', 'consumers have')} nothing to do${name === '' ? '' : ` in queue ${name}`}`;
  const why = taking === null ? takings : `${consumers === 1 ? 'it takes' : 'they take'} ${taking}`;
  const text = `${waiting}: ${why}; ${waitingHasInWords(chunks)} ${having}`;
  add('consumers_idle', 'warning', text, `why?queue=${listedQueue(name)}`, consumers);
}

/** How slow they are, and which submissions have nothing left but what they hold. */
function* slowOnes(schedule: QueueSight['schedule'], listed: string, add: Add): Computation<void> {
  const slow = yield* slowConsumers(schedule);
  const waiting = new Map<bigint, Held['submission']>();
  let slowest: (Slow & { readonly who: string }) | null = null;
  for (const [{ peer, firstHeld }, of] of slow) {
    yield;
    const { address, connId } = peer.facts;
    if (of.meanMs > (slowest?.meanMs ?? 0))
      slowest = { ...of, who: `${address ?? 'a consumer'} (${connId})` };
    for (const { submission } of heldFrom(firstHeld)) {
      if (isLastInFlight(submission)) waiting.set(submission.record.id, submission);
    }
  }
  if (slowest === null) return;
  const concerned = new Concerned();
  for (const { record } of [...waiting.values()].sort((a, b) => (a.record.id > b.record.id ? -1 : 1)))
    concerned.add({ ...record, metadata: record.strategicMetadata });
  const { who, meanMs, othersMs } = slowest;
  add(
    'slow_consumers',
    'warning',
    `${plural(slow.size, 'consumer is', 'consumers are')} far slower than the others: a chunk takes ${who} ${duration(meanMs)}, the others ${duration(othersMs)}${waitingInWords(concerned)}`,
    `consumers?queue=${listed}&sort=slowest`,
    slow.size,
    { ...concerned.facts, example: null },
  );
}

/** What a consumer holds that may end nothing else: so much of it is looked at. */
const HELD_MAX = 64;

type Held = HeldLink<ConsumerPeer>;

function* heldFrom(first: Held | null): Generator<Held> {
  let count = 0;
  for (let held = first; held !== null && count < HELD_MAX; held = held.heldAfter, count++) yield held;
}

/** Whoever holds one of its chunks holds up its end. */
function isLastInFlight({ chunksAvailable, chunksDelayed, chunksPaused }: Held['submission']): boolean {
  return chunksAvailable + chunksDelayed + chunksPaused === 0;
}

function waitingInWords(concerned: Concerned): string {
  if (concerned.count === 0) return '';
  return `; ${concerned.inWords()} ${concerned.count === 1 ? 'waits for its' : 'wait for their'} last chunks`;
}
