import type { SubmissionId } from '../../model/ids.ts';
import { listedQueue } from '../../model/queue-name.ts';
import type { Strategy } from '../../model/strategy.ts';
import { strategyText } from '../../model/strategy-text.ts';
import type { Why, WhyCheck } from '../../protocol/api/why.ts';
import { MINUTE } from '../../protocol/api/words.ts';
import type { ConsumerPeer } from '../../queue/peer.ts';
import type { QueueSight } from '../../queue/queue.ts';
import type { ScheduleSight, SubmissionSight } from '../../scheduler/sight.ts';
import { isStoreError } from '../../store/errors.ts';
import { clipped } from '../../system/log/logger.ts';
import { type Computation, type Computing, inOneStep } from '../frames.ts';
import { queuesOf, type Sources, STRIDE } from '../sources.ts';
import { type SubmissionTally, submissionTallyOf } from '../tallies/tallies.ts';
import { comesFirst } from './eligible.ts';
import { Excluded, waitingIn } from './excluded.ts';
import { openSubmission, storedSubmission } from './found.ts';
import { stragglerAfterMs } from './stragglers.ts';
import { chunksLeft, rateOf } from './time-left.ts';
import { finalCheck, type Situation, whyChecks } from './why-checks.ts';
import { withheldOf } from './withheld.ts';

type Content = Omit<Why, 'as_of' | 'age_ms'>;
type Open = SubmissionSight<ConsumerPeer>;

const FAILURE_CHARS_MAX = 200;
const MINUTE_S = 60;
const TEN_SECONDS_MS = 10_000;

/**
 * Why a submission does not go on, or all that is open.
 *
 * @param id null: all
 * @throws SubmissionNotFoundError
 */
export function why(
  sources: Sources,
  { submission: id, queue }: { readonly submission: SubmissionId | null; readonly queue: string | null },
): Computing<Content> {
  if (id === null) return whyOfQueues(sources, queue);
  const open = openSubmission(sources, id, queue);
  if (open !== undefined) return whyOfSubmission(sources, open);
  return storedSubmission(sources, id, queue).then(({ record, end }) => {
    const evidence = `it has ended: ${end?.state ?? 'it is being inserted'}`;
    const check: WhyCheck = { code: 'ended', ok: true, evidence, advice: null, command: null };
    return inOneStep(answer({ submission: String(id), queue: record.queue, backlog: 0 }, [check]));
  });
}

function* whyOfSubmission(sources: Sources, open: Open): Computation<Content> {
  const { id, queue } = open.record;
  const sight = [...queuesOf(sources, queue)][0];
  const situation = yield* situationOf(sources, sight, queue, open);
  return answer({ submission: String(id), queue, backlog: chunksLeft(open) }, whyChecks(situation));
}

export function* whyOfQueues(sources: Sources, name: string | null): Computation<Content> {
  const answers: Content[] = [];
  for (const sight of [...queuesOf(sources, name)]) {
    const { counts } = sight;
    yield;
    if (name === null && counts.submissionsOpen === 0) continue;
    const checks = whyChecks(yield* situationOf(sources, sight, sight.name, null));
    answers.push(answer({ submission: null, queue: sight.name, backlog: counts.chunksInBacklog }, checks));
  }
  const first = worst(answers);
  if (first !== undefined) return first;
  const checks = whyChecks(yield* situationOf(sources, undefined, name, null));
  return answer({ submission: null, queue: name, backlog: 0 }, checks);
}

/** That of the queue with most waiting that does not go on; if all do, of the one with most waiting. */
export function worst<W extends Pick<Why, 'ok' | 'backlog'>>(answers: readonly W[]): W | undefined {
  return answers.toSorted((a, b) => (a.ok === b.ok ? b.backlog - a.backlog : a.ok ? 1 : -1))[0];
}

function answer(
  { submission, queue, backlog }: Pick<Why, 'submission' | 'queue' | 'backlog'>,
  checks: readonly WhyCheck[],
): Content {
  const { code, ok, evidence, advice, command } = finalCheck(checks);
  const named = queue === null ? null : listedQueue(queue);
  return { submission, queue: named, backlog, ok, verdict: code, text: evidence, advice, command, checks };
}

function* situationOf(
  sources: Sources,
  sight: QueueSight | undefined,
  name: string | null,
  open: Open | null,
): Computation<Situation> {
  const { queue, clock, sampler } = sources;
  const nowMs = clock.monotonicMs();
  const health = queue.journalHealth;
  const schedule = sight?.schedule;
  const consumers = yield* consumersIn(schedule, open);
  const rate = sampler.pace(name)?.mean('done', MINUTE_S) ?? null;
  const tally = open === null ? null : submissionTallyOf(open);
  const ownRate = open === null ? rate : rateOf(tally, nowMs, TEN_SECONDS_MS);
  const startAfterMs = open?.control.startAfterMs ?? null;
  return {
    submission:
      open === null
        ? null
        : {
            id: String(open.record.id),
            isEnding: open.state !== 'open',
            pauses: open.control.pauses,
            startsInMs: startAfterMs === null ? 0 : startAfterMs - clock.nowMs(),
          },
    isReady: queue.isReady,
    storeStuck: health.ok
      ? null
      : {
          forMs: nowMs - (health.stuckSinceMs ?? nowMs),
          error: health.error?.message ?? 'it does not answer',
          isFull: isStoreError(health.error, 'full'),
        },
    queuePauses: queue.pausesOf(name),
    submissionsOpen: sight?.counts.submissionsOpen ?? 0,
    withheld: open === null && sight !== undefined ? yield* withheldOf(sight, clock.nowMs()) : null,
    waiting: open?.chunksAvailable ?? sight?.counts.chunksAvailable ?? 0,
    reserved: open?.chunksReserved ?? sight?.counts.chunksReserved ?? 0,
    delayed: open?.chunksDelayed ?? sight?.counts.chunksDelayed ?? 0,
    nextTryMs: open === null ? null : yield* nextTryOf(open, nowMs),
    lastFailure: lastFailureOf(sources, name, open?.record.id ?? null),
    failedInVain: open === null ? inVain(sources, name) : inVainOf(tally, nowMs),
    longestHeld: open === null ? null : longestHeldOf(open, nowMs),
    ...consumers,
    takenOverForMs: sight?.takenOverForMs ?? null,
    lastConsumer: consumers.consumers > 0 ? null : lastConsumerOf(sources, name),
    outranked:
      open === null || schedule === undefined
        ? null
        : yield* outranking(schedule, open, consumers.strategies),
    rate,
    ownRate,
    usualMs:
      queue.stats.chunkCompletedSeconds.count === 0
        ? null
        : queue.stats.chunkCompletedSeconds.quantile(0.5) * 1000,
  };
}

/** Tries of the last minute, where all of them failed. */
function inVain({ sampler }: Sources, name: string | null): number {
  const pace = sampler.pace(name);
  return pace === undefined || pace.sum('done', MINUTE_S) > 0 ? 0 : Math.round(pace.sum('setBack', MINUTE_S));
}

function inVainOf(tally: SubmissionTally | null, nowMs: number): number {
  if (tally === null || tally.doneOfLate.count(nowMs, MINUTE) > 0) return 0;
  return tally.setBackOfLate?.count(nowMs, MINUTE) ?? 0;
}

interface ConsumersSituation
  extends Pick<
    Situation,
    'consumers' | 'consumersWorking' | 'consumersWaiting' | 'consumersFull' | 'excluded'
  > {
  /** Those that do not exclude it, and how many consumers use each. */
  readonly strategies: ReadonlyMap<string, { readonly strategy: Strategy; readonly consumers: number }>;
}

/** What consumers there are to the submission, or to all that waits. */
export function* consumersIn(
  schedule: ScheduleSight<ConsumerPeer> | undefined,
  open: Open | null,
): Computation<ConsumersSituation> {
  const counts = { consumers: 0, consumersWorking: 0, consumersWaiting: 0, consumersFull: 0 };
  const strategies = new Map<string, { readonly strategy: Strategy; consumers: number }>();
  if (schedule === undefined) return { ...counts, excluded: null, strategies };
  const excluded = new Excluded(schedule, open === null ? yield* waitingIn(schedule) : [open]);
  for (const { chunksReserved, requests, peer } of schedule.consumers) {
    if (++counts.consumers % STRIDE === 0) yield;
    const { strategy, isFull } = peer.facts;
    if (chunksReserved > 0) counts.consumersWorking++;
    else if (requests.size > 0) counts.consumersWaiting++;
    if (isFull) counts.consumersFull++;
    if (strategy === null) continue;
    if (excluded.add(strategy)) continue;
    const text = strategyText(strategy);
    const use = strategies.get(text) ?? { strategy, consumers: 0 };
    use.consumers++;
    strategies.set(text, use);
  }
  return { ...counts, excluded: excluded.consumers === 0 ? null : excluded, strategies };
}

/** What comes first under the strategy that most consumers use of those that would give it out. */
function* outranking(
  { submissions }: ScheduleSight<ConsumerPeer>,
  open: Open,
  strategies: ConsumersSituation['strategies'],
): Computation<Situation['outranked']> {
  const [usual] = [...strategies.values()].sort((a, b) => b.consumers - a.consumers);
  if (usual === undefined) return null;
  const own = { id: open.record.id, pairs: open.record.strategicMetadata };
  let chunks = 0;
  let count = 0;
  let looked = 0;
  for (const { record, chunksAvailable } of submissions.values()) {
    if (++looked % STRIDE === 0) yield;
    if (chunksAvailable === 0 || record.id === own.id) continue;
    const other = { id: record.id, pairs: record.strategicMetadata };
    const isFirst = comesFirst(usual.strategy, other, own);
    if (isFirst === null) return null;
    if (!isFirst) continue;
    chunks += chunksAvailable;
    count++;
  }
  if (count === 0) return null;
  return { chunks, submissions: count, strategy: strategyText(usual.strategy), consumers: usual.consumers };
}

function* nextTryOf({ delays }: Open, nowMs: number): Computation<number | null> {
  let dueMs = Number.POSITIVE_INFINITY;
  let looked = 0;
  for (const delay of delays?.values() ?? []) {
    if (++looked % STRIDE === 0) yield;
    dueMs = Math.min(dueMs, delay.dueMs);
  }
  return dueMs === Number.POSITIVE_INFINITY ? null : Math.max(0, dueMs - nowMs);
}

function longestHeldOf(open: Open, nowMs: number): Situation['longestHeld'] {
  for (const { chunkIndex, reservedMs, consumer } of open.reservations?.values() ?? []) {
    const { address, connId } = consumer.peer.facts;
    return {
      chunk: String(chunkIndex),
      heldMs: nowMs - reservedMs,
      by: `${address ?? 'a consumer'} (${connId})`,
      stragglerAfterMs: stragglerAfterMs(submissionTallyOf(open)),
    };
  }
  return null;
}

function lastFailureOf({ watcher }: Sources, queue: string | null, id: SubmissionId | null): string | null {
  const { ring } = watcher.failures;
  for (let seq = ring.lastSeq; seq >= ring.firstSeq; seq--) {
    const failure = ring.at(seq);
    if (failure === undefined || (queue !== null && failure.queue !== queue)) continue;
    if (id === null || failure.submissionId === id) return clipped(failure.text, FAILURE_CHARS_MAX);
  }
  return null;
}

function lastConsumerOf({ watcher, clock }: Sources, queue: string | null): Situation['lastConsumer'] {
  const { ring } = watcher.occurrences;
  for (let seq = ring.lastSeq; seq >= ring.firstSeq; seq--) {
    const occurrence = ring.at(seq);
    if (occurrence?.kind !== 'consumer_gone') continue;
    if (queue !== null && occurrence.queue !== queue) continue;
    return { goneForMs: clock.nowMs() - occurrence.atMs, text: occurrence.text };
  }
  return null;
}
