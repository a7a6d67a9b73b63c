import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http';
import { type AnswerPace, sendBody, sendBodyInTurn } from './answer.ts';
import type { AnsweringRight } from './answering.ts';
import { type BodyLimits, type HttpBodyReader, readHttpBody } from './body.ts';
import { type ForwardTarget, forwardRequest } from './forward.ts';
import { RequestHead } from './head.ts';

export const CONTENT_TYPE_JSON = 'application/json';
export const CONTENT_TYPE_TEXT = 'text/plain; charset=utf-8';
export const CONTENT_TYPE_CBOR = 'application/cbor';
/** RFC 9457 */
export const CONTENT_TYPE_PROBLEM = 'application/problem+json';

/** Stands in the metrics for requests whose peer did not wait for the answer. */
export const STATUS_PEER_GONE = 499;

/** The answer of a node that is not the owner any more. */
const NOT_ACTIVE = JSON.stringify('this node is not active any more: try again');
/** For an answer of 503 that will be another one soon. */
export const RETRY_SOON = ['retry-after', '1'] as const;

/** What an exchange needs of its server. */
export interface HttpExchangeHost extends AnswerPace {
  /** The value of the `date` header. */
  date(): string;
  /** The server is stopping: connections end with their next answer. */
  readonly isStopping: boolean;
}

/** One request and its answer. Answered once; later answers, and answers to a peer that is gone, go nowhere. */
export class HttpExchange extends RequestHead {
  /** Called once, with the status of the response, or {@link STATUS_PEER_GONE}. */
  onEnded: ((status: number) => void) | null = null;
  /** Where errors are problems, whoever refuses the request: makes one of a text, which may be empty. */
  problemOf: ((status: number, text: string) => Uint8Array) | null = null;
  /** Further headers of the answer, whoever makes it: name, value, ... */
  announced: (() => readonly string[]) | null = null;
  readonly #request: IncomingMessage;
  readonly #response: ServerResponse;
  readonly #host: HttpExchangeHost;
  #body: HttpBodyReader | null = null;
  #right: AnsweringRight | null = null;
  #isEnded = false;
  #onPeerGone: (() => void) | null = null;

  constructor(request: IncomingMessage, response: ServerResponse, host: HttpExchangeHost) {
    super(request);
    this.#request = request;
    this.#response = response;
    this.#host = host;
    // Headers are written in the order of the recordings, with the date last and nothing about keeping alive.
    response.sendDate = false;
    response.removeHeader('connection');
  }

  /**
   * Reads the whole body, then calls `done`. One that is larger than the limit is answered with 413, one for which
   * there is no room with 503, and `done` is never called; neither is it if the peer goes away.
   */
  readBody(limits: BodyLimits, done: (body: Uint8Array) => void): void {
    this.#body = readHttpBody(this.#request, this.#response, limits, {
      done,
      tooLarge: () =>
        this.respond(413, `the request body is larger than ${limits.bytesMax} bytes`, CONTENT_TYPE_TEXT),
      noRoom: () => {
        const reason = `request bodies of more than ${limits.room.max} bytes are being read: try again`;
        this.respond(503, JSON.stringify(reason), CONTENT_TYPE_JSON);
      },
    });
  }

  /** What only the owner of the queue may say is said only while it is; afterwards, the answer is 503. Called once. */
  onlyBy(right: AnsweringRight): void {
    if (this.#isEnded) return;
    this.#right = right;
    right.began();
  }

  /**
   * Lets another server answer: what it says goes back as it comes. If it cannot be reached, the answer is 503. If it has got the
   * request and does not answer, the connection ends, as it would if the peer were connected to that one.
   */
  forward(target: ForwardTarget, unreachable: (reason: string) => void): void {
    if (this.#isEnded) return;
    const request = this.#request;
    const response = this.#response;
    if (request.headers.expect !== undefined && target.body === undefined) response.writeContinue();
    this.#onPeerGone = forwardRequest(request, response, target, this.#host, {
      answered: (status, headers) => {
        this.#letGo();
        this.#isEnded = true;
        // Before the date, as in an answer of its own.
        if (this.announced !== null) headers.splice(-2, 0, ...this.announced());
        if (!response.shouldKeepAlive || this.#host.isStopping) headers.splice(-2, 0, 'connection', 'close');
        response.writeHead(status, headers);
        this.onEnded?.(status);
      },
      unsent: unreachable,
      broken: () => response.destroy(),
    });
  }

  /** The connection ends with the answer: the next one may reach another handler, or another node. */
  endConnection(): void {
    this.#response.shouldKeepAlive = false;
  }

  /** Called if the peer goes away before the answer. */
  onPeerGone(listener: () => void): void {
    this.#onPeerGone = listener;
  }

  /**
   * @param contentType null for an empty body
   * @param more further headers: name, value, name, value, ...
   */
  respond(
    status: number,
    body: string | Uint8Array,
    contentType: string | null,
    more: readonly string[] | null = null,
  ): void {
    if (this.#isEnded) return;
    if (this.#right?.isOn() === false) {
      this.#letGo();
      this.endConnection();
      this.respond(503, NOT_ACTIVE, CONTENT_TYPE_JSON, RETRY_SOON);
      return;
    }
    if (status >= 400 && this.problemOf !== null && contentType !== CONTENT_TYPE_PROBLEM) {
      const problem = this.problemOf(status, textOf(body, contentType));
      this.respond(status, problem, CONTENT_TYPE_PROBLEM, more);
      return;
    }
    this.#letGo();
    this.#isEnded = true;
    const response = this.#response;
    const lengthBytes = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
    const headers: string[] = [];
    if (status === 405 && more !== null) headers.push(...more);
    if (contentType !== null) headers.push('content-type', contentType);
    // A 304 speaks of a body that it does not have.
    if (status !== 304) headers.push('content-length', String(lengthBytes));
    if (status !== 405 && more !== null) headers.push(...more);
    if (this.announced !== null) headers.push(...this.announced());
    const isHttp10 = this.#request.httpVersionMinor === 0 && response.socket !== null;
    if (!isHttp10 && (!response.shouldKeepAlive || this.#host.isStopping))
      headers.push('connection', 'close');
    headers.push('date', this.#host.date());
    if (isHttp10) {
      this.#respondToHttp10(status, headers, body);
    } else if (!response.destroyed) {
      response.writeHead(status, headers);
      if (lengthBytes === 0) response.end();
      else if (response.socket === null) sendBodyInTurn(response, body, this.#host);
      else sendBody(response, body, this.#host, () => response.destroy());
    }
    this.#body?.discardRest();
    this.onEnded?.(status);
  }

  /** The connection is gone, or the answer is out (then nothing is left to do). */
  closed(): void {
    if (this.#isEnded) return;
    this.#letGo();
    this.#isEnded = true;
    this.onEnded?.(STATUS_PEER_GONE);
    this.#onPeerGone?.();
  }

  #letGo(): void {
    this.#right?.ended();
    this.#right = null;
  }

  /** `node:http` answers every version as 1.1; the original answers 1.0 with 1.0. */
  #respondToHttp10(status: number, headers: readonly string[], body: string | Uint8Array): void {
    let head = `HTTP/1.0 ${status} ${STATUS_CODES[status] ?? ''}\r\n`;
    for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
    const { socket } = this.#response;
    if (socket === null) return;
    socket.write(`${head}\r\n`, 'latin1');
    sendBody(socket, this.method === 'HEAD' ? '' : body, this.#host, () => socket.destroy());
    // The peer need not close its side. What it still sends is read first: else a reset could overtake the answer.
    socket.once('finish', () => {
      const request = this.#request;
      if (request.complete) socket.destroy();
      else request.resume().once('end', () => socket.destroy());
    });
  }
}

/** What a refusal says: a text, or a text as JSON. */
function textOf(body: string | Uint8Array, contentType: string | null): string {
  const text = typeof body === 'string' ? body : Buffer.from(body).toString();
  if (contentType !== CONTENT_TYPE_JSON) return text;
  const value: unknown = JSON.parse(text);
  return typeof value === 'string' ? value : text;
}
