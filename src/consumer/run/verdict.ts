import { isError } from '../../model/kinds.ts';

/** One operation failed; the callback's error is the cause. */
export class OpFailedError extends Error {
  constructor(index: number, total: number, cause: unknown) {
    // Otherwise the cause has a text of its own.
    const what = cause === undefined || cause === null ? `: the callback threw ${cause}` : '';
    super(`operation ${index} (of ${total} in the chunk) failed${what}`, { cause });
    this.name = 'OpFailedError';
    // The callback's own stack says it all.
    this.stack = `${this.name}: ${this.message}`;
  }
}

/** What a callback's error says about further tries. */
export interface Verdict {
  readonly retryable: boolean;
  readonly delayMs: number;
}

/**
 * Whether the error is only that of its operation, and can be recorded as its result. What the contract refuses is, although
 * trying it again makes no sense.
 */
export function isOfOperation(error: unknown): boolean {
  return verdictOf(error) === null || codeOf(error) === 'CONTRACT_VIOLATION';
}

/** null if the error says nothing about further tries. */
export function verdictOf(error: unknown): Verdict | null {
  try {
    return verdictOfError(error);
  } catch {
    // Anything can be thrown, also what cannot be inspected: that says nothing.
    return null;
  }
}

function verdictOfError(error: unknown): Verdict | null {
  // By code: the callback may have another copy of this package, or run in another thread.
  for (let each = error, depth = 0; isError(each) && depth < 8; each = each.cause, depth++) {
    const code: unknown = Reflect.get(each, 'code');
    if (code === 'NON_RETRYABLE' || code === 'CONTRACT_VIOLATION') return { retryable: false, delayMs: 0 };
    const delayMs: unknown = Reflect.get(each, 'delayMs');
    if (code === 'RETRY_LATER' && typeof delayMs === 'number') return { retryable: true, delayMs };
  }
  return null;
}

/** Only called for what can be inspected, as its verdict shows. */
function codeOf(error: unknown): unknown {
  return isError(error) ? Reflect.get(error, 'code') : undefined;
}
