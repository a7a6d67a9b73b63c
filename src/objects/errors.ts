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
  readonly status?: number;
  /** Whether another try may succeed. Default false. */
  readonly retryable?: boolean;
  /** How long the store asked to wait before the next try, in milliseconds. */
  readonly retryAfterMs?: number;
}

/** An object store call failed for good; `code` says how, `key` of which object. The SDK's error is the `cause`. */
export class ObjectStoreError extends OpsqueueError {
  declare readonly code: ObjectStoreErrorCode;
  readonly key: string;
  readonly status: number | null;
  readonly retryable: boolean;
  readonly retryAfterMs: number | null;

  constructor(code: ObjectStoreErrorCode, key: string, message: string, options?: ObjectStoreErrorOptions) {
    super(code, message, options !== undefined && 'cause' in options ? { cause: options.cause } : {});
    this.key = key;
    this.status = options?.status ?? null;
    this.retryable = options?.retryable ?? false;
    this.retryAfterMs = options?.retryAfterMs ?? null;
  }
}
