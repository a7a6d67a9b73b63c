import type { Socket } from 'node:net';
import { FrameProgress } from '../websocket/frame-progress.ts';

/** A close frame without a code, as a queue that stops sends it. */
const CLOSE_FRAME = Buffer.from([0x88, 0x00]);
const UPGRADED = Buffer.from('HTTP/1.1 101 ');
const HEAD_END = Buffer.from('\r\n\r\n');
const HEAD_BYTES_MAX = 16_384;

/**
 * A connection that is passed on, byte by byte. Of a WebSocket it knows where the server's frames begin, so that it can end
 * in good order.
 *
 *     passing --cut; a side closes--> ended
 *     passing --close, between two frames--> closing: the client has a close frame, its answer goes on --the server ends--> ended
 */
export class PassedConnection {
  /** Resolves when it has ended. */
  readonly ended: Promise<void>;
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #settle: () => void;
  /** The beginning of what the server said; null: it is known what it is. */
  #head: Buffer | null = Buffer.alloc(0);
  /** null: it is not a WebSocket, as far as is known. */
  #frames: FrameProgress | null = null;
  #isClosing = false;
  #isClosed = false;

  /** @param head of the client's bytes, read before; its socket is paused */
  constructor(client: Socket, server: Socket, head: Uint8Array) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#settle = resolve;
    this.#client = client;
    this.#server = server;
    for (const side of [client, server]) side.once('close', this.cut).on('error', this.cut);
    if (client.destroyed) {
      this.cut();
      return;
    }
    client.setNoDelay(true);
    server.write(head);
    client.pipe(server);
    server.on('data', (bytes: Buffer) => this.#arrived(bytes)).pipe(client, { end: false });
    // Whoever closes its side of an HTTP connection has answered all that it will.
    server.once('end', () => client.end(this.cut));
  }

  readonly cut = (): void => {
    this.#client.destroy();
    this.#server.destroy();
    this.#settle();
  };

  /**
   * Lets a WebSocket end in good order: the client gets a close frame, as from a server that stops, and its answer reaches
   * the server, which so takes it for an orderly end of the client. Whatever else it is, is cut.
   */
  close(): void {
    if (this.#frames === null) {
      this.cut();
      return;
    }
    this.#isClosing = true;
    this.#server.unpipe(this.#client).resume();
    if (!this.#frames.isInFrame) this.#sayClose();
  }

  #arrived(bytes: Buffer): void {
    if (this.#isClosed) return;
    if (this.#isClosing) this.#finishFrame(bytes);
    else if (this.#frames !== null) this.#frames.received(bytes);
    else if (this.#head !== null) this.#lookAtHead(bytes);
  }

  /** What the server says from there on reaches nobody: it will be told that the client has gone. */
  #finishFrame(bytes: Buffer): void {
    const frames = this.#frames!;
    let at = 0;
    while (at < bytes.length && frames.isInFrame) {
      // Of a header, byte by byte: where it ends is not known before.
      const end = at + Math.max(1, frames.payloadLeft);
      frames.received(bytes.subarray(at, end));
      at = Math.min(end, bytes.length);
    }
    this.#client.write(bytes.subarray(0, at));
    if (!frames.isInFrame) this.#sayClose();
  }

  #sayClose(): void {
    this.#isClosed = true;
    this.#client.write(CLOSE_FRAME);
  }

  #lookAtHead(bytes: Buffer): void {
    const head = Buffer.concat([this.#head!, bytes]);
    const end = head.indexOf(HEAD_END);
    const isUpgraded = head.subarray(0, UPGRADED.length).equals(UPGRADED.subarray(0, head.length));
    if (isUpgraded && end < 0 && head.length < HEAD_BYTES_MAX) {
      this.#head = head;
      return;
    }
    this.#head = null;
    if (!isUpgraded || end < 0) return;
    this.#frames = new FrameProgress();
    this.#frames.received(head.subarray(end + HEAD_END.length));
  }
}
