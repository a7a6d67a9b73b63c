import assert from 'node:assert/strict';
import type { InitMessage } from '../../../src/protocol/consumer/types.ts';
import { type RunningServer, type ServerOptions, startServer } from '../../../src/server/index.ts';
import { MemoryStore } from '../../../src/store/memory/memory-store.ts';
import { ConsumerPeer } from '../peers/consumer-peer.ts';
import { HttpSocket, type RawAnswer } from '../peers/http-socket.ts';
import { assertDescribed } from '../protocol/openapi.ts';

/** A queue in memory on a free port, with clients that a test can count on being closed. */
export class TestServer implements AsyncDisposable {
  readonly server: RunningServer;
  readonly #peers: ConsumerPeer[] = [];
  readonly #sockets: HttpSocket[] = [];

  private constructor(server: RunningServer) {
    this.server = server;
  }

  static async start(options: ServerOptions = {}): Promise<TestServer> {
    const store = options.store ?? (options.databaseFilename === undefined ? new MemoryStore() : undefined);
    return new TestServer(await startServer({ hosts: ['127.0.0.1'], port: 0, ...options, store }));
  }

  get port(): number {
    return this.server.port;
  }

  async consumer(
    headers?: Readonly<Record<string, string>>,
    queuePath = '',
  ): Promise<ConsumerPeer & { readonly init: InitMessage }> {
    const peer = await ConsumerPeer.connect(this.port, headers, queuePath);
    this.#peers.push(peer);
    return peer;
  }

  async socket(): Promise<HttpSocket> {
    const socket = await HttpSocket.open(this.port);
    this.#sockets.push(socket);
    return socket;
  }

  /** One request on a connection of its own, whose answer must be as docs/openapi.json has it. */
  async request(
    line: string,
    headers?: Readonly<Record<string, string>>,
    body?: string | Uint8Array,
  ): Promise<RawAnswer> {
    const socket = await this.socket();
    socket.send(line, headers, body);
    const answer = await socket.answer(!line.startsWith('HEAD '));
    socket.close();
    if (!line.startsWith('HEAD ')) await assertDescribed(line, answer);
    return answer;
  }

  get(path: string, headers?: Readonly<Record<string, string>>): Promise<RawAnswer> {
    return this.request(`GET ${path}`, headers);
  }

  post(
    path: string,
    body: string | Uint8Array,
    headers?: Readonly<Record<string, string>>,
  ): Promise<RawAnswer> {
    return this.request(`POST ${path}`, { 'content-type': 'application/json', ...headers }, body);
  }

  /** Inserts a submission in the object store; fields of the request may be given. */
  async insert(prefix: string, count: number, fields: object = {}): Promise<bigint> {
    return this.#inserted({ chunk_contents: { SeeObjectStorage: { prefix, count } }, ...fields });
  }

  async insertDirect(contents: readonly (readonly number[] | null)[], fields: object = {}): Promise<bigint> {
    return this.#inserted({ chunk_contents: { Direct: { contents } }, ...fields });
  }

  /** The status as text: its ids do not fit a double. */
  async status(id: bigint, query = ''): Promise<string> {
    const answer = await this.get(`/producer/submissions/${id}${query}`);
    assert.equal(answer.status, 200, answer.body.toString());
    return answer.body.toString();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const peer of this.#peers) peer.cut();
    for (const socket of this.#sockets) socket.close();
    await this.server.stop();
  }

  async #inserted(request: object): Promise<bigint> {
    const answer = await this.post('/producer/submissions', JSON.stringify(request));
    assert.equal(answer.status, 200, answer.body.toString());
    return BigInt(answer.body.toString());
  }
}
