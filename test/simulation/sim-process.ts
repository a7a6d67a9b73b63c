import type { ChunkId } from '../../src/model/ids.ts';
import type { QueueOptions } from '../../src/queue/assemble.ts';
import { Queue } from '../../src/queue/queue.ts';
import type { HandedOutChunk, OpenSubmission, ReservationRequest } from '../../src/scheduler/types.ts';
import { parseConsumerFeatures } from '../../src/server/consumers/features.ts';
import { ConsumerSession, type ConsumerSessionOptions } from '../../src/server/consumers/session.ts';
import { SharedBySessions } from '../../src/server/consumers/shared.ts';
import { type MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { EndOfTurn } from '../../src/system/event-loop/end-of-turn.ts';
import { silentLogger } from '../../src/system/log/logger.ts';
import { type Random, randomInt, seededRandom } from '../../src/system/random.ts';
import type { Clock } from '../../src/system/time/clock.ts';
import type { SimConsumer } from './actors.ts';
import { type Caprices, capriciousClock } from './capricious.ts';
import type { Oracle } from './oracle/oracle.ts';
import type { Limits } from './oracle/tries.ts';
import { ruleRareMethods } from './rare-methods.ts';
import type { SimClock } from './sim-clock.ts';
import { SimLink } from './sim-network.ts';
import { SimStore } from './sim-store.ts';

export const HEARTBEAT_MS = 1_000;
export const MISSABLE_HEARTBEATS = 2;

export interface SimProcessOptions {
  readonly database: MemoryDatabase;
  readonly clock: SimClock;
  readonly random: Random;
  readonly caprices: Caprices;
  readonly oracle: Oracle;
  /** Share of calls of the store that go wrong, 0 to 1. */
  readonly faultRate: number;
  /** Ended submissions are remembered for so long. */
  readonly submissionAgeMsMax: number;
  /** The number of a connection, different for each one of the whole run. */
  nextConnection(): number;
  /** Something happened that must not. */
  failed(error: unknown): void;
  /** The store could not be loaded: the process ends. */
  startFailed(): void;
}

/** What the server decides of chunks. */
interface Decisions {
  /** The peer hears of it later, or not at all if it never heard of the chunk. */
  expired(chunk: ChunkId): void;
  /** To be handed out; the message may leave later. */
  reserved(chunk: ChunkId): void;
}

/** Says what the server decides, when it does. */
class WatchedSession extends ConsumerSession {
  readonly #decisions: Decisions;

  constructor(decisions: Decisions, options: ConsumerSessionOptions) {
    super(options);
    this.#decisions = decisions;
  }

  override reserved(request: ReservationRequest, chunks: readonly HandedOutChunk[]): void {
    for (const { submission, chunkIndex } of chunks) {
      this.#decisions.reserved({ submissionId: submission.record.id, chunkIndex });
    }
    super.reserved(request, chunks);
  }

  override expired(submission: OpenSubmission, chunkIndex: number): void {
    this.#decisions.expired({ submissionId: submission.record.id, chunkIndex });
    super.expired(submission, chunkIndex);
  }
}

/** One life of the queue: the real queue and sessions on a simulated clock, disk and network. */
export class SimProcess {
  readonly store: SimStore;
  readonly sessions = new Map<number, { readonly session: ConsumerSession; readonly link: SimLink }>();
  readonly #o: SimProcessOptions;
  readonly #world: ReturnType<SimClock['world']>;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #turn: EndOfTurn;
  readonly #chunksHeldMax: number;
  readonly #queueOptions: QueueOptions;
  #open: { readonly queue: Queue; readonly shared: SharedBySessions } | null = null;
  #isAlive = true;

  constructor(options: SimProcessOptions) {
    const { random, clock, database, oracle } = options;
    this.#o = options;
    const { caprices } = options;
    this.#random = seededRandom(randomInt(random, 2 ** 31));
    this.#world = clock.world(random.next() < 0.3 ? -randomInt(random, 20_000) : 0);
    this.#clock = capriciousClock(this.#world.clock, caprices);
    this.#turn = new EndOfTurn(this.#world.clock);
    ruleRareMethods({ caprices, clock: this.#world.clock });
    this.#chunksHeldMax = random.next() < 0.3 ? 3 : 10_000;
    const limits: Limits = {
      chunkRetriesMax: random.next() < 0.4 ? 2 : 8,
      chunkDisconnectsMax: random.next() < 0.3 ? 0 : random.next() < 0.7 ? 2 : 6,
      disconnectFadesAfterMs: 300 + randomInt(random, 1_700),
      reservationExpirationMs: caprices.rarely('options: reservations are short')
        ? 500 + caprices.int(1_500)
        : 4_000,
    };
    this.store = new SimStore(
      new MemoryStore({ database }),
      clock,
      seededRandom(randomInt(random, 2 ** 31)),
      {
        delayMsMax: random.next() < 0.3 ? 300 : 5,
        faultRate: options.faultRate,
        caprices,
        // A commit that was under way when the last process died may still have come before.
        acquired: () => this.#judged(() => oracle.restarted(limits, () => this.wallMs)),
        committed: (batch) => this.#judged(() => oracle.committed(batch)),
        cleaningUp: (run) =>
          oracle.cleaningUp(run).catch((error: unknown) => {
            options.failed(error);
            throw error;
          }),
      },
    );
    this.#queueOptions = {
      store: this.store,
      clock: this.#clock,
      random: this.#random,
      logger: silentLogger,
      pendingBytesMax: caprices.rarely('options: little may wait for its commit')
        ? caprices.int(500)
        : random.next() < 0.3
          ? 2_000
          : undefined,
      inputCacheBytesMax: caprices.rarely('options: few inputs are kept') ? caprices.int(2_000) : undefined,
      holdHandOutAfterMs: caprices.rarely('options: handing out is held at once') ? 0 : undefined,
      ...limits,
      submissionsReturnedMax: 100_000,
      retentionStepMax: caprices.rarely('options: what is old is forgotten one by one') ? 1 : undefined,
      submissionAgeMsMax: options.submissionAgeMsMax,
      readPostponementMsMax: options.submissionAgeMsMax,
    };
  }

  /** What its wall clock shows, when it does not leap. */
  get wallMs(): number {
    return this.#world.clock.nowMs();
  }

  get queue(): Queue {
    return this.#opened.queue;
  }

  get #opened() {
    if (this.#open === null) throw new Error('the queue is not open yet');
    return this.#open;
  }

  /** It takes what producers and consumers ask. */
  get isReady(): boolean {
    return this.#open !== null && this.#isAlive;
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  start(): void {
    Queue.open(this.#queueOptions).then(
      (queue) => this.#started(queue),
      (error: unknown) => {
        if (!this.#isAlive) return;
        if (this.store.hasFailedToLoad) this.#o.startFailed();
        else this.#o.failed(error);
      },
    );
  }

  /** SIGKILL. */
  kill(): void {
    this.#isAlive = false;
    this.#world.kill();
    this.store.kill();
    for (const [connection, { link }] of this.sessions) {
      this.#o.oracle.ended(connection);
      link.cut();
    }
  }

  /** A consumer connects; null as long as nobody listens. */
  dial(consumer: SimConsumer): SimLink | null {
    if (!this.isReady) return null;
    const { oracle, random, caprices } = this.#o;
    const connection = this.#o.nextConnection();
    oracle.connects(connection, consumer.queue);
    const link = new SimLink(this.#o.clock, seededRandom(randomInt(random, 2 ** 31)), {
      delayMsMax: random.next() < 0.2 ? 400 : 5,
    });
    const session = this.#session(consumer, connection, link);
    this.sessions.set(connection, { session, link });
    link.server.listen({
      alive: () => {
        if (!this.#isAlive) return;
        session.alive();
        if (caprices.rarely('connection: a ping for nothing')) session.ping();
      },
      message: (bytes) => {
        if (!this.#isAlive) return;
        this.#judged(() => oracle.arrives(connection, bytes));
        session.message(bytes);
      },
      closed: (orderly) => {
        if (!this.#isAlive) return;
        oracle.ended(connection);
        session.closed(orderly);
      },
    });
    session.open();
    return link;
  }

  #session(consumer: SimConsumer, connection: number, link: SimLink): ConsumerSession {
    const { oracle, caprices } = this.#o;
    const drainedSoon = () => this.#world.clock.soon(() => this.sessions.get(connection)?.session.drained());
    const decisions: Decisions = {
      expired: (chunk) => this.#judged(() => oracle.expires(connection, chunk)),
      reserved: (chunk) => this.#judged(() => oracle.decided(connection, chunk)),
    };
    return new WatchedSession(decisions, {
      ...this.#opened,
      queueName: consumer.queue,
      connection: {
        send: (bytes) => {
          this.#judged(() => oracle.sent(connection, bytes, consumer.modern));
          link.server.send(bytes);
        },
        ping: (payload) => {
          link.server.ping(payload);
          if (!caprices.rarely('connection: a peer is given up early')) return;
          this.#world.clock.soon(() => this.sessions.get(connection)?.session.dead());
        },
        pong: (payload) => link.server.pong(payload),
        close: (code, reason) => {
          oracle.ended(connection);
          link.server.close(code, reason);
        },
        terminate: () => {
          oracle.ended(connection);
          link.server.terminate();
        },
        pause: () => link.server.pause(),
        resume: () => link.server.resume(),
        get bufferedBytes() {
          if (!caprices.rarely('connection: a peer is taken for one that does not read')) return 0;
          drainedSoon();
          return Number.POSITIVE_INFINITY;
        },
      },
      features: consumer.modern
        ? parseConsumerFeatures('release,cancel_reserve,dropped,bytes,refusal,silent_expiry', '2')
        : parseConsumerFeatures(undefined, undefined),
      clock: this.#clock,
      logger: silentLogger,
      turn: this.#turn,
      connId: '01a20a1e-9ddd-7b63-9442-4b97c6cbce27',
      versionInfo: 'v0.0.0',
      heartbeatIntervalMs: HEARTBEAT_MS,
      missableHeartbeatsMax: MISSABLE_HEARTBEATS,
      chunksHeldMax: this.#chunksHeldMax,
      answerBytesMax: caprices.rarely('options: answers are small') ? 1 + caprices.int(1_000) : undefined,
      ended: () => this.sessions.delete(connection),
    });
  }

  #started(queue: Queue): void {
    if (!this.#isAlive) return;
    queue.lost.addEventListener('abort', () => {
      if (this.#isAlive) this.#o.failed(queue.lost.reason);
    });
    this.#o.oracle.loaded();
    this.#open = { queue, shared: new SharedBySessions(queue, this.#clock) };
  }

  #judged(judge: () => void): void {
    try {
      judge();
    } catch (error) {
      this.#o.failed(error);
    }
  }
}
