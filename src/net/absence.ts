import { isError } from '../model/kinds.ts';
import { clipped } from '../system/log/logger.ts';
import { hostAndPort, type QueueUrl } from './address/queue-url.ts';

/** Why there is no queue at an address: as much of it as is known. */
export interface Absence {
  /** The error of the socket, if it was one. */
  readonly error: unknown;
  /** Of an HTTP response in place of the one expected. */
  readonly status?: number | undefined;
  /** What that response said, if it was an opsqueue's. */
  readonly refusal?: string | undefined;
  readonly reason: string;
}

const REASON_LENGTH_MAX = 100;
const REFUSAL_LENGTH_MAX = 300;

/** For logs, where this is the first that a user sees of a wrong address: each address, and what to look for. */
export function absenceText(absences: Iterable<readonly [QueueUrl, Absence]>): string {
  return `${Array.from(absences, ([queue, absence]) => textOf(queue, absence)).join('; ')}, waiting`;
}

function textOf(queue: QueueUrl, { error, status, refusal, reason }: Absence): string {
  const address = hostAndPort(queue);
  if (refusal !== undefined) return `queue at ${address} refuses: ${clipped(refusal, REFUSAL_LENGTH_MAX)}`;
  if (status === 404 && queue.queue !== '') {
    return `${address} has no queue ${queue.queue}: it is not an opsqueue, or one without named queues (HTTP status 404)`;
  }
  if (status !== undefined) {
    return isForeignStatus(status)
      ? `${address} is not an opsqueue (HTTP status ${status})`
      : `queue at ${address} unavailable (HTTP status ${status})`;
  }
  const code = isError(error) && 'code' in error ? error.code : null;
  return `no queue at ${address} (${typeof code === 'string' ? code : clipped(reason, REASON_LENGTH_MAX)})`;
}

/**
 * A queue that refuses an upgrade does so with 400, 403 or 503, and a proxy in front of it has its own of the 4xx and 5xx.
 * These mean that there is no queue behind the address.
 */
function isForeignStatus(status: number): boolean {
  return status < 400 || status === 404 || status === 405 || status === 426 || status === 501;
}
