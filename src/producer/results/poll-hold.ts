import { QueueRefusedError } from '../../model/errors.ts';
import { HttpAttemptError } from '../../net/http/attempt.ts';
import type { Clock } from '../../system/time/clock.ts';

/** A poll that lasted this long, in milliseconds, was held; what ended it then may be something on the way. */
const HELD_MS_MIN = 1_000;
/** What proxies answer in the place of a server that takes its time, or whose connection they cut. */
const PROXY_STATUSES: ReadonlySet<number> = new Set([408, 502, 504]);

/**
 * How long answers may be held back. Proxies end requests that take too long for them: with a status of their own, or by
 * cutting the connection. What ends that way before the queue had to answer means nothing for the queue, and the
 * next polls are shorter.
 */
export class PollHold {
  readonly #clock: Clock;
  #maxMs = Number.POSITIVE_INFINITY;
  /** The last poll ended without an answer: a restart of the queue does that once, a proxy each time. */
  #wasCut = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** What to ask for where so much is wanted. */
  waitMs(wantedMs: number): number {
    return Math.min(wantedMs, this.#maxMs);
  }

  /** Makes an attempt at a poll; null if it was ended on the way, and is to be made again. */
  async watch<T>(waitMs: number, attempt: () => Promise<T>): Promise<T | null> {
    const startMs = this.#clock.monotonicMs();
    try {
      const answer = await attempt();
      this.#wasCut = false;
      return answer;
    } catch (error) {
      const tookMs = this.#clock.monotonicMs() - startMs;
      if (tookMs < HELD_MS_MIN || tookMs >= waitMs || !isFromTheWay(error)) throw error;
      const isByStatus = error.cause instanceof QueueRefusedError;
      if (isByStatus || this.#wasCut) this.#maxMs = Math.max(HELD_MS_MIN, Math.floor(tookMs / 2));
      this.#wasCut = !isByStatus;
      return null;
    }
  }
}

function isFromTheWay(error: unknown): error is HttpAttemptError {
  if (!(error instanceof HttpAttemptError) || !error.retryable || !error.ambiguous) return false;
  return !(error.cause instanceof QueueRefusedError) || PROXY_STATUSES.has(error.cause.status);
}
