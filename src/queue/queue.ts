import { submissionIdTimeMs } from '../model/ids.ts';
import { Scheduler } from '../scheduler/scheduler.ts';
import type { SchedulerCounts } from '../scheduler/types.ts';
import type { ShardGrant, Store } from '../store/store.ts';
import { type Clock, endsWithin, type Timer } from '../system/clock.ts';
import type { Logger } from '../system/logger.ts';
import { type Random, uuidV7 } from '../system/random.ts';
import { Consumers } from './consumers.ts';
import { type ConsumerPeer, Dispatcher } from './dispatcher.ts';
import { Endings } from './endings.ts';
import { QueueEvents } from './events.ts';
import { InputCache } from './input-cache.ts';
import { Inserts } from './inserts.ts';
import { Journal, type JournalHealth } from './journal/journal.ts';
import { StoreWatch } from './journal/store-watch.ts';
import { LongChunks } from './long-chunks.ts';
import { LongPolls } from './long-polls.ts';
import { Reads } from './reads.ts';
import { Retention, type RetentionTimes } from './retention.ts';
import { QueueStats } from './stats.ts';

export interface QueueOptions extends RetentionTimes {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** A consumer that holds a chunk for longer loses it. */
  readonly reservationExpirationMs: number;
  /** Failures of a chunk that fail its submission. */
  readonly chunkRetriesMax: number;
  /** The same for consumers that disconnected; 0 = no limit. */
  readonly chunkDisconnectsMax: number;
  /** A broken connection does not count any more after this time. Default 1 hour. */
  readonly disconnectFadesAfterMs?: number | undefined;
  /** Look-ups by metadata that match more are refused. */
  readonly submissionsReturnedMax: number;
  /** No chunks are handed out after this time without a commit. Default 5000. */
  readonly holdHandOutAfterMs?: number | undefined;
  /**
   * Bytes that may wait for their commit; beyond, inserts are refused for the time being, and from a quarter of it on
   * no more is read of consumers that send outputs. Default 256 MiB.
   */
  readonly pendingBytesMax?: number | undefined;
  /** Inputs of small `Direct` submissions that are kept in memory. Default 64 MiB. */
  readonly inputCacheBytesMax?: number | undefined;
}

const SHARD = 0;
/** Of the bytes that may wait for their commit, one part in so many is left to outputs. */
const CONGESTED_SHARE = 4;

/**
 * The queue without its sockets: producers' and consumers' use cases over schedule and journal. Nothing is
 * acknowledged, handed out for the first time, or visible as ended before its commit.
 *
 *     open (takes the store, loads it)--> ready --stop--> stopped
 *                                           +--the store is lost, an invariant broken--> lost
 */
export class Queue {
  /** What consumers do. */
  readonly consumers: Consumers;
  /** Inserts of producers. */
  readonly inserts: Inserts;
  /** What producers ask. */
  readonly reads: Reads;
  /** Cancellation, and whatever else ends a submission. */
  readonly endings: Endings;
  readonly retention: Retention;
  readonly stats: QueueStats;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #scheduler: Scheduler<ConsumerPeer>;
  readonly #dispatcher: Dispatcher;
  readonly #journal: Journal;
  readonly #watch: StoreWatch;
  readonly #longPolls: LongPolls;
  readonly #lost = new AbortController();
  #state: 'ready' | 'stopped' | 'lost' = 'ready';
  #deadline: Timer | null = null;

  /** Takes the store and loads it. Rejects with the store's error if that fails. */
  static async open(options: QueueOptions): Promise<Queue> {
    const { store, clock } = options;
    const [grant] = await store.acquire([SHARD], `opsqueue ${uuidV7(clock.nowMs())}`);
    if (grant === undefined) throw new Error('the store granted no shard');
    const queue = new Queue(options, grant);
    try {
      await queue.#load(store);
    } catch (error) {
      await queue.stop(0);
      throw error;
    }
    queue.retention.start();
    return queue;
  }

  private constructor(options: QueueOptions, grant: ShardGrant) {
    const { store, clock, random, logger, pendingBytesMax = 256 * 1024 * 1024 } = options;
    const { reservationExpirationMs, disconnectFadesAfterMs } = options;
    const giveUp = (error: unknown) => this.giveUp(error);
    this.#clock = clock;
    this.#logger = logger;
    const stats = new QueueStats(clock);
    const scheduler = new Scheduler<ConsumerPeer>({
      random,
      reservationExpirationMs,
      chunkRetriesMax: options.chunkRetriesMax,
      chunkDisconnectsMax: options.chunkDisconnectsMax,
      ...(disconnectFadesAfterMs === undefined ? {} : { disconnectFadesAfterMs }),
    });
    const journal = new Journal({
      store,
      grant,
      clock,
      random,
      logger,
      committed: (seconds) => stats.commitSeconds.observe(seconds),
    });
    const events = new QueueEvents(clock, stats);
    const longPolls = new LongPolls(clock, events);
    const longChunks = new LongChunks(logger);
    const inputs = new InputCache(options.inputCacheBytesMax ?? 64 * 1024 * 1024);
    const retention = new Retention({ ...options, store, clock, logger });
    const dispatcher = new Dispatcher({
      scheduler,
      journal,
      events,
      longChunks,
      logger,
      ending: (submission, cause) => this.endings.ending(submission, cause),
      deadlineChanged: () => this.#armDeadline(),
      giveUp,
    });
    const shared = { store, clock, logger, journal, scheduler, dispatcher, events, inputs, giveUp };
    this.reads = new Reads({
      store,
      journal,
      scheduler,
      longPolls,
      retention,
      submissionsReturnedMax: options.submissionsReturnedMax,
    });
    this.endings = new Endings({ ...shared, reads: this.reads });
    this.inserts = new Inserts({
      ...shared,
      shard: grant.shard,
      highestId: grant.highestId,
      pendingBytesMax,
      isOpen: () => this.isHealthy,
    });
    this.consumers = new Consumers({
      ...shared,
      stats,
      longChunks,
      reservationExpirationMs,
      congestedBytes: pendingBytesMax / CONGESTED_SHARE,
      isOpen: () => this.isReady,
    });
    this.retention = retention;
    this.stats = stats;
    this.#scheduler = scheduler;
    this.#dispatcher = dispatcher;
    this.#journal = journal;
    this.#longPolls = longPolls;
    journal.lost.addEventListener('abort', () => this.giveUp(journal.lost.reason), { once: true });
    this.#watch = new StoreWatch({
      journal,
      clock,
      logger,
      holdHandOutAfterMs: options.holdHandOutAfterMs ?? 5_000,
      hold: (held) => this.#call((nowMs) => scheduler.holdHandOut(held, nowMs)),
    });
  }

  /** Fires when the queue cannot go on: its store is gone for good, or an invariant is broken. The reason says why. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Neither stopped nor lost. */
  get isReady(): boolean {
    return this.#state === 'ready';
  }

  /** Ready, and the store takes what it is given. */
  get isHealthy(): boolean {
    return this.isReady && this.#watch.isOk;
  }

  get journalHealth(): JournalHealth {
    return this.#journal.health;
  }

  get counts(): SchedulerCounts {
    return this.#scheduler.counts;
  }

  /** How long the oldest submission of which a chunk waits to be handed out has been in the queue; 0: none waits. */
  get oldestWaitingSeconds(): number {
    const id = this.#scheduler.oldestWaiting();
    return id === null ? 0 : Math.max(0, this.#clock.nowMs() - submissionIdTimeMs(id)) / 1000;
  }

  /** Lets go of all who wait, then gives retention and journal `graceMs` to get everything on disk. Idempotent. */
  async stop(graceMs: number): Promise<void> {
    if (this.#state === 'stopped') return;
    const wasLost = this.#state === 'lost';
    this.#state = 'stopped';
    this.#deadline?.cancel();
    this.#longPolls.wakeAll();
    this.#watch.stop();
    const drained = wasLost ? Promise.resolve() : this.#journal.drain();
    await endsWithin(this.#clock, graceMs, Promise.allSettled([drained, this.retention.stop()]));
    this.#journal.abandon();
  }

  /** Something is wrong that nothing can put right: better no queue than one that loses or doubles work. */
  giveUp(error: unknown): void {
    if (!this.isReady) return;
    this.#state = 'lost';
    this.#deadline?.cancel();
    this.#journal.abandon();
    this.#logger.error({ err: error }, 'the queue cannot go on');
    this.#lost.abort(error);
  }

  /** Counts the whole schedule anew and throws where something differs. For tests: it looks at everything. */
  checkInvariants(): void {
    this.#scheduler.checkInvariants();
  }

  async #load(store: Store): Promise<void> {
    const startedMs = this.#clock.monotonicMs();
    let submissions = 0;
    for await (const piece of store.load([SHARD])) {
      for (const { record, done, tries } of piece) {
        const nowMs = this.#clock.monotonicMs();
        this.#scheduler.insert(record, nowMs, { done, tries });
        this.#dispatcher.run(nowMs);
        submissions++;
      }
    }
    this.lost.throwIfAborted();
    const tookMs = Math.round(this.#clock.monotonicMs() - startedMs);
    this.#logger.info({ submissions, tookMs }, 'open submissions are loaded');
  }

  #armDeadline(): void {
    this.#deadline?.cancel();
    const dueMs = this.#scheduler.nextDeadlineMs();
    if (dueMs === null) return;
    const delayMs = Math.max(0, dueMs - this.#clock.monotonicMs());
    const advance = () => this.#call((nowMs) => this.#scheduler.advance(nowMs));
    this.#deadline = this.#clock.after(delayMs, advance, { unref: true });
  }

  /** For calls of the scheduler that no caller waits for: a broken invariant must not get lost. */
  #call(run: (nowMs: number) => void): void {
    if (!this.isReady) return;
    try {
      const nowMs = this.#clock.monotonicMs();
      run(nowMs);
      this.#dispatcher.run(nowMs);
    } catch (error) {
      this.giveUp(error);
    }
  }
}
