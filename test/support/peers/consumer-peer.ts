import { WebSocket } from 'ws';
import type { ChunkId } from '../../../src/model/ids.ts';
import { Strategy } from '../../../src/model/strategy.ts';
import { decodeServerMessage, encodeClientMessage } from '../../../src/protocol/consumer/codec.ts';
import type {
  ClientMessage,
  InitMessage,
  ReservedChunkMessage,
  ServerMessage,
} from '../../../src/protocol/consumer/types.ts';

type Kind = ServerMessage['kind'];
type Of<K extends Kind> = Extract<ServerMessage, { readonly kind: K }>;
/** A message without its nonce, which the peer counts. */
type Unnumbered<M> = M extends ClientMessage ? Omit<M, 'nonce'> : never;

/** A consumer that does exactly what a test says, over a real socket. */
export class ConsumerPeer {
  readonly webSocket: WebSocket;
  /** Everything that came and was not taken yet, pings and pongs as their names. */
  readonly inbox: (ServerMessage | 'ping' | 'pong')[] = [];
  /** Set when the connection has ended. */
  closed: { readonly code: number; readonly reason: string } | null = null;
  #nonce = 0;
  #error = '';
  #wake: (() => void)[] = [];

  private constructor(webSocket: WebSocket) {
    this.webSocket = webSocket;
    const arrived = (what: ServerMessage | 'ping' | 'pong') => {
      this.inbox.push(what);
      this.#wakeAll();
    };
    webSocket.on('message', (bytes: Buffer) => arrived(decodeServerMessage(bytes)));
    webSocket.on('ping', () => arrived('ping'));
    webSocket.on('pong', () => arrived('pong'));
    webSocket.on('error', ({ message }) => {
      this.#error = message;
    });
    webSocket.on('close', (code, reason) => {
      this.closed = { code, reason: reason.toString() };
      this.#wakeAll();
    });
  }

  /**
   * Connects and waits for `Init`; rejects with what the upgrade was refused with.
   *
   * @param queuePath such as `/q/images`
   */
  static async connect(
    port: number,
    headers: Readonly<Record<string, string>> = {},
    queuePath = '',
  ): Promise<ConsumerPeer & { readonly init: InitMessage }> {
    const webSocket = new WebSocket(`ws://127.0.0.1:${port}${queuePath}/consumer`, { headers });
    const peer = new ConsumerPeer(webSocket);
    const init = await peer.next('init');
    return Object.assign(peer, { init });
  }

  /** @returns the nonce */
  send(message: Unnumbered<ClientMessage>): number {
    const nonce = this.#nonce++;
    this.webSocket.send(encodeClientMessage({ ...message, nonce } as ClientMessage));
    return nonce;
  }

  /** @returns the nonce */
  reserve(max = 1, strategy = Strategy.oldest()): number {
    return this.send({ kind: 'reserve', max, strategy });
  }

  async reserved(max = 1, strategy = Strategy.oldest()): Promise<readonly ReservedChunkMessage[]> {
    this.reserve(max, strategy);
    return (await this.next('reserved')).chunks;
  }

  complete(chunk: ChunkId, outputContent: Uint8Array | null = null): void {
    this.send({ kind: 'complete', chunk, outputContent });
  }

  fail(chunk: ChunkId, failure = 'it went wrong'): void {
    this.send({ kind: 'fail', chunk, failure });
  }

  /** The next message of this kind; those before it are dropped. */
  async next<K extends Kind>(kind: K): Promise<Of<K>> {
    for (;;) {
      const message = this.inbox.shift();
      if (message === undefined) await this.#more(kind);
      else if (typeof message !== 'string' && message.kind === kind) return message as Of<K>;
    }
  }

  /** Waits for a ping or pong; what came before it stays. */
  async control(kind: 'ping' | 'pong'): Promise<void> {
    while (!this.inbox.includes(kind)) await this.#more(kind);
    this.inbox.splice(this.inbox.indexOf(kind), 1);
  }

  async ended(): Promise<{ readonly code: number; readonly reason: string }> {
    while (this.closed === null) await this.#more();
    return this.closed;
  }

  close(): Promise<{ readonly code: number; readonly reason: string }> {
    this.webSocket.close();
    return this.ended();
  }

  /** Cuts the connection as a crash would: no close frame. */
  cut(): void {
    this.webSocket.terminate();
  }

  #more(wanted?: string): Promise<void> {
    if (this.closed !== null) {
      throw new Error(`closed (${this.closed.code} ${this.#error}) while waiting for ${wanted}`);
    }
    return new Promise((resolve) => this.#wake.push(resolve));
  }

  #wakeAll(): void {
    for (const wake of this.#wake.splice(0)) wake();
  }
}
