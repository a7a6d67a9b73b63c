import type { Act } from '../../model/control.ts';
import { type SubmissionId, submissionIdTimeMs } from '../../model/ids.ts';
import type { ActRow } from '../../protocol/api/lists.ts';
import type { LeftUnknown, Moment, SubmissionAnswer } from '../../protocol/api/submissions.ts';
import { plural } from '../../protocol/api/words.ts';
import type { ConsumerPeer } from '../../queue/peer.ts';
import type { QueueSight } from '../../queue/queue.ts';
import type { SubmissionSight } from '../../scheduler/sight.ts';
import type { StoredSubmission } from '../../store/store.ts';
import { endInWords } from '../end-in-words.ts';
import type { Computation, Computing } from '../frames.ts';
import { iso, queuesOf, rounded, type Sources } from '../sources.ts';
import { type Durations, submissionTallyOf } from '../tallies/tallies.ts';
import { failuresOf } from './failure-groups.ts';
import { openSubmission, storedSubmission } from './found.ts';
import { pauseItem } from './overview.ts';
import { endedItem, openItem } from './submission-item.ts';
import { standingOf } from './time-left.ts';
import { consumersIn } from './why.ts';

type Content = Omit<SubmissionAnswer, 'as_of' | 'age_ms'>;

const FAILURES_MAX = 5;

/** One submission, open or ended. */
export function submission(sources: Sources, id: SubmissionId, queue: string | null): Computing<Content> {
  const open = openSubmission(sources, id, queue);
  return open === undefined
    ? storedSubmission(sources, id, queue).then((stored) => ofEnded(sources, stored))
    : ofOpen(sources, open);
}

function* ofOpen(sources: Sources, open: SubmissionSight<ConsumerPeer>): Computation<Content> {
  const { queue, clock } = sources;
  const { record, control, done } = open;
  const nowMs = clock.monotonicMs();
  const tally = submissionTallyOf(open);
  const failures = yield* failuresOf(sources, record.id, tally?.setBack ?? 0, FAILURES_MAX);
  const { startAfterMs, deadlineMs, history } = control;
  const unixOf = (atMs: number | null | undefined) =>
    atMs === null || atMs === undefined ? null : clock.nowMs() - (nowMs - atMs);
  const first = done.nextMissing(0);
  const [sight] = queuesOf(sources, record.queue);
  // It was found on the schedule of that queue.
  const item = openItem(sources, open, standingOf(sources, sight!), nowMs);
  return {
    ...item,
    left_unknown: yield* preciseUnknown(item.left_unknown, sight!, open),
    failure_mode: record.failureMode,
    durations_ms: durationsOf(tally?.durationsMs ?? null),
    first_not_done: first < record.chunksTotal ? first : null,
    queue_pauses: queue.pausesOf(record.queue).map(pauseItem),
    timeline: inOrder([
      moment('inserted', submissionIdTimeMs(record.id), plural(record.chunksTotal, 'chunk')),
      moment('starts', startAfterMs, 'nothing is handed out before'),
      moment('first_chunk', unixOf(tally?.firstDoneMs), 'was done, since the start of the server'),
      moment('first_failure', unixOf(tally?.firstSetBackMs), 'since the start of the server'),
      ...history.map(actMoment),
      moment('deadline', deadlineMs, 'it is cancelled if it has not ended'),
    ]),
    acted_by: history.map(actRow),
    ...failures,
    end: null,
  };
}

/** A list has no time to ask all strategies. */
function* preciseUnknown(
  unknown: LeftUnknown | null,
  { schedule }: QueueSight,
  open: SubmissionSight<ConsumerPeer>,
): Computation<LeftUnknown | null> {
  if (unknown !== 'stands_still' || open.chunksAvailable === 0) return unknown;
  const { consumers, excluded } = yield* consumersIn(schedule, open);
  return excluded?.consumers === consumers ? 'excluded' : unknown;
}

function* ofEnded(sources: Sources, stored: StoredSubmission): Computation<Content> {
  const { record, control, end } = stored;
  const figures = sources.watcher.ended.figuresOf(record.id);
  const failures = yield* failuresOf(sources, record.id, figures?.setBack ?? null, FAILURES_MAX);
  const failedChunk = end !== null && 'failedChunk' in end ? end.failedChunk : null;
  const cancelled = end?.state === 'cancelled' ? end : null;
  return {
    ...endedItem(sources, stored),
    failure_mode: record.failureMode,
    durations_ms: durationsOf(figures?.durationsMs ?? null),
    first_not_done: null,
    queue_pauses: [],
    timeline: inOrder([
      moment('inserted', submissionIdTimeMs(record.id), plural(record.chunksTotal, 'chunk')),
      ...control.history.map(actMoment),
      moment(
        'ended',
        end?.endedAtMs ?? null,
        end === null ? '' : endInWords(end, record.chunksTotal),
        cancelled?.by ?? null,
      ),
    ]),
    acted_by: control.history.map(actRow),
    ...failures,
    end:
      failedChunk !== null
        ? { chunk: failedChunk.chunkIndex, text: failedChunk.failure, by: null }
        : cancelled !== null
          ? { chunk: null, text: cancelled.reason ?? '', by: cancelled.by }
          : null,
  };
}

function durationsOf(durations: Durations | null): SubmissionAnswer['durations_ms'] {
  if (durations === null) return null;
  const { p50, p90, max, count } = durations;
  return { p50: rounded(p50), p90: rounded(p90), max, count };
}

interface DatedMoment extends Moment {
  readonly atMs: number;
}

function moment(
  kind: Moment['kind'],
  atMs: number | null,
  text: string,
  by: string | null = null,
): DatedMoment | null {
  return atMs === null ? null : { kind, at: iso(atMs), by, text, atMs };
}

function actMoment({ verb, detail, by, reason, atMs }: Act): DatedMoment | null {
  const what = detail === '' ? verb : `${verb} ${detail}`;
  return moment('acted', atMs, reason === null ? what : `${what}: ${reason}`, by);
}

function inOrder(moments: readonly (DatedMoment | null)[]): Moment[] {
  return moments
    .filter((each) => each !== null)
    .sort((a, b) => a.atMs - b.atMs)
    .map(({ kind, at, by, text }) => ({ kind, at, by, text }));
}

function actRow({ verb, detail, by, reason, atMs }: Act): ActRow {
  return { verb, detail, by, reason, at: iso(atMs) };
}
