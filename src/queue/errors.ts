import { OpsqueueError } from '../model/errors.ts';

/** The queue cannot take it now: it starts, it stops, or its disk does. Told as 503; to be tried again. */
export class QueueUnavailableError extends OpsqueueError {
  constructor(reason: string, options?: ErrorOptions) {
    super('QUEUE_UNAVAILABLE', reason, options);
  }
}
