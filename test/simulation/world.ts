import { ChunkSet } from '../../src/model/chunk-set.ts';
import type { SubmissionId } from '../../src/model/ids.ts';
import { Turn } from '../../src/net/turn.ts';
import { parseConsumerFeatures } from '../../src/server/consumer-features.ts';
import { ConsumerSession } from '../../src/server/consumer-session.ts';
import { Queue } from '../../src/server/queue.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { silentLogger } from '../../src/system/logger.ts';
import { type Random, randomInt, seededRandom } from '../../src/system/random.ts';
import { SimConsumer } from './actors.ts';
import { Oracle, Violation } from './oracle.ts';
import { SimClock, settle } from './sim-clock.ts';
import { SimLink } from './sim-network.ts';
import { SimStore } from './sim-store.ts';

const HEARTBEAT_MS = 1_000;
const MISSABLE = 2;
/** Simulated time after the faults within which everything must have ended. */
const HEALED_MS_MAX = 600_000;

export interface SimulationResult {
  readonly seed: number;
  readonly steps: number;
  readonly simulatedMs: number;
  readonly submissions: number;
  readonly handOuts: number;
  readonly crashes: number;
}

interface Process {
  readonly queue: Queue;
  readonly store: SimStore;
  readonly sessions: Map<number, { session: ConsumerSession; link: SimLink }>;
  readonly turn: Turn;
  readonly clock: ReturnType<SimClock['world']>;
  isReady: boolean;
}

/** Producers, consumers, a network, a disk and a queue that is killed now and then; all of it follows from the seed. */
export class World {
  readonly clock = new SimClock();
  readonly #random: Random;
  readonly #database = new MemoryDatabase();
  readonly #oracle = new Oracle(this.#database);
  readonly #consumers: SimConsumer[] = [];
  readonly #seed: number;
  readonly #faultRate: number;
  #process: Process | null = null;
  #connections = 0;
  #crashes = 0;
  #prefixes = 0;
  #isHealed = false;
  #failure: unknown = null;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = seededRandom(seed);
    this.#faultRate = this.#random.next() < 0.3 ? 0 : this.#random.next() * 0.4;
  }

  get trace(): readonly string[] {
    return this.#oracle.trace;
  }

  /** Runs `steps` events with faults, then lets everything heal and waits for every submission to end. */
  async run(steps: number): Promise<SimulationResult> {
    this.#startProcess();
    for (let i = 2 + this.#int(5); i > 0; i--) {
      const modern = this.#chance(0.5);
      const random = seededRandom(this.#int(2 ** 31));
      const dial = (consumer: SimConsumer) => this.#dial(consumer);
      this.#consumers.push(new SimConsumer({ clock: this.clock, random, modern, dial }));
    }
    for (let i = 1 + this.#int(3); i > 0; i--) this.#later(() => this.#produce(), 200);
    this.#later(() => this.#trouble(), 1_000);
    let step = 0;
    for (; step < steps; step++) await this.#step(step);
    this.#heal();
    const until = this.clock.elapsedMs + HEALED_MS_MAX;
    while (!this.#allEnded()) {
      if (this.clock.elapsedMs > until)
        throw new Violation(`never ends: ${this.#openSubmissions().join(', ')}`);
      await this.#step(step++);
    }
    this.#oracle.checkDisk();
    this.#process?.clock.kill();
    return {
      seed: this.#seed,
      steps: step,
      simulatedMs: this.clock.elapsedMs,
      submissions: this.#oracle.acknowledgedInserts.size,
      handOuts: this.#oracle.handOuts,
      crashes: this.#crashes,
    };
  }

  async #step(step: number): Promise<void> {
    if (!this.clock.step()) throw new Violation('nothing will ever happen again');
    await settle();
    if (this.#failure !== null) throw this.#failure;
    if (this.#process?.isReady === true && step % 32 === 0) this.#process.queue.checkInvariants();
    if (step % 64 === 0) this.#oracle.checkDisk();
  }

  // ---- the queue's process

  #startProcess(): void {
    const random = seededRandom(this.#int(2 ** 31));
    const clock = this.clock.world(this.#chance(0.3) ? -this.#int(20_000) : 0);
    const inner = new MemoryStore({ database: this.#database });
    const store = new SimStore(inner, this.clock, seededRandom(this.#int(2 ** 31)), {
      delayMsMax: this.#chance(0.3) ? 300 : 5,
      faultRate: this.#faultRate,
    });
    store.healed = this.#isHealed;
    const queue = new Queue({
      store,
      clock: clock.clock,
      random,
      logger: silentLogger,
      reservationExpirationMs: 4_000,
      chunkRetriesMax: 8,
      chunkDisconnectsMax: this.#chance(0.5) ? 6 : 0,
    });
    const turn = new Turn(clock.clock);
    const process: Process = { queue, store, sessions: new Map(), turn, clock, isReady: false };
    this.#process = process;
    this.#oracle.restarted();
    queue.lost.addEventListener('abort', () => {
      if (this.#process === process) this.#failure = queue.lost.reason;
    });
    queue.start().then(
      () => {
        process.isReady = true;
      },
      (error: unknown) => {
        if (this.#process === process) this.#failure = error;
      },
    );
  }

  #crash(): void {
    const process = this.#process;
    if (process === null) return;
    this.#crashes++;
    this.#oracle.note('the queue is killed');
    this.#process = null;
    process.clock.kill();
    process.store.kill();
    for (const [connection, { link }] of process.sessions) {
      this.#oracle.ended(connection);
      link.cut();
    }
    this.#later(() => this.#startProcess(), 2_000);
  }

  #dial(consumer: SimConsumer): SimLink | null {
    const process = this.#process;
    if (process === null || !process.isReady) return null;
    const link = new SimLink(this.clock, seededRandom(this.#int(2 ** 31)), {
      delayMsMax: this.#chance(0.2) ? 400 : 5,
    });
    const connection = this.#connections++;
    const guard = <T>(run: () => T): T | undefined => {
      try {
        return run();
      } catch (error) {
        this.#failure ??= error;
        return undefined;
      }
    };
    const session = new ConsumerSession({
      queue: process.queue,
      connection: {
        send: (bytes) =>
          guard(() => this.#oracle.sent(connection, bytes, consumer.modern)) ?? link.server.send(bytes),
        ping: (payload) => link.server.ping(payload),
        pong: (payload) => link.server.pong(payload),
        close: (code, reason) => {
          this.#oracle.ended(connection);
          link.server.close(code, reason);
        },
        terminate: () => {
          this.#oracle.ended(connection);
          link.server.terminate();
        },
        bufferedBytes: 0,
      },
      features: consumer.modern
        ? parseConsumerFeatures('release,cancel_reserve,dropped,bytes,refusal,silent_expiry', '2')
        : parseConsumerFeatures(undefined, undefined),
      clock: process.clock.clock,
      logger: silentLogger,
      turn: process.turn,
      connId: '01a20a1e-9ddd-7b63-9442-4b97c6cbce27',
      versionInfo: 'v0.0.0',
      heartbeatIntervalMs: HEARTBEAT_MS,
      missableHeartbeatsMax: MISSABLE,
      ended: () => process.sessions.delete(connection),
    });
    process.sessions.set(connection, { session, link });
    link.server.listen({
      alive: () => process === this.#process && session.alive(),
      message: (bytes) => {
        if (process !== this.#process) return;
        guard(() => this.#oracle.arrives(connection, bytes));
        session.message(bytes);
      },
      closed: (orderly) => {
        if (process !== this.#process) return;
        this.#oracle.ended(connection);
        session.closed(orderly);
      },
    });
    session.open();
    return link;
  }

  // ---- producers

  #produce(): void {
    if (this.#isHealed) return;
    this.#later(() => this.#produce(), 800);
    const luck = this.#random.next();
    if (luck < 0.55) this.#insert();
    else if (luck < 0.65) this.#cancel();
    else if (luck < 0.85) this.#ask();
    else this.#askProgress();
  }

  #insert(): void {
    const prefix = `p-${this.#prefixes++}`;
    const chunks = this.#chance(0.05) ? 0 : this.#chance(0.1) ? 5_000 : 1 + this.#int(12);
    // A large one is there to reach a second page; it is cancelled, nobody has the time to do it all.
    const attempt = (tries: number): void => {
      const process = this.#process;
      const again = () => tries < 20 && this.#later(() => attempt(tries + 1), 500);
      if (process === null || !process.isReady) {
        again();
        return;
      }
      process.queue.inserts
        .insert({
          prefix,
          chunksTotal: chunks,
          chunkSizeOps: 1,
          metadata: null,
          strategicMetadata: new Map([
            ['customer', BigInt(prefix.length + (this.#prefixes % 3))],
            ['shop', BigInt(chunks % 2)],
          ]),
          otelTraceCarrier: '{}',
          retryDelayMs: this.#chance(0.2) ? 300 : 0,
        })
        .then(
          (id) => this.#heard(process, () => this.#oracle.insertAcknowledged(id, prefix, chunks), again),
          (error: { code?: string }) => {
            if (error.code === 'SUBMISSION_CONFLICT') return;
            again();
          },
        );
    };
    attempt(0);
    if (chunks > 100) this.#later(() => this.#cancelAll((total) => total > 100), 3_000);
  }

  #cancel(): void {
    const ids = [...this.#oracle.acknowledgedInserts.keys()];
    if (ids.length > 0) this.#cancelOne(ids[this.#int(ids.length)]!);
  }

  #cancelAll(which: (chunks: number) => boolean): void {
    for (const [id, { chunks }] of this.#oracle.acknowledgedInserts) if (which(chunks)) this.#cancelOne(id);
  }

  #cancelOne(id: SubmissionId): void {
    const process = this.#process;
    if (process === null || !process.isReady) return;
    process.queue.endings.cancel(id).then(
      (result) =>
        this.#heard(process, () => {
          if (result.kind === 'cancelled') this.#oracle.cancelAcknowledged(id);
          else if (result.kind === 'ended') this.#oracle.statusSeen(id, result.status.state);
          else throw new Violation(`the acknowledged submission ${id} is unknown`);
        }),
      () => {},
    );
  }

  #ask(): void {
    const process = this.#process;
    const ids = [...this.#oracle.acknowledgedInserts.keys()];
    if (process === null || !process.isReady || ids.length === 0) return;
    const id = ids[this.#int(ids.length)]!;
    process.queue.reads.status(id).then(
      (status) =>
        this.#heard(process, () => {
          if (status === null) throw new Violation(`the acknowledged submission ${id} is unknown`);
          this.#oracle.statusSeen(id, status.state);
        }),
      () => {},
    );
  }

  #askProgress(): void {
    const process = this.#process;
    const ids = [...this.#oracle.acknowledgedInserts.keys()];
    if (process === null || !process.isReady || ids.length === 0) return;
    const id = ids[this.#int(ids.length)]!;
    process.queue.reads.chunksDone(id, 0).then(
      (told) =>
        this.#heard(process, () => {
          if (told === null) throw new Violation(`the acknowledged submission ${id} is unknown`);
          const done = new ChunkSet(told.chunksTotal);
          for (const { page, content } of told.pages) done.setPage(page, content);
          this.#oracle.progressSeen(id, done);
        }),
      () => {},
    );
  }

  /** An answer leaves the process at once and is judged then; or it is lost, and the producer asks again. */
  #heard(process: Process, judge: () => void, lost: () => void = () => {}): void {
    if (process !== this.#process) {
      lost();
      return;
    }
    try {
      judge();
    } catch (error) {
      this.#failure ??= error;
    }
    if (this.#chance(0.1)) lost();
  }

  // ---- faults

  #trouble(): void {
    if (this.#isHealed) return;
    this.#later(() => this.#trouble(), 1_000);
    const luck = this.#random.next();
    const links = this.#consumers.flatMap(({ link }) => (link === null ? [] : [link]));
    const link = links[this.#int(Math.max(1, links.length))];
    if (luck < 0.2) this.#crash();
    else if (luck < 0.5) link?.cut();
    else if (luck < 0.65 && link !== undefined) this.#swallow(link);
  }

  /** A cut cable: the server must notice within all missable heartbeats. */
  #swallow(link: SimLink): void {
    const process = this.#process;
    link.blackHole = true;
    this.clock.at(this.clock.elapsedMs + HEARTBEAT_MS * (MISSABLE + 1) + 500, () => {
      if (process === null || process !== this.#process || link.isCut) return;
      for (const session of process.sessions.values()) {
        if (session.link === link) this.#failure ??= new Violation('a dead consumer is not noticed in time');
      }
    });
  }

  #heal(): void {
    this.#isHealed = true;
    if (this.#process !== null) this.#process.store.healed = true;
    for (const consumer of this.#consumers) consumer.diligent = true;
    this.#cancelAll((chunks) => chunks > 100);
    this.#later(() => this.#healMore(), 5_000);
  }

  #healMore(): void {
    this.#cancelAll((chunks) => chunks > 100);
    this.#later(() => this.#healMore(), 5_000);
  }

  #openSubmissions(): string[] {
    return [...this.#database.rows.values()].flatMap(({ record, end }) =>
      end === null ? [String(record.id)] : [],
    );
  }

  #allEnded(): boolean {
    for (const row of this.#database.rows.values()) {
      // A row with more than a hundred chunks whose producer never heard of its id: nobody cancels it.
      if (
        row.end === null &&
        (row.record.chunksTotal <= 100 || this.#oracle.acknowledgedInserts.has(row.record.id))
      ) {
        return false;
      }
    }
    return this.#process?.isReady === true;
  }

  #later(run: () => void, delayMsMax: number): void {
    this.clock.at(this.clock.elapsedMs + 1 + this.#int(delayMsMax), run);
  }

  #int(below: number): number {
    return randomInt(this.#random, below);
  }

  #chance(share: number): boolean {
    return this.#random.next() < share;
  }
}

/** A run that failed: the same seed and steps fail in the same way. */
export class SimulationFailure extends Error {
  override name = 'SimulationFailure';
  readonly seed: number;
  readonly steps: number;
  /** What happened last. */
  readonly trace: readonly string[];

  constructor(seed: number, steps: number, trace: readonly string[], cause: unknown) {
    super(`seed ${seed}, ${steps} steps: ${cause instanceof Error ? cause.message : cause}`, { cause });
    this.seed = seed;
    this.steps = steps;
    this.trace = trace;
  }
}

/** One run; rejects with a {@link SimulationFailure}. */
export async function simulate(seed: number, steps: number): Promise<SimulationResult> {
  const world = new World(seed);
  try {
    return await world.run(steps);
  } catch (error) {
    throw new SimulationFailure(seed, steps, world.trace, error);
  }
}
