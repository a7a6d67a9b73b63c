import { OpsqueueError } from '../model/errors.ts';

/**
 * The scheduler was called wrongly, or contradicts itself. Not to be caught and gone on from: a queue that stops
 * is better than a queue that loses or doubles work.
 */
export class InvariantError extends OpsqueueError {
  constructor(message: string, options?: ErrorOptions) {
    super('INVARIANT', message, options);
  }
}

/** Throws an {@link InvariantError} unless `condition` holds. `message` is a literal: this is called on hot paths. */
export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}
