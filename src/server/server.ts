import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import { RETRY_DEFAULT, type RetryPolicy } from '../model/retry.ts';
import type { FrameConnection } from '../net/connection.ts';
import { CONTENT_TYPE_TEXT, type HttpExchange } from '../net/http/exchange.ts';
import { hasSeveralHosts, refusalOf } from '../net/http/guard.ts';
import type { HttpAddress, HttpHandler, HttpServer } from '../net/http/server.ts';
import { upgradeProblem, WebSocketServer } from '../net/websocket/server.ts';
import { Queue } from '../queue/queue.ts';
import type { Store } from '../store/store.ts';
import { endsWithin, systemClock } from '../system/clock.ts';
import { EndOfTurn, promptly } from '../system/end-of-turn.ts';
import { LoopDelay } from '../system/loop-delay.ts';
import { uuidV7 } from '../system/random.ts';
import { parseConsumerFeatures } from './consumers/features.ts';
import { ConsumerSession } from './consumers/session.ts';
import { SharedBySessions } from './consumers/shared.ts';
import { Metrics } from './http/metrics.ts';
import { CONSUMER_PATH, Routes, VERSION_INFO } from './http/routes.ts';
import type { ServerSettings } from './settings.ts';

/** How long answers that are on their way, the journal, and retention may take when the server stops. */
const STOP_GRACE_MS = 600;
/** How long the store may take for what is under way after that; nobody waits for its answer any more. */
const STORE_GRACE_MS = 200;
const SEVERAL_HOSTS = 'more than one host header';
/** How long the start waits for the size of the store, which is only for metrics. */
const STORE_LOOK_MS = 500;
/** How long consumers may take to answer the close frame. */
const CLOSE_GRACE_MS = 250;

/**
 * One queue on its sockets.
 *
 *     start (the queue opens, then the port is handed over)--> ready --stop--> stopped
 *                                                                +--the store is lost--> stopped, `ended` rejects
 */
export class Server implements HttpHandler {
  /** Resolves when the server has stopped; rejects if it stopped because its store is lost. */
  readonly ended: Promise<void>;
  readonly #settings: ServerSettings;
  readonly #store: Store;
  readonly #queue: Queue;
  readonly #shared: SharedBySessions;
  readonly #metrics: Metrics;
  readonly #loopDelay: LoopDelay;
  readonly #http: HttpServer;
  readonly #webSockets: WebSocketServer;
  readonly #routes: Routes;
  readonly #turn: EndOfTurn;
  readonly #sessions = new Set<ConsumerSession>();
  readonly #isLoopbackOnly: boolean;
  #stopping: Promise<void> | null = null;
  #settle: { resolve(): void; reject(error: unknown): void };

  /**
   * Rejects if the store cannot be used.
   *
   * @param http listens already; it and the store belong to the server once it has started, which closes them
   */
  static async start(settings: ServerSettings, http: HttpServer, store: Store): Promise<Server> {
    const { clock, random, logger } = settings;
    const queue = await Queue.open({
      store,
      clock,
      random,
      logger,
      reservationExpirationMs: settings.reservationExpirationMs,
      chunkRetriesMax: settings.chunkRetriesMax,
      chunkDisconnectsMax: settings.chunkDisconnectsMax,
      submissionsReturnedMax: settings.submissionsReturnedMax,
      submissionAgeMsMax: settings.submissionAgeMsMax,
    });
    const server = new Server(settings, http, store, queue);
    await endsWithin(clock, STORE_LOOK_MS, server.#metrics.lookAtStore());
    server.#loopDelay.start();
    const isLost = () => void server.#end(queue.lost.reason);
    if (queue.lost.aborted) isLost();
    else queue.lost.addEventListener('abort', isLost, { once: true });
    http.handOver(server);
    return server;
  }

  private constructor(settings: ServerSettings, http: HttpServer, store: Store, queue: Queue) {
    const { clock, logger } = settings;
    this.#queue = queue;
    this.#shared = new SharedBySessions(queue.consumers, clock);
    this.#settings = settings;
    this.#store = store;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#settle = { resolve, reject };
    // Whoever does not care for it must not be brought down by it.
    promise.catch(() => {});
    this.#isLoopbackOnly = settings.hosts?.every(isLoopback) ?? true;
    this.#turn = new EndOfTurn(promptly(clock));
    this.#metrics = new Metrics({
      queue: this.#queue,
      store,
      clock,
      process: {
        clock,
        logStats: settings.logStats,
        connectionsRejected: () => http.connectionsRejected,
      },
    });
    // Of this process, whatever clock the queue was given.
    this.#loopDelay = new LoopDelay(systemClock, (seconds) =>
      this.#queue.stats.loopDelaySeconds.observe(seconds),
    );
    this.#http = http;
    this.#webSockets = new WebSocketServer({
      turn: this.#turn,
      frameBytesMax: settings.frameBytesMax,
      clock,
      date: () => this.#http.date(),
    });
    this.#routes = new Routes({
      queue: this.#queue,
      metrics: this.#metrics,
      logger,
      bodyBytesMax: settings.bodyBytesMax,
      bodiesBytesMax: settings.bodiesBytesMax,
      holdStatusPollsMs: settings.holdStatusPollsMs,
      retryDefault: retryDefault(settings.retryDelayMs),
    });
  }

  get addresses(): HttpAddress[] {
    return this.#http.addresses;
  }

  /** Ends within a second: answers what is asked, says good-bye to consumers, writes down what was done. Idempotent. */
  stop(): Promise<void> {
    return this.#end(null);
  }

  request(exchange: HttpExchange): void {
    if (hasSeveralHosts(exchange.rawHeaders)) {
      exchange.respond(400, SEVERAL_HOSTS, CONTENT_TYPE_TEXT);
      return;
    }
    const refusal = this.#refusalOf(exchange.header('host'), exchange.header('origin'));
    if (refusal === null) this.#routes.handle(exchange);
    else this.#routes.forbid(exchange, refusal);
  }

  isUpgrade(request: IncomingMessage): boolean {
    return pathOf(request) === CONSUMER_PATH && problemOf(request) === null;
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const ended = this.#metrics.http.begin('GET', CONSUMER_PATH);
    const refusal = this.#upgradeRefusal(request);
    if (refusal !== null) {
      ended(Number(refusal.status.slice(0, 3)));
      refuseUpgrade(socket, refusal, this.#http.date());
      return;
    }
    ended(101);
    try {
      this.#webSockets.accept(request, socket, head, (connection) => this.#openSession(request, connection));
    } catch (error) {
      socket.destroy();
      this.#queue.giveUp(error);
    }
  }

  #upgradeRefusal(request: IncomingMessage): UpgradeRefusal | null {
    if (hasSeveralHosts(request.rawHeaders)) return { status: '400 Bad Request', text: SEVERAL_HOSTS };
    const foreign = this.#refusalOf(request.headers.host, request.headers.origin);
    if (foreign !== null) return { status: '403 Forbidden', text: foreign };
    if (pathOf(request) !== CONSUMER_PATH) return { status: '404 Not Found', text: '' };
    const problem = problemOf(request);
    if (problem !== null) return { status: '400 Bad Request', text: problem };
    if (this.#queue.isReady) return null;
    return { status: '503 Service Unavailable', text: 'the queue is starting or stopping' };
  }

  #openSession(request: IncomingMessage, connection: FrameConnection): ConsumerSession {
    const { clock, random, logger, heartbeatIntervalMs, missableHeartbeatsMax } = this.#settings;
    const connId = uuidV7(clock.nowMs());
    const session = new ConsumerSession({
      queue: this.#queue,
      shared: this.#shared,
      connection,
      features: parseConsumerFeatures(
        headerText(request.headers['opsqueue-features']),
        headerText(request.headers['opsqueue-concurrency']),
      ),
      clock,
      random,
      logger,
      turn: this.#turn,
      connId,
      address: request.socket.remoteAddress,
      versionInfo: VERSION_INFO,
      heartbeatIntervalMs,
      missableHeartbeatsMax: missableHeartbeatsMax,
      ended: (ended) => {
        this.#sessions.delete(ended);
        logger.debug({ connId }, 'a consumer is gone');
      },
    });
    this.#sessions.add(session);
    logger.debug({ connId, address: request.socket.remoteAddress }, 'a consumer has connected');
    session.open();
    return session;
  }

  #refusalOf(host: string | undefined, origin: string | undefined): string | null {
    return refusalOf(host, origin, {
      loopbackOnly: this.#isLoopbackOnly,
      hostNames: this.#settings.hostNames,
    });
  }

  #end(cause: unknown): Promise<void> {
    this.#stopping ??= this.#stop().then(
      () => (cause === null ? this.#settle.resolve() : this.#settle.reject(cause)),
      (error: unknown) => this.#settle.reject(error),
    );
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { clock } = this.#settings;
    this.#loopDelay.stop();
    const closed = this.#http.stop(STOP_GRACE_MS);
    // From here on the queue is not ready: requests that were held are answered, connections that end free nothing.
    const drained = this.#queue.stop(STOP_GRACE_MS);
    for (const session of this.#sessions) session.stop();
    const timer = clock.after(CLOSE_GRACE_MS, () => {
      for (const session of [...this.#sessions]) session.cut();
    });
    await Promise.all([closed, drained]);
    timer.cancel();
    for (const session of [...this.#sessions]) session.cut();
    await this.#store.close(STORE_GRACE_MS);
  }
}

/** What `--retry-delay` means. */
function retryDefault(delayMs: number): RetryPolicy | null {
  if (delayMs === 0) return null;
  return { ...RETRY_DEFAULT, delayMs, delayMsMax: Math.max(delayMs, RETRY_DEFAULT.delayMsMax) };
}

function pathOf(request: IncomingMessage): string | undefined {
  return request.url?.split('?')[0];
}

function problemOf(request: IncomingMessage): string | null {
  return upgradeProblem((name) => headerText(request.headers[name]));
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

function headerText(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value.join(',') : value;
}

interface UpgradeRefusal {
  readonly status: string;
  readonly text: string;
}

function refuseUpgrade(socket: Duplex, { status, text }: UpgradeRefusal, date: string): void {
  const type = text === '' ? '' : `content-type: ${CONTENT_TYPE_TEXT}\r\n`;
  socket.on('error', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${status}\r\n${type}content-length: ${Buffer.byteLength(text)}\r\nconnection: close\r\ndate: ${date}\r\n\r\n${text}`,
    () => socket.destroy(),
  );
}
