import { MemoryDatabase } from '../../src/store/memory/memory-store.ts';
import { type Random, randomInt, seededRandom } from '../../src/system/random.ts';
import { LICENCES_MAX, SimConsumer } from './actors.ts';
import { Caprices } from './capricious.ts';
import { Oracle } from './oracle/oracle.ts';
import { Violation } from './oracle/violation.ts';
import { LARGE_CHUNKS, SimProducers } from './producers.ts';
import { SimClock, settle } from './sim-clock.ts';
import type { SimLink } from './sim-network.ts';
import { HEARTBEAT_MS, MISSABLE_HEARTBEATS, SimProcess } from './sim-process.ts';

/** Names of queues, for those runs that have several. */
const QUEUES = ['', 'images', 'bills'];

/** Seeds, modulo 7, with verbs. */
const CONTROLLED = new Set([3, 4, 6]);
/** Simulated time after the faults within which everything must have ended. */
const HEALED_MS_MAX = 600_000;

export interface SimulationResult {
  readonly seed: number;
  readonly steps: number;
  readonly simulatedMs: number;
  readonly submissions: number;
  readonly handOuts: number;
  readonly crashes: number;
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
  #process: SimProcess | null = null;
  #connections = 0;
  #crashes = 0;
  #isHealed = false;
  #failure: unknown = null;

  constructor(seed: number, queues: number) {
    this.#seed = seed;
    this.#queues = QUEUES.slice(0, queues);
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
      controls: CONTROLLED.has(seed % 7) ? seededRandom(seed) : null,
      queues: this.#queues,
      process: () => (this.#process?.isReady === true ? this.#process : null),
      failed: (error) => this.#failed(error),
    });
  }

  get trace(): readonly string[] {
    return this.#oracle.trace;
  }

  /** Runs `steps` events with faults, then lets everything heal and waits for every submission to end. */
  async run(steps: number): Promise<SimulationResult> {
    this.#startProcess();
    const licensed = this.#chance(0.3);
    if (licensed) this.#oracle.licencesMax = LICENCES_MAX;
    const queues = this.#queues;
    for (let i = 2 + this.#int(5); i > 0 || this.#consumers.length < queues.length; i--) {
      const modern = this.#chance(0.5);
      const random = seededRandom(this.#int(2 ** 31));
      const home = queues[this.#consumers.length % queues.length]!;
      const dial = (consumer: SimConsumer) => this.#process?.dial(consumer) ?? null;
      this.#consumers.push(
        new SimConsumer({ clock: this.clock, random, modern, licensed, queues, home, dial }),
      );
    }
    if (this.#chance(0.4)) this.#consumers[0]!.broken = true;
    for (let i = 1 + this.#int(3); i > 0; i--) this.#producers.start();
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
    this.#process?.kill();
    return {
      seed: this.#seed,
      steps: step,
      simulatedMs: this.clock.elapsedMs,
      submissions: this.#oracle.insertsTotal,
      handOuts: this.#oracle.handOuts,
      crashes: this.#crashes,
      forgotten: this.#oracle.forgotten.size,
    };
  }

  async #step(step: number): Promise<void> {
    if (!this.clock.step()) throw new Violation('nothing will ever happen again');
    await settle();
    if (this.#failure !== null) throw this.#failure;
    if (this.#process?.isReady === true && step % 32 === 0) this.#process.queue.checkInvariants();
    if (step % 64 === 0) this.#oracle.checkDisk();
  }

  #startProcess(): void {
    const process = new SimProcess({
      database: this.#database,
      clock: this.clock,
      random: this.#random,
      caprices: this.#caprices,
      oracle: this.#oracle,
      faultRate: this.#faultRate,
      submissionAgeMsMax: this.#submissionAgeMsMax,
      nextConnection: () => this.#connections++,
      failed: (error) => this.#failed(error),
      startFailed: () => this.#crash('cannot load its store and ends'),
    });
    process.store.healed = this.#isHealed;
    this.#process = process;
    process.start();
  }

  #crash(how: string): void {
    if (this.#process === null) return;
    this.#crashes++;
    this.#oracle.note(`the queue ${how}`);
    this.#process.kill();
    this.#process = null;
    this.#later(() => this.#startProcess(), 2_000);
  }

  // ---- faults

  #trouble(): void {
    if (this.#isHealed) return;
    this.#later(() => this.#trouble(), 1_000);
    const luck = this.#random.next();
    const links = this.#links();
    const link = links[this.#int(Math.max(1, links.length))];
    if (luck < 0.2) this.#crash('is killed');
    else if (luck < 0.45) link?.cut();
    else if (luck < 0.6 && link !== undefined) this.#swallow(link);
    else if (luck < 0.65) this.#silence(links);
  }

  /** A cut cable: the server must notice within all missable heartbeats, as long as it reads at all. */
  #swallow(link: SimLink): void {
    const process = this.#process;
    const noticedWithinMs = HEARTBEAT_MS * (MISSABLE_HEARTBEATS + 1) + 500;
    link.blackHole = true;
    const check = () => {
      if (process === null || !process.isAlive || link.isCut) return;
      for (const session of process.sessions.values()) {
        if (session.link !== link) continue;
        if (this.clock.elapsedMs - link.serverReadsSinceMs >= noticedWithinMs) {
          this.#failed(new Violation('a dead consumer is not noticed in time'));
        } else this.clock.at(this.clock.elapsedMs + noticedWithinMs, check);
      }
    };
    this.clock.at(this.clock.elapsedMs + noticedWithinMs, check);
  }

  /** A switch goes: one link after the other falls silent, and they come back in another order. */
  #silence(links: readonly SimLink[]): void {
    for (const link of this.#shuffled(links)) {
      this.#later(() => {
        link.pause();
        this.#later(() => link.resume(), 5_000);
      }, 2_000);
    }
  }

  #heal(): void {
    this.#isHealed = true;
    this.#producers.isOver = true;
    this.#caprices.isOver = true;
    if (this.#process !== null) this.#process.store.healed = true;
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
    if (CONTROLLED.has(this.#seed % 7)) this.#producers.resumeAll();
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
    return this.#process?.isReady === true;
  }

  #failed(error: unknown): void {
    this.#failure ??= error;
  }

  #links(): SimLink[] {
    return this.#consumers.flatMap(({ link }) => (link === null ? [] : [link]));
  }

  #shuffled<T>(list: readonly T[]): T[] {
    const rest = [...list];
    return list.map(() => rest.splice(this.#int(rest.length), 1)[0]!);
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

/** Every other run has but the unnamed queue. */
function queuesOf(seed: number): number {
  return seed % 2 === 0 ? 1 : QUEUES.length;
}

/** One run; rejects with a {@link SimulationFailure}. */
export async function simulate(
  seed: number,
  steps: number,
  queues = queuesOf(seed),
): Promise<SimulationResult> {
  const world = new World(seed, queues);
  try {
    return await world.run(steps);
  } catch (error) {
    throw new SimulationFailure(seed, steps, world.trace, error);
  }
}
