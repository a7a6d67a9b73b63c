import { retryDelayMs as delayBefore } from '../model/retry.ts';
import type { ChunkTries, SubmissionRecord } from '../model/submission.ts';
import type { Random } from '../system/random.ts';
import type { ChunkFailure, SchedulerOptions } from './types.ts';

const DISCONNECT_DELAY_MS_DEFAULT = 1_000;
/** The delay after a broken connection doubles up to this. */
const DISCONNECT_DELAY_MS_MAX = 15 * 60_000;
const DISCONNECT_FADES_AFTER_MS_DEFAULT = 60 * 60_000;
/** Where any number may break, this many are remembered: beyond, the delay grows no more. */
const DISCONNECTS_KEPT_MAX = 32;

/** What the submission says of a chunk whose reservation expired once too often; the reference's words. */
export const EXPIRED_FAILURE = 'Reservation expired';
/** What the submission says of a chunk under which too many connections broke. */
export const DISCONNECTED_FAILURE = 'The connection of the consumer broke while the chunk was running';

/** What becomes of a chunk that was handed out in vain. */
export interface Setback {
  readonly tries: ChunkTries;
  /** Why the submission fails with it; null if the chunk gets another try. */
  readonly fatal: string | null;
  /** How long the chunk waits before that. */
  readonly delayMs: number;
}

/** How often, and after which delay, a chunk that was handed out in vain is handed out again. */
export class SetbackRules {
  readonly #random: Random;
  readonly #retriesMax: number;
  readonly #disconnectsMax: number;
  readonly #disconnectDelayMs: number;
  readonly #disconnectFadesAfterMs: number;

  constructor(options: SchedulerOptions) {
    this.#random = options.random;
    this.#retriesMax = options.chunkRetriesMax;
    this.#disconnectsMax = options.chunkDisconnectsMax;
    this.#disconnectDelayMs = options.disconnectDelayMs ?? DISCONNECT_DELAY_MS_DEFAULT;
    this.#disconnectFadesAfterMs = options.disconnectFadesAfterMs ?? DISCONNECT_FADES_AFTER_MS_DEFAULT;
  }

  failed(before: ChunkTries, failure: ChunkFailure, record: SubmissionRecord): Setback {
    const tries = { ...before, retries: before.retries + 1 };
    const triesMax = record.retry?.triesMax ?? this.#retriesMax;
    const isFatal = failure.retryable === false || tries.retries >= triesMax;
    const backOffMs = isFatal ? 0 : this.backOffMs(tries.retries, record);
    const delayMs = Math.max(failure.delayMs ?? 0, backOffMs);
    return { tries, fatal: isFatal ? failure.text : null, delayMs };
  }

  /** How long a chunk of the submission waits that has failed so often. */
  backOffMs(retries: number, { retry, retryDelayMs }: SubmissionRecord): number {
    if (retry === null || retries === 0) return retries === 0 ? 0 : retryDelayMs;
    return Math.max(
      retryDelayMs,
      delayBefore(retry, retries, () => this.#random.next()),
    );
  }

  expired(before: ChunkTries, record: SubmissionRecord): Setback {
    return this.failed(before, { text: EXPIRED_FAILURE }, record);
  }

  /**
   * `times`: when connections broke while the chunk was running; brought up to date here. One that is long ago says
   * nothing of the chunk: consumers that are preempted now and then must not fail a long operation.
   */
  disconnected(before: ChunkTries, times: number[], nowMs: number): Setback {
    while (times.length > 0 && nowMs - times[0]! > this.#disconnectFadesAfterMs) times.shift();
    if (times.length >= Math.max(this.#disconnectsMax, DISCONNECTS_KEPT_MAX)) times.shift();
    times.push(nowMs);
    const tries = { ...before, disconnects: times.length };
    const isFatal = this.#disconnectsMax > 0 && tries.disconnects >= this.#disconnectsMax;
    return {
      tries,
      fatal: isFatal ? DISCONNECTED_FAILURE : null,
      delayMs: this.#disconnectDelay(tries.disconnects),
    };
  }

  /** None after the first one; then between half of and the whole of what doubles with each, so that suspects part. */
  #disconnectDelay(disconnects: number): number {
    if (disconnects < 2) return 0;
    const stepMs = Math.min(
      this.#disconnectDelayMs * 2 ** Math.min(disconnects - 2, 30),
      DISCONNECT_DELAY_MS_MAX,
    );
    return stepMs / 2 + (this.#random.next() * stepMs) / 2;
  }
}
