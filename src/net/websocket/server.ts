import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer as Upgrader, type WebSocket } from 'ws';
import { MESSAGE_TIMEOUT_MS_DEFAULT } from '../../model/limits.ts';
import type { EndOfTurn, TurnTask } from '../../system/event-loop/end-of-turn.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { FrameConnection, FrameListener } from '../connection.ts';
import { MessageBacklog, type MessageSource } from './message-backlog.ts';
import { MessageDeadline, type MessageDeadlineOptions } from './message-deadline.ts';

/** Given to {@link FrameConnection.close}: a close frame without a code. */
export const CLOSE_WITHOUT_CODE = 1005;
/** Close code for what is no message of the protocol at all, such as a text frame. */
export const CLOSE_UNSUPPORTED = 1003;
/** Close code for a message that does not decode. */
export const CLOSE_INVALID = 1007;
/** Close code for a peer that exceeds a limit. */
export const CLOSE_POLICY = 1008;

export interface WebSocketServerOptions {
  readonly turn: EndOfTurn;
  /** Largest message, in bytes. */
  readonly frameBytesMax: number;
  readonly clock: Clock;
  /** How long after its first byte a message must be complete, in milliseconds. Default 2 minutes. */
  readonly messageTimeoutMs?: number | undefined;
  /** How long a turn of the event loop works on messages, in milliseconds. Default 10. */
  readonly sliceMs?: number | undefined;
  /** The value of the `date` header of the answer to an upgrade. */
  date(): string;
}

/** How long a peer may take to answer a close frame. */
const CLOSE_TIMEOUT_MS = 2_000;
const REASON_BYTES_MAX = 123;
/** Up to here the frames of a turn are copied together and leave in one write. */
const COPY_BYTES_MAX = 64 * 1024;
/** A peer of which more waits to be worked on is not read any further. */
const WAITING_BYTES_MAX = 64 * 1024;

const OPCODE_BINARY = 0x82;
const OPCODE_PING = 0x89;
const OPCODE_PONG = 0x8a;

/** Turns HTTP requests into WebSockets; compression is off. */
export class WebSocketServer {
  readonly #turn: EndOfTurn;
  readonly #upgrader: Upgrader;
  readonly #deadline: MessageDeadlineOptions;
  readonly #backlog: MessageBacklog;

  constructor(options: WebSocketServerOptions) {
    this.#turn = options.turn;
    this.#backlog = new MessageBacklog(options.clock, options.sliceMs);
    const { clock, messageTimeoutMs: timeoutMs = MESSAGE_TIMEOUT_MS_DEFAULT } = options;
    this.#deadline = { clock, timeoutMs };
    const upgraderOptions = {
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: options.frameBytesMax,
      // Known to `ws`, not yet to its types.
      closeTimeout: CLOSE_TIMEOUT_MS,
    };
    this.#upgrader = new Upgrader(upgraderOptions);
    // The bytes of the answer are those of the original.
    this.#upgrader.on('headers', (headers: string[]) => {
      const accept = headers.find((header) => header.startsWith('Sec-WebSocket-Accept: '));
      headers.splice(
        1,
        headers.length,
        'connection: upgrade',
        'upgrade: websocket',
        `sec-websocket-accept: ${accept?.slice('Sec-WebSocket-Accept: '.length)}`,
        `date: ${options.date()}`,
      );
    });
  }

  /**
   * The request must have passed {@link upgradeProblem}. `opened` is called in the same turn; it gives the listener.
   *
   * @param mayWrite asked before what a turn has left for the peer is written: once this is false, it is dropped and the
   *   connection cut
   */
  accept(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    opened: (connection: FrameConnection) => FrameListener,
    mayWrite: () => boolean = () => true,
  ): void {
    this.#upgrader.handleUpgrade(request, socket, head, (webSocket) => {
      const connection = new WebSocketConnection(webSocket, socket, this.#turn, this.#backlog, mayWrite);
      connection.listen(opened(connection), this.#deadline);
    });
  }
}

/**
 * Why a request is not an upgrade to a WebSocket, in the words of the original; null if it is one.
 *
 * @param header the value of a header, by its lower-case name
 */
export function upgradeProblem(header: (name: string) => string | undefined): string | null {
  if (!hasToken(header('connection'), 'upgrade')) return "Connection header did not include 'upgrade'";
  if (!hasToken(header('upgrade'), 'websocket')) return "`Upgrade` header did not include 'websocket'";
  if (header('sec-websocket-version') !== '13') return "`Sec-WebSocket-Version` header did not include '13'";
  const key = header('sec-websocket-key');
  if (key === undefined) return '`Sec-WebSocket-Key` header missing';
  if (!/^[+/0-9A-Za-z]{22}==$/.test(key)) return '`Sec-WebSocket-Key` header is not 16 bytes in base64';
  return null;
}

function hasToken(header: string | undefined, token: string): boolean {
  return header?.split(',').some((part) => part.trim().toLowerCase() === token) ?? false;
}

/**
 * Reading is left to `ws`; frames are written here, because everything that goes to a peer in one turn of the
 * event loop is to be one write.
 */
class WebSocketConnection implements FrameConnection, TurnTask, MessageSource {
  readonly #webSocket: WebSocket;
  readonly #socket: Duplex;
  readonly #turn: EndOfTurn;
  readonly #backlog: MessageBacklog;
  readonly #mayWrite: () => boolean;
  #listener: FrameListener | null = null;
  /** To be written. */
  #pending: Uint8Array[] = [];
  #pendingBytes = 0;
  /** Received, in the backlog. */
  readonly #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** By its user. */
  #isPaused = false;
  #isReading = true;
  #isClosed = false;

  constructor(
    webSocket: WebSocket,
    socket: Duplex,
    turn: EndOfTurn,
    backlog: MessageBacklog,
    mayWrite: () => boolean,
  ) {
    this.#webSocket = webSocket;
    this.#socket = socket;
    this.#turn = turn;
    this.#backlog = backlog;
    this.#mayWrite = mayWrite;
  }

  listen(listener: FrameListener, deadlineOptions: MessageDeadlineOptions): void {
    const webSocket = this.#webSocket;
    this.#listener = listener;
    const deadline = new MessageDeadline(deadlineOptions, () =>
      this.close(CLOSE_POLICY, `a message was not complete after ${deadlineOptions.timeoutMs / 1000} s`),
    );
    this.#socket.on('data', (bytes: Buffer) => deadline.received(bytes));
    webSocket.on('message', (data: Buffer, isBinary: boolean) => {
      if (this.#isClosed) return;
      listener.alive();
      if (isBinary) {
        this.#received(data);
        return;
      }
      this.#workOffAll();
      this.close(CLOSE_UNSUPPORTED, 'text frames are not understood, messages are CBOR in binary frames');
    });
    webSocket.on('ping', () => listener.alive());
    webSocket.on('pong', () => listener.alive());
    // A broken frame: `ws` has sent its close frame (1002, 1007, 1009) already; `close` follows.
    webSocket.on('error', () => {});
    webSocket.on('close', (code: number) => {
      deadline.stop();
      this.#workOffAll();
      this.#isClosed = true;
      listener.closed(code !== ABNORMAL_CLOSURE);
    });
    this.#socket.on('drain', () => listener.drained?.());
  }

  send(bytes: Uint8Array): void {
    this.#push(OPCODE_BINARY, bytes);
  }

  ping(payload: Uint8Array): void {
    this.#push(OPCODE_PING, payload);
  }

  pong(payload: Uint8Array): void {
    this.#push(OPCODE_PONG, payload);
  }

  close(code: number, reason: string): void {
    if (this.#isClosed) return;
    this.endTurn();
    this.#isClosed = true;
    if (code === CLOSE_WITHOUT_CODE) this.#webSocket.close();
    else this.#webSocket.close(code, clippedReason(reason));
  }

  terminate(): void {
    this.#isClosed = true;
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#webSocket.terminate();
  }

  pause(): void {
    this.#isPaused = true;
    this.#readOrNot();
  }

  resume(): void {
    this.#isPaused = false;
    this.#readOrNot();
  }

  workOff(): boolean {
    const data = this.#waiting.shift();
    if (data === undefined) return false;
    this.#waitingBytes -= data.length;
    if (!this.#isClosed) this.#listener!.message(data);
    this.#readOrNot();
    return this.#waiting.length > 0;
  }

  get bufferedBytes(): number {
    return this.#pendingBytes + this.#socket.writableLength;
  }

  endTurn(): void {
    const pending = this.#pending;
    const bytes = this.#pendingBytes;
    if (bytes === 0) return;
    // The process may have been paused in the middle of the turn.
    if (!this.#mayWrite()) {
      this.terminate();
      return;
    }
    this.#pending = [];
    this.#pendingBytes = 0;
    if (this.#isClosed || !this.#socket.writable) return;
    if (bytes <= COPY_BYTES_MAX) {
      this.#socket.write(joined(pending, bytes));
      return;
    }
    this.#socket.cork();
    for (const part of pending) this.#socket.write(part);
    this.#socket.uncork();
  }

  #received(data: Buffer): void {
    if (this.#waiting.length === 0 && this.#backlog.mayWorkNow()) {
      this.#listener!.message(data);
      return;
    }
    if (this.#waiting.push(data) === 1) this.#backlog.add(this);
    this.#waitingBytes += data.length;
    this.#readOrNot();
  }

  #workOffAll(): void {
    while (this.workOff());
  }

  #readOrNot(): void {
    const mayRead = !this.#isPaused && this.#waitingBytes <= WAITING_BYTES_MAX;
    if (mayRead === this.#isReading) return;
    this.#isReading = mayRead;
    if (mayRead) this.#webSocket.resume();
    else this.#webSocket.pause();
  }

  #push(firstByte: number, payload: Uint8Array): void {
    if (this.#isClosed) return;
    if (this.#pendingBytes === 0) this.#turn.add(this);
    const header = frameHeader(firstByte, payload.length);
    this.#pending.push(header);
    if (payload.length > 0) this.#pending.push(payload);
    this.#pendingBytes += header.length + payload.length;
  }
}

/** `ws` reports it when the connection ended without a close frame of the peer. */
const ABNORMAL_CLOSURE = 1006;

function joined(parts: readonly Uint8Array[], bytes: number): Buffer {
  const buffer = Buffer.allocUnsafe(bytes);
  let at = 0;
  for (const part of parts) {
    buffer.set(part, at);
    at += part.length;
  }
  return buffer;
}

/** A server's frames are whole (FIN set, in `firstByte`) and not masked. */
function frameHeader(firstByte: number, length: number): Uint8Array {
  if (length < 126) return Uint8Array.of(firstByte, length);
  if (length < 65_536) return Uint8Array.of(firstByte, 126, length >>> 8, length & 0xff);
  const header = new Uint8Array(10);
  const view = new DataView(header.buffer);
  view.setUint8(0, firstByte);
  view.setUint8(1, 127);
  view.setBigUint64(2, BigInt(length));
  return header;
}

/** A close frame holds 123 bytes of text. */
function clippedReason(reason: string): string {
  let clipped = reason.slice(0, REASON_BYTES_MAX);
  while (Buffer.byteLength(clipped) > REASON_BYTES_MAX) clipped = clipped.slice(0, -1);
  return clipped.toWellFormed();
}
