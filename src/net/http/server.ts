import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { OpsqueueError } from '../../model/errors.ts';
import { isError } from '../../model/kinds.ts';
import { ANSWER_STALL_MS_DEFAULT } from '../../model/limits.ts';
import { messageOf } from '../../model/thrown.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Clock } from '../../system/time/clock.ts';
import { HttpExchange, type HttpExchangeHost } from './exchange.ts';
import { RequestHead } from './head.ts';
import { HttpLane } from './lane.ts';

/** What is done with requests. */
export interface HttpHandler {
  request(exchange: HttpExchange): void;
  /** Whether a request that offers an upgrade is taken at its word; if not, it is an ordinary one. */
  isUpgrade(head: RequestHead): boolean;
  /**
   * A connection that has just come, of which nothing was read; `serve` begins to read requests. Where there is none, all
   * connections are served.
   */
  readonly connection?: ((socket: Socket, serve: () => void) => void) | undefined;
  /** A request of which `isUpgrade` was true. The socket is the handler's from here on. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
}

export interface HttpServerOptions {
  /** Addresses to listen on. Default: 127.0.0.1, and ::1 where there is IPv6. */
  readonly hosts?: readonly string[] | undefined;
  /** 0: any free one, the same on every address. */
  readonly port: number;
  readonly clock: Clock;
  /** Default: says nothing. */
  readonly logger?: Logger | undefined;
  /** Connections at each address; one more is closed at once. */
  readonly connectionsMax: number;
  /**
   * File descriptors that the process may have open. Connections leave enough of them for everything else: without
   * that, the system would cut them without a word, and the database could open no file. Default: no limit.
   */
  readonly descriptorsMax?: number | undefined;
  /** Descriptors that connections take beside their own, as those that are passed on do. Default: none. */
  readonly descriptorsBeside?: () => number;
  /** Idle connections are kept for this time, in milliseconds: clients of the original poll every 5 s and do not retry. */
  readonly idleConnectionMs: number;
  /** Headers must be complete within this time, in milliseconds. Default 30 000. */
  readonly headersTimeoutMs?: number | undefined;
  /** The whole request must, in milliseconds. Default 120 000. */
  readonly requestTimeoutMs?: number | undefined;
  /** A response of which the peer reads nothing for this time is given up, in milliseconds. Default 60 000. */
  readonly answerStallMs?: number | undefined;
}

export interface HttpAddress {
  readonly host: string;
  readonly port: number;
}

/** The address cannot be listened on: in use, not of this machine, not permitted. */
export class ListenError extends OpsqueueError {
  readonly host: string;
  readonly port: number;

  constructor(host: string, port: number, reason: string, options?: ErrorOptions) {
    super('CANNOT_LISTEN', `cannot listen on ${host} port ${port}: ${reason}`, options);
    this.host = host;
    this.port = port;
  }
}

const LOOPBACKS = ['127.0.0.1', '::1'];
/** How often another free port is tried when the first address got one that the second one does not have. */
const FREE_PORT_TRIES = 20;

/** At most this often, it is logged that there are too many connections. */
const FULL_SAID_EVERY_MS = 60_000;

/** Why a connection was closed as it came: the most there may be at an address, file descriptors, or an error of the system. */
export type ConnectionRejection = 'limit' | 'descriptors' | 'error';

const REJECTION_MESSAGES: Readonly<Record<ConnectionRejection, string>> = {
  limit: 'connection limit reached, rejecting new connections (--max-connections)',
  descriptors:
    'almost out of file descriptors, rejecting new connections: raise the limit of open files (ulimit -n, LimitNOFILE)',
  error: 'cannot accept a connection',
};

/** Descriptors that are kept for the database, threads, and whatever else the process opens. */
const DESCRIPTORS_RESERVED = 64;

function connectionsWithin(descriptorsMax: number): number {
  return Math.max(descriptorsMax - DESCRIPTORS_RESERVED, Math.floor(descriptorsMax / 4));
}

/**
 * HTTP/1.1 on one port of several addresses, over `node:http`, with the responses' bytes as the original sends them.
 *
 *     new --listen--> listening --stop--> stopping --every answer is out, or the time is up--> stopped
 */
export class HttpServer implements HttpExchangeHost {
  readonly #options: HttpServerOptions;
  #handler: HttpHandler;
  readonly #active = new Set<HttpExchange>();
  readonly #lanes = new WeakMap<Socket, HttpLane>();
  /** Connections that the handler has taken and not given to be served: node:http knows nothing of them. */
  readonly #taken = new Set<Socket>();
  readonly #rejected = { limit: 0, descriptors: 0, error: 0 };
  #addresses: readonly HttpAddress[] = [];
  #connections = 0;
  #servers: Server[] = [];
  #dateSecond = Number.NaN;
  #date = '';
  #isStopping = false;
  readonly #whenIdle = new Set<() => void>();
  /** When it was last logged that there are too many connections. */
  #fullSaidMs = -Infinity;

  constructor(options: HttpServerOptions, handler: HttpHandler) {
    this.#options = options;
    this.#handler = handler;
  }

  /** From here on that one gets the requests. */
  handOver(handler: HttpHandler): void {
    this.#handler = handler;
  }

  get isStopping(): boolean {
    return this.#isStopping;
  }

  get clock(): Clock {
    return this.#options.clock;
  }

  get answerStallMs(): number {
    return this.#options.answerStallMs ?? ANSWER_STALL_MS_DEFAULT;
  }

  get connectionsOpen(): number {
    return this.#connections;
  }

  /** Connections that were closed as they came. */
  get connectionsRejected(): Readonly<Record<ConnectionRejection, number>> {
    return this.#rejected;
  }

  /** Requests that are worked on. */
  get active(): ReadonlySet<HttpExchange> {
    return this.#active;
  }

  /** Where it listens, or did before it stopped. */
  get addresses(): HttpAddress[] {
    return [...this.#addresses];
  }

  /** Throws a {@link ListenError}; then nothing is listened on. */
  async listen(): Promise<void> {
    const { port, hosts } = this.#options;
    for (let tries = 1; ; tries++) {
      try {
        await this.#listenOnAll(hosts ?? LOOPBACKS, port, hosts === undefined);
        this.#addresses = this.#servers.map((server) => {
          const { address, port: own } = server.address() as AddressInfo;
          return { host: address, port: own };
        });
        return;
      } catch (error) {
        await this.#closeServers();
        const isTaken = error instanceof ListenError && errorCode(error.cause) === 'EADDRINUSE';
        if (port !== 0 || !isTaken || tries === FREE_PORT_TRIES) throw error;
      }
    }
  }

  /**
   * Takes no more connections, waits for the answers that are on their way and closes what is left after
   * `graceMs`. Whoever holds requests open ends them before.
   *
   * @param taken resolves when connections that were taken (see {@link HttpHandler.connection}) may be closed. Default: at once
   */
  async stop(graceMs: number, taken?: Promise<void>): Promise<void> {
    this.#isStopping = true;
    const closed = Promise.all(this.#servers.map((server) => closeServer(server)));
    await this.idle(graceMs);
    for (const server of this.#servers) server.closeAllConnections();
    await taken;
    for (const socket of this.#taken) socket.destroy();
    await closed;
  }

  /** Resolves when every answer is out, or after `graceMs`. */
  idle(graceMs: number): Promise<void> {
    if (this.#active.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      const done = () => {
        timer.cancel();
        this.#whenIdle.delete(done);
        resolve();
      };
      const timer = this.#options.clock.after(graceMs, done);
      this.#whenIdle.add(done);
    });
  }

  /** Ends the connections on which no request is under way: their peers come again, and reach another handler. */
  closeIdleConnections(): void {
    for (const server of this.#servers) server.closeIdleConnections();
  }

  date(): string {
    const second = Math.floor(this.#options.clock.nowMs() / 1000);
    if (second !== this.#dateSecond) {
      this.#dateSecond = second;
      this.#date = new Date(second * 1000).toUTCString();
    }
    return this.#date;
  }

  async #listenOnAll(hosts: readonly string[], wantedPort: number, isDefault: boolean): Promise<void> {
    let port = wantedPort;
    for (const host of hosts) {
      const server = this.#createServer();
      // `::` alone takes IPv4 as well; beside 0.0.0.0 it must not.
      const ipv6Only = host.includes(':') && (host !== '::' || hosts.includes('0.0.0.0'));
      try {
        await listenOn(server, { host, port, ipv6Only });
      } catch (cause) {
        // A machine without IPv6 has no ::1; that is no reason not to serve the other one.
        const isMissing = ['EADDRNOTAVAIL', 'EAFNOSUPPORT'].includes(errorCode(cause) ?? '');
        if (isDefault && isMissing && this.#servers.length > 0) continue;
        throw new ListenError(host, port, listenReason(cause), { cause });
      }
      // Such as no memory, or no descriptor: it goes on with the next connection.
      server.on('error', (error) => this.#reject('error', { err: error }));
      this.#servers.push(server);
      port = (server.address() as AddressInfo).port;
    }
  }

  #createServer(): Server {
    const { idleConnectionMs, headersTimeoutMs, requestTimeoutMs } = this.#options;
    const server = createServer({
      keepAliveTimeout: idleConnectionMs,
      headersTimeout: headersTimeoutMs ?? 30_000,
      requestTimeout: requestTimeoutMs ?? 120_000,
      connectionsCheckingInterval: Math.min(5_000, headersTimeoutMs ?? 30_000, requestTimeoutMs ?? 120_000),
      // Many programs offer `upgrade: h2c` with an ordinary request.
      shouldUpgradeCallback: (request) => this.#handler.isUpgrade(new RequestHead(request)),
      requireHostHeader: false,
      noDelay: true,
    });
    server.maxConnections = this.#options.connectionsMax;
    server.on('drop', () => this.#reject('limit', { connectionsMax: server.maxConnections }));
    // That of node:http itself, which begins to read.
    const serve = server.listeners('connection')[0] as (socket: Socket) => void;
    server.off('connection', serve);
    server.on('connection', (socket) => this.#connected(socket, () => serve.call(server, socket)));
    server.on('request', this.#onRequest);
    server.on('checkContinue', this.#onRequest);
    server.on('upgrade', (request, socket, head) => this.#handler.upgrade(request, socket, head));
    server.on('clientError', (error, socket) => this.#onClientError(error, socket));
    return server;
  }

  readonly #onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const lane = this.#lanes.get(request.socket);
    if (lane === undefined) this.#begin(request, response);
    else lane.take(request, response);
  };

  readonly #begin = (request: IncomingMessage, response: ServerResponse): void => {
    const exchange = new HttpExchange(request, response, this);
    this.#active.add(exchange);
    response.once('close', () => {
      exchange.closed();
      this.#active.delete(exchange);
      if (this.#active.size === 0) for (const run of [...this.#whenIdle]) run();
    });
    this.#handler.request(exchange);
  };

  #connected(socket: Socket, serve: () => void): void {
    const { descriptorsMax, descriptorsBeside } = this.#options;
    const open = this.#connections + (descriptorsBeside?.() ?? 0);
    if (descriptorsMax !== undefined && open >= connectionsWithin(descriptorsMax)) {
      socket.destroy();
      this.#reject('descriptors', { connections: this.#connections, descriptorsMax });
      return;
    }
    this.#connections++;
    socket.once('close', () => this.#connections--);
    this.#lanes.set(socket, new HttpLane(socket, this.#begin));
    const { connection } = this.#handler;
    if (connection === undefined) {
      serve();
      return;
    }
    this.#taken.add(socket);
    socket.once('close', () => this.#taken.delete(socket));
    connection(socket, () => {
      this.#taken.delete(socket);
      serve();
    });
  }

  #reject(why: ConnectionRejection, fields: object): void {
    this.#rejected[why]++;
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#fullSaidMs < FULL_SAID_EVERY_MS) return;
    this.#fullSaidMs = nowMs;
    this.#options.logger?.warn(fields, REJECTION_MESSAGES[why]);
  }

  #onClientError(error: Error, socket: Duplex): void {
    if (errorCode(error) === 'ECONNRESET' || !socket.writable) {
      socket.destroy();
      return;
    }
    const status = CLIENT_ERROR_STATUS[errorCode(error) ?? ''] ?? '400 Bad Request';
    const head = `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\ndate: ${this.date()}\r\n\r\n`;
    socket.end(head, () => socket.destroy());
  }

  async #closeServers(): Promise<void> {
    await Promise.all(this.#servers.map((server) => closeServer(server)));
    this.#servers = [];
  }
}

const CLIENT_ERROR_STATUS: Readonly<Record<string, string>> = {
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  HPE_CHUNK_EXTENSIONS_OVERFLOW: '413 Payload Too Large',
};

function listenOn(
  server: Server,
  address: { readonly host: string; readonly port: number; readonly ipv6Only: boolean },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...address, exclusive: true }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

function listenReason(cause: unknown): string {
  switch (errorCode(cause)) {
    case 'EADDRINUSE':
      return 'the port is in use';
    case 'EADDRNOTAVAIL':
      return 'this machine has no such address';
    case 'EACCES':
      return 'not permitted';
    default:
      return messageOf(cause);
  }
}

function errorCode(error: unknown): string | undefined {
  return isError(error) && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
