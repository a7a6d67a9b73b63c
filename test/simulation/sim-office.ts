import type { ChunkId } from '../../src/model/ids.ts';
import type { Office } from '../../src/node/queue-node.ts';
import { QueueUnavailableError } from '../../src/queue/errors.ts';
import type { Queue } from '../../src/queue/queue.ts';
import type { HandedOutChunk, OpenSubmission, ReservationRequest } from '../../src/scheduler/types.ts';
import { parseConsumerFeatures } from '../../src/server/consumers/features.ts';
import { ConsumerSession, type ConsumerSessionOptions } from '../../src/server/consumers/session.ts';
import { SharedBySessions } from '../../src/server/consumers/shared.ts';
import type { Tenure } from '../../src/store/lease.ts';
import { EndOfTurn } from '../../src/system/event-loop/end-of-turn.ts';
import { silentLogger } from '../../src/system/log/logger.ts';
import { type Random, randomInt, seededRandom } from '../../src/system/random.ts';
import type { Clock } from '../../src/system/time/clock.ts';
import type { SimConsumer } from './actors.ts';
import type { Caprices } from './capricious.ts';
import type { Life } from './oracle/life.ts';
import type { SimClock } from './sim-clock.ts';
import { SimLink } from './sim-network.ts';
import type { SimWorld } from './sim-world.ts';

export const HEARTBEAT_MS = 1_000;
export const MISSABLE_HEARTBEATS = 2;
/** As the real one has them. */
const STOP_GRACE_MS = 600;
const CLOSE_GRACE_MS = 250;

export interface OpenedQueue {
  readonly queue: Queue;
  /** Its shard's. */
  readonly lost: AbortSignal;
  drain(graceMs: number): Promise<unknown>;
}

export interface SimOfficeOptions extends OpenedQueue {
  readonly time: SimClock;
  readonly world: SimWorld;
  /** Of the process, with its caprices. */
  readonly clock: Clock;
  readonly random: Random;
  readonly caprices: Caprices;
  readonly life: Life;
  readonly tenure: Tenure;
  readonly chunksHeldMax: number;
  /** The number of a connection, different for each one of the whole run. */
  nextConnection(): number;
  /** Something happened that must not. */
  failed(error: unknown): void;
  stopped(): void;
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

/** A shard of a queue that is open, and whoever talks to it: the real queue and sessions on a simulated clock, disk and network. */
export class SimOffice implements Office {
  readonly life: Life;
  readonly sessions = new Map<number, { readonly session: ConsumerSession; readonly link: SimLink }>();
  readonly #o: SimOfficeOptions;
  readonly #shared: SharedBySessions;
  readonly #turn: EndOfTurn;

  constructor(options: SimOfficeOptions) {
    this.#o = options;
    this.life = options.life;
    this.#shared = new SharedBySessions(options.clock);
    this.#turn = new EndOfTurn(options.world.clock);
  }

  get queue(): Queue {
    return this.#o.queue;
  }

  get lost(): AbortSignal {
    return this.#o.lost;
  }

  get isAlive(): boolean {
    return this.#o.world.isAlive;
  }

  /** What its wall clock shows, when it does not leap. */
  get wallMs(): number {
    return this.#o.world.clock.nowMs();
  }

  /** Whether what a producer asked may be answered now: in place of the HTTP server, which asks the same. */
  mayAnswer(): boolean {
    return this.#o.tenure.isOn();
  }

  async stop(): Promise<void> {
    const drained = this.#o.drain(STOP_GRACE_MS);
    const all = [...this.sessions.values()];
    for (const { session } of all) session.stop();
    this.#o.clock.after(CLOSE_GRACE_MS, () => {
      for (const { session } of all) session.cut();
    });
    this.#o.stopped();
    await drained;
  }

  /** With its process, as by SIGKILL. */
  killed(): void {
    for (const [connection, { link }] of this.sessions) {
      this.life.ended(connection);
      link.cut();
    }
  }

  /** A consumer connects; null: it is turned away. */
  dial(consumer: SimConsumer): SimLink | null {
    const { random, caprices, world, life } = this.#o;
    const connection = this.#o.nextConnection();
    life.connects(connection, consumer.queue);
    const link = new SimLink(this.#o.time, seededRandom(randomInt(random, 2 ** 31)), {
      delayMsMax: random.next() < 0.2 ? 400 : 5,
    });
    let session: ConsumerSession;
    try {
      session = this.#session(consumer, connection, link);
    } catch (error) {
      if (error instanceof QueueUnavailableError) return null;
      throw error;
    }
    this.sessions.set(connection, { session, link });
    link.server.listen({
      alive: () =>
        world.arrives(() => {
          session.alive();
          if (caprices.rarely('connection: a ping for nothing')) session.ping();
        }),
      message: (bytes) =>
        world.arrives(() => {
          this.#judged(() => life.arrives(connection, bytes));
          session.message(bytes);
        }),
      closed: (orderly) =>
        world.arrives(() => {
          life.ended(connection);
          session.closed(orderly);
        }),
    });
    session.open();
    return link;
  }

  #session(consumer: SimConsumer, connection: number, link: SimLink): ConsumerSession {
    const { life, caprices, world } = this.#o;
    const drainedSoon = () => world.clock.soon(() => this.sessions.get(connection)?.session.drained());
    const decisions: Decisions = {
      expired: (chunk) => this.#judged(() => life.expires(connection, chunk)),
      reserved: (chunk) => this.#judged(() => life.decided(connection, chunk)),
    };
    return new WatchedSession(decisions, {
      queue: this.queue,
      shared: this.#shared,
      queueName: consumer.queue,
      connection: {
        send: (bytes) => {
          this.#judged(() => life.sent(connection, bytes, consumer.modern));
          link.server.send(bytes);
        },
        ping: (payload) => {
          link.server.ping(payload);
          if (!caprices.rarely('connection: a peer is given up early')) return;
          world.clock.soon(() => this.sessions.get(connection)?.session.dead());
        },
        pong: (payload) => link.server.pong(payload),
        close: (code, reason) => {
          life.ended(connection);
          link.server.close(code, reason);
        },
        terminate: () => {
          life.ended(connection);
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
      clock: this.#o.clock,
      logger: silentLogger,
      turn: this.#turn,
      connId: '01a20a1e-9ddd-7b63-9442-4b97c6cbce27',
      versionInfo: 'v0.0.0',
      heartbeatIntervalMs: HEARTBEAT_MS,
      missableHeartbeatsMax: MISSABLE_HEARTBEATS,
      chunksHeldMax: this.#o.chunksHeldMax,
      answerBytesMax: caprices.rarely('options: answers are small') ? 1 + caprices.int(1_000) : undefined,
      ended: () => this.sessions.delete(connection),
    });
  }

  #judged(judge: () => void): void {
    try {
      judge();
    } catch (error) {
      this.#o.failed(error);
    }
  }
}
