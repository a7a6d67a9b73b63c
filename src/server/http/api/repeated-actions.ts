import { createHash } from 'node:crypto';
import { OpsqueueError } from '../../../model/errors.ts';
import type { Clock } from '../../../system/time/clock.ts';

/** The header `Idempotency-Key` of an action was sent before, with another request. */
export class IdempotencyKeyReusedError extends OpsqueueError {
  constructor(key: string) {
    super(
      'IDEMPOTENCY_KEY_REUSED',
      `Idempotency-Key ${key} was sent with another action or body before: a new request needs a new key`,
    );
  }
}

/** What came of a key: under way, or as it was answered. */
interface Remembered {
  /** Of the action and its body. */
  readonly digest: string;
  readonly answer: Promise<Uint8Array>;
  /** 0 while it is under way. */
  bytes: number;
  answeredAtMs: number;
}

/** How long an answer is remembered, in milliseconds. */
const REMEMBERED_MS = 24 * 60 * 60_000;
/** Answers that are remembered, and their bytes; the oldest go first. */
const ANSWERS_MAX = 10_000;
const BYTES_MAX = 16 * 1024 * 1024;

/**
 * Actions with a header `Idempotency-Key`: one that comes again is answered as it was, and not done again. Errors are not
 * remembered: nothing was done. Nor is anything beyond the end of the process.
 */
export class RepeatedActions {
  readonly #clock: Clock;
  /** In the order of their coming. */
  readonly #byKey = new Map<string, Remembered>();
  #bytes = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * @param parts what makes the request another one
   * @throws IdempotencyKeyReusedError, and what `act` throws
   */
  async run(
    key: string | undefined,
    parts: readonly (string | Uint8Array)[],
    act: () => Promise<Uint8Array>,
  ): Promise<Uint8Array> {
    if (key === undefined) return act();
    this.#forgetOld();
    const digest = digestOf(parts);
    const known = this.#byKey.get(key);
    if (known !== undefined && known.digest !== digest) throw new IdempotencyKeyReusedError(key);
    if (known !== undefined) return known.answer;
    const remembered = { digest, answer: act(), bytes: 0, answeredAtMs: Number.POSITIVE_INFINITY };
    this.#byKey.set(key, remembered);
    try {
      const answer = await remembered.answer;
      remembered.answeredAtMs = this.#clock.monotonicMs();
      remembered.bytes = answer.length;
      this.#bytes += answer.length;
      return answer;
    } catch (error) {
      this.#byKey.delete(key);
      throw error;
    }
  }

  /** Not those that are under way. */
  #forgetOld(): void {
    const oldestMs = this.#clock.monotonicMs() - REMEMBERED_MS;
    for (const [key, { answeredAtMs, bytes }] of this.#byKey) {
      const isOverfull = this.#byKey.size >= ANSWERS_MAX || this.#bytes > BYTES_MAX;
      if (!isOverfull && answeredAtMs > oldestMs) return;
      if (answeredAtMs === Number.POSITIVE_INFINITY) continue;
      this.#byKey.delete(key);
      this.#bytes -= bytes;
    }
  }
}

function digestOf(parts: readonly (string | Uint8Array)[]): string {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part).update('\0');
  return hash.digest('base64');
}
