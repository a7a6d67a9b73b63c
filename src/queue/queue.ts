import {
  NO_SCOPE_CONTROL,
  type PausedBy,
  type Scope,
  type ScopeControl,
  SERVER_SCOPE,
} from '../model/control.ts';
import type { ShardId, SubmissionId } from '../model/ids.ts';
import type { QueueInfo } from '../model/queue-info.ts';
import type { ScheduleSight } from '../scheduler/sight.ts';
import type { SchedulerCounts } from '../scheduler/types.ts';
import { isStoreError } from '../store/errors.ts';
import { type Tenure, unlimitedTenure } from '../store/lease.ts';
import type { Store } from '../store/store.ts';
import { SharedRead } from '../system/async/shared-read.ts';
import type { Logger } from '../system/log/logger.ts';
import { uuidV7 } from '../system/random.ts';
import { type Clock, endsWithin } from '../system/time/clock.ts';
import { assemble, type QueueOptions, type QueueParts } from './assemble.ts';
import type { Consumers } from './consumers.ts';
import type { Endings } from './endings.ts';
import { QueueUnavailableError } from './errors.ts';
import type { QueueEvents } from './events.ts';
import type { Inserts } from './inserts.ts';
import type { JournalHealth } from './journal/journal.ts';
import type { ConsumerPeer } from './peer.ts';
import type { Reads } from './reads.ts';
import type { Retention } from './retention.ts';
import { PreparedSchedules, Schedules } from './shard/schedules.ts';
import type { Shard } from './shard/shard.ts';
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

/** How many names a log line has at most. */
const QUEUES_TOLD = 20;

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
  /** For how long this process has had it, after another one; null: nobody had it before. */
  readonly takenOverForMs: number | null;
}

/**
 * The queue without its sockets: producers' and consumers' use cases over schedule and journal. Nothing is
 * acknowledged, handed out for the first time, or visible as ended before its commit. It has as many shards as this process
 * has the right to act for.
 *
 *     open --stop--> stopped
 *        +--the store is lost, an invariant broken--> lost
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
  readonly #store: Store;
  /** Shards that are opened together read it once. */
  readonly #controls: SharedRead<ReadonlyMap<Scope, ScopeControl>>;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #parts: QueueParts;
  readonly #lost = new AbortController();
  readonly #prepared = new Map<ShardId, PreparedSchedules>();
  readonly #healthListeners = new Set<(health: JournalHealth) => void>();
  #state: 'open' | 'stopped' | 'lost' = 'open';

  /**
   * A queue with one shard, to which all named queues belong; without it, it is lost. Takes the store, unless a tenure is
   * given, and loads it. Rejects with the store's error if that fails.
   */
  static async open(options: QueueOptions & { readonly tenure?: Tenure | undefined }): Promise<Queue> {
    const { store, clock } = options;
    const tenure = options.tenure ?? (await takenForGood(store, clock));
    const queue = new Queue(options);
    try {
      const { lost } = await queue.openShard(tenure);
      const onLost = () => queue.giveUp(lost.reason);
      if (lost.aborted) onLost();
      else lost.addEventListener('abort', onLost, { once: true });
    } catch (error) {
      await queue.stop(0);
      throw error;
    }
    return queue;
  }

  /** Without a shard. */
  constructor(options: QueueOptions) {
    this.#store = options.store;
    this.#controls = new SharedRead(() => options.store.scopeControls());
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#parts = assemble(options, {
      giveUp: (error) => this.giveUp(error),
      healthChanged: () => this.#healthChanged(),
    });
    this.inserts = this.#parts.inserts;
    this.reads = this.#parts.reads;
    this.endings = this.#parts.endings;
    this.verbs = this.#parts.verbs;
    this.retries = this.#parts.retries;
    this.retention = this.#parts.retention;
    this.stats = this.#parts.stats;
  }

  /**
   * Loads what is stored of the shard that the tenure is for, whose queues are open from then on. Rejects with the store's
   * error if that fails, or with why it was lost meanwhile.
   */
  async openShard(tenure: Tenure): Promise<Shard> {
    this.lost.throwIfAborted();
    if (this.#state === 'stopped') throw new QueueUnavailableError('the queue stops');
    const { shards, makeShard, retention } = this.#parts;
    const shard = makeShard(tenure);
    const prepared = this.#prepared.get(shard.id);
    this.#prepared.delete(shard.id);
    shards.add(shard);
    shard.lost.addEventListener('abort', () => this.#tellIfDamaged(shard), { once: true });
    try {
      await this.#load(shard, prepared);
    } catch (error) {
      shard.lose(error);
      await shard.stop(0);
      throw error;
    }
    retention.start();
    return shard;
  }

  /**
   * While another node acts for the shard: reads what {@link openShard} will have to know, and makes schedules of it. Resolves
   * when that is done. They are kept until it is opened, or `dropped` fires.
   */
  async prepareShard(id: ShardId, dropped: AbortSignal): Promise<void> {
    const preparation = this.#store.prepare?.(id);
    if (preparation === undefined || dropped.aborted || this.#state !== 'open') return;
    const prepared = new PreparedSchedules(id, preparation, this.#parts.schedulesOptions);
    const forget = () => {
      if (this.#prepared.get(id) !== prepared) return;
      this.#prepared.delete(id);
      prepared.drop();
    };
    this.#prepared.set(id, prepared);
    dropped.addEventListener('abort', forget, { once: true });
    await prepared.read.catch((error: unknown) => {
      forget();
      throw error;
    });
  }

  /**
   * What verbs have changed of the whole server, by the store: for a process that has not the shard which that belongs to,
   * and does not hear of it otherwise.
   */
  serverControl(control: ScopeControl): void {
    const { shards, scopes, queues } = this.#parts;
    if (shards.findScope(SERVER_SCOPE) !== undefined) return;
    const wasPaused = scopes.get(SERVER_SCOPE).pauses.length > 0;
    scopes.set(SERVER_SCOPE, control);
    if (wasPaused !== control.pauses.length > 0) queues.pausesChanged();
  }

  /** That a queue belongs to, for as long as it is open here, and until it has stopped. */
  shardFor(queue: string): Shard | undefined {
    return this.#parts.shards.find(queue);
  }

  /** Fires when the queue cannot go on: its store is gone for good, or an invariant is broken. The reason says why. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Neither stopped nor lost, and still the owner of what it hands out, by the clock: of one shard at least. */
  get isReady(): boolean {
    if (this.#state !== 'open') return false;
    for (const shard of this.#parts.shards) if (shard.isReady) return true;
    return false;
  }

  /** Ready, and the store takes what it is given. */
  get isHealthy(): boolean {
    if (!this.isReady) return false;
    for (const { watch } of this.#parts.shards) if (!watch.isOk) return false;
    return true;
  }

  get journalHealth(): JournalHealth {
    return this.#parts.shards.health;
  }

  /** Whether somebody may insert into that queue or connect to it: it is in use, or there may be one more. */
  hasRoomFor(queue: string): boolean {
    return this.#parts.queues.hasRoomFor(queue);
  }

  /** What consumers of that queue do; '' is the unnamed one. For one that connects now. Throws TooManyQueuesError, QueueUnavailableError. */
  consumersOf(queue: string): Consumers {
    return this.#parts.queues.enter(queue).consumers;
  }

  /** Of all queues together, as of now. */
  get counts(): SchedulerCounts {
    return this.#parts.queues.counts(null);
  }

  /** Of those of the shard. */
  countsOf(shard: Shard): SchedulerCounts {
    return this.#parts.queues.counts(shard);
  }

  /** Where everything that happens can be learnt. */
  get events(): QueueEvents {
    return this.#parts.events;
  }

  /** @returns ends it */
  onJournalHealth(listener: (health: JournalHealth) => void): () => void {
    this.#healthListeners.add(listener);
    return () => void this.#healthListeners.delete(listener);
  }

  /** The store has been stuck for so long that nothing is handed out, of a shard at least. */
  get isHandOutHeld(): boolean {
    for (const { watch } of this.#parts.shards) if (watch.isHeld) return true;
    return false;
  }

  /** For which causes nothing of that queue is handed out: its own, then those of the whole server. null: only the latter. */
  pausesOf(queue: string | null): readonly PausedBy[] {
    const { scopes } = this.#parts;
    return queue === null ? scopes.get(SERVER_SCOPE).pauses : scopes.pausesOf(queue);
  }

  /** Whether nothing of that queue is handed out: it is paused, or the whole server. */
  isPaused(queue: string): boolean {
    return this.#parts.scopes.isPaused(queue);
  }

  /** The schedules of the queues that are in use, for those who only look. */
  *schedules(): Generator<QueueSight> {
    for (const { name, counts, scheduler, shard } of this.#parts.queues) {
      yield { name, counts, schedule: scheduler.sight, takenOverForMs: shard.takenOverForMs };
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
      pauses: this.#parts.scopes.queuePauses(name),
    }));
    for (const name of this.#parts.scopes.queuesPaused) {
      if (this.#parts.queues.get(name) !== undefined) continue;
      inUse.push({ ...NO_QUEUE, name, pauses: this.#parts.scopes.queuePauses(name) });
    }
    return inUse.sort((a, b) => (a.name < b.name ? -1 : 1));
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
   * Lets go of all who wait, then gives retention and journals `graceMs` to get everything on disk. Idempotent.
   *
   * @returns whether all is on disk
   */
  async stop(graceMs: number): Promise<boolean> {
    if (this.#state === 'stopped') return false;
    this.#state = 'stopped';
    const stopped = Promise.all(Array.from(this.#parts.shards, (shard) => shard.stop(graceMs)));
    await endsWithin(this.#clock, graceMs, this.retention.stop());
    return (await stopped).every((isOnDisk) => isOnDisk);
  }

  /** Something is wrong that nothing can put right: better no queue than one that loses or doubles work. */
  giveUp(error: unknown): void {
    if (this.#state !== 'open') return;
    this.#state = 'lost';
    for (const shard of this.#parts.shards) shard.lose(error);
    // One whose lease is over stands by, and says so itself.
    if (!isStoreError(error, 'fenced')) this.#logger.error({ err: error }, 'the queue cannot go on');
    this.#lost.abort(error);
  }

  /** Counts the whole schedule anew and throws where something differs. For tests: it looks at everything. */
  checkInvariants(): void {
    for (const { scheduler } of this.#parts.queues) scheduler.checkInvariants();
  }

  async #load(shard: Shard, prepared: PreparedSchedules | undefined): Promise<void> {
    const { queues, scopes, shards } = this.#parts;
    const startedMs = this.#clock.monotonicMs();
    // A store that was lost before the journal was there has told nobody.
    shard.journal.lost.throwIfAborted();
    // First of all: what is loaded must not be handed out for a moment.
    const controls = await this.#controls.read();
    for (const [scope, control] of controls) {
      // Of the others there may be newer ones here.
      if (shards.findScope(scope) === shard) scopes.set(scope, control);
    }
    this.serverControl(controls.get(SERVER_SCOPE) ?? NO_SCOPE_CONTROL);
    queues.pausesChanged();
    const schedules = await this.#schedulesOf(shard, prepared);
    shard.assertOpen();
    for (const [name, scheduler] of schedules) queues.load(name, scheduler);
    if (shards.find('') === shard) queues.open('');
    shard.loaded();
    const { submissions } = schedules;
    const tookMs = Math.round(this.#clock.monotonicMs() - startedMs);
    // Most of many shards have none, most often.
    const level = submissions > 0 || this.#store.leases === undefined ? 'info' : 'debug';
    this.#logger[level]({ shard: shard.id, submissions, tookMs }, 'open submissions are loaded');
  }

  async #schedulesOf(shard: Shard, prepared: PreparedSchedules | undefined): Promise<Schedules> {
    prepared?.own(() => shard.assertOpen());
    const isRead = await prepared?.read.then(
      () => true,
      () => false,
    );
    shard.assertOpen();
    if (prepared !== undefined && isRead) return prepared.settle();
    const schedules = new Schedules(this.#parts.schedulesOptions);
    for await (const piece of this.#store.load([shard.id])) {
      shard.assertOpen();
      schedules.insert(piece);
      await schedules.turn();
    }
    return schedules;
  }

  /** It alone cannot go on. */
  #tellIfDamaged(shard: Shard): void {
    const { reason } = shard.lost;
    if (this.#state !== 'open' || this.#store.leases === undefined || !isStoreError(reason, 'corrupt'))
      return;
    const queues = Array.from(this.#parts.queues).flatMap((queue) =>
      queue.shard === shard ? queue.name : [],
    );
    this.#logger.error(
      { shard: shard.id, queues: queues.slice(0, QUEUES_TOLD), err: reason },
      'what is stored of a shard is damaged: its queues cannot be used',
    );
  }

  #healthChanged(): void {
    if (this.#healthListeners.size === 0) return;
    const { health } = this.#parts.shards;
    for (const listener of [...this.#healthListeners]) listener(health);
  }
}

/** The shard of a server that does not share its store. */
export const SHARD = 0;

async function takenForGood(store: Store, clock: Clock): Promise<Tenure> {
  const [grant] = await store.acquire([SHARD], `opsqueue ${uuidV7(clock.nowMs())}`);
  if (grant === undefined) throw new Error('the store granted no shard');
  return unlimitedTenure(grant);
}
