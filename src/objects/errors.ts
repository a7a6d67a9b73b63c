import { OpsqueueError } from '../model/errors.ts';

export type ObjectStoreErrorCode =
  | 'OBJECT_NOT_FOUND'
  | 'OBJECT_DENIED'
  | 'OBJECT_THROTTLED'
  | 'OBJECT_UNREACHABLE'
  | 'OBJECT_CORRUPT'
  | 'OBJECT_STORE_FULL'
  | 'OBJECT_FAILED';

export interface ObjectStoreErrorOptions extends ErrorOptions {
  /** HTTP status of the answer, where there was one. */
  readonly status?: number | null | undefined;
  /** Whether another try may succeed. Default false. */
  readonly retryable?: boolean;
  /** How long the store asked to wait before the next try, in milliseconds. */
  readonly retryAfterMs?: number | null | undefined;
}

/** What both sides of a queue need, in hints of both. */
export const SAME_STORE = 'the same object store URL, base path included';

/** An object store call failed for good; `code` says how, `key` of which object. The SDK's error is the `cause`. */
export class ObjectStoreError extends OpsqueueError {
  declare readonly code: ObjectStoreErrorCode;
  readonly key: string;
  /** HTTP status of the answer; null if there was none. */
  readonly status: number | null;
  /** Whether another try may succeed, also after the store itself has given up. */
  readonly retryable: boolean;
  /** How long the store asked to wait before the next try, in milliseconds; null if it did not. */
  readonly retryAfterMs: number | null;

  constructor(code: ObjectStoreErrorCode, key: string, message: string, options?: ObjectStoreErrorOptions) {
    super(code, message, options?.cause === undefined ? {} : { cause: options.cause });
    this.key = key;
    this.status = options?.status ?? null;
    this.retryable = options?.retryable ?? false;
    this.retryAfterMs = options?.retryAfterMs ?? null;
  }

  /** The same failure, told otherwise: still one error, whose cause is what this one came of. */
  with(change: {
    readonly code?: ObjectStoreErrorCode;
    readonly key?: string;
    readonly message?: string;
    readonly retryable?: boolean;
  }): ObjectStoreError {
    const { code = this.code, key = this.key, message = this.message, retryable = this.retryable } = change;
    const { cause, status, retryAfterMs } = this;
    return new ObjectStoreError(code, key, message, { cause, status, retryable, retryAfterMs });
  }
}
