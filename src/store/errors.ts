import { OpsqueueError } from '../model/errors.ts';

/**
 * - `transient`: try again (I/O error, busy)
 * - `full`: no space; try again when there is
 * - `corrupt`: what is stored cannot be trusted; of a shared store that is one shard, of any other one the process stops
 * - `fenced`: another owner has taken over
 * - `unusable`: not a database of ours, a newer one, in use: refused at start
 */
export type StoreErrorClass = 'transient' | 'full' | 'corrupt' | 'fenced' | 'unusable';

/** The store failed. Decide on `storeClass`. */
export class StoreError extends OpsqueueError {
  readonly storeClass: StoreErrorClass;

  constructor(storeClass: StoreErrorClass, message: string, options?: ErrorOptions) {
    super(`STORE_${storeClass.toUpperCase()}`, message, options);
    this.storeClass = storeClass;
  }
}

/** Whether it is a {@link StoreError} of one of these classes. */
export function isStoreError(error: unknown, ...classes: readonly StoreErrorClass[]): error is StoreError {
  return error instanceof StoreError && classes.includes(error.storeClass);
}
