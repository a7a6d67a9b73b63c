import { connect, type Socket } from 'node:net';
import type { RawAnswer } from '../peers/http-socket.ts';

/** What a server sends, as it comes. */
export type PeerEvent =
  | { readonly kind: 'answer'; readonly answer: RawAnswer }
  | { readonly kind: 'frame'; readonly opcode: number; readonly fin: boolean; readonly payload: Buffer }
  /** The server has closed its side (FIN), or reset the connection. */
  | { readonly kind: 'end' }
  | { readonly kind: 'reset' };

export const OPCODE_CLOSE = 8;
export const OPCODE_PING = 9;
export const OPCODE_PONG = 10;

/**
 * One TCP connection of a replayed session: sends bytes as they were recorded, and cuts what comes into HTTP
 * answers and, after a 101, WebSocket frames. Pings are kept apart, because when they come depends on timing.
 */
export class RecordedPeer {
  readonly #socket: Socket;
  readonly #events: PeerEvent[] = [];
  readonly #pings: PeerEvent[] = [];
  /** Whether each request that is under way expects a body in its answer. */
  readonly #bodies: boolean[] = [];
  #received = Buffer.alloc(0);
  #isWebSocket = false;
  #wake: (() => void)[] = [];

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (piece: Buffer) => {
      this.#received = Buffer.concat([this.#received, piece]);
      while (this.#cut());
    });
    socket.on('end', () => this.#push({ kind: 'end' }));
    socket.on('error', () => this.#push({ kind: 'reset' }));
  }

  static open(port: number): Promise<RecordedPeer> {
    return new Promise((resolve, reject) => {
      const options = { port, host: '127.0.0.1', noDelay: true, allowHalfOpen: true };
      const socket = connect(options, () => resolve(new RecordedPeer(socket)));
      socket.once('error', reject);
    });
  }

  request(bytes: Uint8Array, isHead: boolean): void {
    this.#bodies.push(!isHead);
    this.#socket.write(bytes);
  }

  frame(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  /** FIN. */
  end(): void {
    this.#socket.end();
  }

  /** RST. A socket that is ending already is only destroyed: Node.js never closes its handle after a reset then. */
  reset(): void {
    if (this.#socket.writableEnded || this.#socket.destroyed) this.#socket.destroy();
    else this.#socket.resetAndDestroy();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** What comes next but pings; null if nothing does in time. */
  next(withinMs: number): Promise<PeerEvent | null> {
    return this.#take(this.#events, withinMs);
  }

  nextPing(withinMs: number): Promise<PeerEvent | null> {
    return this.#take(this.#pings, withinMs);
  }

  /** What came and was not taken. */
  get rest(): readonly PeerEvent[] {
    return this.#events;
  }

  get pingsLeft(): number {
    return this.#pings.length;
  }

  async #take(events: PeerEvent[], withinMs: number): Promise<PeerEvent | null> {
    const endMs = performance.now() + withinMs;
    while (events.length === 0) {
      const leftMs = endMs - performance.now();
      if (leftMs <= 0) return null;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake.push(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return events.shift() ?? null;
  }

  #push(event: PeerEvent): void {
    const isPing = event.kind === 'frame' && event.opcode === OPCODE_PING;
    (isPing ? this.#pings : this.#events).push(event);
    for (const wake of this.#wake.splice(0)) wake();
  }

  /** Cuts one event off what was received; false if there is none yet. */
  #cut(): boolean {
    return this.#isWebSocket ? this.#cutFrame() : this.#cutAnswer();
  }

  #cutAnswer(): boolean {
    const headEnd = this.#received.indexOf('\r\n\r\n');
    if (headEnd < 0) return false;
    const [statusLine = '', ...lines] = this.#received.toString('latin1', 0, headEnd).split('\r\n');
    const headers = lines.map((line) => {
      const colon = line.indexOf(': ');
      return [line.slice(0, colon), line.slice(colon + 2)] as const;
    });
    const status = Number(statusLine.split(' ')[1]);
    const length = Number(headers.find(([name]) => name.toLowerCase() === 'content-length')?.[1] ?? 0);
    const bodyEnd = headEnd + 4 + (this.#bodies[0] === false ? 0 : length);
    if (this.#received.length < bodyEnd) return false;
    this.#bodies.shift();
    const body = this.#received.subarray(headEnd + 4, bodyEnd);
    this.#received = this.#received.subarray(bodyEnd);
    this.#isWebSocket = status === 101;
    this.#push({ kind: 'answer', answer: { statusLine, status, headers, body } });
    return true;
  }

  #cutFrame(): boolean {
    const bytes = this.#received;
    if (bytes.length < 2) return false;
    const short = bytes[1]! & 0x7f;
    const headSize = short === 127 ? 10 : short === 126 ? 4 : 2;
    if (bytes.length < headSize) return false;
    const length =
      short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
    if (bytes.length < headSize + length) return false;
    const payload = bytes.subarray(headSize, headSize + length);
    this.#received = bytes.subarray(headSize + length);
    this.#push({ kind: 'frame', opcode: bytes[0]! & 0x0f, fin: (bytes[0]! & 0x80) !== 0, payload });
    return true;
  }
}
