import { nextSubmissionId, type ShardId, type SubmissionId } from '../../model/ids.ts';
import { isStoreError } from '../../store/errors.ts';
import type { Tenure } from '../../store/lease.ts';
import type { Store } from '../../store/store.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Random } from '../../system/random.ts';
import { type Clock, endsWithin } from '../../system/time/clock.ts';
import { QueueUnavailableError } from '../errors.ts';
import { InputCache, type InputRoom } from '../input-cache.ts';
import { Journal } from '../journal/journal.ts';
import type { RetryLog } from '../journal/retry-log.ts';
import { StoreWatch } from '../journal/store-watch.ts';
import { LongChunks, type LongChunksPace } from '../long-chunks.ts';

export interface ShardOptions {
  readonly tenure: Tenure;
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** No chunks are handed out after this time without a commit. */
  readonly holdHandOutAfterMs: number;
  /** Shared by all shards. */
  readonly inputRoom: InputRoom;
  readonly longChunksPace: LongChunksPace;
  readonly retryLog: RetryLog;
  readonly hooks: ShardHooks;
}

/** What a shard needs of the queue that it is a part of. */
export interface ShardHooks {
  /** How long a commit took that took place. */
  committed(seconds: number): void;
  /** What the journal can do is something else now. */
  healthChanged(): void;
  /** Whether chunks of its queues are handed out. */
  hold(shard: Shard, held: boolean): void;
  /** Nothing comes of its queues by itself any more. */
  halted(shard: Shard): void;
  /** It stops in good order: who waits for something of it is let go. Resolves when nothing is forgotten of it any more. */
  stopping(shard: Shard): Promise<unknown>;
  /** Its queues are gone. */
  stopped(shard: Shard): void;
  /** What is wrong concerns all shards. */
  giveUp(error: unknown): void;
}

/**
 * The part of the queue that one lease is for: the right to act for some of the named queues, the journal that writes what
 * happens in them, and the ids of what is inserted.
 *
 *     loading --loaded--> ready --stop--> stopped
 *         either --another owner has it, the lease is over, what is stored of it is damaged--> lost --stop--> stopped
 */
export class Shard {
  readonly id: ShardId;
  readonly tenure: Tenure;
  readonly journal: Journal;
  readonly watch: StoreWatch;
  readonly inputs: InputCache;
  readonly longChunks: LongChunks;
  /** Whether what is asked of its queues may be answered: the tenure is on, also while it stops. */
  readonly mayAnswer: () => boolean;
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #hooks: ShardHooks;
  readonly #lost = new AbortController();
  readonly #stopListening: () => void;
  #state: 'loading' | 'ready' | 'stopped' | 'lost' = 'loading';
  /** When it was ready, on the monotonic clock; null: not yet. */
  #readyAtMs: number | null = null;
  /** The highest that was ever given out. */
  #lastId: SubmissionId;

  constructor(options: ShardOptions) {
    const { tenure, store, clock, logger, holdHandOutAfterMs, hooks } = options;
    this.id = tenure.grant.shard;
    this.tenure = tenure;
    this.mayAnswer = () => tenure.isOn();
    this.#store = store;
    this.#clock = clock;
    this.#hooks = hooks;
    this.#lastId = tenure.grant.highestId;
    const committed = (seconds: number) => hooks.committed(seconds);
    this.journal = new Journal({ ...options, committed });
    const { journal } = this;
    this.watch = new StoreWatch({
      journal,
      clock,
      logger,
      holdHandOutAfterMs,
      hold: (held) => hooks.hold(this, held),
    });
    this.#stopListening = journal.onHealth(() => hooks.healthChanged());
    this.inputs = new InputCache(options.inputRoom);
    this.longChunks = new LongChunks(logger, options.longChunksPace);
    journal.lost.addEventListener('abort', () => this.#giveUp(journal.lost.reason), { once: true });
    tenure.ended.addEventListener('abort', () => this.#giveUp(tenure.ended.reason), { once: true });
  }

  /** Fires when it cannot go on; the reason says why. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Neither stopped nor lost, and still the owner of what it hands out, by the clock. */
  get isOpen(): boolean {
    return (this.#state === 'ready' || this.#state === 'loading') && this.tenure.isOn();
  }

  /** Open, and all that is stored of it is there. */
  get isReady(): boolean {
    return this.#state === 'ready' && this.tenure.isOn();
  }

  /** It is ready, and the store takes what it is given. */
  get isHealthy(): boolean {
    return this.isReady && this.watch.isOk;
  }

  /** For how long it has been open here, after another process had it; null: nobody had it before, as far as is known. */
  get takenOverForMs(): number | null {
    if (this.#readyAtMs === null || this.tenure.grant.highestId === 0n) return null;
    return this.#clock.monotonicMs() - this.#readyAtMs;
  }

  /** Throws why it is not. */
  assertOpen(): void {
    if (this.isOpen) return;
    throw this.lost.reason ?? this.tenure.ended.reason ?? new QueueUnavailableError('the queue stops');
  }

  /** All that is stored of it is there. */
  loaded(): void {
    this.assertOpen();
    this.#state = 'ready';
    this.#readyAtMs = this.#clock.monotonicMs();
  }

  /** For a submission that is inserted now. */
  nextId(nowMs: number): SubmissionId {
    this.#lastId = nextSubmissionId(this.#lastId, nowMs, this.id);
    return this.#lastId;
  }

  /**
   * Lets go of all who wait, then gives the journal `graceMs` to get everything on disk. Idempotent.
   *
   * @returns whether all is on disk
   */
  async stop(graceMs: number): Promise<boolean> {
    if (this.#state === 'stopped') return false;
    const wasLost = this.#state === 'lost';
    this.#state = 'stopped';
    this.#hooks.halted(this);
    const settled = this.#hooks.stopping(this);
    this.watch.stop();
    let isOnDisk = false;
    const drained = (wasLost ? Promise.reject(this.lost.reason) : this.journal.drain()).then(() => {
      isOnDisk = true;
    });
    await endsWithin(this.#clock, graceMs, Promise.allSettled([drained, settled]));
    this.journal.abandon();
    this.#stopListening();
    this.inputs.clear();
    this.#hooks.stopped(this);
    return isOnDisk;
  }

  /** It ends by itself: nothing of it is done or written any more. */
  lose(error: unknown): void {
    if (this.#state === 'stopped' || this.#state === 'lost') return;
    this.#state = 'lost';
    this.#hooks.halted(this);
    this.journal.abandon();
    this.#lost.abort(error);
  }

  /** The others go on if it has another owner now, or if it is its own part of a shared store that is damaged. */
  #giveUp(error: unknown): void {
    const { leases, lost } = this.#store;
    const isDamaged = leases !== undefined && !lost.aborted && isStoreError(error, 'corrupt');
    if (isDamaged || isStoreError(error, 'fenced')) this.lose(error);
    else this.#hooks.giveUp(error);
  }
}
