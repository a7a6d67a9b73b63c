/** How values that have no column of their own are kept, as text: the same in every store that speaks SQL. */
import type { Control, ScopeControl } from '../../model/control.ts';
import type { SubmissionId } from '../../model/ids.ts';
import type { RetryPolicy } from '../../model/retry.ts';
import type { StrategicMetadata } from '../../model/submission.ts';
import { messageOf } from '../../model/thrown.ts';
import { StoreError } from '../errors.ts';

/** Pairs in an array keep their order and any key; text keeps any 64-bit value. */
export function formatStrategicMetadata(metadata: StrategicMetadata): string {
  return JSON.stringify([...metadata].map(([key, value]) => [key, String(value)]));
}

/** @throws StoreError `corrupt`, naming the submission */
export function parseStrategicMetadata(id: SubmissionId, text: string): StrategicMetadata {
  try {
    return new Map(
      (JSON.parse(text) as [string, string][]).map(([key, value]): [string, bigint] => [key, BigInt(value)]),
    );
  } catch (cause) {
    throw new StoreError('corrupt', `submission ${id}: its strategic metadata is damaged`, { cause });
  }
}

export function formatRetry(retry: RetryPolicy): string {
  return JSON.stringify(retry);
}

/** @throws StoreError `corrupt`, naming the submission */
export function parseRetry(id: SubmissionId, text: string): RetryPolicy {
  try {
    return JSON.parse(text) as RetryPolicy;
  } catch (cause) {
    throw new StoreError('corrupt', `submission ${id}: its retry policy is damaged`, { cause });
  }
}

/** JSON; pairs as in {@link formatStrategicMetadata}. */
export function formatControl(control: Control): string {
  const { strategicMetadata, ...others } = control;
  const pairs = strategicMetadata === null ? null : formatStrategicMetadata(strategicMetadata);
  return JSON.stringify({ ...others, strategicMetadata: pairs });
}

/** @throws StoreError `corrupt`, naming the submission */
export function parseControl(id: SubmissionId, text: string): Control {
  try {
    const { strategicMetadata: pairs, ...others } = JSON.parse(text) as Control & {
      strategicMetadata: string | null;
    };
    return { ...others, strategicMetadata: pairs === null ? null : parseStrategicMetadata(id, pairs) };
  } catch (cause) {
    throw new StoreError('corrupt', `submission ${id}: what was changed of it is damaged`, { cause });
  }
}

export function formatScopeControl(control: ScopeControl): string {
  return JSON.stringify(control);
}

/** @throws StoreError `corrupt`, naming the scope */
export function parseScopeControl(scope: string, text: string): ScopeControl {
  try {
    const { pauses, history } = JSON.parse(text) as ScopeControl;
    if (!Array.isArray(pauses) || !Array.isArray(history)) throw new TypeError('no lists');
    return { pauses, history };
  } catch (cause) {
    throw new StoreError('corrupt', `the pauses of ${JSON.stringify(scope)} are damaged`, { cause });
  }
}

/** The cause for which something is paused of which it cannot be read whether it is. */
export const DAMAGED_CAUSE = 'damaged';

/**
 * The same of a store that several nodes share: what is damaged counts as paused. So nothing is handed out that may have been
 * paused, all else goes on, and a resume for that cause writes the row anew.
 */
export function scopeControlOrPause(scope: string, text: string): ScopeControl {
  try {
    return parseScopeControl(scope, text);
  } catch (error) {
    const reason = `${messageOf(error)}: nothing is handed out until it is resumed for this cause`;
    return { pauses: [{ cause: DAMAGED_CAUSE, by: 'opsqueue', reason, sinceMs: 0 }], history: [] };
  }
}
