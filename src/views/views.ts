import type { SubmissionId } from '../model/ids.ts';
import { isPromise } from '../model/kinds.ts';
import type { JournalHealth } from '../queue/journal/journal.ts';
import type { Queue } from '../queue/queue.ts';
import type { Clock } from '../system/time/clock.ts';
import type { ChunkMap } from './answers/map.ts';
import type { ServerFacts } from './answers/queue-details.ts';
import { submissionsWith } from './answers/submissions.ts';
import { ValueRates } from './answers/values.ts';
import { Disk, type DiskOptions } from './disk.ts';
import { type Computation, type Computed, type Computing, Frames } from './frames.ts';
import { Sampler } from './sampler.ts';
import type { Sources } from './sources.ts';
import { Watcher } from './tallies/watcher.ts';

export interface ViewsOptions {
  readonly queue: Queue;
  readonly clock: Clock;
  readonly facts: ServerFacts;
  /** Processor time of this thread so far, in milliseconds. */
  cpuMs(): number;
  /** Of the disk that the database file is on; null: there is none. */
  readonly diskSpace: DiskOptions['space'];
  sizeBytes(): Promise<number>;
  /** Shards that are open on no node. */
  shardsMissing(): number;
}

/**
 * What people, their page and their scripts see of the queue. It counts what happens as it happens, writes that down once a
 * second, and computes views of it when somebody asks; the queue knows nothing of it, and waits for none of it.
 *
 *     new --start--> counting --stop--> stopped --start--> counting
 */
export class Views {
  readonly sources: Sources;
  readonly frames: Frames;
  readonly facts: ServerFacts;
  readonly valueRates = new ValueRates();
  readonly #watcher: Watcher;
  readonly #sampler: Sampler;
  readonly #ends: (() => void)[] = [];
  #isStuck = false;

  constructor({ queue, clock, facts, cpuMs, diskSpace, sizeBytes, shardsMissing }: ViewsOptions) {
    const { commitsOfLate, loopDelaysOfLate } = queue.stats;
    this.facts = facts;
    this.#watcher = new Watcher(clock);
    this.#sampler = new Sampler({
      queue,
      clock,
      watcher: this.#watcher,
      latencies: () => ({
        commit_p50_ms: commitsOfLate.isQuiet ? null : commitsOfLate.quantile(0.5) * 1000,
        commit_p99_ms: commitsOfLate.isQuiet ? null : commitsOfLate.quantile(0.99) * 1000,
        event_loop_delay_ms: loopDelaysOfLate.quantile(0.99) * 1000,
      }),
    });
    this.frames = new Frames({
      clock,
      cpuMs,
      loopDelayMs: () => loopDelaysOfLate.quantile(0.99) * 1000,
    });
    const offsetMs = clock.nowMs() - clock.monotonicMs();
    this.sources = {
      queue,
      clock,
      watcher: this.#watcher,
      sampler: this.#sampler,
      disk: new Disk({ clock, space: diskSpace, sizeBytes }),
      sinceMs: clock.nowMs(),
      unixMs: (monotonicMs) => Math.round(monotonicMs + offsetMs),
      shardsMissing,
      throttling: () => this.frames.intervalMs,
      refusals: () => facts.connectionsRejected(),
      address: () => facts.address(),
    };
  }

  /** Submissions of which a try failed so, of those that are remembered. */
  async failedSo(fingerprint: string): Promise<ReadonlySet<SubmissionId>> {
    const key = `failed so ${fingerprint}`;
    return (await this.frames.get(key, () => submissionsWith(this.sources, fingerprint))).value;
  }

  /** Idempotent. */
  start(): void {
    if (this.isOpen) return;
    const { queue, disk } = this.sources;
    this.#watcher.serverStarted(this.facts.version);
    this.#ends.push(
      queue.events.observe(this.#watcher),
      queue.onJournalHealth((health) => this.#health(health)),
    );
    this.#sampler.start();
    void disk.look();
  }

  /** Between start and stop. */
  get isOpen(): boolean {
    return this.#ends.length > 0;
  }

  /** Those queues are not here any more. */
  leave(isOneOf: (queue: string) => boolean): void {
    this.#watcher.ended.leave(isOneOf);
  }

  /** Those who wait are let go. */
  stop(): void {
    for (const end of this.#ends.splice(0)) end();
    this.#sampler.stop();
    this.#watcher.occurrences.wakeAll();
    this.frames.stop();
  }

  /** A view as JSON, shared by all who ask with the same key. */
  json<T extends object>(
    key: string,
    compute: (sources: Sources) => Computing<T>,
  ): Promise<Computed<string>> {
    return this.frames.get(key, () => {
      const made = compute(this.sources);
      return isPromise(made) ? made.then(jsonOf) : jsonOf(made);
    });
  }

  /** A map of chunks, shared likewise. */
  map(key: string, compute: (sources: Sources) => Computing<ChunkMap>): Promise<Computed<ChunkMap>> {
    return this.frames.get(key, () => compute(this.sources), isSameMap);
  }

  #health({ ok, error }: JournalHealth): void {
    if (ok === !this.#isStuck) return;
    this.#isStuck = !ok;
    if (ok) this.#watcher.storeRecovered();
    else this.#watcher.storeStuck(error?.message ?? 'a batch is not answered');
  }
}

function* jsonOf(made: Computation<object>): Computation<string> {
  const value = yield* made;
  yield;
  return JSON.stringify(value);
}

function isSameMap(a: ChunkMap, b: ChunkMap): boolean {
  const isSameGrid = a.total === b.total && a.from === b.from && a.cell === b.cell;
  return isSameGrid && Buffer.compare(a.octets, b.octets) === 0;
}
