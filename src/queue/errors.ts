import { OpsqueueError } from '../model/errors.ts';
import { QUEUES_MAX } from '../model/limits.ts';

/** The queue cannot take it now: it starts, it stops, or its disk does. Told as 503; to be tried again. */
export class QueueUnavailableError extends OpsqueueError {
  constructor(reason: string, options?: ErrorOptions) {
    super('QUEUE_UNAVAILABLE', reason, options);
  }
}

/** It cannot take a verb for all queues now: a part of them is not to be had. */
export function nothingChanged(why: string): QueueUnavailableError {
  return new QueueUnavailableError(`${why}: nothing was changed, try again, or name the queue`);
}

/** There are as many queues as there may be, and this name would make another one. */
export class TooManyQueuesError extends OpsqueueError {
  constructor(name: string) {
    super(
      'TOO_MANY_QUEUES',
      `queue ${name} would be one more than the ${QUEUES_MAX} that may be in use: use fewer names, or wait until another queue is empty and has no consumers`,
    );
  }
}
