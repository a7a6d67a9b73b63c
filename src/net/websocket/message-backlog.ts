import type { Clock } from '../../system/time/clock.ts';

/** A connection with messages that wait. */
export interface MessageSource {
  /** Works on the oldest of them, if any is left; whether there are more. */
  workOff(): boolean;
}

/** So many messages are worked on before the clock is looked at: a turn with fewer costs nothing here. */
const UNTIMED_MESSAGES = 32;
const SLICE_MS_DEFAULT = 10;
/**
 * Of one connection, before it is the next one's turn, unless the time is up: a consumer that reserves some times 64 chunks
 * ahead sends as many at once, and each answer that leaves alone costs both sides a system call.
 */
const MESSAGES_AT_ONCE = 512;

/**
 * The messages of all connections that this turn of the event loop has no time for.
 *
 * libuv hands over everything that has arrived on a thousand sockets and more before it looks at timers and new connections
 * again. If 2 000 busy consumers were all answered at once, heartbeats and a monitor's `/ping` would wait until the last
 * of them is. So a turn works on messages for some milliseconds; what comes beyond waits, and each of the next turns takes
 * as much of it: some messages of each connection after the other, so that none waits for all those of another. Each
 * connection has a callback of its own: its answers leave at the end of that, and its peer reads them while the next one is
 * worked on.
 */
export class MessageBacklog {
  readonly #clock: Pick<Clock, 'soon' | 'monotonicMs'>;
  readonly #sliceMs: number;
  /** In turn; those before `#next` have had theirs. */
  #waiting: MessageSource[] = [];
  #next = 0;
  /** In this turn, as far as it is known: a turn that takes in few messages is not told from the next. */
  #messages = 0;
  #endMs = 0;

  constructor(clock: Pick<Clock, 'soon' | 'monotonicMs'>, sliceMs = SLICE_MS_DEFAULT) {
    this.#clock = clock;
    this.#sliceMs = sliceMs;
  }

  /** Whether a message that comes now may be worked on now. If not, it waits, and its connection is added unless it has been. */
  mayWorkNow(): boolean {
    if (++this.#messages < UNTIMED_MESSAGES) return true;
    if (this.#messages === UNTIMED_MESSAGES) {
      this.#endMs = this.#clock.monotonicMs() + this.#sliceMs;
      this.#clock.soon(this.#turnEnded);
      return true;
    }
    return this.#waiting.length === 0 && !this.#isOver;
  }

  /** The first message of `source` waits. */
  add(source: MessageSource): void {
    this.#waiting.push(source);
  }

  get #isOver(): boolean {
    return this.#clock.monotonicMs() >= this.#endMs;
  }

  readonly #turnEnded = (): void => {
    this.#endMs = this.#clock.monotonicMs() + this.#sliceMs;
    this.#workOn();
  };

  readonly #workOn = (): void => {
    const source = this.#waiting[this.#next];
    if (source === undefined) {
      this.#waiting = [];
      this.#next = 0;
      this.#messages = 0;
      return;
    }
    this.#next++;
    let isMore = true;
    let isOver = false;
    for (let i = 1; isMore && !isOver && i <= MESSAGES_AT_ONCE; i++) {
      isMore = source.workOff();
      isOver = i % UNTIMED_MESSAGES === 0 && this.#isOver;
    }
    if (isMore) this.#waiting.push(source);
    if (!this.#isOver) {
      queueMicrotask(this.#workOn);
      return;
    }
    // The list does not grow for ever while it is never empty.
    if (this.#next > this.#waiting.length / 2) {
      this.#waiting = this.#waiting.slice(this.#next);
      this.#next = 0;
    }
    this.#clock.soon(this.#turnEnded);
  };
}
