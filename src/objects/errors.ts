import { OpsqueueError } from '../model/errors.ts';

export type ObjectStoreErrorCode =
  | 'OBJECT_NOT_FOUND'
  | 'OBJECT_DENIED'
  | 'OBJECT_THROTTLED'
  | 'OBJECT_UNREACHABLE'
  | 'OBJECT_CORRUPT'
  | 'OBJECT_STORE_FULL'
  | 'OBJECT_FAILED';

/** An object store call failed for good; `code` says how, `key` of which object. The SDK's error is the `cause`. */
export class ObjectStoreError extends OpsqueueError {
  readonly key: string;

  constructor(code: ObjectStoreErrorCode, key: string, message: string, options?: ErrorOptions) {
    super(code, message, options);
    this.key = key;
  }
}
