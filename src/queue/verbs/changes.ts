import {
  type Act,
  type Control,
  PAUSES_MAX,
  type ScopeControl,
  withAct,
  withoutPause,
  withPause,
} from '../../model/control.ts';
import { ChangeRefusedError, DeadlinePassedError } from '../../model/errors.ts';
import { META_PAIRS_MAX } from '../../model/limits.ts';
import { queueText } from '../../model/queue-name.ts';
import type { StrategicMetadata } from '../../model/submission.ts';
import type { Change, FilterState, VerbTarget } from '../../model/verbs.ts';
import type { OpenSubmission } from '../../scheduler/types.ts';
import { clipped } from '../../system/log/logger.ts';
import { openStateOf } from './open-state.ts';

/** Characters of what was changed, as it is logged and remembered. */
const DETAIL_CHARS_MAX = 500;

/** Null if they can be met. */
export function deadlineProblem(
  deadlineMs: number | null,
  startAfterMs: number | null,
  unixMs: number,
): DeadlinePassedError | null {
  if (deadlineMs === null) return null;
  const text = timeText(deadlineMs);
  if (deadlineMs <= unixMs) return new DeadlinePassedError(`${text} has passed, it is ${timeText(unixMs)}`);
  if (startAfterMs !== null && deadlineMs <= startAfterMs) {
    return new DeadlinePassedError(`${text} is not after the start, ${timeText(startAfterMs)}`);
  }
  return null;
}

/** Null if nothing changes. */
export function changedControl(
  { control, record }: OpenSubmission,
  change: Change,
  act: Act,
): Control | ChangeRefusedError | DeadlinePassedError | null {
  if (change.verb !== 'set') return refusalOfPause(control, change) ?? changedPauses(control, change, act);
  const { deadlineMs = control.deadlineMs, startAfterMs = control.startAfterMs } = change;
  const pairs = withPairs(record.strategicMetadata, change.strategicMetadata);
  if ((pairs?.size ?? 0) > META_PAIRS_MAX) {
    return new ChangeRefusedError(`strategic_metadata: more than ${META_PAIRS_MAX} pairs`);
  }
  if (pairs === null && deadlineMs === control.deadlineMs && startAfterMs === control.startAfterMs)
    return null;
  const isTimed = change.deadlineMs !== undefined || change.startAfterMs !== undefined;
  const problem = isTimed ? deadlineProblem(deadlineMs, startAfterMs, act.atMs) : null;
  if (problem !== null) return problem;
  const strategicMetadata = pairs ?? control.strategicMetadata;
  return withAct({ ...control, deadlineMs, startAfterMs, strategicMetadata }, act);
}

export function changedScope(control: ScopeControl, change: Change, act: Act): ScopeControl | null {
  const refusal = refusalOfPause(control, change);
  if (refusal !== null) throw refusal;
  return changedPauses(control, change, act);
}

function changedPauses<C extends ScopeControl>(control: C, change: Change, act: Act): C | null {
  if (change.verb === 'pause') return withPause(control, change.cause, act);
  if (change.verb === 'resume') return withoutPause(control, change.cause, act);
  throw new ChangeRefusedError(
    `a queue and the server can be paused and resumed, nothing else: ${change.verb}`,
  );
}

function refusalOfPause({ pauses }: ScopeControl, change: Change): ChangeRefusedError | null {
  if (change.verb !== 'pause' || pauses.length < PAUSES_MAX) return null;
  if (pauses.some(({ cause }) => cause === change.cause)) return null;
  return new ChangeRefusedError(`paused for ${PAUSES_MAX} causes already, there cannot be more`);
}

/** Null if nothing changes. */
function withPairs(
  pairs: StrategicMetadata,
  changes: ReadonlyMap<string, bigint | null> | undefined,
): StrategicMetadata | null {
  const next = new Map(pairs);
  let isChanged = false;
  for (const [key, value] of changes ?? []) {
    if ((next.get(key) ?? null) === value) continue;
    isChanged = true;
    if (value === null) next.delete(key);
    else next.set(key, value);
  }
  return isChanged ? next : null;
}

/** @param isQueuePaused its queue, or the server */
export function isInState(submission: OpenSubmission, state: FilterState, isQueuePaused: boolean): boolean {
  const is = openStateOf(submission, isQueuePaused);
  return state === 'open' ? is !== 'ending' : is === state;
}

export function detailOf(change: Change): string {
  switch (change.verb) {
    case 'pause':
      return change.cause;
    case 'resume':
      return change.cause ?? 'every cause';
    case 'cancel':
    case 'retry':
      return '';
    case 'set': {
      const { strategicMetadata = new Map<string, bigint | null>(), deadlineMs, startAfterMs } = change;
      const pairs = Array.from(strategicMetadata, ([key, value]) => `${key}=${value ?? ''}`);
      if (deadlineMs !== undefined) pairs.push(`deadline=${timeText(deadlineMs)}`);
      if (startAfterMs !== undefined) pairs.push(`start_after=${timeText(startAfterMs)}`);
      return clipped(pairs.join(', '), DETAIL_CHARS_MAX);
    }
  }
}

export function filterText({
  metadata,
  state,
  failure,
  queue,
}: Extract<VerbTarget, { kind: 'matching' }>): string {
  const parts = Array.from(metadata, ([key, value]) => `${key}=${value}`);
  if (state !== 'open') parts.push(`state ${state}`);
  if (failure !== undefined) parts.push(`failure ${failure}`);
  if (queue !== null) parts.push(queueText(queue));
  return clipped(parts.join(', '), DETAIL_CHARS_MAX);
}

function timeText(unixMs: number | null): string {
  return unixMs === null ? 'none' : new Date(unixMs).toISOString();
}
