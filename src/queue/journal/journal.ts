import { ChunkSet } from '../../model/chunk-set.ts';
import type { ChunkIndex } from '../../model/ids.ts';
import { messageOf } from '../../model/thrown.ts';
import type { InsertMutation } from '../../store/batch-plan.ts';
import { StoreError } from '../../store/errors.ts';
import type { Tenure } from '../../store/lease.ts';
import type { CommitBatch, CommitResult, InsertResult, Mutation, Store } from '../../store/store.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Random } from '../../system/random.ts';
import { Backoff } from '../../system/time/backoff.ts';
import { type Clock, sleep, type Timer } from '../../system/time/clock.ts';
import { type Instant, instantOf } from '../../system/time/instant.ts';
import { Backlog, type Batch, type BatchLimits, type PagedSubmission } from './backlog.ts';
import { RetryLog } from './retry-log.ts';
import { StoreProbe } from './store-probe.ts';

/** Of the tries of a batch, the first ones are logged, and from then on one out of so many. */
const TRIES_TOLD = 10;
const TRIES_TOLD_EVERY = 40;

/**
 * A batch that nobody waits for begins no sooner than so long after the one before. A drain changes the same pages again and again:
 * a commit after each other took it a quarter of its processor time on PostgreSQL, and is worth nothing, since completions are not
 * acknowledged.
 */
const PACE_MS = 5;

export interface JournalOptions {
  readonly store: Store;
  /** As whose owner it writes. */
  readonly tenure: Tenure;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Mutations of one batch. Default 4096. */
  readonly batchMutationsMax?: number;
  /** Estimated bytes of one batch; a single larger mutation still goes, alone. Default 8 MiB. */
  readonly batchBytesMax?: number;
  /** A commit that is not answered for so long counts as stuck. Default 5000. */
  readonly slowAfterMs?: number;
  /** The first and the longest wait before a refused batch is tried again. Defaults 50 and 1000. */
  readonly retryFirstMs?: number;
  readonly retryMaxMs?: number;
  /** How long a commit took that took place. */
  readonly committed?: (seconds: number) => void;
  /** Shared by the journals of a process. Default: one of its own, which tells at once. */
  readonly retryLog?: RetryLog;
}

export interface JournalHealth {
  /** false while a batch is stuck (refused, its outcome unknown, or unanswered for `slowAfterMs`), or would be. */
  readonly ok: boolean;
  /** Since when nothing gets through, on the clock's monotonic time; null if `ok`. */
  readonly stuckSinceMs: number | null;
  /** Why; null if `ok`. */
  readonly error: StoreError | null;
  /** What waits for the next batch, page changes coalesced. */
  readonly mutationsPending: number;
  /** Their size, estimated. */
  readonly bytesPending: number;
  /** Batches that are on disk. */
  readonly batchesCommitted: number;
  /** The `seq` of the last one of them. */
  readonly lastSeq: number;
}

interface Waiter {
  readonly number: number;
  resolve(): void;
  reject(error: Error): void;
}

/**
 * Group commit over a {@link Store}: one batch is in flight, the next one grows meanwhile; its size sets itself. What
 * somebody waits for is cut at once, the rest every {@link PACE_MS}.
 *
 *     idle --add, or more is there--> cutting --soon--> committing --committed--> idle
 *       |                                ^
 *       +--add, nobody waits--> pacing --+--time is up, or somebody waits
 *
 * While committing, a batch that was refused (no space, I/O error) is tried again for ever, the same one under the
 * same `seq`, so that nothing overtakes it; one whose outcome is unknown is settled by `lastSeq` first. From any
 * state: `ended`, by `drain`, by `abandon`, or because the store is lost (fenced, corrupt, gone). Then everybody
 * who still waits hears an error, because nobody can say what became of it.
 */
export class Journal {
  /** Fires when nothing can be committed any more, and not on `drain` or `abandon`. The reason is a {@link StoreError}. */
  readonly lost: AbortSignal;

  readonly #store: Store;
  readonly #tenure: Tenure;
  readonly #clock: Clock;
  readonly #committed: (seconds: number) => void;
  readonly #logger: Logger;
  readonly #retryLog: RetryLog;
  readonly #backlog = new Backlog();
  /** Of submissions with pages that are not on disk: how many of their chunks are done there. */
  readonly #chunksCommitted = new Map<ChunkSet, number>();
  readonly #limits: BatchLimits;
  readonly #backoff: Backoff;
  readonly #slowAfterMs: number;
  readonly #lost = new AbortController();
  /** Wakes whatever sleeps when the journal ends. */
  readonly #ended = new AbortController();
  readonly #listeners = new Set<(health: JournalHealth) => void>();
  readonly #waiters: Waiter[] = [];
  #state: 'idle' | 'pacing' | 'cutting' | 'committing' | 'ended' = 'idle';
  #inFlight: Batch | null = null;
  #inFlightSinceMs = -Infinity;
  #pace: Timer | null = null;
  #slowTimer: Timer | null = null;
  readonly #probe: StoreProbe | null;
  #lastSeq: number;
  #committedNumber = 0;
  /** Something was added after the end. */
  #hasDropped = false;
  #batchesCommitted = 0;
  #error: StoreError | null = null;
  #stuckSinceMs = 0;

  constructor(options: JournalOptions) {
    const { store, tenure, clock } = options;
    this.#store = store;
    this.#tenure = tenure;
    this.#lastSeq = tenure.grant.lastSeq;
    this.#clock = clock;
    this.#committed = options.committed ?? (() => {});
    this.#logger = options.logger;
    this.#retryLog = options.retryLog ?? new RetryLog({ ...options, gatherMs: 0 });
    this.#slowAfterMs = options.slowAfterMs ?? 5000;
    this.#backoff = new Backoff(options.random, {
      firstMs: options.retryFirstMs ?? 50,
      maxMs: options.retryMaxMs ?? 1000,
    });
    this.#limits = {
      mutationsMax: options.batchMutationsMax ?? 4096,
      bytesMax: options.batchBytesMax ?? 8 * 1024 * 1024,
    };
    this.lost = this.#lost.signal;
    this.#probe = this.#makeProbe();
    if (store.lost.aborted) this.#onStoreLost();
    else store.lost.addEventListener('abort', this.#onStoreLost, { once: true });
  }

  /**
   * Resolves after the commit, never before. Rejects with a {@link StoreError} when the journal ends first: then
   * nobody knows whether the insert took place.
   */
  insert(mutation: InsertMutation): Promise<InsertResult> {
    if (this.#state === 'ended') return Promise.reject(this.#endedError());
    return new Promise((resolve, reject) => {
      this.#backlog.add(mutation, { resolve, reject });
      this.#wake();
    });
  }

  /**
   * Inserts go through `insert`, pages through `chunkDone`. What is added together is committed together. Dropped after the
   * end: `committed` rejects from then on.
   */
  add(...mutations: Exclude<Mutation, { readonly kind: 'insert' }>[]): void {
    if (this.#state === 'ended') {
      this.#hasDropped = true;
      return;
    }
    for (let i = 0; i < mutations.length; i++) this.#backlog.add(mutations[i]!, null, i > 0);
    this.#wake();
  }

  /**
   * A chunk has just been added to `submission.done`: its page is to be written, as it is when the batch is cut. Dropped
   * after the end, as in `add`.
   */
  chunkDone(submission: PagedSubmission, chunkIndex: ChunkIndex): void {
    const { done } = submission;
    if (this.#state === 'ended') {
      this.#hasDropped = true;
      return;
    }
    const isNew = this.#backlog.pageChanged(submission, ChunkSet.pageOf(chunkIndex));
    if (isNew && !this.#chunksCommitted.has(done)) this.#chunksCommitted.set(done, done.count - 1);
    if (this.#state === 'idle') this.#wake();
  }

  /** How many of `submission.done` are on disk, or a few less while much waits. */
  chunksCommitted({ done }: PagedSubmission): number {
    return this.#chunksCommitted.get(done) ?? done.count;
  }

  /** Resolves when everything that was added so far is on disk; rejects with a {@link StoreError} if the journal ends first. */
  committed(): Promise<void> {
    const number = this.#backlog.lastNumber;
    if (number <= this.#committedNumber && !this.#hasDropped) return Promise.resolve();
    if (this.#state === 'ended') return Promise.reject(this.#endedError());
    return new Promise((resolve, reject) => {
      this.#waiters.push({ number, resolve, reject });
      this.#wake();
    });
  }

  /** Size of what waits for the next batch, estimated. */
  get bytesPending(): number {
    return this.#backlog.bytes;
  }

  get health(): JournalHealth {
    return {
      ok: this.#error === null,
      stuckSinceMs: this.#error === null ? null : this.#stuckSinceMs,
      error: this.#error,
      mutationsPending: this.#backlog.length,
      bytesPending: this.#backlog.bytes,
      batchesCommitted: this.#batchesCommitted,
      lastSeq: this.#lastSeq,
    };
  }

  /** Called whenever `ok` or `error` changes. Gives back what takes the listener off again. */
  onHealth(listener: (health: JournalHealth) => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /**
   * Ends it in good order: waits until everything that was added is on disk, however long the store takes, and
   * rejects if the store is lost before. Idempotent; `abandon` cuts it short.
   */
  async drain(): Promise<void> {
    await this.committed();
    this.#end(null);
  }

  /** Ends it at once: what is not on disk yet may never be. Idempotent. */
  abandon(): void {
    this.#end(new StoreError('transient', 'the queue stopped before this was known to be on disk'));
  }

  /** There is something to write, or somebody who waits for it. */
  #wake(): void {
    if (this.#state !== 'idle' && this.#state !== 'pacing') return;
    const isAwaited = this.#backlog.inserts > 0 || this.#waiters.length > 0;
    const restMs = isAwaited ? 0 : this.#inFlightSinceMs + PACE_MS - this.#clock.monotonicMs();
    if (restMs <= 0) this.#cutSoon();
    else if (this.#state === 'idle') {
      this.#state = 'pacing';
      this.#pace = this.#clock.after(restMs, () => this.#cutSoon());
    }
  }

  #cutSoon(): void {
    this.#pace?.cancel();
    this.#state = 'cutting';
    // Whatever arrives in the same turn of the event loop travels along.
    this.#clock.soon(() => void this.#commitNext());
  }

  async #commitNext(): Promise<void> {
    if (this.#state !== 'cutting') return;
    this.#state = 'committing';
    const batch = this.#backlog.cut(this.#limits);
    this.#inFlight = batch;
    this.#inFlightSinceMs = this.#clock.monotonicMs();
    if (batch.mutations.length > 0) {
      this.#watch();
      const { shard, epoch } = this.#tenure.grant;
      const inserts = await this.#write({
        shard,
        epoch,
        seq: this.#lastSeq + 1,
        mutations: batch.mutations,
      });
      this.#slowTimer?.cancel();
      if (inserts === null || this.#hasEnded()) return;
      this.#lastSeq++;
      this.#batchesCommitted++;
      this.#backoff.reset();
      this.#setError(null);
      for (const [{ done }, chunksDone] of batch.progress) {
        if (done.count === chunksDone) this.#chunksCommitted.delete(done);
        else this.#chunksCommitted.set(done, chunksDone);
      }
      batch.waiters.forEach((waiter, i) => {
        const result = inserts[i];
        if (result === undefined) throw new StoreError('corrupt', 'the store gave too few insert results');
        waiter.resolve(result);
      });
    }
    this.#inFlight = null;
    this.#committedNumber = batch.lastNumber;
    while (this.#waiters[0] !== undefined && this.#waiters[0].number <= batch.lastNumber) {
      this.#waiters.shift()?.resolve();
    }
    this.#state = 'idle';
    if (this.#backlog.length > 0) this.#wake();
  }

  /** Until the batch is on disk; null when the journal ended meanwhile. */
  async #write(batch: CommitBatch): Promise<readonly InsertResult[] | null> {
    const first = instantOf(this.#clock);
    for (;;) {
      const result = await this.#attempt(batch, first);
      if (this.#hasEnded()) return null;
      switch (result.kind) {
        case 'committed':
          return result.inserts;
        case 'fenced':
          this.#lose(result.error);
          return null;
        case 'refused':
          if (!(await this.#pause(result.error, 'refused'))) return null;
          break;
        case 'unknown':
          if (!(await this.#settle(batch, result.error))) return null;
          // Either it took place, and the store then tells the results again, or it is written now.
          break;
      }
    }
  }

  /** @param first when it was sent for the first time: it may have taken place then, and have renewed the lease then only */
  async #attempt(batch: CommitBatch, first: Instant): Promise<CommitResult> {
    if (!this.#tenure.isOn()) return { kind: 'fenced', error: asStoreError(this.#tenure.ended.reason) };
    try {
      const sentMs = this.#clock.monotonicMs();
      const result = await this.#store.commit(batch);
      if (result.kind !== 'committed') return result;
      this.#tenure.renewed(first);
      // Too late to say so, or to hand out what was inserted: another owner may have done more since.
      if (!this.#tenure.isOn()) return { kind: 'fenced', error: asStoreError(this.#tenure.ended.reason) };
      this.#committed((this.#clock.monotonicMs() - sentMs) / 1000);
      return result;
    } catch (cause) {
      return { kind: 'unknown', error: asStoreError(cause) };
    }
  }

  /** After an unknown outcome, nothing else is written before the store has said which batch was the last. */
  async #settle(batch: CommitBatch, error: StoreError): Promise<boolean> {
    let failure = error;
    while (await this.#pause(failure, 'of unknown outcome')) {
      try {
        const lastSeq = await this.#store.lastSeq(this.#tenure.grant.shard);
        if (this.#hasEnded()) return false;
        if (lastSeq === batch.seq || lastSeq === batch.seq - 1) return true;
        failure = new StoreError(
          'corrupt',
          `the last batch is ${lastSeq}, not ${batch.seq} or the one before`,
        );
      } catch (cause) {
        failure = asStoreError(cause);
      }
    }
    return false;
  }

  /** Waits before the next try; false when there must not be one. */
  async #pause(error: StoreError, what: string): Promise<boolean> {
    if (this.#hasEnded()) return false;
    if (error.storeClass !== 'transient' && error.storeClass !== 'full') {
      this.#lose(error);
      return false;
    }
    this.#setError(error);
    const delayMs = this.#backoff.nextMs();
    // During a long outage, one line every half a minute.
    const { tries } = this.#backoff;
    if (tries <= TRIES_TOLD || tries % TRIES_TOLD_EVERY === 0) {
      this.#retryLog.retries({ shard: this.#tenure.grant.shard, what, error });
    }
    try {
      await sleep(this.#clock, delayMs, this.#ended.signal);
    } catch {
      return false;
    }
    return true;
  }

  #watch(): void {
    this.#slowTimer = this.#clock.after(
      this.#slowAfterMs,
      () => {
        if (this.#error !== null || this.#state !== 'committing') return;
        this.#setError(new StoreError('transient', `no answer from the store for ${this.#slowAfterMs} ms`));
      },
      { unref: true },
    );
  }

  /** Between batches, what the store would do with the next one counts. */
  #makeProbe(): StoreProbe | null {
    const { maintenance } = this.#store;
    if (maintenance === undefined) return null;
    return new StoreProbe({
      maintenance,
      clock: this.#clock,
      logger: this.#logger,
      onLook: (error) => {
        if (this.#inFlight === null && !this.#hasEnded()) {
          this.#setError(error === null ? null : asStoreError(error));
        }
      },
    });
  }

  #setError(error: StoreError | null): void {
    const before = this.#error;
    if (before === error || (before?.code === error?.code && before?.message === error?.message)) return;
    this.#error = error;
    if (before === null) {
      this.#stuckSinceMs = this.#inFlight === null ? this.#clock.monotonicMs() : this.#inFlightSinceMs;
    }
    if (error === null) this.#logger.info({ seq: this.#lastSeq }, 'the store takes batches again');
    else if (before === null) {
      this.#logger.error({ code: error.code, error: error.message }, 'the store takes no batches');
    }
    const health = this.health;
    for (const listener of [...this.#listeners]) listener(health);
  }

  readonly #onStoreLost = (): void => {
    this.#lose(asStoreError(this.#store.lost.reason));
  };

  #lose(error: StoreError): void {
    if (this.#hasEnded()) return;
    this.#setError(error);
    this.#end(error);
    this.#lost.abort(error);
  }

  #end(error: StoreError | null): void {
    if (this.#hasEnded()) return;
    this.#state = 'ended';
    this.#pace?.cancel();
    this.#slowTimer?.cancel();
    this.#probe?.stop();
    this.#store.lost.removeEventListener('abort', this.#onStoreLost);
    this.#ended.abort(error);
    const reason = error ?? this.#endedError();
    const inserts = [...(this.#inFlight?.waiters ?? []), ...this.#backlog.clear()];
    for (const waiter of [...inserts, ...this.#waiters.splice(0)]) waiter.reject(reason);
  }

  /** A call, because TypeScript would otherwise not believe that the state changes during an await. */
  #hasEnded(): boolean {
    return this.#state === 'ended';
  }

  #endedError(): StoreError {
    return this.lost.aborted
      ? asStoreError(this.lost.reason)
      : new StoreError('transient', 'the queue is stopping and takes no more');
  }
}

function asStoreError(cause: unknown): StoreError {
  if (cause instanceof StoreError) return cause;
  return new StoreError('transient', `the store failed: ${messageOf(cause)}`, {
    cause,
  });
}
