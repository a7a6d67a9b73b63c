import { connect, type Socket } from 'node:net';

/** An answer as it came over the wire. */
export interface RawAnswer {
  readonly statusLine: string;
  readonly status: number;
  /** In wire order and case. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
}

/** One TCP connection that speaks HTTP byte by byte, so that a test sees exactly what a client would. */
export class HttpSocket {
  readonly #socket: Socket;
  #received = Buffer.alloc(0);
  #isEnded = false;
  #wake: (() => void) | null = null;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (piece: Buffer) => {
      this.#received = Buffer.concat([this.#received, piece]);
      this.#wake?.();
    });
    const end = () => {
      this.#isEnded = true;
      this.#wake?.();
    };
    socket.on('end', end);
    socket.on('close', end);
    socket.on('error', end);
  }

  static open(port: number, host = '127.0.0.1'): Promise<HttpSocket> {
    return new Promise((resolve, reject) => {
      const socket = connect({ port, host, noDelay: true }, () => resolve(new HttpSocket(socket)));
      socket.once('error', reject);
    });
  }

  write(data: string | Uint8Array): void {
    this.#socket.write(data);
  }

  /** Sends a request; a body comes with its length. */
  send(
    requestLine: string,
    headers: Readonly<Record<string, string>> = {},
    body?: string | Uint8Array,
  ): void {
    const all =
      body === undefined ? headers : { ...headers, 'content-length': String(Buffer.byteLength(body)) };
    const lines = Object.entries({ host: 'localhost', ...all }).map(([name, value]) => `${name}: ${value}`);
    this.write(`${requestLine} HTTP/1.1\r\n${lines.join('\r\n')}\r\n\r\n`);
    if (body !== undefined) this.write(body);
  }

  /** The next answer; `hasBody` is false after a HEAD. */
  async answer(hasBody = true): Promise<RawAnswer> {
    const headEnd = await this.#until(() => {
      const at = this.#received.indexOf('\r\n\r\n');
      return at < 0 ? null : at;
    });
    const [statusLine = '', ...lines] = this.#received.toString('latin1', 0, headEnd).split('\r\n');
    const headers = lines.map((line) => {
      const colon = line.indexOf(': ');
      return [line.slice(0, colon), line.slice(colon + 2)] as const;
    });
    const length = Number(headers.find(([name]) => name.toLowerCase() === 'content-length')?.[1] ?? 0);
    const bodyEnd = headEnd + 4 + (hasBody ? length : 0);
    await this.#until(() => (this.#received.length >= bodyEnd ? true : null));
    const body = this.#received.subarray(headEnd + 4, bodyEnd);
    this.#received = this.#received.subarray(bodyEnd);
    return { statusLine, status: Number(statusLine.split(' ')[1]), headers, body };
  }

  /** Resolves when the server has closed the connection; gives what came before and was not read. */
  async ended(): Promise<Buffer> {
    await this.#until(() => (this.#isEnded ? true : null));
    return this.#received;
  }

  close(): void {
    this.#socket.destroy();
  }

  async #until<T>(look: () => T | null): Promise<T> {
    for (;;) {
      const found = look();
      if (found !== null) return found;
      if (this.#isEnded)
        throw new Error(`the connection ended after ${JSON.stringify(this.#received.toString('latin1'))}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}
