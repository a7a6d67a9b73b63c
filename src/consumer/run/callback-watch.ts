import { OpsqueueError } from '../../model/errors.ts';
import type { Clock, Timer } from '../../system/clock.ts';

/** The callback worked on one chunk for longer than `callbackMsMax`: the chunk fails, and is tried again by the rules. */
export class CallbackTimeoutError extends OpsqueueError {
  readonly callbackMsMax: number;

  constructor(callbackMsMax: number) {
    super(
      'CALLBACK_TIMEOUT',
      `the callback did not finish the chunk within ${callbackMsMax} ms: let it end when its signal fires, or raise callbackMsMax`,
    );
    this.callbackMsMax = callbackMsMax;
  }
}

interface Watched {
  readonly startMs: number;
  readonly overdue: () => void;
}

/** Limits how long callbacks may take, with one timer for all of them. */
export class CallbackWatch<Job> {
  readonly #clock: Clock;
  readonly #limitMs: number;
  /** In the order of their beginning, which is that of their ends. */
  readonly #running = new Map<Job, Watched>();
  #timer: Timer | null = null;

  constructor(clock: Clock, limitMs: number) {
    this.#clock = clock;
    this.#limitMs = limitMs;
  }

  /** `overdue` is called once, after the limit, unless the job has ended before. */
  begin(job: Job, startMs: number, overdue: () => void): void {
    this.#running.set(job, { startMs, overdue });
    if (this.#timer === null) this.#arm();
  }

  /** False if it was overdue: its end changes nothing any more. */
  end(job: Job): boolean {
    return this.#running.delete(job);
  }

  /** Forgets all that run. */
  stop(): void {
    this.#running.clear();
    this.#timer?.cancel();
    this.#timer = null;
  }

  /** What has run for longest, and how many run. */
  get longest(): { readonly job: Job; readonly tookMs: number; readonly running: number } | null {
    for (const [job, { startMs }] of this.#running) {
      return { job, tookMs: this.#clock.monotonicMs() - startMs, running: this.#running.size };
    }
    return null;
  }

  #arm(): void {
    const [first] = this.#running.values();
    if (first === undefined || this.#limitMs === Number.POSITIVE_INFINITY) return;
    const delayMs = Math.max(first.startMs + this.#limitMs - this.#clock.monotonicMs(), 0);
    // What ends does not take the timer back: armed anew at most once in the time of the limit.
    this.#timer = this.#clock.after(delayMs, () => this.#look(), { unref: true });
  }

  #look(): void {
    this.#timer = null;
    const dueMs = this.#clock.monotonicMs() - this.#limitMs;
    for (const [job, { startMs, overdue }] of this.#running) {
      if (startMs > dueMs) break;
      this.#running.delete(job);
      overdue();
    }
    this.#arm();
  }
}
