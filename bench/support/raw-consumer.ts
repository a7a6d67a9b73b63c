/**
 * A consumer made of a bare socket and hand-made frames: the load generator must cost less than the server
 * that it measures. It speaks only what the wire protocol says, so it works against any server of it.
 */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/** A chunk as it came: the id's CBOR bytes are only echoed. */
export interface RawChunk {
  /** CBOR of the submission id (9 bytes: 0x1b and 8 bytes). */
  readonly idBytes: Buffer;
  /** CBOR of the chunk index. */
  readonly indexBytes: Buffer;
}

export interface RawConsumerOptions {
  /** Leaves Nagle's algorithm on, as old clients do. Default false. */
  readonly nagle?: boolean;
  /** Such as `/q/images`. Default: none. */
  readonly queuePath?: string;
}

const SUBMISSION_ID_KEY = Buffer.concat([Buffer.from([0x6d]), Buffer.from('submission_id')]);
const CHUNK_INDEX_KEY = Buffer.concat([Buffer.from([0x6b]), Buffer.from('chunk_index')]);
const ANSWER_HEAD = Buffer.concat([Buffer.from([0xa1, 0x64]), Buffer.from('Sync')]);

/** CBOR of an unsigned integer below 2^32. */
export function cborUint(value: number): Buffer {
  if (value < 24) return Buffer.from([value]);
  if (value < 0x100) return Buffer.from([0x18, value]);
  if (value < 0x1_0000) return Buffer.from([0x19, value >>> 8, value & 0xff]);
  const bytes = Buffer.alloc(5, 0x1a);
  bytes.writeUInt32BE(value, 1);
  return bytes;
}

export function cborText(text: string): Buffer {
  const bytes = Buffer.from(text);
  const head = cborUint(bytes.length);
  head[0]! |= 0x60;
  return Buffer.concat([head, bytes]);
}

/**
 * CBOR of a strategy: a plain name, or keys of nested PreferDistinct before it (`company_id/Oldest`); a key with a number
 * behind it is of a MaxSimultaneous (`company_id<8/Oldest`).
 */
export function cborStrategy(spec: string): Buffer {
  const names = spec.split('/');
  const base = names.pop()!;
  return names.reduceRight<Buffer>((underlying, name) => {
    const [key, max] = name.split('<');
    const kind = max === undefined ? 'PreferDistinct' : 'MaxSimultaneous';
    const limit = max === undefined ? [] : [cborText('max'), cborUint(Number(max))];
    return Buffer.concat([
      Buffer.from([0xa1]),
      cborText(kind),
      Buffer.from([max === undefined ? 0xa2 : 0xa3]),
      cborText('meta_key'),
      cborText(key!),
      ...limit,
      cborText('underlying'),
      underlying,
    ]);
  }, cborText(base));
}

const NONCE_HEAD = Buffer.concat([Buffer.from([0xa2]), cborText('nonce')]);
const COMPLETE_HEAD = Buffer.concat([
  cborText('contents'),
  Buffer.from([0xa1]),
  cborText('CompleteChunk'),
  Buffer.from([0xa2]),
  cborText('id'),
  Buffer.from([0xa2]),
  SUBMISSION_ID_KEY,
]);
const COMPLETE_TAIL = Buffer.concat([cborText('output_content'), Buffer.from([0xf6])]);

/** Masked with the key 0, which is legal and costs nothing here. */
function frame(opcode: number, parts: readonly Buffer[]): Buffer {
  let length = 0;
  for (const part of parts) length += part.length;
  const headLength = length < 126 ? 6 : length < 0x1_0000 ? 8 : 14;
  const bytes = Buffer.alloc(headLength + length);
  bytes[0] = 0x80 | opcode;
  if (headLength === 6) bytes[1] = 0x80 | length;
  else if (headLength === 8) {
    bytes[1] = 0x80 | 126;
    bytes.writeUInt16BE(length, 2);
  } else {
    bytes[1] = 0x80 | 127;
    bytes.writeBigUInt64BE(BigInt(length), 2);
  }
  let offset = headLength;
  for (const part of parts) offset += part.copy(bytes, offset);
  return bytes;
}

export class RawConsumer {
  /** An answer to a reservation, in the order in which they were asked for. */
  onChunks: (chunks: RawChunk[]) => void = () => {};
  onClosed: () => void = () => {};
  readonly #socket: Socket;
  #rest: Buffer = Buffer.alloc(0);
  #nonce = 0;
  #out: Buffer[] = [];
  #flushing = false;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  static async connect(host: string, port: number, options: RawConsumerOptions = {}): Promise<RawConsumer> {
    const socket = connect({ host, port, noDelay: options.nagle !== true });
    await once(socket, 'connect');
    socket.write(
      `GET ${options.queuePath ?? ''}/consumer HTTP/1.1\r\nHost: ${host}:${port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    );
    const consumer = new RawConsumer(socket);
    await new Promise<void>((resolve, reject) => {
      let head = Buffer.alloc(0);
      const onData = (data: Buffer) => {
        head = Buffer.concat([head, data]);
        const end = head.indexOf('\r\n\r\n');
        if (end < 0) return;
        socket.off('data', onData);
        if (!head.toString('latin1').startsWith('HTTP/1.1 101')) {
          reject(new Error(`no upgrade: ${head.toString('latin1', 0, 60)}`));
          return;
        }
        socket.on('data', (more: Buffer) => consumer.#receive(more));
        consumer.#receive(head.subarray(end + 4));
        resolve();
      };
      socket.on('data', onData);
      socket.on('error', reject);
    });
    socket.on('close', () => consumer.onClosed());
    return consumer;
  }

  /** Asks for chunks; `strategy` as {@link cborStrategy} gives it. */
  reserve(max: number, strategy: Buffer): void {
    this.#send([
      NONCE_HEAD,
      cborUint(this.#nonce++),
      RESERVE_HEAD,
      cborUint(max),
      cborText('strategy'),
      strategy,
    ]);
  }

  complete(chunk: RawChunk): void {
    this.#send([
      NONCE_HEAD,
      cborUint(this.#nonce++),
      COMPLETE_HEAD,
      chunk.idBytes,
      CHUNK_INDEX_KEY,
      chunk.indexBytes,
      COMPLETE_TAIL,
    ]);
  }

  /** Writes what was sent so far at once, instead of at the end of the turn. */
  flush(): void {
    if (this.#out.length === 0) return;
    const bytes = this.#out.length === 1 ? this.#out[0]! : Buffer.concat(this.#out);
    this.#out = [];
    this.#socket.write(bytes);
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(parts: readonly Buffer[]): void {
    this.#out.push(frame(2, parts));
    if (this.#flushing) return;
    this.#flushing = true;
    queueMicrotask(() => {
      this.#flushing = false;
      this.flush();
    });
  }

  #receive(data: Buffer): void {
    let bytes = this.#rest.length === 0 ? data : Buffer.concat([this.#rest, data]);
    for (;;) {
      if (bytes.length < 2) break;
      let length = bytes[1]! & 0x7f;
      let start = 2;
      if (length === 126) {
        if (bytes.length < 4) break;
        length = bytes.readUInt16BE(2);
        start = 4;
      } else if (length === 127) {
        if (bytes.length < 10) break;
        length = Number(bytes.readBigUInt64BE(2));
        start = 10;
      }
      if (bytes.length < start + length) break;
      this.#frame(bytes[0]! & 0x0f, bytes.subarray(start, start + length));
      bytes = bytes.subarray(start + length);
    }
    this.#rest = bytes;
  }

  #frame(opcode: number, payload: Buffer): void {
    if (opcode === 9) {
      this.#socket.write(frame(10, [payload]));
      return;
    }
    if (opcode !== 2 || payload.compare(ANSWER_HEAD, 0, ANSWER_HEAD.length, 0, ANSWER_HEAD.length) !== 0)
      return;
    const chunks: RawChunk[] = [];
    let at = payload.indexOf(SUBMISSION_ID_KEY);
    while (at >= 0) {
      const idAt = at + SUBMISSION_ID_KEY.length;
      const indexAt = idAt + 9 + CHUNK_INDEX_KEY.length;
      const kind = payload[indexAt]!;
      const indexLength = kind < 0x18 ? 1 : 1 + 2 ** (kind - 0x18);
      chunks.push({
        idBytes: payload.subarray(idAt, idAt + 9),
        indexBytes: payload.subarray(indexAt, indexAt + indexLength),
      });
      at = payload.indexOf(SUBMISSION_ID_KEY, indexAt);
    }
    this.onChunks(chunks);
  }
}

const RESERVE_HEAD = Buffer.concat([
  cborText('contents'),
  Buffer.from([0xa1]),
  cborText('WantToReserveChunks'),
  Buffer.from([0xa2]),
  cborText('max'),
]);
