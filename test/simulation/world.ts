import { shardOfQueue } from '../../src/model/shard.ts';
import { MemoryDatabase } from '../../src/store/memory/memory-store.ts';
import { type Random, randomInt, seededRandom } from '../../src/system/random.ts';
import { LICENCES_MAX, SimConsumer } from './actors.ts';
import { Caprices } from './capricious.ts';
import { Faults } from './faults.ts';
import { Oracle } from './oracle/oracle.ts';
import { Violation } from './oracle/violation.ts';
import { LARGE_CHUNKS, SimProducers } from './producers.ts';
import { SimClock, settle } from './sim-clock.ts';
import type { SimLink } from './sim-network.ts';
import { type SharedOptions, SimNode } from './sim-node.ts';
import type { SimOffice } from './sim-office.ts';
import { SimWorld } from './sim-world.ts';

/** Names of queues, for those runs that have several. */
const QUEUES = ['', 'images', 'bills'];

/** Simulated time after the faults within which everything must have ended. */
const HEALED_MS_MAX = 600_000;

export interface WorldOptions {
  /** How many named queues there are. Default: it follows from the seed. */
  readonly queues?: number;
  /** How many nodes share the store. Default 1, which has it for itself. */
  readonly nodes?: number;
}

export interface SimulationResult {
  readonly seed: number;
  readonly steps: number;
  readonly simulatedMs: number;
  readonly submissions: number;
  readonly handOuts: number;
  readonly crashes: number;
  readonly takeovers: number;
  readonly forgotten: number;
}

/** Producers, consumers, a network, a disk and a queue that is killed now and then; all of it follows from the seed. */
export class World {
  readonly clock = new SimClock();
  readonly #random: Random;
  readonly #database = new MemoryDatabase();
  readonly #oracle = new Oracle(this.#database, () => this.clock.elapsedMs);
  readonly #caprices: Caprices;
  readonly #producers: SimProducers;
  readonly #consumers: SimConsumer[] = [];
  readonly #seed: number;
  readonly #queues: readonly string[];
  readonly #faultRate: number;
  readonly #submissionAgeMsMax: number;
  /** Those that run; null: one that is to start soon. */
  readonly #nodes: (SimNode | null)[];
  /** null: a single node, for itself. */
  readonly #shared: SharedOptions | null;
  readonly #faults: Faults;
  #nodesStarted = 0;
  #connections = 0;
  #crashes = 0;
  #isHealed = false;
  #failure: unknown = null;

  constructor(seed: number, { queues = queuesOf(seed), nodes = 1 }: WorldOptions) {
    this.#seed = seed;
    this.#queues = QUEUES.slice(0, queues);
    this.#nodes = Array<null>(nodes).fill(null);
    const nodesRandom = seededRandom(seed + nodes);
    this.#shared =
      nodes === 1
        ? null
        : {
            leaseMs: 1_000 + randomInt(nodesRandom, 2_000),
            random: nodesRandom,
            shards: [...new Set(this.#queues.map(shardOfQueue))],
            shardOf: shardOfQueue,
            storeClock: new SimWorld(this.clock, { wallOffsetMs: 0 }).clock,
          };
    this.#random = seededRandom(seed);
    this.#faultRate = this.#chance(0.3) ? 0 : this.#random.next() * 0.4;
    this.#submissionAgeMsMax = this.#chance(0.5) ? 3_600_000 : 1_000 + this.#int(20_000);
    this.#caprices = new Caprices(this.#int(2 ** 31));
    this.#producers = new SimProducers({
      clock: this.clock,
      random: seededRandom(this.#int(2 ** 31)),
      retryRandom: seededRandom(seed),
      oracle: this.#oracle,
      // From a source of its own: the other runs are what they were.
      controls: isControlled(seed) ? seededRandom(seed) : null,
      queues: this.#queues,
      isSteady: nodes === 1,
      process: (queue) => this.#entrance(queue),
      isDealt: (this.#shared?.shards.length ?? 1) > 1,
      failed: (error) => this.#failed(error),
    });
    this.#faults = new Faults({
      clock: this.clock,
      random: this.#random,
      oracle: this.#oracle,
      nodesRandom: this.#shared?.random ?? null,
      nodes: () => this.#running,
      links: () => this.#links(),
      kill: (node, how) => this.#crash(node, how),
      stopped: (node) => {
        node.kill();
        this.#startsAgain(node);
      },
      failed: (error) => this.#failed(error),
    });
  }

  get trace(): readonly string[] {
    return this.#oracle.trace;
  }

  /** Runs `steps` events with faults, then lets everything heal and waits for every submission to end. */
  async run(steps: number): Promise<SimulationResult> {
    for (const place of this.#nodes.keys()) this.#startNode(place);
    const licensed = this.#chance(0.3);
    if (licensed) this.#oracle.licencesMax = LICENCES_MAX;
    const queues = this.#queues;
    for (let i = 2 + this.#int(5); i > 0 || this.#consumers.length < queues.length; i--) {
      const modern = this.#chance(0.5);
      const random = seededRandom(this.#int(2 ** 31));
      const home = queues[this.#consumers.length % queues.length]!;
      const dial = (consumer: SimConsumer) => this.#entrance(consumer.queue)?.dial(consumer) ?? null;
      this.#consumers.push(
        new SimConsumer({
          name: `${this.#consumers.length}`,
          clock: this.clock,
          random,
          modern,
          licensed,
          queues,
          home,
          dial,
        }),
      );
    }
    if (this.#chance(0.4)) this.#consumers[0]!.broken = true;
    for (let i = 1 + this.#int(3); i > 0; i--) this.#producers.start();
    this.#faults.start();
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
    for (const node of this.#running) node.kill();
    return {
      seed: this.#seed,
      steps: step,
      simulatedMs: this.clock.elapsedMs,
      submissions: this.#oracle.insertsTotal,
      handOuts: this.#oracle.handOuts,
      crashes: this.#crashes,
      takeovers: this.#oracle.takeovers,
      forgotten: this.#oracle.forgotten.size,
    };
  }

  async #step(step: number): Promise<void> {
    if (!this.clock.step()) throw new Violation('nothing will ever happen again');
    await settle();
    if (this.#failure !== null) throw this.#failure;
    if (step % 32 === 0) {
      const queues = new Set(this.#running.flatMap(({ offices }) => offices.map(({ queue }) => queue)));
      for (const queue of queues) queue.checkInvariants();
    }
    if (step % 64 === 0) this.#oracle.checkDisk();
  }

  get #running(): SimNode[] {
    return this.#nodes.filter((node) => node !== null);
  }

  #startNode(place: number): void {
    const node: SimNode = new SimNode({
      id: `node ${place}.${this.#nodesStarted++}`,
      database: this.#database,
      clock: this.clock,
      random: this.#random,
      caprices: this.#caprices,
      oracle: this.#oracle,
      faultRate: this.#faultRate,
      submissionAgeMsMax: this.#submissionAgeMsMax,
      shared: this.#shared,
      nextConnection: () => this.#connections++,
      failed: (error) => this.#failed(error),
      startFailed: () => this.#crash(node, 'cannot load its store and ends'),
    });
    node.store.healed = this.#isHealed;
    this.#nodes[place] = node;
    node.start();
  }

  #crash(node: SimNode, how: string): void {
    this.#crashes++;
    this.#oracle.note(`${this.#shared === null ? 'the queue' : node.id} ${how}`);
    node.kill();
    this.#startsAgain(node);
  }

  #startsAgain(node: SimNode): void {
    const place = this.#nodes.indexOf(node);
    if (place === -1) return;
    this.#nodes[place] = null;
    this.#later(() => this.#startNode(place), 2_000);
  }

  /** Where a request or a connection ends up; null: nobody takes it. A standby passes it on to whom it holds for active. */
  #entrance(queue: string): SimOffice | null {
    const running = this.#running;
    const random = this.#shared?.random;
    const first = running[random === undefined ? 0 : randomInt(random, Math.max(1, running.length))];
    if (first === undefined || !first.isUp) return null;
    const isHere = first.officeOf(queue) !== null;
    const next = isHere ? first : running.find(({ id }) => id === first.holderOf(queue));
    const office = next?.isUp === true ? next.officeOf(queue) : null;
    if (office !== null) next?.world.runs();
    return office;
  }

  #heal(): void {
    this.#isHealed = true;
    this.#producers.isOver = true;
    this.#caprices.isOver = true;
    this.#faults.end();
    for (const { store } of this.#running) store.healed = true;
    const [first, ...others] = this.#consumers;
    for (const consumer of this.#consumers) {
      consumer.diligent = true;
      consumer.isHome = true;
      if (consumer.queue !== consumer.home) consumer.link?.cut();
    }
    // One that was broken has to do all the rest: it must get its chunks however sick it was.
    if (first?.broken === true) for (const other of others) other.idle = other.home === first.home;
    if (first !== undefined) first.broken = false;
    this.#cancelLarge();
  }

  /** Nobody has the time to do them all. */
  #cancelLarge(): void {
    const open = [...this.#database.rows.values()].filter(({ end }) => end === null);
    const large = open.filter(({ record }) => record.chunksTotal > LARGE_CHUNKS);
    this.#producers.cancel(large.map(({ record }) => record));
    if (isControlled(this.#seed)) this.#producers.resumeAll();
    this.#later(() => this.#cancelLarge(), 5_000);
  }

  #openSubmissions(): string[] {
    return [...this.#database.rows.values()].flatMap(({ record, end }) =>
      end === null ? [String(record.id)] : [],
    );
  }

  #allEnded(): boolean {
    for (const { end } of this.#database.rows.values()) {
      if (end === null) return false;
    }
    return this.#running.some(({ offices }) => offices.length > 0);
  }

  #failed(error: unknown): void {
    this.#failure ??= error;
  }

  #links(): SimLink[] {
    return this.#consumers.flatMap(({ link }) => (link === null ? [] : [link]));
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
  readonly nodes: number;
  /** What happened last. */
  readonly trace: readonly string[];

  constructor(seed: number, steps: number, nodes: number, trace: readonly string[], cause: unknown) {
    super(`seed ${seed}, ${steps} steps: ${cause instanceof Error ? cause.message : cause}`, { cause });
    this.seed = seed;
    this.steps = steps;
    this.nodes = nodes;
    this.trace = trace;
  }
}

/** Every other run has but the unnamed queue. */
export function queuesOf(seed: number): number {
  return seed % 2 === 0 ? 1 : QUEUES.length;
}

/** Whether producers pause, resume and change work in the middle of it. */
export function isControlled(seed: number): boolean {
  return [3, 4, 6].includes(seed % 7);
}

/** One run; rejects with a {@link SimulationFailure}. */
export async function simulate(
  seed: number,
  steps: number,
  options: WorldOptions = {},
): Promise<SimulationResult> {
  const world = new World(seed, options);
  try {
    return await world.run(steps);
  } catch (error) {
    throw new SimulationFailure(seed, steps, options.nodes ?? 1, world.trace, error);
  }
}
