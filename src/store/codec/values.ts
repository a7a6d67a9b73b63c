/** How values that have no column of their own are kept, as text: the same in every store that speaks SQL. */
import type { Control, ScopeControl } from '../../model/control.ts';
import type { SubmissionId } from '../../model/ids.ts';
import type { RetryPolicy } from '../../model/retry.ts';
import type { StrategicMetadata } from '../../model/submission.ts';
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
    return JSON.parse(text) as ScopeControl;
  } catch (cause) {
    throw new StoreError('corrupt', `the pauses of ${JSON.stringify(scope)} are damaged`, { cause });
  }
}
