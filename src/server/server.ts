import { isIP } from 'node:net';
import { UNNAMED_QUEUE } from '../model/queue-name.ts';
import { RETRY_DEFAULT, type RetryPolicy } from '../model/retry.ts';
import type { HttpAddress, HttpServer } from '../net/http/server.ts';
import { WebSocketServer } from '../net/websocket/server.ts';
import { Queue } from '../queue/queue.ts';
import type { Store } from '../store/store.ts';
import { Semaphore } from '../system/async/semaphore.ts';
import { EndOfTurn, promptly } from '../system/event-loop/end-of-turn.ts';
import { LoopDelay } from '../system/event-loop/loop-delay.ts';
import type { Logger } from '../system/log/logger.ts';
import { endsWithin, systemClock } from '../system/time/clock.ts';
import { ConsumerSessions } from './consumers/sessions.ts';
import { Admission } from './http/admission.ts';
import { QueueHandler, VERSION_INFO } from './http/handler.ts';
import { unavailableHandler } from './http/unavailable.ts';
import { Metrics } from './metrics/metrics.ts';
import type { ServerSettings } from './settings.ts';

/** How long answers that are on their way, the journal, and retention may take when the server stops. */
const STOP_GRACE_MS = 600;
/** How long the store may take for what is under way after that; nothing waits for its answer any more. */
const STORE_GRACE_MS = 200;
/** How long the start waits for the size of the store, which is only for metrics. */
const STORE_LOOK_MS = 500;
/** How long consumers may take to answer the close frame. */
const CLOSE_GRACE_MS = 250;

/**
 * One queue on its sockets.
 *
 *     start (the queue opens, then the port is handed over)--> ready --stop (the port goes first)--> stopped
 *                                                                +--the store is lost--> stopped, `ended` rejects
 */
export class Server {
  /** Resolves when the server has stopped; rejects if it stopped because its store is lost. */
  readonly ended: Promise<void>;
  readonly #settings: ServerSettings;
  readonly #store: Store;
  readonly #queue: Queue;
  readonly #loopDelay: LoopDelay;
  readonly #http: HttpServer;
  readonly #sessions: ConsumerSessions;
  #stopping: Promise<void> | null = null;
  #settle: { resolve(): void; reject(error: unknown): void };

  /**
   * Rejects if the store cannot be used.
   *
   * @param http listens already; it and the store belong to the server once it has started, which closes them
   */
  static async start(settings: ServerSettings, http: HttpServer, store: Store): Promise<Server> {
    const queue = await Queue.open({ ...settings, store });
    const { clock } = settings;
    const metrics = new Metrics({
      queue,
      store,
      clock,
      process: {
        clock,
        logStats: settings.logStats,
        connectionsRejected: () => http.connectionsRejected,
      },
    });
    await endsWithin(clock, STORE_LOOK_MS, metrics.lookAtStore());
    warnOfForbidden(queue, allowedQueues(settings.queues), settings.logger);
    const server = new Server(settings, http, store, queue, metrics);
    const isLost = () => void server.#end(queue.lost.reason);
    if (queue.lost.aborted) isLost();
    else queue.lost.addEventListener('abort', isLost, { once: true });
    return server;
  }

  private constructor(
    settings: ServerSettings,
    http: HttpServer,
    store: Store,
    queue: Queue,
    metrics: Metrics,
  ) {
    const { clock, logger, hosts, hostNames, bodyBytesMax: bytesMax, bodiesBytesMax } = settings;
    const queues = allowedQueues(settings.queues);
    this.#settings = settings;
    this.#store = store;
    this.#queue = queue;
    this.#http = http;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    this.ended = promise;
    this.#settle = { resolve, reject };
    // A caller that does not care for it must not be brought down by it.
    promise.catch(() => {});
    // Of this process, whatever clock the queue was given.
    this.#loopDelay = new LoopDelay(systemClock, (seconds) => queue.stats.loopDelaySeconds.observe(seconds));
    this.#loopDelay.start();
    const turn = new EndOfTurn(promptly(clock));
    this.#sessions = new ConsumerSessions({ queue, settings, turn, versionInfo: VERSION_INFO });
    http.handOver(
      new QueueHandler({
        queue,
        metrics,
        logger,
        clock,
        admission: new Admission({
          loopbackOnly: hosts?.every(isLoopback) ?? true,
          hostNames,
          queues,
          basePath: settings.basePath,
          hasPage: settings.page === 'on',
        }),
        bodies: { bytesMax, room: new Semaphore(Math.max(bytesMax, bodiesBytesMax)) },
        holdStatusPollsMs: settings.holdStatusPollsMs,
        retryDefault: retryDefault(settings.retryDelayMs),
        webSockets: new WebSocketServer({
          turn,
          frameBytesMax: settings.frameBytesMax,
          clock,
          date: () => http.date(),
        }),
        openSession: (request, connection, name) => this.#sessions.open(request, connection, name),
      }),
    );
  }

  get addresses(): HttpAddress[] {
    return this.#http.addresses;
  }

  /** Ends within a second: answers what is asked, sends close frames to consumers, writes down what was done. Idempotent. */
  stop(): Promise<void> {
    return this.#end(null);
  }

  #end(cause: unknown): Promise<void> {
    this.#stopping ??= this.#stop().then(
      () => (cause === null ? this.#settle.resolve() : this.#settle.reject(cause)),
      (error: unknown) => this.#settle.reject(error),
    );
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    const { clock, logger } = this.#settings;
    const startedMs = clock.monotonicMs();
    const { consumers, chunksReserved, submissionsOpen } = this.#queue.counts;
    this.#loopDelay.stop();
    this.#http.handOver(unavailableHandler('the queue is stopping'));
    const closed = this.#http.stop(STOP_GRACE_MS);
    // From here on the queue is not ready: requests that were held are answered, connections that end free nothing.
    const drained = this.#queue.stop(STOP_GRACE_MS);
    this.#sessions.stop();
    const timer = clock.after(CLOSE_GRACE_MS, () => this.#sessions.cut());
    const [, isOnDisk] = await Promise.all([closed, drained]);
    timer.cancel();
    this.#sessions.cut();
    await this.#store.close(STORE_GRACE_MS);
    const tookMs = Math.round(clock.monotonicMs() - startedMs);
    // What consumers held is handed out again after the next start.
    const fields = { tookMs, consumers, chunksGivenBack: chunksReserved, submissionsOpen };
    if (isOnDisk) logger.info(fields, 'stopped');
    else
      logger.warn(
        fields,
        'stopped before all results were on disk: their chunks are handed out again after the next start',
      );
  }
}

/** What `--queues` means: '' is the unnamed one; null: any. */
function allowedQueues(queues: readonly string[] | undefined): ReadonlySet<string> | null {
  return queues === undefined ? null : new Set(queues.map((name) => (name === UNNAMED_QUEUE ? '' : name)));
}

/** What is open in a queue that nobody can reach any more stays there. */
function warnOfForbidden(queue: Queue, allowed: ReadonlySet<string> | null, logger: Logger): void {
  for (const { name, submissionsOpen } of queue.inUse) {
    if (allowed === null || allowed.has(name) || submissionsOpen === 0) continue;
    logger.warn(
      { queue: name, submissionsOpen },
      'submissions are open in a queue that --queues does not allow: nobody can reach them',
    );
  }
}

/** What `--retry-delay` means. */
function retryDefault(delayMs: number): RetryPolicy | null {
  if (delayMs === 0) return null;
  return { ...RETRY_DEFAULT, delayMs, delayMsMax: Math.max(delayMs, RETRY_DEFAULT.delayMsMax) };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
