import type { ShardId } from '../../src/model/ids.ts';
import { QueueNode } from '../../src/node/queue-node.ts';
import type { QueueOptions } from '../../src/queue/assemble.ts';
import { Queue } from '../../src/queue/queue.ts';
import type { Tenure } from '../../src/store/lease.ts';
import { type MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { silentLogger } from '../../src/system/log/logger.ts';
import { type Random, randomInt, seededRandom } from '../../src/system/random.ts';
import type { Clock } from '../../src/system/time/clock.ts';
import { type Caprices, capriciousClock } from './capricious.ts';
import type { Life } from './oracle/life.ts';
import type { Oracle } from './oracle/oracle.ts';
import type { Limits } from './oracle/tries.ts';
import { ruleRareMethods } from './rare-methods.ts';
import type { SimClock } from './sim-clock.ts';
import { type OpenedQueue, SimOffice } from './sim-office.ts';
import { SimStore } from './sim-store.ts';
import { type SimTimes, SimWorld } from './sim-world.ts';

/** Several nodes on one store. */
export interface SharedOptions {
  readonly leaseMs: number;
  /** For what a single node does not have. */
  readonly random: Random;
  /** The time of the store. */
  readonly storeClock: Clock;
  /** Those that are dealt out. */
  readonly shards: readonly ShardId[];
  shardOf(queue: string): ShardId;
}

export interface SimNodeOptions {
  /** By which others know it; never used again. */
  readonly id: string;
  readonly database: MemoryDatabase;
  readonly clock: SimClock;
  readonly random: Random;
  readonly caprices: Caprices;
  readonly oracle: Oracle;
  /** Share of calls of the store that go wrong, 0 to 1. */
  readonly faultRate: number;
  /** Ended submissions are remembered for so long. */
  readonly submissionAgeMsMax: number;
  /** null: it is the only one. */
  readonly shared: SharedOptions | null;
  /** The number of a connection, different for each one of the whole run. */
  nextConnection(): number;
  /** Something happened that must not. */
  failed(error: unknown): void;
  /** The store could not be loaded: the process ends. */
  startFailed(): void;
}

/** One process: the real node, and the queue while it is the active one. */
export class SimNode {
  readonly store: SimStore;
  readonly world: SimWorld;
  readonly #o: SimNodeOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #chunksHeldMax: number;
  /** How often it falls asleep after a call of the store, 0 to 1. */
  readonly #dozes: number;
  readonly #queueOptions: QueueOptions;
  /** Of each time it has taken over a shard. */
  readonly #lives = new Map<string, Life>();
  readonly #offices = new Map<ShardId, SimOffice>();
  /** Since when what other nodes have is prepared. */
  readonly #preparedMs = new Map<ShardId, number>();
  #node: QueueNode | null = null;
  /** Of all shards, if it shares its store. */
  #queue: Queue | null = null;

  constructor(options: SimNodeOptions) {
    const { random, clock, database, oracle, shared, caprices } = options;
    this.#o = options;
    this.#random = seededRandom(randomInt(random, 2 ** 31));
    const wallOffsetMs = random.next() < 0.3 ? -randomInt(random, 20_000) : 0;
    const times = ofItsOwn(shared);
    this.world = new SimWorld(clock, { wallOffsetMs, ...times });
    this.#clock = capriciousClock(this.world.clock, caprices, times.isSuspended === true);
    this.#dozes = shared !== null && shared.random.next() < 0.5 ? shared.random.next() * 0.05 : 0;
    ruleRareMethods({ caprices, time: clock });
    this.#chunksHeldMax = random.next() < 0.3 ? 3 : 10_000;
    const limits: Limits = {
      chunkRetriesMax: random.next() < 0.4 ? 2 : 8,
      chunkDisconnectsMax: random.next() < 0.3 ? 0 : random.next() < 0.7 ? 2 : 6,
      disconnectFadesAfterMs: 300 + randomInt(random, 1_700),
      reservationExpirationMs: caprices.rarely('options: reservations are short')
        ? 500 + caprices.int(1_500)
        : 4_000,
    };
    const storeClock = shared === null ? {} : { clock: shared.storeClock };
    this.store = new SimStore(
      new MemoryStore({ database, ...storeClock }),
      clock,
      seededRandom(randomInt(random, 2 ** 31)),
      {
        world: this.world,
        delayMsMax: random.next() < 0.3 ? 300 : 5,
        answerDelayMsMax: shared === null ? 0 : answerDelayMsMax(shared.random),
        faultRate: options.faultRate,
        caprices,
        called: () => this.#perhapsDozes(),
        // A commit that was under way when the last process died may still have come before.
        acquired: ({ shard, epoch }) =>
          this.#judged(() => {
            const node = shared === null ? null : options.id;
            const life = oracle.takenOver({ shard, epoch, limits, clock: this.world.clock, node });
            this.#lives.set(`${shard} ${epoch}`, life);
          }),
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

  get id(): string {
    return this.#o.id;
  }

  /** It runs, and takes connections. */
  get isUp(): boolean {
    return this.world.isAlive && !this.world.isStopped;
  }

  /** Those of its shards that are open. */
  get offices(): SimOffice[] {
    return this.world.isAlive ? [...this.#offices.values()] : [];
  }

  /** That of a queue; null: it is not open here. */
  officeOf(queue: string): SimOffice | null {
    return (this.world.isAlive ? this.#offices.get(this.#shardOf(queue)) : null) ?? null;
  }

  /** Who has that queue, as far as it knows. */
  holderOf(queue: string): string | null {
    return this.#node?.state.shards.get(this.#shardOf(queue))?.holder?.holder ?? null;
  }

  start(): void {
    const { id, shared } = this.#o;
    this.#node = new QueueNode({
      store: this.store,
      shards: shared?.shards ?? [0],
      id,
      address: id,
      leaseMs: shared?.leaseMs ?? 0,
      clock: this.#clock,
      random: this.#random,
      logger: silentLogger,
      open: (tenure) => this.#open(tenure),
      prepare: (shard, dropped) => this.#prepare(shard, dropped),
    });
    this.#node.ended.catch((error: unknown) => {
      if (!this.world.isAlive) return;
      // One of several tries again.
      if (shared === null && this.store.hasFailedToLoad) this.#o.startFailed();
      else this.#o.failed(error);
    });
  }

  /** In good order. */
  async stop(): Promise<void> {
    await this.#node?.announceStop();
    await this.#node?.stop();
  }

  /** SIGSTOP, and SIGCONT; or a virtual machine that is moved. */
  sleep(forMs: number, random: Random): void {
    const { clock, oracle, id } = this.#o;
    if (!this.isUp) return;
    oracle.note(`${id} sleeps`);
    this.world.stop();
    clock.at(clock.elapsedMs + 1 + forMs, () => {
      oracle.note(`${id} wakes`);
      this.world.wake(random.next() < 0.3);
    });
  }

  /** SIGKILL. */
  kill(): void {
    this.world.kill();
    for (const office of this.#offices.values()) office.killed();
  }

  /** What it has asked the store is answered while it sleeps. */
  #perhapsDozes(): void {
    const { shared, clock } = this.#o;
    if (shared === null || this.store.healed || shared.random.next() >= this.#dozes) return;
    clock.at(clock.elapsedMs, () => this.sleep(randomInt(shared.random, 2 * shared.leaseMs), shared.random));
  }

  #shardOf(queue: string): ShardId {
    return this.#o.shared?.shardOf(queue) ?? 0;
  }

  async #open(tenure: Tenure): Promise<SimOffice> {
    const { shared } = this.#o;
    const { shard, epoch } = tenure.grant;
    const life = this.#lives.get(`${shard} ${epoch}`)!;
    const fromMs = this.#preparedMs.get(shard) ?? this.world.clock.monotonicMs();
    const opened = shared === null ? await this.#openAll(tenure) : await this.#openShard(tenure, shared);
    life.loaded(fromMs);
    const office: SimOffice = new SimOffice({
      time: this.#o.clock,
      world: this.world,
      clock: this.#clock,
      random: this.#o.random,
      caprices: this.#o.caprices,
      life,
      ...opened,
      tenure,
      chunksHeldMax: this.#chunksHeldMax,
      nextConnection: () => this.#o.nextConnection(),
      failed: (error) => this.#o.failed(error),
      stopped: () => {
        if (this.#offices.get(shard) === office) this.#offices.delete(shard);
      },
    });
    this.#offices.set(shard, office);
    return office;
  }

  async #openAll(tenure: Tenure): Promise<OpenedQueue> {
    const queue = await Queue.open({ ...this.#queueOptions, tenure });
    return { queue, lost: queue.lost, drain: (graceMs) => queue.stop(graceMs) };
  }

  async #openShard(tenure: Tenure, { shardOf }: SharedOptions): Promise<OpenedQueue> {
    const queue = this.#queueFor(shardOf);
    const shard = await queue.openShard(tenure);
    return { queue, lost: shard.lost, drain: (graceMs) => shard.stop(graceMs) };
  }

  async #prepare(shard: ShardId, dropped: AbortSignal): Promise<void> {
    const { shared } = this.#o;
    if (shared === null) return;
    this.#preparedMs.set(shard, this.world.clock.monotonicMs());
    const forget = () => this.#preparedMs.delete(shard);
    dropped.addEventListener('abort', forget, { once: true });
    await this.#queueFor(shared.shardOf)
      .prepareShard(shard, dropped)
      .catch((error: unknown) => {
        forget();
        throw error;
      });
  }

  #queueFor(shardOf: SharedOptions['shardOf']): Queue {
    this.#queue ??= new Queue({ ...this.#queueOptions, shardOf });
    return this.#queue;
  }

  #judged(judge: () => void): void {
    try {
      judge();
    } catch (error) {
      this.#o.failed(error);
    }
  }
}

/** A few databases take longer to answer than a lease has margin. */
function answerDelayMsMax(random: Random): number {
  const luck = random.next();
  return luck < 0.6 ? 0 : luck < 0.85 ? 800 : 3_000;
}

/** Monotonic clocks of two machines have nothing to do with each other, and run at a little different rates. */
function ofItsOwn(shared: SharedOptions | null): Partial<SimTimes> {
  if (shared === null) return {};
  const { random } = shared;
  const monotonicFromMs = randomInt(random, 1_000_000);
  return { monotonicFromMs, rate: 0.97 + random.next() * 0.06, isSuspended: monotonicFromMs % 3 === 0 };
}
