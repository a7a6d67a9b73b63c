import type { Socket } from 'node:net';

/** The longest time between two calls, as a multiple of the first. */
const SLOWDOWN_MAX = 8;

/**
 * Calls back when nothing has moved on the socket for `afterMs` although somebody waits, again and again. Bytes of a large
 * write that leave count, which only the socket's own timer sees.
 */
export class QuietWatch {
  readonly #socket: Socket;
  readonly #afterMs: number;
  #delayMs: number;
  #waiting = 0;

  constructor(socket: Socket, afterMs: number, quiet: () => void) {
    this.#socket = socket;
    this.#afterMs = afterMs;
    this.#delayMs = afterMs;
    socket.on('timeout', () => {
      // It fires once; whatever moves starts it again.
      if (this.#waiting === 0) return;
      this.#set(this.#delayMs);
      quiet();
    });
    socket.setTimeout(afterMs);
  }

  /** Before something is sent. */
  begin(): void {
    this.#waiting++;
    if (this.#delayMs !== this.#afterMs) this.#set(this.#afterMs);
  }

  /** It is known why nothing comes: until the next thing is sent, calls come less and less often. */
  slowDown(): void {
    this.#set(Math.min(this.#delayMs * 2, this.#afterMs * SLOWDOWN_MAX));
  }

  /** After the answer. */
  end(): void {
    this.#waiting--;
  }

  #set(delayMs: number): void {
    this.#delayMs = delayMs;
    this.#socket.setTimeout(delayMs);
  }
}
