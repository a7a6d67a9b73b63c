import type { Clock, Timer } from '../../system/time/clock.ts';
import { FrameProgress } from './frame-progress.ts';

export interface MessageDeadlineOptions {
  readonly clock: Clock;
  /** How long a message may take from its first byte on, in milliseconds. */
  readonly timeoutMs: number;
}

/**
 * Notices that a message of a peer does not come to its end: what is here of it takes memory, and the peer may well
 * give signs of life meanwhile. A message that begins and ends with the same read costs no reading of the clock, and
 * the timer is not moved for one that comes in several, but looks again when it fires.
 */
export class MessageDeadline {
  readonly #clock: Clock;
  readonly #timeoutMs: number;
  readonly #missed: () => void;
  readonly #progress = new FrameProgress();
  #timer: Timer | null = null;
  #isUnfinished = false;
  #completed = 0;
  #begunMs = 0;

  /** @param missed called once, at the end of the time */
  constructor(options: MessageDeadlineOptions, missed: () => void) {
    this.#clock = options.clock;
    this.#timeoutMs = options.timeoutMs;
    this.#missed = missed;
  }

  /** These bytes have arrived. */
  received(bytes: Uint8Array): void {
    const progress = this.#progress;
    progress.received(bytes);
    const wasUnfinished = this.#isUnfinished;
    this.#isUnfinished = progress.isUnfinished;
    if (!this.#isUnfinished) return;
    if (!wasUnfinished || progress.completed !== this.#completed) {
      this.#completed = progress.completed;
      this.#begunMs = this.#clock.monotonicMs();
    }
    if (this.#timer === null) this.#arm(this.#timeoutMs);
  }

  /** Nothing is awaited any more. */
  stop(): void {
    this.#timer?.cancel();
    this.#timer = null;
  }

  #arm(delayMs: number): void {
    this.#timer = this.#clock.after(delayMs, this.#look, { unref: true });
  }

  readonly #look = (): void => {
    this.#timer = null;
    if (!this.#isUnfinished) return;
    const leftMs = this.#begunMs + this.#timeoutMs - this.#clock.monotonicMs();
    // Timers fire up to a millisecond early.
    if (leftMs >= 1) this.#arm(leftMs);
    else this.#missed();
  };
}
