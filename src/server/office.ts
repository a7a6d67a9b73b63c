import { dirname } from 'node:path';
import { NO_SCOPE_CONTROL, type ScopeControl } from '../model/control.ts';
import type { ShardId } from '../model/ids.ts';
import { RETRY_DEFAULT, type RetryPolicy } from '../model/retry.ts';
import { AnsweringRight } from '../net/http/answering.ts';
import type { HttpServer } from '../net/http/server.ts';
import { WebSocketServer } from '../net/websocket/server.ts';
import type { Office } from '../node/queue-node.ts';
import { Queue } from '../queue/queue.ts';
import type { Shard } from '../queue/shard/shard.ts';
import type { Tenure } from '../store/lease.ts';
import { parseDatabaseFilename } from '../store/sqlite/file/location.ts';
import type { Store } from '../store/store.ts';
import { Semaphore } from '../system/async/semaphore.ts';
import { EndOfTurn, promptly } from '../system/event-loop/end-of-turn.ts';
import { LoopDelay } from '../system/event-loop/loop-delay.ts';
import { type Clock, endsWithin, systemClock } from '../system/time/clock.ts';
import { Views } from '../views/views.ts';
import { Across } from './across/across.ts';
import { ConsumerSessions } from './consumers/sessions.ts';
import { serverFacts } from './facts.ts';
import type { Admission } from './http/admission.ts';
import { QueueHandler, VERSION_INFO } from './http/handler.ts';
import type { NodeView } from './http/node-routes.ts';
import { Metrics } from './metrics/metrics.ts';
import type { NodeMetricsOptions } from './metrics/node.ts';
import type { Passing } from './passing.ts';
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
  readonly admission: Admission;
  /** Names of the queues that may be used, '' for the unnamed one; null: any. */
  readonly queues: ReadonlySet<string> | null;
  /** Which shard a queue belongs to. */
  readonly shardOf: (queue: string) => ShardId;
  readonly node: NodeView & NodeMetricsOptions;
  /** The name of this node. */
  readonly nodeId: string;
  /** What leads to other nodes. Default: there are none, everything stays here. */
  readonly passing?: Passing | undefined;
}

export interface OfficeOutcome {
  /** Whether everything is that was done. */
  readonly isOnDisk: boolean;
  readonly consumers: number;
  /** What consumers held is handed out again by the next one who takes up office. */
  readonly chunksGivenBack: number;
  readonly submissionsOpen: number;
}

/**
 * The queue on this node's sockets: what is the process's, whichever shards it has, from the first one on. Each of them
 * is open from taking up its office to the end of that.
 */
export class QueueOffice {
  readonly handler: QueueHandler;
  readonly #o: QueueOfficeOptions;
  readonly #queue: Queue;
  readonly #metrics: Metrics;
  readonly #sessions: ConsumerSessions;
  readonly #loopDelay: LoopDelay;
  readonly #views: Views;
  readonly #across: Across | null;
  /** Those whose requests are taken. */
  readonly #open = new Map<ShardId, ShardOffice>();
  /** Of those that have ended since the last look. */
  #outcomes: OfficeOutcome[] = [];
  /** Resolves when the size of the store is known, or takes too long. */
  #looked: Promise<void> | null = null;

  constructor(options: QueueOfficeOptions) {
    const { settings, http, store, admission, node, shardOf } = options;
    const { clock, logger, bodyBytesMax: bytesMax, bodiesBytesMax } = settings;
    const queue = new Queue({ ...settings, store, shardOf });
    this.#o = options;
    this.#queue = queue;
    this.#metrics = new Metrics({ queue, store, clock, node });
    // Of this process, whatever clock the queue was given.
    this.#loopDelay = new LoopDelay(systemClock, (seconds) => queue.stats.loopDelayed(seconds));
    this.#loopDelay.start();
    const turn = new EndOfTurn(promptly(clock));
    this.#sessions = new ConsumerSessions({ queue, settings, turn, versionInfo: VERSION_INFO });
    const folder = folderOf(settings);
    this.#views = new Views({
      queue,
      clock,
      facts: serverFacts(settings, {
        connectionsRejected: () => http.connectionsRejected,
        address: () => node.infoFor('').address,
      }),
      cpuMs: settings.cpuMs,
      diskSpace: folder === null ? null : () => settings.diskSpace(folder),
      sizeBytes: () => store.sizeBytes(),
      shardsMissing: () => options.passing?.shardsMissing ?? 0,
    });
    this.#across = options.passing === undefined ? null : this.#makeAcross(options.passing);
    this.handler = new QueueHandler({
      queue,
      views: this.#views,
      metrics: this.#metrics,
      node,
      logger,
      clock,
      admission,
      name: settings.name,
      rightFor: (name) => this.#open.get(shardOf(name))?.right ?? null,
      rightOfAny: new AnsweringRight(() => this.#mayAnswer()),
      across: this.#across,
      passing: options.passing,
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
    });
  }

  /** Rejects if the store cannot be used. */
  async open(tenure: Tenure): Promise<ShardOffice> {
    const { settings, shardOf } = this.#o;
    const shard = await this.#queue.openShard(tenure);
    this.#looked ??= endsWithin(settings.clock, STORE_LOOK_MS, this.#metrics.lookAtStore()).then(() => {});
    await this.#looked;
    const office = new ShardOffice({
      shard,
      queue: this.#queue,
      sessions: this.#sessions,
      clock: settings.clock,
      closes: () => this.#closes(office),
      closed: (outcome) => {
        this.#outcomes.push(outcome);
        this.#views.leave((queue) => shardOf(queue) === shard.id);
      },
    });
    this.#open.set(shard.id, office);
    this.#views.start();
    this.#warnOfForbidden(shard);
    return office;
  }

  /** Reads what `open` will have to know of the shard, which another node has. */
  prepare(shard: ShardId, dropped: AbortSignal): Promise<void> {
    return this.#queue.prepareShard(shard, dropped);
  }

  /** What verbs have changed of the whole server, by the last look at the store; null: nothing. */
  looked(server: ScopeControl | null): void {
    this.#queue.serverControl(server ?? NO_SCOPE_CONTROL);
  }

  /** Of those that have ended since this was asked last; null: none has. */
  takeOutcome(): OfficeOutcome | null {
    const outcomes = this.#outcomes;
    this.#outcomes = [];
    return outcomes.length === 0 ? null : outcomes.reduce(sumOf);
  }

  /** Ends the connections of consumers that are left, at once. */
  cut(): void {
    this.#sessions.cut(null);
  }

  /** All its shards have ended, or are ending. */
  async stop(): Promise<void> {
    this.#loopDelay.stop();
    this.#views.stop();
    this.#across?.close();
    await this.#queue.stop(STOP_GRACE_MS);
  }

  #makeAcross(passing: Passing): Across {
    const { settings, node, nodeId, shardOf } = this.#o;
    return new Across({
      node: nodeId,
      clock: settings.clock,
      logger: settings.logger,
      queue: this.#queue,
      isHere: (name) => this.#open.has(shardOf(name)),
      address: () => node.infoFor('').address,
      places: () => passing.places,
      shardsMissing: () => passing.shardsMissing,
      others: () => passing.others,
      ownerOf: (name) => passing.ownerOf(shardOf(name)),
      placeOf: (name, target) => passing.placeOf(shardOf(name), target),
      whyNobody: (name) => node.whyNobody(name),
      pass: (socket, head, name) => passing.pass(socket, head, shardOf(name)),
    });
  }

  #closes(office: ShardOffice): void {
    const { id } = office.shard;
    if (this.#open.get(id) === office) this.#open.delete(id);
    // Who waits for news waits elsewhere from now on.
    if (this.#open.size === 0) this.#views.stop();
  }

  #mayAnswer(): boolean {
    for (const { right } of this.#open.values()) if (right.isOn()) return true;
    return false;
  }

  /** What is open in a queue that nobody can reach any more stays there. */
  #warnOfForbidden(shard: Shard): void {
    const { queues, settings } = this.#o;
    if (queues === null) return;
    for (const { name, submissionsOpen } of this.#queue.inUse) {
      if (queues.has(name) || submissionsOpen === 0 || this.#queue.shardFor(name) !== shard) continue;
      settings.logger.warn(
        { queue: name, submissionsOpen },
        'submissions are open in a queue that --queues does not allow: nobody can reach them',
      );
    }
  }
}

interface ShardOfficeOptions {
  readonly shard: Shard;
  readonly queue: Queue;
  readonly sessions: ConsumerSessions;
  readonly clock: Clock;
  /** No more requests are taken. */
  closes(): void;
  closed(outcome: OfficeOutcome): void;
}

/** A shard that is open on this node's sockets. */
export class ShardOffice implements Office {
  readonly shard: Shard;
  /** To answer what is asked of its queues. */
  readonly right: AnsweringRight;
  readonly #o: ShardOfficeOptions;

  constructor(options: ShardOfficeOptions) {
    this.#o = options;
    this.shard = options.shard;
    this.right = new AnsweringRight(options.shard.mayAnswer);
  }

  get lost(): AbortSignal {
    return this.shard.lost;
  }

  /**
   * Sends close frames to consumers, answers what is held and writes down what was done. Consumers that do not close are
   * cut a little later.
   */
  async stop(): Promise<void> {
    const { shard, queue, sessions, clock, closes, closed } = this.#o;
    const isOrderly = !this.lost.aborted;
    const { consumers, chunksReserved, submissionsOpen } = queue.countsOf(shard);
    closes();
    // From here on the shard is not ready: requests that were held are answered, connections that end free nothing.
    const drained = shard.stop(STOP_GRACE_MS);
    sessions.stop(shard);
    clock.after(CLOSE_GRACE_MS, () => sessions.cut(shard), { unref: true });
    const answered = isOrderly ? this.right.idle(clock, ANSWERS_GRACE_MS) : null;
    const [isOnDisk] = await Promise.all([drained, answered]);
    closed({ isOnDisk, consumers, chunksGivenBack: chunksReserved, submissionsOpen });
  }
}

function sumOf(a: OfficeOutcome, b: OfficeOutcome): OfficeOutcome {
  return {
    isOnDisk: a.isOnDisk && b.isOnDisk,
    consumers: a.consumers + b.consumers,
    chunksGivenBack: a.chunksGivenBack + b.chunksGivenBack,
    submissionsOpen: a.submissionsOpen + b.submissionsOpen,
  };
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
