import { checkBoolean, checkChoice, checkInteger, isObject, mustBe } from '../model/check.ts';
import { BY_CHARS_MAX, CAUSE_DEFAULT, CAUSE_PATTERN, REASON_CHARS_MAX } from '../model/control.ts';
import { IncorrectUsageError } from '../model/errors.ts';
import { isDate, isMap } from '../model/kinds.ts';
import { isQueueName, QUEUE_NAME_RULE } from '../model/queue-name.ts';
import {
  type Change,
  FILTER_STATES,
  FINGERPRINT_CHARS_MAX,
  VERB_IDS_MAX,
  type VerbAnswer,
  type VerbRequest,
  type VerbTarget,
} from '../model/verbs.ts';
import { userAtHost } from '../system/process/who.ts';
import { checkId, checkOptions, checkStrategicMetadata } from './checks.ts';
import * as names from './option-names.ts';
import type { ChangeOptions, ChangeReport, ManyOptions, WorkChanges, WorkTarget } from './options.ts';

/** A change as the queue gets it. @throws IncorrectUsageError */
export function verbRequest(
  change: Change,
  target: VerbTarget,
  { reason, by, dryRun = false, expected }: ChangeOptions & ManyOptions,
): VerbRequest {
  checkBoolean('dryRun', dryRun);
  return {
    change,
    target,
    by: by === undefined ? userAtHost().slice(0, BY_CHARS_MAX) : checkText('by', by, BY_CHARS_MAX),
    reason: reason === undefined ? null : checkText('reason', reason, REASON_CHARS_MAX),
    isDryRun: dryRun,
    expected: expected === undefined ? null : checkInteger('expected', expected, 0),
  };
}

/** @throws IncorrectUsageError */
export function checkCause(cause: unknown = CAUSE_DEFAULT): string {
  if (typeof cause === 'string' && CAUSE_PATTERN.test(cause)) return cause;
  throw mustBe('cause', `a string that matches ${CAUSE_PATTERN.source}`, cause);
}

/** A time as Unix milliseconds. @throws IncorrectUsageError */
export function checkTime(name: string, value: unknown): number {
  const unixMs = isDate(value) ? value.getTime() : Number.NaN;
  if (!Number.isNaN(unixMs)) return unixMs;
  throw mustBe(name, 'a valid Date', value);
}

/** @throws IncorrectUsageError */
export function checkChanges(changes: WorkChanges): Change {
  const { strategicMetadata, deadline, startAfter } = checkOptions(changes, names.CHANGES);
  if (strategicMetadata === undefined && deadline === undefined && startAfter === undefined) {
    throw new IncorrectUsageError('nothing to change: give strategicMetadata, deadline or startAfter');
  }
  const timeOf = (name: string, time: Date | null | undefined) =>
    time === undefined || time === null ? time : checkTime(name, time);
  return {
    verb: 'set',
    strategicMetadata: strategicMetadata === undefined ? undefined : checkPairs(strategicMetadata),
    deadlineMs: timeOf('deadline', deadline),
    startAfterMs: timeOf('startAfter', startAfter),
  };
}

/** @param ownQueue of the client; '' for the unnamed one. @throws IncorrectUsageError */
export function checkWork(work: WorkTarget, ownQueue: string): VerbTarget {
  if (!isObject(work)) throw mustBe('the work', 'an object', work);
  const given = Object.keys(work);
  if (given.length !== 1) throw mustBe('the work', 'one of ids, matching, queue, server', given.join(', '));
  if ('ids' in work) {
    if (!Array.isArray(work.ids) || work.ids.length === 0 || work.ids.length > VERB_IDS_MAX) {
      throw mustBe('ids', `an array of 1 to ${VERB_IDS_MAX} ids`, work.ids);
    }
    return { kind: 'submissions', ids: work.ids.map(checkId), queue: ownQueue };
  }
  if ('matching' in work) {
    const { metadata, state, failure, queue } = checkOptions(work.matching, names.FILTER);
    return {
      kind: 'matching',
      metadata: checkStrategicMetadata(metadata),
      state: checkChoice('state', state, FILTER_STATES) ?? 'open',
      ...(failure === undefined ? {} : { failure: checkText('failure', failure, FINGERPRINT_CHARS_MAX) }),
      queue: queue === undefined ? ownQueue || null : checkQueue(queue),
    };
  }
  if ('queue' in work) return { kind: 'queue', queue: checkQueue(work.queue) };
  if ('server' in work && work.server === true) return { kind: 'server' };
  throw mustBe('the work', 'one of ids, matching, queue, server', given.join(', '));
}

export function reportOf(answer: VerbAnswer): ChangeReport {
  const { isDryRun: dryRun, matched, done, unchanged, stillPaused, holds, chunks, ids, skipped } = answer;
  const { nodesMissing = [] } = answer;
  return {
    dryRun,
    matched,
    done,
    unchanged,
    stillPaused,
    pausedBy: holds,
    ...(chunks === undefined ? {} : { chunks }),
    ids: ids.map(String),
    skipped: skipped.map(({ id, ...others }) => ({ id: String(id), ...others })),
    nodesMissing,
  };
}

function checkQueue(queue: unknown): string {
  if (queue === '' || (typeof queue === 'string' && isQueueName(queue))) return queue;
  throw mustBe('queue', `'' or a name: ${QUEUE_NAME_RULE}`, queue);
}

function checkPairs(
  pairs: NonNullable<WorkChanges['strategicMetadata']>,
): ReadonlyMap<string, bigint | null> {
  if (!isMap(pairs) && !isObject(pairs)) throw mustBe('strategicMetadata', 'a Map or a plain object', pairs);
  const checked = new Map<string, bigint | null>();
  for (const [key, value] of isMap(pairs) ? pairs : Object.entries(pairs)) {
    const [pair] = checkStrategicMetadata(new Map([[key, value ?? 0]]));
    if (pair !== undefined) checked.set(pair[0], value === null ? null : pair[1]);
  }
  return checked;
}

function checkText(name: string, value: unknown, charsMax: number): string {
  const isFine = typeof value === 'string' && value.length > 0 && value.length <= charsMax;
  if (isFine && value.isWellFormed()) return value;
  throw mustBe(name, `a Unicode text of 1 to ${charsMax} characters`, value);
}
