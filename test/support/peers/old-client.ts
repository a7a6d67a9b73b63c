import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import type { ChunkId } from '../../../src/model/ids.ts';
import type { Strategy } from '../../../src/model/strategy.ts';
import {
  decodeServerMessage,
  encodeClientMessage,
  encodeServerMessage,
} from '../../../src/protocol/consumer/codec.ts';
import type { ClientMessage, Nonce, ReservedChunkMessage } from '../../../src/protocol/consumer/types.ts';

const UPGRADE_HEADERS = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
];
const OPCODE = { binary: 2, close: 8, ping: 9, pong: 10 } as const;

export interface OldClientEvents {
  readonly chunks: (client: OldClient, chunks: readonly ReservedChunkMessage[]) => void;
  /** The connection ended, not by `destroy`. */
  readonly closed: (client: OldClient) => void;
  /** Something came that would make a client of the original panic, reconnect or hang. */
  readonly violated: (error: Error) => void;
}

/**
 * A consumer of the original as far as the wire is concerned: announces nothing, leaves Nagle's algorithm on, sends
 * each message in a packet of its own, and forgives nothing that the original's would not.
 */
export class OldClient {
  readonly #socket: Socket;
  readonly #events: OldClientEvents;
  /** What each reservation that was not answered yet asked for. */
  readonly #asked = new Map<Nonce, number>();
  #rest = Buffer.alloc(0);
  #nonce = 0;
  #hasInit = false;
  #isDestroyed = false;

  private constructor(socket: Socket, events: OldClientEvents) {
    this.#socket = socket;
    this.#events = events;
  }

  /** Resolves when the handshake is over; `Init` has yet to come. */
  static async connect(port: number, events: OldClientEvents): Promise<OldClient> {
    const socket = connect({ port, host: '127.0.0.1', noDelay: false });
    await once(socket, 'connect');
    socket.write(
      `GET /consumer HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\n${UPGRADE_HEADERS.join('\r\n')}\r\n\r\n`,
    );
    const client = new OldClient(socket, events);
    let head = Buffer.alloc(0);
    while (!head.includes('\r\n\r\n')) {
      const [piece] = (await once(socket, 'data')) as [Buffer];
      head = Buffer.concat([head, piece]);
    }
    assert.match(head.toString('latin1'), /^HTTP\/1\.1 101 /);
    const read = (piece: Buffer) => {
      try {
        client.#receive(piece);
      } catch (error) {
        events.violated(error as Error);
      }
    };
    socket.on('data', read);
    socket.on('error', () => {});
    socket.on('close', () => {
      if (!client.#isDestroyed) events.closed(client);
    });
    read(head.subarray(head.indexOf('\r\n\r\n') + 4));
    return client;
  }

  reserve(max: number, strategy: Strategy): void {
    this.#asked.set(this.#nonce, max);
    this.#send({ kind: 'reserve', nonce: this.#nonce, max, strategy });
  }

  complete(chunk: ChunkId, outputContent: Uint8Array | null): void {
    this.#send({ kind: 'complete', nonce: this.#nonce, chunk, outputContent });
  }

  fail(chunk: ChunkId, failure: string): void {
    this.#send({ kind: 'fail', nonce: this.#nonce, chunk, failure });
  }

  /** Ends as a client of the original does: without a close frame. */
  destroy(): void {
    this.#isDestroyed = true;
    this.#socket.destroy();
  }

  #send(message: ClientMessage): void {
    this.#nonce++;
    this.#write(OPCODE.binary, encodeClientMessage(message));
  }

  /** Masked with the key 0, which is legal. */
  #write(opcode: number, payload: Uint8Array): void {
    const length = payload.length;
    const head = Buffer.alloc(length < 126 ? 6 : 8);
    head[0] = 0x80 | opcode;
    if (length < 126) {
      head[1] = 0x80 | length;
    } else {
      head[1] = 0x80 | 126;
      head.writeUInt16BE(length, 2);
    }
    this.#socket.write(Buffer.concat([head, payload]));
  }

  #receive(piece: Buffer): void {
    if (this.#isDestroyed) return;
    this.#rest = Buffer.concat([this.#rest, piece]);
    for (;;) {
      if (this.#rest.length < 2) return;
      const [first = 0, second = 0] = this.#rest;
      const start = second < 126 ? 2 : second === 126 ? 4 : 10;
      if (this.#rest.length < start) return;
      const length =
        start === 2
          ? second
          : start === 4
            ? this.#rest.readUInt16BE(2)
            : Number(this.#rest.readBigUInt64BE(2));
      if (this.#rest.length < start + length) return;
      const payload = this.#rest.subarray(start, start + length);
      this.#rest = this.#rest.subarray(start + length);
      assert.equal(first & 0xf0, 0x80, 'a frame in pieces, or with a reserved bit');
      this.#frame(first & 0x0f, payload);
      if (this.#isDestroyed) return;
    }
  }

  #frame(opcode: number, payload: Buffer): void {
    assert(this.#hasInit || opcode === OPCODE.binary, `a frame ${opcode} before Init`);
    switch (opcode) {
      case OPCODE.ping:
        this.#write(OPCODE.pong, payload);
        return;
      case OPCODE.pong:
        assert.equal(payload.length, 0, 'a pong that answers no ping of the client');
        return;
      case OPCODE.close:
        return;
      case OPCODE.binary:
        this.#message(payload);
        return;
      default:
        assert.fail(`a frame of the kind ${opcode}`);
    }
  }

  #message(payload: Buffer): void {
    const message = decodeServerMessage(payload);
    // Without what clients announce, this writes what was recorded of the original and nothing else.
    const recorded = Buffer.from(encodeServerMessage(message)).toString('hex');
    assert.equal(payload.toString('hex'), recorded, 'not the bytes of the original');
    if (!this.#hasInit) {
      assert.equal(message.kind, 'init');
      this.#hasInit = true;
      return;
    }
    if (message.kind === 'expired') return;
    assert(message.kind === 'reserved', `a message ${message.kind}`);
    const max = this.#asked.get(message.nonce);
    assert(max !== undefined, `an answer to nonce ${message.nonce}, which nobody waits for`);
    this.#asked.delete(message.nonce);
    assert(message.chunks.length >= 1 && message.chunks.length <= max, `${message.chunks.length} chunks`);
    this.#events.chunks(this, message.chunks);
  }
}
