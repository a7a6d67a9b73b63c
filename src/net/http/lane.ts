import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Requests of one connection that are worked on at a time: while one answer leaves, the next one is made. */
const AT_WORK_MAX = 2;
/** Requests of one connection that may wait for that. Those of one read come at once, whatever is done about it. */
export const REQUESTS_WAITING_MAX = 1_000;

interface Arrival {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

/**
 * The requests of one connection. A peer may send any number without reading an answer (pipelining): all but the first
 * ones wait, and nothing more is read meanwhile, so that what a connection costs does not depend on what it asks.
 */
export class HttpLane {
  readonly #socket: Socket;
  readonly #work: (request: IncomingMessage, response: ServerResponse) => void;
  readonly #waiting: Arrival[] = [];
  #atWork = 0;

  constructor(socket: Socket, work: (request: IncomingMessage, response: ServerResponse) => void) {
    this.#socket = socket;
    this.#work = work;
    socket.on('resume', () => {
      // node:http reads on when the peer has taken something.
      if (this.#waiting.length > 0) socket.pause();
    });
    socket.once('close', () => {
      this.#waiting.length = 0;
    });
  }

  take(request: IncomingMessage, response: ServerResponse): void {
    if (this.#atWork < AT_WORK_MAX) {
      this.#begin({ request, response });
    } else if (this.#waiting.length < REQUESTS_WAITING_MAX) {
      this.#waiting.push({ request, response });
      this.#socket.pause();
    } else {
      this.#socket.destroy();
    }
  }

  #begin({ request, response }: Arrival): void {
    this.#atWork++;
    response.once('close', () => {
      this.#atWork--;
      this.#next();
    });
    this.#work(request, response);
  }

  #next(): void {
    // After an answer with `connection: close` no other one can leave.
    if (this.#socket.destroyed || !this.#socket.writable) this.#waiting.length = 0;
    if (this.#waiting.length === 0 || this.#atWork >= AT_WORK_MAX) return;
    const arrival = this.#waiting.shift();
    if (this.#waiting.length === 0) this.#socket.resume();
    if (arrival !== undefined) this.#begin(arrival);
  }
}
