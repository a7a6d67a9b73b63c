import { type PausedBy, SERVER_SCOPE } from '../model/control.ts';
import type { SubmissionId } from '../model/ids.ts';
import type { QueueInfo } from '../model/queue-info.ts';
import type { ScheduleSight } from '../scheduler/sight.ts';
import type { OpenSubmission, SchedulerCounts } from '../scheduler/types.ts';
import { StoreError } from '../store/errors.ts';
import { type Tenure, unlimitedTenure } from '../store/lease.ts';
import type { Store } from '../store/store.ts';
import type { Logger } from '../system/log/logger.ts';
import { uuidV7 } from '../system/random.ts';
import { type Clock, endsWithin } from '../system/time/clock.ts';
import { assemble, type QueueOptions, type QueueParts } from './assemble.ts';
import type { Consumers } from './consumers.ts';
import type { Endings } from './endings.ts';
import type { QueueEvents } from './events.ts';
import type { Inserts } from './inserts.ts';
import type { JournalHealth } from './journal/journal.ts';
import type { ConsumerPeer } from './peer.ts';
import type { Reads } from './reads.ts';
import type { Retention } from './retention.ts';
import type { QueueStats } from './stats/stats.ts';
import type { Retries } from './verbs/retries.ts';
import type { Verbs } from './verbs/verbs.ts';

/** One that is not in use. */
const NO_QUEUE = {
  submissionsOpen: 0,
  chunksWaiting: 0,
  chunksReserved: 0,
  chunksDelayed: 0,
  chunksPaused: 0,
  consumers: 0,
} as const;

/** Of one queue, for metrics. */
export interface QueueFigures {
  /** The name in metrics; several queues may have one together. */
  readonly label: string;
  readonly counts: SchedulerCounts;
  /** The oldest submission of which a chunk waits to be handed out; null: none waits. */
  oldestWaiting(): SubmissionId | null;
}

/** One queue, for those who only look. */
export interface QueueSight {
  /** '' for the unnamed one. */
  readonly name: string;
  readonly counts: SchedulerCounts;
  readonly schedule: ScheduleSight<ConsumerPeer>;
}

/**
 * The queue without its sockets: producers' and consumers' use cases over schedule and journal. Nothing is
 * acknowledged, handed out for the first time, or visible as ended before its commit.
 *
 *     open (takes the store, loads it)--> ready --stop--> stopped
 *                                           +--the store is lost, an invariant broken--> lost
 */
export class Queue {
  /** Inserts of producers. */
  readonly inserts: Inserts;
  /** What producers ask. */
  readonly reads: Reads;
  /** Cancellation, and whatever else ends a submission. */
  readonly endings: Endings;
  /** What operators and producers do to work that was submitted before. */
  readonly verbs: Verbs;
  /** What has failed goes on. */
  readonly retries: Retries;
  readonly retention: Retention;
  readonly stats: QueueStats;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #tenure: Tenure;
  readonly #parts: QueueParts;
  readonly #lost = new AbortController();
  #state: 'ready' | 'stopped' | 'lost' = 'ready';

  /** Takes the store, unless it has been taken, and loads it. Rejects with the store's error if that fails. */
  static async open(options: QueueOptions): Promise<Queue> {
    const { store, clock } = options;
    const tenure = options.tenure ?? (await takenForGood(store, clock));
    const queue = new Queue(options, tenure);
    try {
      await queue.#load(store);
    } catch (error) {
      await queue.stop(0);
      throw error;
    }
    queue.retention.start();
    return queue;
  }

  private constructor(options: QueueOptions, tenure: Tenure) {
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#tenure = tenure;
    this.#parts = assemble(options, tenure, {
      isReady: () => this.isReady,
      giveUp: (error) => this.giveUp(error),
    });
    this.inserts = this.#parts.inserts;
    this.reads = this.#parts.reads;
    this.endings = this.#parts.endings;
    this.verbs = this.#parts.verbs;
    this.retries = this.#parts.retries;
    this.retention = this.#parts.retention;
    this.stats = this.#parts.stats;
    tenure.ended.addEventListener('abort', () => this.giveUp(tenure.ended.reason), { once: true });
  }

  /** Fires when the queue cannot go on: its store is gone for good, or an invariant is broken. The reason says why. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Neither stopped nor lost, and still the owner of what it hands out, by the clock. */
  get isReady(): boolean {
    return this.#state === 'ready' && this.#tenure.isOn();
  }

  /** Ready, and the store takes what it is given. */
  get isHealthy(): boolean {
    return this.isReady && this.#parts.watch.isOk;
  }

  get journalHealth(): JournalHealth {
    return this.#parts.journal.health;
  }

  /** Whether somebody may insert into that queue or connect to it: it is in use, or there may be one more. */
  hasRoomFor(queue: string): boolean {
    return this.#parts.queues.hasRoomFor(queue);
  }

  /** What consumers of that queue do; '' is the unnamed one. For one that connects now. Throws TooManyQueuesError. */
  consumersOf(queue: string): Consumers {
    return this.#parts.queues.enter(queue).consumers;
  }

  /** Of all queues together, as of now. */
  get counts(): SchedulerCounts {
    return this.#parts.queues.counts();
  }

  /** Where everything that happens can be learnt. */
  get events(): QueueEvents {
    return this.#parts.events;
  }

  /** @returns ends it */
  onJournalHealth(listener: (health: JournalHealth) => void): () => void {
    return this.#parts.journal.onHealth(listener);
  }

  /** The store has been stuck for so long that nothing is handed out. */
  get isHandOutHeld(): boolean {
    return this.#parts.watch.isHeld;
  }

  /** For which causes nothing of that queue is handed out: its own, then those of the whole server. null: only the latter. */
  pausesOf(queue: string | null): readonly PausedBy[] {
    const { scopes } = this.#parts;
    return queue === null ? scopes.get(SERVER_SCOPE).pauses : scopes.pausesOf(queue);
  }

  /** The schedules of the queues that are in use, for those who only look. */
  *schedules(): Generator<QueueSight> {
    for (const { name, counts, scheduler } of this.#parts.queues) {
      yield { name, counts, schedule: scheduler.sight };
    }
  }

  /** How many queues are paused as such; the whole server counts as one more. */
  get scopesPaused(): number {
    return this.#parts.scopes.pausedCount;
  }

  /** The queues that are in use or paused, by name; the unnamed one always. */
  get inUse(): QueueInfo[] {
    const inUse: QueueInfo[] = Array.from(this.#parts.queues, ({ name, counts }) => ({
      name,
      submissionsOpen: counts.submissionsOpen,
      chunksWaiting: counts.chunksAvailable,
      chunksReserved: counts.chunksReserved,
      chunksDelayed: counts.chunksDelayed,
      chunksPaused: counts.chunksPaused,
      consumers: counts.consumers,
      pauses: this.#parts.scopes.pausesOf(name),
    }));
    for (const name of this.#parts.scopes.queuesPaused) {
      if (this.#parts.queues.get(name) !== undefined) continue;
      inUse.push({ ...NO_QUEUE, name, pauses: this.#parts.scopes.pausesOf(name) });
    }
    return inUse.sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** How many chunks of it are done on disk; fewer than that while much waits. */
  chunksCommitted(submission: OpenSubmission): number {
    return this.#parts.journal.chunksCommitted(submission);
  }

  /** What is going on in each queue that is in use. */
  *figures(): Generator<QueueFigures> {
    for (const queue of this.#parts.queues) {
      yield {
        label: this.stats.byQueue.of(queue.name).label,
        counts: queue.counts,
        oldestWaiting: () => queue.oldestWaiting(),
      };
    }
  }

  /**
   * Lets go of all who wait, then gives retention and journal `graceMs` to get everything on disk. Idempotent.
   *
   * @returns whether all is on disk
   */
  async stop(graceMs: number): Promise<boolean> {
    if (this.#state === 'stopped') return false;
    const wasLost = this.#state === 'lost';
    this.#state = 'stopped';
    this.#parts.queues.stop();
    this.#parts.longPolls.wakeAll();
    this.#parts.watch.stop();
    let isOnDisk = false;
    const drained = (wasLost ? Promise.reject(this.lost.reason) : this.#parts.journal.drain()).then(() => {
      isOnDisk = true;
    });
    await endsWithin(this.#clock, graceMs, Promise.allSettled([drained, this.retention.stop()]));
    this.#parts.journal.abandon();
    return isOnDisk;
  }

  /** Something is wrong that nothing can put right: better no queue than one that loses or doubles work. */
  giveUp(error: unknown): void {
    if (this.#state !== 'ready') return;
    this.#state = 'lost';
    this.#parts.queues.stop();
    this.#parts.journal.abandon();
    // One whose lease is over stands by, and says so itself.
    const isFenced = error instanceof StoreError && error.storeClass === 'fenced';
    if (!isFenced) this.#logger.error({ err: error }, 'the queue cannot go on');
    this.#lost.abort(error);
  }

  /** Counts the whole schedule anew and throws where something differs. For tests: it looks at everything. */
  checkInvariants(): void {
    for (const { scheduler } of this.#parts.queues) scheduler.checkInvariants();
  }

  async #load(store: Store): Promise<void> {
    const startedMs = this.#clock.monotonicMs();
    // A store that was lost before the journal was there has told nobody.
    this.#parts.journal.lost.throwIfAborted();
    // First of all: what is loaded must not be handed out for a moment.
    for (const [scope, control] of await store.scopeControls()) this.#parts.scopes.set(scope, control);
    this.#parts.queues.pausesChanged();
    let submissions = 0;
    for await (const piece of store.load([this.#tenure.grant.shard])) {
      this.lost.throwIfAborted();
      for (const { record, control, ...progress } of piece) {
        this.#parts.queues.open(record.queue).insert(record, control, progress);
        submissions++;
      }
    }
    if (!this.isReady) throw this.lost.reason ?? this.#tenure.ended.reason;
    const tookMs = Math.round(this.#clock.monotonicMs() - startedMs);
    this.#logger.info({ submissions, tookMs }, 'open submissions are loaded');
  }
}

/** The shard of a server that does not share its store. */
export const SHARD = 0;

async function takenForGood(store: Store, clock: Clock): Promise<Tenure> {
  const [grant] = await store.acquire([SHARD], `opsqueue ${uuidV7(clock.nowMs())}`);
  if (grant === undefined) throw new Error('the store granted no shard');
  return unlimitedTenure(grant);
}
