import { types } from 'node:util';
import { OpsqueueError } from '../../model/errors.ts';
import type { Clock, Timer } from '../../system/time/clock.ts';
import type { ChunkContext } from '../types.ts';

/** A call of the callback took longer than `callbackMsMax`. */
export class CallbackTimeoutError extends OpsqueueError {
  readonly callbackMsMax: number;

  constructor(callbackMsMax: number) {
    super(
      'CALLBACK_TIMEOUT',
      `the callback did not finish within ${callbackMsMax} ms: let it end when its signal fires, or raise callbackMsMax`,
    );
    this.callbackMsMax = callbackMsMax;
  }
}

/** Of whatever was thrown; also what cannot be inspected. */
export function isTimeout(thrown: unknown): thrown is CallbackTimeoutError {
  return types.isNativeError(thrown) && thrown instanceof CallbackTimeoutError;
}

/** What a callback is called for: an operation or a chunk. */
export type Callee = Pick<ChunkContext, 'submissionId' | 'chunkIndex'>;

interface Watched {
  readonly startMs: number;
  readonly overdue: () => void;
}

/** Limits how long calls of the callback may take, with one timer for all of them. */
export class CallbackWatch {
  readonly limitMs: number;
  readonly #clock: Clock;
  /** Reports that the thread is not stuck in a callback. */
  readonly #pulse: () => void;
  /** In the order of their beginning, which is that of their ends. */
  readonly #running = new Map<Callee, Watched>();
  #timer: Timer | null = null;

  constructor(clock: Clock, limitMs: number, pulse: () => void) {
    this.#clock = clock;
    this.limitMs = limitMs;
    this.#pulse = pulse;
  }

  /** `overdue` is called once, after the limit, unless the call has ended before. */
  begin(callee: Callee, overdue: () => void): void {
    this.#running.set(callee, { startMs: this.#clock.monotonicMs(), overdue });
    if (this.#timer === null) this.#arm();
  }

  /** False if it was overdue: its end changes nothing any more. */
  end(callee: Callee): boolean {
    return this.#running.delete(callee);
  }

  /** One of several calls for a chunk has ended. */
  progressed(): void {
    this.#pulse();
  }

  /** Settles as the call does, or rejects with CallbackTimeoutError after the limit. */
  limited<T>(callee: Callee, call: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.begin(callee, () => reject(new CallbackTimeoutError(this.limitMs)));
      call.then(
        (value) => {
          if (this.end(callee)) resolve(value);
        },
        (error: unknown) => {
          if (this.end(callee)) reject(error);
        },
      );
    });
  }

  /** Forgets all that run. */
  stop(): void {
    this.#running.clear();
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** What has run for longest, and how many run. */
  get longest(): { readonly callee: Callee; readonly tookMs: number; readonly running: number } | null {
    for (const [callee, { startMs }] of this.#running) {
      return { callee, tookMs: this.#clock.monotonicMs() - startMs, running: this.#running.size };
    }
    return null;
  }

  #arm(): void {
    const [first] = this.#running.values();
    if (first === undefined || this.limitMs === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.max(first.startMs + this.limitMs - this.#clock.monotonicMs(), 0);
    // What ends does not take the timer back: armed anew at most once in the time of the limit.
    this.#timer = this.#clock.after(delayMs, () => this.#look(), { unref: true });
  }

  #look(): void {
    this.#timer = null;
    const dueMs = this.#clock.monotonicMs() - this.limitMs;
    for (const [callee, { startMs, overdue }] of this.#running) {
      if (startMs > dueMs) break;
      this.#running.delete(callee);
      overdue();
    }
    this.#arm();
  }
}
