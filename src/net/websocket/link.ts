import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { type RawData, WebSocket } from 'ws';
import { ProtocolError } from '../../model/errors.ts';
import { isUint8Array } from '../../model/kinds.ts';
import { FRAME_BYTES_MAX_DEFAULT } from '../../model/limits.ts';
import { messageOf } from '../../model/thrown.ts';
import { VERSION } from '../../model/version.ts';
import { decodeServerMessage, encodeClientMessage } from '../../protocol/consumer/codec.ts';
import type { ClientMessage, InitMessage, Nonce, ServerMessage } from '../../protocol/consumer/types.ts';
import { announcedInInit, CONSUMER_FEATURES } from '../../protocol/features.ts';
import type { EndOfTurn, TurnTask } from '../../system/event-loop/end-of-turn.ts';
import { clipped } from '../../system/log/logger.ts';
import type { Random } from '../../system/random.ts';
import type { Clock, Timer } from '../../system/time/clock.ts';
import { retryAfterMs } from '../../system/time/retry-after.ts';
import type { Absence } from '../absence.ts';
import { DIRECT_ROUTE, type QueueRoute, webSocketAgent } from '../address/queue-route.ts';
import { hostAndPort, type QueueUrl } from '../address/queue-url.ts';
import { socketErrorText } from '../connect-error.ts';
import { Heartbeat } from './heartbeat.ts';

/** How long a server may take to accept the connection, and then again to say `Init`. */
const CONNECT_MS_MAX = 10_000;
/** How much of the answer to a refused upgrade is read, and how long that may take. */
const REFUSAL_BYTES_MAX = 1_000;
const REFUSAL_MS_MAX = 2_000;
/** How long a server may take to answer a close frame. */
const CLOSE_MS_MAX = 1_000;
/**
 * Where there is another address to go to, a server that says nothing for so long is pinged, and left after so many pings
 * without an answer and one more: the heartbeats of a queue are for peers that have no choice, and take 40 s by default.
 */
const PING_MS = 1_500;
const PINGS_MISSABLE = 2;
export const CLOSE_NORMAL = 1000;
const CLOSE_PROTOCOL = 1002;

type WithoutNonce<M> = M extends unknown ? Omit<M, 'nonce'> : never;
/** A message to the server; the connection numbers it. */
export type MessageToQueue = WithoutNonce<ClientMessage>;
/** What comes after `Init`. */
export type MessageFromQueue = Exclude<ServerMessage, InitMessage>;

export interface LinkOptions {
  readonly url: QueueUrl;
  /** How long a connection may take to be accepted, in milliseconds; at most 10 s. */
  readonly connectMsMax?: number;
  /** There is another address to go to. Default false. */
  readonly hasChoice?: boolean;
  readonly route?: QueueRoute;
  readonly clock: Clock;
  readonly random: Random;
  /** Chunks that the consumer runs at once; reported to the server with each new connection. */
  readonly concurrency: () => number;
  /** Limit of one message, in bytes. Default 64 MiB. */
  readonly frameBytesMax?: number;
}

export interface LinkListener {
  /** A connection is up: the server said `Init`. Nonces start at 0 again. */
  connected(init: InitMessage): void;
  message(message: MessageFromQueue): void;
  /** The connection that was up is gone. Another one follows by itself, unless `stop` was called. */
  disconnected(reason: string): void;
}

/** One connection, from the first packet to the last. */
export class Link implements TurnTask {
  /** Resolves when the socket is gone. */
  readonly closed: Promise<void>;
  init: InitMessage | null = null;
  /** It ended because nothing came any more: nobody may be there. */
  wasSilent = false;
  readonly #options: LinkOptions;
  readonly #turn: EndOfTurn;
  readonly #listener: LinkListener;
  readonly #webSocket: WebSocket;
  #socket: Socket | null = null;
  #heartbeat: Heartbeat | null = null;
  /** To be accepted, then to get `Init`. */
  #deadline: Timer | null = null;
  #nextNonce = 0;
  #corked = false;
  #ended = false;
  #error: Error | null = null;
  #status: number | undefined;
  #refusal: string | undefined;
  #retryAfterMs = 0;

  constructor(options: LinkOptions, turn: EndOfTurn, listener: LinkListener) {
    this.#options = options;
    this.#turn = turn;
    this.#listener = listener;
    this.#webSocket = this.#open();
    this.closed = new Promise((resolve) => this.#webSocket.once('close', () => resolve()));
  }

  /** How long the server that refused it asked to wait, in milliseconds; 0 if it did not. */
  get retryAfterMs(): number {
    return this.#retryAfterMs;
  }

  /** Why it never came to be. */
  absence(reason: string): Absence {
    return { error: this.#error, status: this.#status, refusal: this.#refusal, reason };
  }

  /** Answers the nonce; null once it has ended. */
  send(message: MessageToQueue): Nonce | null {
    if (this.#ended || this.init === null) return null;
    const nonce = this.#nextNonce++;
    const bytes = encodeClientMessage(
      { ...message, nonce },
      { byteStrings: announcedInInit(this.init, 'bytes') },
    );
    if (!this.#corked && this.#socket !== null) {
      this.#corked = true;
      this.#socket.cork();
      this.#turn.add(this);
    }
    this.#webSocket.send(bytes);
    return nonce;
  }

  endTurn() {
    this.#corked = false;
    this.#socket?.uncork();
  }

  /** Ends it and tells the listener, once. With a code in good order, else at once, without a close frame. */
  end(reason: string, code: number | null) {
    if (this.#ended) return;
    this.#ended = true;
    this.#heartbeat?.stop();
    this.#deadline?.cancel();
    if (this.#corked) this.endTurn();
    if (code === null || this.#webSocket.readyState === WebSocket.CONNECTING) this.#webSocket.terminate();
    else {
      this.#webSocket.close(code, reason.replace(/[^\x20-\x7e]/g, '?').slice(0, 123));
      // A server answers a close frame at once or never will: `ws` alone would wait for 30 s.
      const force = this.#options.clock.after(CLOSE_MS_MAX, () => this.#webSocket.terminate());
      this.#webSocket.once('close', () => force.cancel());
    }
    this.#listener.disconnected(reason);
  }

  #open(): WebSocket {
    const { url, route = DIRECT_ROUTE, frameBytesMax, connectMsMax = CONNECT_MS_MAX } = this.#options;
    const webSocket = new WebSocket(
      `${url.secure ? 'wss' : 'ws'}://${hostAndPort(url)}${url.basePath}/consumer`,
      {
        agent: webSocketAgent(url, route),
        perMessageDeflate: false,
        maxPayload: frameBytesMax ?? FRAME_BYTES_MAX_DEFAULT,
        followRedirects: false,
        headers: {
          'opsqueue-features': CONSUMER_FEATURES.client.join(','),
          'opsqueue-client': VERSION,
          'opsqueue-concurrency': String(this.#options.concurrency()),
        },
      },
    );
    webSocket.on('upgrade', (response) => {
      this.#socket = response.socket;
    });
    this.#expect('accept the connection', Math.min(connectMsMax, CONNECT_MS_MAX));
    webSocket.on('open', () => this.#expect('say Init', CONNECT_MS_MAX));
    webSocket.on('unexpected-response', (_request, response) => this.#refused(response));
    webSocket.on('ping', () => this.#heartbeat?.alive());
    webSocket.on('pong', () => this.#heartbeat?.alive());
    webSocket.on('message', (data, isBinary) => this.#receive(data, isBinary));
    webSocket.on('error', (error) => {
      this.#error = error;
    });
    webSocket.on('close', (code, reason) => this.end(this.#closeReason(code, reason), null));
    return webSocket;
  }

  #expect(what: string, withinMs: number): void {
    this.#deadline?.cancel();
    this.#deadline = this.#options.clock.after(withinMs, () =>
      this.end(`the server did not ${what} within ${withinMs} ms`, null),
    );
  }

  /** Something else than a connection came back: from the queue, or from a proxy on the way, which says why. */
  #refused(response: IncomingMessage): void {
    const { statusCode = 0, statusMessage = '', headers } = response;
    const server = headers.server === undefined ? '' : ` from ${headers.server}`;
    this.#deadline?.cancel();
    this.#status = statusCode;
    this.#retryAfterMs = retryAfterMs(headers['retry-after'], this.#options.clock.nowMs()) ?? 0;
    const what = `the upgrade was refused with HTTP status ${statusCode} ${statusMessage}`.trimEnd() + server;
    let text = '';
    const end = () => {
      timer.cancel();
      const said = readable(text);
      if (headers['opsqueue-features'] !== undefined && said !== '') this.#refusal = said;
      this.end(said === '' ? what : `${what}: ${said}`, null);
    };
    const timer = this.#options.clock.after(REFUSAL_MS_MAX, end);
    response.setEncoding('utf8');
    response.on('data', (piece: string) => {
      text += piece;
      if (text.length >= REFUSAL_BYTES_MAX) end();
    });
    response.on('end', end);
    response.on('error', end);
  }

  #receive(data: RawData, isBinary: boolean) {
    if (this.#ended) return;
    this.#heartbeat?.alive();
    if (!isBinary || !isUint8Array(data)) return this.#garbage('a text message');
    let message: ServerMessage;
    try {
      message = decodeServerMessage(data);
    } catch (error) {
      return this.#garbage(messageOf(error));
    }
    if (message.kind === 'init') {
      if (this.init !== null) return this.#garbage('a second Init');
      this.#begin(message);
    } else if (this.init === null) this.#garbage(`${message.kind} before Init`);
    else this.#deliver(message);
  }

  #deliver(message: MessageFromQueue): void {
    try {
      this.#listener.message(message);
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#garbage(error.message);
    }
  }

  #begin(init: InitMessage): void {
    this.init = init;
    this.#deadline?.cancel();
    const { clock, hasChoice = false } = this.#options;
    const { heartbeatIntervalMs, missableHeartbeatsMax } = init;
    const intervalMs = hasChoice ? Math.min(heartbeatIntervalMs, PING_MS) : heartbeatIntervalMs;
    const missable = hasChoice ? Math.min(missableHeartbeatsMax, PINGS_MISSABLE) : missableHeartbeatsMax;
    this.#heartbeat = new Heartbeat(
      { clock, intervalMs, missableHeartbeatsMax: missable },
      {
        // The server pings; a client without a choice only listens for it.
        ping: () => hasChoice && this.#webSocket.ping(),
        dead: () => {
          this.wasSilent = true;
          this.end(`no sign of life for ${intervalMs * (missable + 1)} ms`, null);
        },
      },
    );
    this.#heartbeat.start();
    this.#listener.connected(init);
  }

  #garbage(what: string): void {
    this.end(`the server sent garbage: ${what}`, CLOSE_PROTOCOL);
  }

  #closeReason(code: number, reason: Buffer): string {
    if (this.#error !== null) return socketErrorText(this.#error);
    const said = reason.length > 0 ? `: ${reason.toString('utf8')}` : '';
    return code === 1006 ? 'the server closed it without a word' : `the server closed it (${code}${said})`;
  }
}

/** The words of an answer, which may be a page, on one line. */
function readable(text: string): string {
  const words = text
    .replaceAll(/<(style|script)[\s\S]*?<\/\1>|<[^>]*>/gi, ' ')
    .replaceAll(/\s+/g, ' ')
    .trim();
  return clipped(words, 200);
}
