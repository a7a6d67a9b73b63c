/** How values that have no column of their own are kept, as text: the same in every store that speaks SQL. */
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
