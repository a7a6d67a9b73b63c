/** A queue that does what the test says: a WebSocket server whose every message is scripted. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import type { SubmissionFacts } from '../../../src/model/submission.ts';
import { decodeClientMessage, encodeServerMessage } from '../../../src/protocol/consumer/codec.ts';
import type {
  ClientMessage,
  InitMessage,
  Nonce,
  ReservedChunkMessage,
  ServerMessage,
} from '../../../src/protocol/consumer/types.ts';
import { CONSUMER_FEATURES } from '../../../src/protocol/features.ts';
import { submissionRecord } from '../../../src/store/conformance/records.ts';
import { Inbox } from '../peers/inbox.ts';

export const ALL_FEATURES = CONSUMER_FEATURES.queue;

export interface FakeQueueOptions {
  /** Default: all. An empty list is a server like the original one. */
  readonly features?: readonly string[];
  readonly heartbeatIntervalMs?: number;
  readonly missableHeartbeatsMax?: number;
  /** Send heartbeats as a queue does. Default false. */
  readonly beats?: boolean;
  /** Say `Init` on each connection by itself. Default true. */
  readonly saysInit?: boolean;
  /** 0: any. */
  readonly port?: number;
}

type MessageOf<K extends ClientMessage['kind']> = Extract<ClientMessage, { kind: K }>;

export class FakeQueue implements AsyncDisposable {
  readonly url: string;
  readonly port: number;
  /** Connections as they come. */
  readonly connections = new Inbox<FakeConnection>();
  readonly #server: ReturnType<typeof createServer>;
  readonly #sockets: WebSocketServer;
  connectionsTotal = 0;

  private constructor(server: ReturnType<typeof createServer>, options: FakeQueueOptions) {
    const { port } = server.address() as AddressInfo;
    this.port = port;
    this.url = `127.0.0.1:${port}`;
    this.#server = server;
    this.#sockets = new WebSocketServer({ server, path: '/consumer' });
    this.#sockets.on('connection', (socket, request) => {
      this.connectionsTotal++;
      const connection = new FakeConnection(socket, request.headers);
      if (options.saysInit !== false) connection.send(initMessage(options));
      if (options.beats) connection.beat(options.heartbeatIntervalMs ?? 10_000);
      this.connections.put(connection);
    });
  }

  static async start(options: FakeQueueOptions = {}): Promise<FakeQueue> {
    const server = createServer();
    server.listen(options.port ?? 0, '127.0.0.1');
    await once(server, 'listening');
    return new FakeQueue(server, options);
  }

  /** The next connection that was not taken yet. */
  connection(): Promise<FakeConnection> {
    return this.connections.take();
  }

  get connectionsOpen(): number {
    return this.#sockets.clients.size;
  }

  /** Cuts every connection and takes no more. */
  async stop(): Promise<void> {
    for (const socket of this.#sockets.clients) socket.terminate();
    this.#sockets.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

export class FakeConnection {
  readonly headers: IncomingHttpHeaders;
  /** Every message of the client, in order; heartbeats are not among them. */
  readonly received: ClientMessage[] = [];
  /** Resolves with the close code. */
  readonly closed: Promise<number>;
  pongs = 0;
  pings = 0;
  /** Called with the bytes of every message. */
  onBytes: (bytes: Uint8Array) => void = () => {};
  readonly #socket: WebSocket;
  readonly #inbox = new Inbox<ClientMessage>();

  constructor(socket: WebSocket, headers: IncomingHttpHeaders) {
    this.headers = headers;
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once('close', (code) => resolve(code)));
    socket.on('message', (data) => {
      if (!(data instanceof Uint8Array)) throw new Error('fragments');
      this.onBytes(data);
      const message = decodeClientMessage(data);
      this.received.push(message);
      this.#inbox.put(message);
    });
    socket.on('pong', () => this.pongs++);
    socket.on('ping', () => this.pings++);
    socket.on('error', () => {});
  }

  /** The next message; fails if it is of another kind. */
  async next<K extends ClientMessage['kind']>(kind: K): Promise<MessageOf<K>> {
    const message = await this.#inbox.take();
    if (message.kind !== kind) throw new Error(`${kind} expected, got ${show(message)}`);
    return message as MessageOf<K>;
  }

  /** The next message of that kind; others are passed over. */
  async until<K extends ClientMessage['kind']>(kind: K): Promise<MessageOf<K>> {
    for (;;) {
      const message = await this.#inbox.take();
      if (message.kind === kind) return message as MessageOf<K>;
    }
  }

  send(message: ServerMessage): void {
    this.sendBytes(encodeServerMessage(message, { byteStrings: true }));
  }

  sendBytes(bytes: Uint8Array | string): void {
    this.#socket.send(bytes);
  }

  ping(): void {
    this.#socket.ping('beat');
  }

  /** As a process that is stopped: it keeps its connection, and reads nothing of it. */
  hang(): void {
    this.#socket.pause();
  }

  answer(nonce: Nonce, chunks: readonly ReservedChunkMessage[]): void {
    this.send({ kind: 'reserved', nonce, chunks });
  }

  /** Pings for as long as it lives. */
  beat(intervalMs: number): void {
    const timer = setInterval(() => this.ping(), intervalMs);
    this.#socket.once('close', () => clearInterval(timer));
  }

  /** Cuts it. */
  cut(): void {
    this.#socket.terminate();
  }

  /** Stops reading and writing, as a broken network does. */
  freeze(): void {
    this.#socket.pause();
  }
}

export function initMessage(options: FakeQueueOptions = {}): InitMessage {
  return {
    kind: 'init',
    missableHeartbeatsMax: options.missableHeartbeatsMax ?? 3,
    heartbeatIntervalMs: options.heartbeatIntervalMs ?? 10_000,
    versionInfo: 'v9.9.9',
    connId: '0190c6a0-0000-7000-8000-000000000000',
    features: options.features ?? ALL_FEATURES,
  };
}

let nextId = 7_000_000_000_000_000_000n;

/** A submission whose chunks lie in the object store (or, with a null prefix, in the queue). */
export function fakeSubmission(fields: Partial<SubmissionFacts> = {}): SubmissionFacts {
  const id = nextId++;
  const { queue: _, ...facts } = submissionRecord({ id, chunksTotal: 100, chunkSizeOps: 10, ...fields });
  return facts;
}

export function fakeChunk(
  submission: SubmissionFacts,
  chunkIndex: number,
  fields: Partial<ReservedChunkMessage> = {},
): ReservedChunkMessage {
  return {
    chunk: { submissionId: submission.id, chunkIndex },
    inputContent: null,
    retries: 0,
    submission,
    chunksDone: 0,
    ...fields,
  };
}

function show(value: unknown): string {
  return JSON.stringify(value, (_, each) => (typeof each === 'bigint' ? `${each}n` : each));
}
