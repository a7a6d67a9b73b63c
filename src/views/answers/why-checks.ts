import { WHY_CODES, type WhyCheck, type WhyCode } from '../../protocol/api/why.ts';
import { count, duration, plural, rate, SECOND } from '../../protocol/api/words.ts';
import type { Excluded } from './excluded.ts';

/** What is known of a submission that does not go on, or of all that is open, before it is judged. */
export interface Situation {
  /** null: of all that is open. */
  readonly submission: OpenSituation | null;
  readonly isReady: boolean;
  /** Since when the store takes nothing, and why; null: it does. */
  readonly storeStuck: { readonly forMs: number; readonly error: string; readonly isFull: boolean } | null;
  /** Of the server and the queue. */
  readonly queuePauses: readonly PauseSituation[];
  readonly submissionsOpen: number;
  /** Where all that is asked about: what is paused or has not begun, if nothing else is left to hand out. */
  readonly withheld: WithheldSituation | null;
  /** Chunks that could be handed out, of all or of the submission. */
  readonly waiting: number;
  readonly reserved: number;
  readonly delayed: number;
  /** Until the first of those that wait for their next try may be handed out; null: none waits. */
  readonly nextTryMs: number | null;
  readonly lastFailure: string | null;
  /** Tries that failed in the last minute, if none of it succeeded meanwhile; else 0. */
  readonly failedInVain: number;
  /** The one held longest; null: none is. */
  readonly longestHeld: {
    readonly chunk: string;
    readonly heldMs: number;
    readonly by: string;
    readonly stragglerAfterMs: number;
  } | null;
  readonly consumers: number;
  readonly consumersWorking: number;
  /** They wait for chunks. */
  readonly consumersWaiting: number;
  /** They hold as much as they may, or are not read. */
  readonly consumersFull: number;
  /** When the last one went, and from where; null: none was there since the start. */
  readonly lastConsumer: { readonly goneForMs: number; readonly text: string } | null;
  /** For how long this process has had the queue, after another one; null: nobody had it before. */
  readonly takenOverForMs: number | null;
  /** Those with a strategy that does not give it out. */
  readonly excluded: Pick<Excluded, 'consumers' | 'taking' | 'takings' | 'having' | 'isAtLimit'> | null;
  /** What comes before it under the strategy that most consumers use. */
  readonly outranked: {
    readonly chunks: number;
    readonly submissions: number;
    readonly strategy: string;
    readonly consumers: number;
  } | null;
  /** Chunks per second, of the queue; null: not known. */
  readonly rate: number | null;
  /** The same of the submission, or of the queue. */
  readonly ownRate: number | null;
  /** Median of a chunk, in milliseconds; null: not known. */
  readonly usualMs: number | null;
}

export interface OpenSituation {
  readonly id: string;
  readonly isEnding: boolean;
  readonly pauses: readonly PauseSituation[];
  /** Until it may begin; 0: it may. */
  readonly startsInMs: number;
}

export interface WithheldSituation {
  readonly submissions: number;
  readonly chunks: number;
  /** How many of them are paused; the others have not begun. */
  readonly submissionsPaused: number;
  /** The id, if it is only one. */
  readonly only: string | null;
  /** By whom and why, if that is the same for all of them; empty: it is not, or none is paused. */
  readonly pausedBy: string;
  /** Until the first of those that have not begun may begin. */
  readonly startsInMs: number;
}

export interface PauseSituation {
  readonly by: string;
  readonly cause: string;
  readonly reason: string | null;
}

interface Finding {
  readonly evidence: string;
  /** What to do, for whoever reads it, with buttons at hand or without. */
  readonly advice: string | null;
  /** What to type for that, if there is something. */
  readonly command?: string;
}

/** Consumers need some seconds to notice that their queue is elsewhere, and to connect again. */
const COMING_BACK_MS = 5_000;
/** Fewer failures may be chance. */
const FAILED_MIN = 3;

/**
 * Looks at everything that may keep work from going on, in order: the first that does is the verdict. What an earlier one
 * finds makes the later ones meaningless.
 */
export function whyChecks(situation: Situation): WhyCheck[] {
  const checks: WhyCheck[] = [];
  for (const code of WHY_CODES) {
    const found = CHECKS[code](situation);
    if (found === null) {
      checks.push({ code, ok: true, evidence: FINE[code](situation), advice: null, command: null });
      continue;
    }
    checks.push({ code, ok: code === 'running', command: null, ...found });
    break;
  }
  return checks;
}

type Code = (typeof WHY_CODES)[number];

/** What a check says that finds nothing. */
const FINE: Readonly<Record<Code, (situation: Situation) => string>> = {
  stopping: () => 'it answers',
  store_stuck: () => 'it takes what it is given',
  queue_paused: () => 'nor is the server',
  nothing_open: ({ submissionsOpen }) =>
    `${plural(submissionsOpen, 'submission is', 'submissions are')} open in this queue`,
  submission_paused: ({ submission }) => (submission === null ? 'not all that is left' : 'for no cause'),
  not_started: ({ submission }) =>
    submission === null ? 'not all that is left is for later' : 'its start has come',
  end_uncommitted: ({ submission }) => (submission === null ? 'not all is done' : 'not all of it is done'),
  all_fail: () => 'not all tries of the last minute failed',
  all_reserved: ({ waiting, delayed, reserved }) =>
    `${plural(reserved, 'chunk is', 'chunks are')} in flight, and ${waitingInWords(waiting + delayed)}`,
  all_delayed: ({ delayed, waiting }) =>
    `${plural(delayed, 'chunk waits', 'chunks wait')} for the next try, and ${count(waiting)} may be handed out`,
  no_consumers: ({ consumers }) => `${plural(consumers, 'consumer is', 'consumers are')} connected`,
  excluded: ({ consumers, excluded }) =>
    `${count(consumers - (excluded?.consumers ?? 0))} of ${plural(consumers, 'consumer')} may be given it`,
  consumers_full: ({ consumers, consumersFull }) =>
    `${count(consumersFull)} of ${plural(consumers, 'consumer')} hold as many chunks as they may`,
  outranked: () => 'nothing comes first that keeps it waiting',
  consumers_busy: ({ consumers, consumersWaiting }) =>
    `${count(consumersWaiting)} of ${plural(consumers, 'consumer')} wait for chunks`,
  running: () => '',
};

const CHECKS: Readonly<Record<Code, (situation: Situation) => Finding | null>> = {
  stopping: ({ isReady }) =>
    isReady
      ? null
      : { evidence: 'the server is stopping', advice: 'start it again, or wait until it is started' },

  store_stuck: ({ storeStuck }) =>
    storeStuck === null
      ? null
      : {
          evidence: `the store has taken nothing for ${duration(storeStuck.forMs)}: ${storeStuck.error}`,
          advice: storeStuck.isFull
            ? 'free space on the disk of the database: then the queue goes on without a restart'
            : 'look at the disk or the database server: once it works, the queue goes on without a restart',
        },

  queue_paused: ({ queuePauses }) =>
    queuePauses.length === 0
      ? null
      : {
          evidence: `the queue or the server is paused ${pausesInWords(queuePauses)}`,
          advice: 'resume what is paused',
          command: 'opsqueue resume --all, or --server',
        },

  nothing_open: ({ submission, submissionsOpen }) =>
    submission !== null || submissionsOpen > 0
      ? null
      : {
          evidence: 'no submission is open',
          advice: 'submit something, or look at the other queues',
          command: 'opsqueue queues',
        },

  submission_paused(situation) {
    const { submission, withheld } = situation;
    if (submission !== null) {
      if (submission.pauses.length === 0) return null;
      return {
        evidence: `it is paused ${pausesInWords(submission.pauses)}`,
        advice: 'resume it',
        command: `opsqueue resume ${submission.id}`,
      };
    }
    if (withheld === null || withheld.submissionsPaused === 0) return null;
    const { submissions, submissionsPaused, only, pausedBy } = withheld;
    const is = submissionsPaused === submissions ? 'is paused' : 'is paused, or has not begun';
    const by = pausedBy === '' ? '' : ` ${pausedBy}`;
    return {
      evidence: `${withheldInWords(situation, withheld)} ${is}${by}${stillHeld(situation)}`,
      ...(only === null
        ? { advice: 'resume those that may go on', command: 'opsqueue ls --state paused' }
        : { advice: 'resume it', command: `opsqueue resume ${only}` }),
    };
  },

  not_started(situation) {
    const { submission, withheld } = situation;
    if (submission !== null) {
      if (submission.startsInMs <= 0) return null;
      return {
        evidence: `it starts in ${duration(submission.startsInMs)}`,
        advice: 'wait, or let it start now',
        command: `opsqueue set ${submission.id} --start-after none`,
      };
    }
    if (withheld === null) return null;
    const { only, startsInMs } = withheld;
    return {
      evidence: `${withheldInWords(situation, withheld)} has not begun, as was asked: ${only === null ? 'the first' : 'it'} starts in ${duration(startsInMs)}${stillHeld(situation)}`,
      advice: `wait, or let ${only === null ? 'some' : 'it'} start now`,
      command: `opsqueue set ${only ?? 'ID'} --start-after none`,
    };
  },

  end_uncommitted: ({ submission }) =>
    submission?.isEnding !== true
      ? null
      : { evidence: 'all of its chunks are settled, and its end waits for its commit', advice: null },

  all_fail({ submission, consumers, failedInVain, lastFailure }) {
    if (consumers === 0 || failedInVain < FAILED_MIN) return null;
    const failure = lastFailure === null ? '' : `; the last failure: ${lastFailure}`;
    return {
      evidence: `all ${plural(failedInVain, 'try', 'tries')} of the last minute failed${failure}`,
      advice: 'see why they fail',
      command: failuresCommand(submission),
    };
  },

  all_reserved({ waiting, delayed, reserved, longestHeld }) {
    if (waiting > 0 || delayed > 0 || reserved === 0) return null;
    const left =
      reserved === 1
        ? 'the only chunk that is left is in the hands of a consumer'
        : `all ${plural(reserved, 'chunk')} that are left are in the hands of consumers`;
    if (longestHeld === null) return { evidence: left, advice: null };
    const { chunk, heldMs, by, stragglerAfterMs } = longestHeld;
    const isStraggler = heldMs > stragglerAfterMs;
    return {
      evidence: `${left}; chunk ${chunk} is held longest, for ${duration(heldMs)}, by ${by}`,
      advice: isStraggler
        ? `that is a straggler (others take less than ${duration(stragglerAfterMs)}): look at that consumer; its connection gone, the chunk is handed out again`
        : 'wait until they are done',
    };
  },

  all_delayed({ submission, waiting, delayed, nextTryMs, lastFailure }) {
    if (waiting > 0 || delayed === 0) return null;
    const failure = lastFailure === null ? '' : `; the last failure: ${lastFailure}`;
    return {
      evidence: `${delayed === 1 ? 'the only chunk that could be handed out waits for its next try,' : `all ${plural(delayed, 'chunk')} that could be handed out wait for their next try, the first`} in ${duration(nextTryMs ?? 0)}${failure}`,
      advice: 'see why they fail',
      command: failuresCommand(submission),
    };
  },

  no_consumers({ consumers, lastConsumer, waiting, takenOverForMs }) {
    if (consumers > 0) return null;
    if (isComingBack(takenOverForMs)) {
      return {
        evidence: `${plural(waiting, 'chunk waits', 'chunks wait')}: ${comingBackInWords(takenOverForMs)}`,
        advice: 'wait: consumers need some seconds to connect again',
      };
    }
    const last =
      lastConsumer === null
        ? 'none was since the start of the server'
        : `the last one went ${duration(lastConsumer.goneForMs)} ago: ${lastConsumer.text}`;
    return {
      evidence: `${plural(waiting, 'chunk waits', 'chunks wait')} and no consumer is connected to this queue; ${last}`,
      advice: 'start consumers, and compare the queue in their address',
    };
  },

  excluded(situation) {
    const { submission, excluded, consumers, waiting } = situation;
    if (isServed(situation) || excluded === null || excluded.consumers < consumers) return null;
    const { taking, takings, having, isAtLimit } = excluded;
    const all = consumers === 1 ? 'the only consumer takes' : `all ${plural(consumers, 'consumer')} take`;
    const work = submission === null ? waitingHasInWords(waiting) : 'it has';
    const evidence = `${all} ${taking ?? `other work: ${takings}`}; ${work} ${having}`;
    if (isAtLimit) {
      return { evidence, advice: 'wait until fewer are in flight, or raise the limit in the strategy' };
    }
    return {
      evidence,
      advice: `start consumers that take ${having}, or change ${submission === null ? 'the' : 'its'} metadata`,
      command: `opsqueue set ${submission?.id ?? 'ID'} --metadata KEY=NUMBER`,
    };
  },

  consumers_full(situation) {
    const { consumers, consumersFull, submission } = situation;
    // What they hold is of others.
    if ((submission !== null && isServed(situation)) || consumersFull < consumers) return null;
    return {
      evidence: `${consumers === 1 ? 'the only consumer holds as many chunks as it may, or sends' : `all ${plural(consumers, 'consumer')} hold as many chunks as they may, or send`} outputs faster than the store takes them`,
      advice: 'start more consumers, or let them reserve fewer chunks ahead',
    };
  },

  outranked(situation) {
    const { submission, outranked, rate: perSecond } = situation;
    if (outranked === null || isServed(situation)) return null;
    const { chunks, submissions, strategy, consumers } = outranked;
    const inTime =
      perSecond !== null && perSecond > 0
        ? `, at the present rate its turn is in ${duration((chunks / perSecond) * SECOND)}`
        : '';
    return {
      evidence: `${plural(chunks, 'chunk')} of ${plural(submissions, 'submission')} ${chunks === 1 ? 'comes' : 'come'} first under ${strategy}, which ${plural(consumers, 'consumer uses', 'consumers use')}${inTime}`,
      advice: 'start more consumers, or give it other metadata, for a strategy by priority',
      command: `opsqueue set ${submission?.id ?? 'ID'} --metadata KEY=NUMBER`,
    };
  },

  consumers_busy(situation) {
    const { consumersWaiting, consumersWorking, consumers, usualMs, rate: perSecond } = situation;
    if (isServed(situation) || consumersWaiting > 0 || consumersWorking === 0) return null;
    const usual = usualMs === null ? '' : `; a chunk takes them ${duration(usualMs)}`;
    const pace =
      perSecond !== null && perSecond > 0 ? `, and they complete ${rate(perSecond)} chunks a second` : '';
    return {
      evidence: `${count(consumersWorking)} of ${plural(consumers, 'consumer')} ${consumersWorking === 1 ? 'is' : 'are'} busy with other work, and none waits for chunks${usual}${pace}`,
      advice: 'start more consumers',
    };
  },

  running: ({ ownRate, reserved, waiting }) => ({
    evidence:
      ownRate !== null && ownRate > 0
        ? `it runs: ${rate(ownRate)} chunks a second, ${count(reserved)} in flight, ${waitingInWords(waiting)}`
        : `nothing keeps it from running: ${plural(reserved, 'chunk is', 'chunks are')} in flight, ${waitingInWords(waiting)}`,
    advice: null,
  }),
};

/** Some of it is in flight, or was in the last seconds: that none is at this moment is chance. */
function isServed({ submission, reserved, ownRate }: Situation): boolean {
  return reserved > 0 || (submission !== null && ownRate !== null && ownRate > 0);
}

function failuresCommand(submission: OpenSituation | null): string {
  return `opsqueue failures${submission === null ? '' : ` ${submission.id}`}`;
}

/** Before what it has: `the 900 chunks that wait have`. */
export function waitingHasInWords(chunks: number): string {
  return chunks === 1 ? 'the only chunk that waits has' : `the ${plural(chunks, 'chunk')} that wait have`;
}

function withheldInWords({ submissionsOpen }: Situation, { submissions, chunks }: WithheldSituation): string {
  const what = submissions === submissionsOpen ? 'all open work' : 'all that is left to hand out';
  return `${what} (${plural(submissions, 'submission')}, ${plural(chunks, 'chunk')})`;
}

function waitingInWords(waiting: number): string {
  return `${count(waiting)} ${waiting === 1 ? 'waits' : 'wait'}`;
}

function stillHeld({ reserved }: Situation): string {
  return reserved === 0 ? '' : `; ${plural(reserved, 'chunk is', 'chunks are')} still in flight`;
}

export function finalCheck(checks: readonly WhyCheck[]): WhyCheck & { readonly code: WhyCode } {
  return checks.at(-1)!;
}

export function pausesInWords(pauses: readonly PauseSituation[]): string {
  return pauses
    .map(({ by, cause, reason }) => `by ${by} (${cause})${reason === null ? '' : `: ${reason}`}`)
    .join('; ');
}

/** Whether it says nothing yet that no consumer is there. */
export function isComingBack(takenOverForMs: number | null): takenOverForMs is number {
  return takenOverForMs !== null && takenOverForMs < COMING_BACK_MS;
}

export function comingBackInWords(takenOverForMs: number): string {
  return `the queue was taken over, or started, ${duration(takenOverForMs)} ago, and its consumers have not come back yet`;
}
