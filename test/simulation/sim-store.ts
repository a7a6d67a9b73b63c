import type { ShardId } from '../../src/model/ids.ts';
import { StoreError } from '../../src/store/errors.ts';
import type { LeaseName, StoreLeases } from '../../src/store/lease.ts';
import type {
  CommitBatch,
  CommitResult,
  LoadedBlock,
  LoadedSubmission,
  Preparation,
  Store,
} from '../../src/store/store.ts';
import { type Random, randomInt } from '../../src/system/random.ts';
import type { Caprices } from './capricious.ts';
import type { RarePlace } from './rare-places.ts';
import type { SimClock } from './sim-clock.ts';
import { SimCut } from './sim-cut.ts';
import { SimLeases } from './sim-leases.ts';
import type { SimWorld } from './sim-world.ts';

const FAULTS = ['refused', 'full', 'unknown_before', 'refused_after', 'unknown_after'] as const;

/** How bad the disk is. */
export interface SimStoreOptions {
  /** The process that it is of: answers reach it when it runs. */
  readonly world: SimWorld;
  /** Simulated milliseconds that a call takes at most. */
  readonly delayMsMax: number;
  /** What its answer takes beside that, at most. */
  readonly answerDelayMsMax: number;
  /** Share of commits that go wrong, 0 to 1; of look-ups and loads a quarter as many do. */
  readonly faultRate: number;
  readonly caprices: Caprices;
  /** Told of each call. */
  called(): void;
  /** This process owns the shard from now on: nothing of the one before takes place any more. */
  acquired(grant: LeaseName): void;
  /** Told of each batch that took place, whatever is told of it; once more when it is sent once more. */
  committed(batch: CommitBatch): void;
  /** Wraps each clean-up that takes place. */
  cleaningUp(run: () => Promise<number>): Promise<number>;
}

/**
 * One process's view of a store that outlives it: calls take simulated time and go wrong. When the process is
 * killed, a commit that was under way took place or did not, and nobody hears of it.
 */
export class SimStore implements Store {
  readonly lost: AbortSignal;
  readonly leases?: StoreLeases;
  readonly #inner: Store;
  readonly #clock: SimClock;
  readonly #random: Random;
  readonly #options: SimStoreOptions;
  readonly cut: SimCut;
  /** Set while the faults are over: then everything succeeds. */
  healed = false;
  /** It was not to be loaded: the process cannot start. */
  hasFailedToLoad = false;

  constructor(inner: Store, clock: SimClock, random: Random, options: SimStoreOptions) {
    this.#inner = inner;
    this.#clock = clock;
    this.#random = random;
    this.#options = options;
    this.cut = new SimCut(clock, random);
    this.lost = new AbortController().signal;
    if (inner.leases === undefined) return;
    const { world, acquired } = options;
    this.leases = new SimLeases(inner.leases, {
      clock,
      random,
      world,
      call: (run) => this.#perhaps(run),
      taken: acquired,
    });
  }

  acquire(...args: Parameters<Store['acquire']>): ReturnType<Store['acquire']> {
    return this.#later(async () => {
      const grants = await this.#inner.acquire(...args);
      for (const grant of grants) this.#options.acquired(grant);
      return grants;
    });
  }

  async *load(...args: Parameters<Store['load']>): AsyncGenerator<readonly LoadedSubmission[]> {
    for await (const piece of this.#inner.load(...args)) {
      // In smaller pieces than it would come in, and not all at once.
      for (const submission of piece) {
        if (this.#isUnlucky()) {
          this.hasFailedToLoad = true;
          throw new StoreError('transient', 'simulated: the load fails');
        }
        yield await this.#later(async () => [submission]);
      }
    }
  }

  prepare(shard: ShardId): Preparation {
    const inner = this.#inner.prepare!(shard);
    return { read: () => this.#blocks(inner.read()), changed: () => this.#blocks(inner.changed()) };
  }

  async *#blocks(blocks: AsyncIterable<LoadedBlock>): AsyncGenerator<LoadedBlock> {
    for await (const block of blocks) {
      if (this.#isUnlucky()) throw new StoreError('transient', 'simulated: the preparation fails');
      yield await this.#later(async () => block);
    }
  }

  scopeControls(): ReturnType<Store['scopeControls']> {
    return this.#later(() => this.#inner.scopeControls());
  }

  commit(batch: CommitBatch): Promise<CommitResult> {
    const fault = this.#fault();
    const answered = this.#later<CommitResult>(async () => {
      const error = new StoreError('transient', `simulated: ${fault}`);
      switch (fault) {
        case 'refused':
          return { kind: 'refused', error };
        case 'full':
          return { kind: 'refused', error: new StoreError('full', 'simulated: no space') };
        case 'unknown_before':
          return { kind: 'unknown', error };
        case 'refused_after':
          await this.#write(batch);
          return { kind: 'refused', error };
        case 'unknown_after':
          await this.#write(batch);
          return { kind: 'unknown', error };
        case 'none':
          return this.#write(batch);
      }
    }, this.#random.next() < 0.5);
    const lost = (error: StoreError): CommitResult => ({ kind: 'unknown', error });
    return answered.catch(lost).then((result) => this.#toldLate(result));
  }

  async #toldLate(result: CommitResult): Promise<CommitResult> {
    const { caprices } = this.#options;
    // Longer than the journal waits before it counts a commit as stuck.
    if (caprices.rarely('store: a commit takes very long')) await this.#delay(4_000 + caprices.int(8_000));
    else if (caprices.rarely('store: a commit is told late')) await this.#delay(caprices.int(200));
    return result;
  }

  async #write(batch: CommitBatch): Promise<CommitResult> {
    const result = await this.#inner.commit(batch);
    if (result.kind === 'committed') this.#options.committed(batch);
    return result;
  }

  lastSeq(...args: Parameters<Store['lastSeq']>): ReturnType<Store['lastSeq']> {
    return this.#lookUp(() => this.#inner.lastSeq(...args), 'store: the last seq cannot be read');
  }

  findById(...args: Parameters<Store['findById']>): ReturnType<Store['findById']> {
    return this.#lookUp(() => this.#inner.findById(...args));
  }

  idsByPrefix(...args: Parameters<Store['idsByPrefix']>): ReturnType<Store['idsByPrefix']> {
    return this.#lookUp(() => this.#inner.idsByPrefix(...args));
  }

  directContents(...args: Parameters<Store['directContents']>): ReturnType<Store['directContents']> {
    const [part, chunks, bytesMax] = args;
    const isShort = this.#random.next() < 0.2;
    const read = () => this.#inner.directContents(part, chunks, isShort ? 1 : bytesMax);
    return this.#lookUp(read, 'store: contents cannot be read');
  }

  countEnded(...args: Parameters<Store['countEnded']>): ReturnType<Store['countEnded']> {
    return this.#later(() => this.#inner.countEnded(...args));
  }

  endedQueues(...args: Parameters<Store['endedQueues']>): ReturnType<Store['endedQueues']> {
    return this.#later(() => this.#inner.endedQueues(...args));
  }

  ended(...args: Parameters<Store['ended']>): ReturnType<Store['ended']> {
    return this.#later(() => this.#inner.ended(...args));
  }

  chunksDone(...args: Parameters<Store['chunksDone']>): ReturnType<Store['chunksDone']> {
    return this.#lookUp(() => this.#inner.chunksDone(...args));
  }

  failedChunks(...args: Parameters<Store['failedChunks']>): ReturnType<Store['failedChunks']> {
    return this.#lookUp(() => this.#inner.failedChunks(...args));
  }

  due(...args: Parameters<Store['due']>): ReturnType<Store['due']> {
    return this.#lookUp(() => this.#inner.due(...args));
  }

  forget(...args: Parameters<Store['forget']>): ReturnType<Store['forget']> {
    return this.#lookUp(() => this.#options.cleaningUp(() => this.#inner.forget(...args)));
  }

  sizeBytes(): Promise<number> {
    return this.#inner.sizeBytes();
  }

  async close(): Promise<void> {}

  #fault(): (typeof FAULTS)[number] | 'none' {
    const { caprices, faultRate } = this.#options;
    if (caprices.rarely('store: a commit is not sent')) return 'unknown_before';
    if (caprices.rarely('store: a commit takes place and is told as refused')) return 'refused_after';
    if (caprices.rarely('store: a commit takes place and nobody hears of it')) return 'unknown_after';
    if (this.healed || this.#random.next() >= faultRate) return 'none';
    return FAULTS[randomInt(this.#random, FAULTS.length)]!;
  }

  #isUnlucky(): boolean {
    return !this.healed && this.#random.next() < this.#options.faultRate / 4;
  }

  #lookUp<T>(run: () => Promise<T>, place?: RarePlace): Promise<T> {
    const isRare = place !== undefined && this.#options.caprices.rarely(place);
    if (!isRare && !this.#isUnlucky()) return this.#later(run);
    return this.#later(() => Promise.reject(new StoreError('transient', 'simulated: a look-up fails')));
  }

  /** It goes wrong as often as look-ups do, and half of the time it takes place and nobody hears of it. */
  #perhaps<T>(run: () => Promise<T>): Promise<T> {
    return this.#later(this.#isUnlucky() ? () => this.#lost(run) : run);
  }

  #answer(settle: () => void): void {
    const { world, answerDelayMsMax } = this.#options;
    if (answerDelayMsMax === 0 || this.healed) world.arrives(settle);
    else {
      const delayMs = randomInt(this.#random, answerDelayMsMax);
      this.#clock.at(this.#clock.elapsedMs + delayMs, () => world.arrives(settle));
    }
  }

  async #lost(run: () => Promise<unknown>): Promise<never> {
    if (this.#random.next() < 0.5) await run();
    throw new StoreError('transient', 'simulated: the connection to the database is cut');
  }

  /** Never ends if the process is killed meanwhile. */
  #delay(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      this.#clock.at(this.#clock.elapsedMs + delayMs, () => this.#options.world.arrives(resolve));
    });
  }

  /** `survivesKill`: it takes place even if the process dies meanwhile. */
  #later<T>(run: () => Promise<T>, survivesKill = false): Promise<T> {
    const delayMs = randomInt(this.#random, this.#options.delayMsMax + 1);
    this.#options.called();
    return new Promise((resolve, reject) => {
      this.#clock.at(this.#clock.elapsedMs + delayMs, () => {
        const { world } = this.#options;
        if (!world.isAlive) {
          if (survivesKill) void run();
          return;
        }
        (this.cut.isOn ? this.cut.through(run) : run()).then(
          (value) => this.#answer(() => resolve(value)),
          (error) => this.#answer(() => reject(error)),
        );
      });
    });
  }
}
