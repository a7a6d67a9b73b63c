import { dirname } from 'node:path';
import { RETRY_DEFAULT, type RetryPolicy } from '../model/retry.ts';
import type { HttpServer } from '../net/http/server.ts';
import { WebSocketServer } from '../net/websocket/server.ts';
import type { Office } from '../node/queue-node.ts';
import { Queue } from '../queue/queue.ts';
import type { Tenure } from '../store/lease.ts';
import { parseDatabaseFilename } from '../store/sqlite/file/location.ts';
import type { Store } from '../store/store.ts';
import { Semaphore } from '../system/async/semaphore.ts';
import { EndOfTurn, promptly } from '../system/event-loop/end-of-turn.ts';
import { LoopDelay } from '../system/event-loop/loop-delay.ts';
import { endsWithin, systemClock, type Timer } from '../system/time/clock.ts';
import { Views } from '../views/views.ts';
import { ConsumerSessions } from './consumers/sessions.ts';
import { serverFacts } from './facts.ts';
import type { Admission } from './http/admission.ts';
import { QueueHandler, VERSION_INFO } from './http/handler.ts';
import type { NodeView } from './http/node-routes.ts';
import { Metrics } from './metrics/metrics.ts';
import type { NodeMetricsOptions } from './metrics/node.ts';
import type { ServerSettings } from './settings.ts';

/** How long the journal and retention may take when it ends. */
const STOP_GRACE_MS = 600;
/** How long answers that are on their way may take before the lease is given away, after which there are none. */
const ANSWERS_GRACE_MS = 100;
/** How long the start waits for the size of the store, which is only for metrics. */
const STORE_LOOK_MS = 500;
/** How long consumers may take to answer the close frame. */
const CLOSE_GRACE_MS = 250;

const SQLITE = 'sqlite:';

export interface QueueOfficeOptions {
  readonly settings: ServerSettings;
  readonly http: HttpServer;
  readonly store: Store;
  readonly tenure: Tenure;
  readonly admission: Admission;
  /** Names of the queues that may be used, '' for the unnamed one; null: any. */
  readonly queues: ReadonlySet<string> | null;
  readonly node: NodeView & NodeMetricsOptions;
}

export interface OfficeOutcome {
  /** Whether everything is that was done. */
  readonly isOnDisk: boolean;
  readonly consumers: number;
  /** What consumers held is handed out again by the next one who takes up office. */
  readonly chunksGivenBack: number;
  readonly submissionsOpen: number;
}

/** A queue that is open on this node's sockets, from taking up office to the end of it. */
export class QueueOffice implements Office {
  readonly #o: QueueOfficeOptions;
  readonly #queue: Queue;
  readonly #sessions: ConsumerSessions;
  readonly #loopDelay: LoopDelay;
  readonly #views: Views;
  #cutTimer: Timer | null = null;
  #outcome: OfficeOutcome | null = null;

  /** Rejects if the store cannot be used. */
  static async open(options: QueueOfficeOptions): Promise<QueueOffice> {
    const { settings, store, tenure } = options;
    const queue = await Queue.open({ ...settings, store, tenure });
    const metrics = new Metrics({ queue, store, clock: settings.clock, node: options.node });
    await endsWithin(settings.clock, STORE_LOOK_MS, metrics.lookAtStore());
    return new QueueOffice(options, queue, metrics);
  }

  private constructor(options: QueueOfficeOptions, queue: Queue, metrics: Metrics) {
    const { settings, http, store, tenure, admission, node } = options;
    const { clock, logger, bodyBytesMax: bytesMax, bodiesBytesMax } = settings;
    this.#o = options;
    this.#queue = queue;
    // Of this process, whatever clock the queue was given.
    this.#loopDelay = new LoopDelay(systemClock, (seconds) => queue.stats.loopDelayed(seconds));
    this.#loopDelay.start();
    const turn = new EndOfTurn(promptly(clock));
    this.#sessions = new ConsumerSessions({ queue, settings, turn, versionInfo: VERSION_INFO });
    this.#warnOfForbidden();
    this.#views = new Views({
      queue,
      clock,
      facts: serverFacts(settings, () => http.connectionsRejected),
      databaseFolder: folderOf(settings),
      sizeBytes: () => store.sizeBytes(),
    });
    this.#views.start();
    http.handOver(
      new QueueHandler({
        queue,
        views: this.#views,
        metrics,
        node,
        logger,
        clock,
        admission,
        mayAnswer: () => tenure.isOn(),
        bodies: { bytesMax, room: new Semaphore(Math.max(bytesMax, bodiesBytesMax)) },
        holdStatusPollsMs: settings.holdStatusPollsMs,
        retryDefault: retryDefault(settings.retryDelayMs),
        webSockets: new WebSocketServer({
          turn,
          frameBytesMax: settings.frameBytesMax,
          clock,
          mayWrite: () => tenure.isOn(),
          date: () => http.date(),
        }),
        openSession: (request, connection, name) => this.#sessions.open(request, connection, name),
      }),
    );
  }

  get lost(): AbortSignal {
    return this.#queue.lost;
  }

  /** How it ended; null before that. */
  get outcome(): OfficeOutcome | null {
    return this.#outcome;
  }

  /**
   * Sends close frames to consumers, answers what is held and writes down what was done. Consumers that do not close are
   * cut a little later, or by `cut`.
   */
  async stop(): Promise<void> {
    const { settings, http } = this.#o;
    const isOrderly = !this.lost.aborted;
    const { consumers, chunksReserved, submissionsOpen } = this.#queue.counts;
    this.#loopDelay.stop();
    this.#views.stop();
    // From here on the queue is not ready: requests that were held are answered, connections that end free nothing.
    const drained = this.#queue.stop(STOP_GRACE_MS);
    this.#sessions.stop();
    this.#cutTimer = settings.clock.after(CLOSE_GRACE_MS, () => this.#sessions.cut());
    const [isOnDisk] = await Promise.all([drained, isOrderly ? http.idle(ANSWERS_GRACE_MS) : null]);
    this.#outcome = { isOnDisk, consumers, chunksGivenBack: chunksReserved, submissionsOpen };
  }

  /** Ends the connections that are left, at once. */
  cut(): void {
    this.#cutTimer?.cancel();
    this.#sessions.cut();
  }

  /** What is open in a queue that nobody can reach any more stays there. */
  #warnOfForbidden(): void {
    const { queues, settings } = this.#o;
    for (const { name, submissionsOpen } of this.#queue.inUse) {
      if (queues === null || queues.has(name) || submissionsOpen === 0) continue;
      settings.logger.warn(
        { queue: name, submissionsOpen },
        'submissions are open in a queue that --queues does not allow: nobody can reach them',
      );
    }
  }
}

/** Of the database file; null where there is none. */
function folderOf({ store, databaseFilename }: ServerSettings): string | null {
  const given = store ?? `${SQLITE}${databaseFilename}`;
  if (typeof given !== 'string' || !given.startsWith(SQLITE)) return null;
  const location = parseDatabaseFilename(given.slice(SQLITE.length));
  return location.kind === 'file' ? dirname(location.path) : null;
}

/** What `--retry-delay` means. */
function retryDefault(delayMs: number): RetryPolicy | null {
  if (delayMs === 0) return null;
  return { ...RETRY_DEFAULT, delayMs, delayMsMax: Math.max(delayMs, RETRY_DEFAULT.delayMsMax) };
}
