import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import { decodeClientMessage, decodeServerMessage } from '../../../src/protocol/consumer/codec.ts';
import type { ClientMessage } from '../../../src/protocol/consumer/types.ts';
import type { GoldenHttpMessage, GoldenMessage, GoldenSession } from '../protocol/golden.ts';

/** A request as it came, with the recorded one that it was answered like. */
export interface AnsweredRequest {
  readonly line: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
  readonly recorded: GoldenHttpMessage;
}

interface Exchange {
  readonly request: GoldenHttpMessage;
  readonly response: GoldenHttpMessage;
}

/**
 * Plays the server's side of a recorded session: answers requests as recorded, in their order, and on
 * WebSockets sends what the recorded server sent, each frame after as many messages of the client as it followed in
 * the recording. Answers that others caused can be held back, until the client has done what it did in the recording
 * meanwhile; an expiry always is. What a test's client said is kept, to be compared.
 */
export class RecordedServer implements AsyncDisposable {
  readonly requests: AnsweredRequest[] = [];
  /** By connection, in the order in which they were made. */
  readonly messages: ClientMessage[][] = [];
  /** Codes of the close frames of connections that have ended, 1006 for none. */
  readonly closeCodes: number[] = [];
  readonly #exchanges: Exchange[];
  readonly #scripts: (readonly GoldenMessage[])[];
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #players: (() => void)[] = [];
  #lastExchange: Exchange | null = null;
  #answersHeld = false;
  #expiriesAllowed = 0;

  private constructor(session: GoldenSession) {
    const { exchanges, scripts } = partsOf(session);
    this.#exchanges = exchanges;
    this.#scripts = scripts;
    this.#server = createServer((request, response) => this.#answer(request, response));
    const upgrader = new WebSocketServer({ noServer: true });
    this.#server.on('upgrade', (request, socket, head) => {
      const script = this.#scripts[this.messages.length];
      if (script === undefined) {
        socket.destroy();
        return;
      }
      upgrader.handleUpgrade(request, socket, head, (webSocket) => this.#play(webSocket, script));
    });
    this.#server.on('connection', (socket) => {
      this.#sockets.add(socket);
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  static async start(session: GoldenSession): Promise<RecordedServer> {
    const server = new RecordedServer(session);
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve));
    return server;
  }

  /** `host:port` */
  get url(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** From now on WebSockets are silent. */
  holdAnswers(): void {
    this.#answersHeld = true;
  }

  /** Lets the next reservation that expired in the recording expire. */
  expire(): void {
    this.#expiriesAllowed++;
    for (const go of this.#players) go();
  }

  /** Recorded requests that did not come. */
  get requestsLeft(): readonly string[] {
    return this.#exchanges.map(({ request }) => request.request_line ?? '');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const line = `${request.method} ${request.url} HTTP/1.1`;
    // Our client asks for the version where it wants to know what the server can do.
    if (
      request.url === '/producer/version' &&
      !this.#exchanges[0]?.request.request_line?.includes('/version')
    ) {
      response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8' }).end('v0.40.1');
      return;
    }
    const exchange = this.#exchanges.shift() ?? this.#lastExchange;
    if (exchange === null) {
      response.writeHead(500).end();
      return;
    }
    this.#lastExchange = exchange;
    const body = Buffer.concat(pieces).toString();
    this.requests.push({ line, headers: request.headers, body, recorded: exchange.request });
    const { headers, status_line: statusLine, body: answer } = exchange.response;
    response.sendDate = false;
    response.removeHeader('connection');
    response.writeHead(Number(statusLine?.split(' ')[1]), headers.flat()).end(answer);
  }

  #play(webSocket: WebSocket, script: readonly GoldenMessage[]): void {
    const received: ClientMessage[] = [];
    this.messages.push(received);
    let at = 0;
    let allowance = 0;
    const go = () => {
      for (; at < script.length; at++) {
        const message = script[at]!;
        if (message.direction === 'server to client') {
          if (this.#answersHeld) return;
          if (isExpiry(message) && this.#expiriesAllowed-- <= 0) {
            this.#expiriesAllowed = 0;
            return;
          }
          sendAsRecorded(webSocket, message);
        } else if (message.kind === 'frame' && message.opcode === 'binary') {
          if (allowance === 0) return;
          allowance--;
        }
      }
    };
    webSocket.on('message', (bytes: Buffer) => {
      received.push(decodeClientMessage(bytes));
      allowance++;
      go();
    });
    webSocket.on('error', () => {});
    webSocket.on('close', (code) => this.closeCodes.push(code));
    this.#players.push(go);
    go();
  }
}

function isExpiry(message: GoldenMessage): boolean {
  if (message.kind !== 'frame' || message.opcode !== 'binary') return false;
  return decodeServerMessage(Buffer.from(message.payload_hex, 'hex')).kind === 'expired';
}

function sendAsRecorded(webSocket: WebSocket, message: GoldenMessage): void {
  if (message.kind === 'tcp') {
    // A server that resets here was halted before; ours stays silent instead.
    if (message.event.includes('FIN')) webSocket.terminate();
    return;
  }
  if (message.kind !== 'frame') return;
  const payload = Buffer.from(message.payload_hex, 'hex');
  if (message.opcode === 'binary') webSocket.send(payload);
  else if (message.opcode === 'ping') webSocket.ping(payload);
  else if (message.opcode === 'pong') webSocket.pong(payload);
  else if (message.opcode === 'close') webSocket.close();
}

/** The HTTP exchanges of a session in the order of their requests, and for each WebSocket what followed the upgrade. */
function partsOf(session: GoldenSession): { exchanges: Exchange[]; scripts: GoldenMessage[][] } {
  const exchanges: Exchange[] = [];
  const scripts = new Map<number, GoldenMessage[]>();
  const open = new Map<number, GoldenHttpMessage>();
  for (const message of session.messages) {
    const script = scripts.get(message.conn);
    if (script !== undefined) {
      // The end of a connection that the client ended is the client's.
      const isOver = script.some(
        (before) => before.kind === 'tcp' && before.direction === 'client to server',
      );
      if (!isOver) script.push(message);
    } else if (message.kind === 'request') open.set(message.conn, message);
    else if (message.kind === 'response') {
      const request = open.get(message.conn);
      if (message.status_line?.includes(' 101 ')) scripts.set(message.conn, []);
      else if (request !== undefined) exchanges.push({ request, response: message });
    }
  }
  return { exchanges, scripts: [...scripts.values()] };
}
