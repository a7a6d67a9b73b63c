/** A producer made of bare keep-alive sockets: one request at a time on each. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

export interface RawResponse {
  readonly status: number;
  readonly body: string;
}

export class RawProducer {
  readonly #socket: Socket;
  readonly #host: string;
  #rest = '';
  #waiting: { resolve: (response: RawResponse) => void; reject: (error: Error) => void } | null = null;

  private constructor(socket: Socket, host: string) {
    this.#socket = socket;
    this.#host = host;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#receive(text));
    socket.on('close', () => this.#waiting?.reject(new Error('the server closed the connection')));
    socket.on('error', () => {});
  }

  static async connect(host: string, port: number): Promise<RawProducer> {
    const socket = connect({ host, port, noDelay: true });
    await once(socket, 'connect');
    return new RawProducer(socket, `${host}:${port}`);
  }

  request(method: 'GET' | 'POST', path: string, body?: string): Promise<RawResponse> {
    const head = `${method} ${path} HTTP/1.1\r\nhost: ${this.#host}\r\naccept: */*\r\n`;
    const length =
      body === undefined
        ? ''
        : `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`;
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(`${head}${length}\r\n${body ?? ''}`);
    });
  }

  /** Inserts a submission whose bodies are in object storage; returns the id as text. */
  async insert(
    prefix: string,
    chunks: number,
    metadata: Record<string, number> = {},
    queuePath = '',
  ): Promise<string> {
    const response = await this.request(
      'POST',
      `${queuePath}/producer/submissions`,
      JSON.stringify({
        chunk_contents: { SeeObjectStorage: { prefix, count: chunks } },
        metadata: null,
        strategic_metadata: metadata,
        chunk_size: 1,
      }),
    );
    if (response.status !== 200) throw new Error(`insert: ${response.status} ${response.body}`);
    return response.body;
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    this.#rest += text;
    const end = this.#rest.indexOf('\r\n\r\n');
    if (end < 0) return;
    const head = this.#rest.slice(0, end);
    const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? 0);
    if (this.#rest.length < end + 4 + length) return;
    const body = this.#rest.slice(end + 4, end + 4 + length);
    this.#rest = this.#rest.slice(end + 4 + length);
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.resolve({ status: Number(head.slice(9, 12)), body });
  }
}

/** Runs `work(i)` for i in 0..count-1 over several connections at once. */
export async function inParallel(
  producers: readonly RawProducer[],
  count: number,
  work: (producer: RawProducer, index: number) => Promise<unknown>,
): Promise<void> {
  let next = 0;
  await Promise.all(
    producers.map(async (producer) => {
      while (next < count) await work(producer, next++);
    }),
  );
}
