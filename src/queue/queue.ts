import { type ChunkId, type ChunkIndex, submissionIdTimeMs } from '../model/ids.ts';
import { Scheduler } from '../scheduler/scheduler.ts';
import type {
  ChunkFailure,
  ConsumerHandle,
  ConsumerOptions,
  FailOutcome,
  OpenSubmission,
  ReservationRequest,
  ReservedChunk,
  SchedulerCounts,
  SchedulerEvents,
  SubmissionEndCause,
} from '../scheduler/types.ts';
import type { ShardGrant, Store } from '../store/store.ts';
import { type Clock, endsWithin, type Timer } from '../system/clock.ts';
import { LogBudget } from '../system/log-budget.ts';
import { clipped, type Logger } from '../system/logger.ts';
import { isRareNow, type Random, uuidV7 } from '../system/random.ts';
import { Companion } from './companion.ts';
import { Endings } from './endings.ts';
import { QueueUnavailableError } from './errors.ts';
import { InputCache } from './input-cache.ts';
import { Inserts } from './inserts.ts';
import { Congestion } from './journal/congestion.ts';
import { Journal, type JournalHealth } from './journal/journal.ts';
import { StoreWatch } from './journal/store-watch.ts';
import { LongChunks } from './long-chunks.ts';
import { ProgressWaiters } from './progress.ts';
import { Reads } from './reads.ts';
import { QueueStats } from './stats.ts';

export interface QueueOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** Default 10 minutes. */
  readonly reservationExpirationMs?: number | undefined;
  /** Default 10. */
  readonly chunkRetriesMax?: number | undefined;
  /** Default 10; 0 = never. */
  readonly chunkDisconnectsMax?: number | undefined;
  /** A broken connection does not count any more after this time. Default 1 hour. */
  readonly disconnectFadesAfterMs?: number | undefined;
  /** Look-ups by metadata that match more are refused. Default 100 000. */
  readonly submissionsReturnedMax?: number | undefined;
  /** Chunks are handed out no more after so long without a commit. Default 5000. */
  readonly holdHandOutAfterMs?: number | undefined;
  /**
   * Bytes that may wait for their commit; beyond, inserts are refused for the time being, and from a quarter of it on
   * no more is read of consumers that send outputs. Default 256 MiB.
   */
  readonly pendingBytesMax?: number | undefined;
  /** Inputs of small `Direct` submissions that are kept in memory. Default 64 MiB. */
  readonly inputCacheBytesMax?: number | undefined;
}

/** Who is told what happens to the chunks of a consumer. Called by the scheduler: must not call the queue back. */
export interface ConsumerPeer {
  /** A reservation is answered, with at least one chunk. */
  reserved(request: ReservationRequest, chunks: readonly ReservedChunk[]): void;
  expired(submission: OpenSubmission, chunkIndex: ChunkIndex): void;
  dropped(
    submission: OpenSubmission,
    chunkIndex: ChunkIndex,
    reason: 'completed_elsewhere' | 'submission_ended',
  ): void;
  /** Its last chunks all failed while others completed theirs: it gets the next one after a pause. */
  sick(told: { readonly failuresInRow: number; readonly pauseMs: number }): void;
  recovered(): void;
}

const SHARD = 0;
/** Consumers whose sickness is logged. */
const SICK_BUDGET = { burst: 20, perSecond: 0.2 };
/** Characters of a failure that go into the log. */
const FAILURE_LOGGED_MAX = 500;
/** Of the bytes that may wait for their commit, one part in so many is left to outputs. */
const CONGESTED_SHARE = 4;

/**
 * The queue without its sockets: producers' and consumers' use cases over schedule and journal. Nothing is
 * acknowledged, handed out for the first time, or visible as ended before its commit.
 *
 *     new --start (takes the store, loads it)--> ready --stop--> stopped
 *                                                  +--the store is lost, an invariant broken--> lost
 */
export class Queue {
  readonly stats: QueueStats;
  /** How long a reservation lasts that is not extended. */
  readonly reservationExpirationMs: number;
  /** Of the sessions together: half a fleet may be sick, well and sick again all night. */
  readonly sickBudget: LogBudget;
  readonly #o: QueueOptions;
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #waiters: ProgressWaiters;
  readonly #inputs: InputCache;
  readonly #longChunks: LongChunks;
  readonly #lost = new AbortController();
  #parts: Parts | null = null;
  #state: 'new' | 'starting' | 'ready' | 'stopped' | 'lost' = 'new';
  #deadline: Timer | null = null;
  /** Tries that change now do so because a connection broke. */
  #isDisconnecting = false;

  constructor(options: QueueOptions) {
    this.#o = options;
    this.#clock = options.clock;
    this.stats = new QueueStats(options.clock);
    this.sickBudget = new LogBudget(options.clock, SICK_BUDGET);
    this.#waiters = new ProgressWaiters(options.clock, options.random);
    this.#inputs = new InputCache(options.inputCacheBytesMax ?? 64 * 1024 * 1024, options.random);
    this.#longChunks = new LongChunks(options.logger);
    this.reservationExpirationMs = options.reservationExpirationMs ?? 600_000;
    this.#scheduler = new Scheduler(
      {
        random: options.random,
        reservationExpirationMs: this.reservationExpirationMs,
        chunkRetriesMax: options.chunkRetriesMax ?? 10,
        chunkDisconnectsMax: options.chunkDisconnectsMax ?? 10,
        ...(options.disconnectFadesAfterMs === undefined
          ? {}
          : { disconnectFadesAfterMs: options.disconnectFadesAfterMs }),
      },
      this.#events,
    );
  }

  /** Fires when the queue cannot go on: its store is gone for good, or an invariant is broken. The reason says why. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  get isReady(): boolean {
    return this.#state === 'ready';
  }

  /** Ready, and the store takes what it is given. */
  get isHealthy(): boolean {
    return this.#state === 'ready' && this.#parts?.watch.isOk === true;
  }

  /** null before the start. */
  get journalHealth(): JournalHealth | null {
    return this.#parts?.journal.health ?? null;
  }

  get counts(): SchedulerCounts {
    return this.#scheduler.counts;
  }

  /** How long the oldest submission of which a chunk waits to be handed out has been in the queue; 0: none waits. */
  get oldestWaitingSeconds(): number {
    const id = this.#scheduler.oldestWaiting();
    return id === null ? 0 : Math.max(0, this.#clock.nowMs() - submissionIdTimeMs(id)) / 1000;
  }

  /** Inserts of producers. */
  get inserts(): Inserts {
    return this.#ready().inserts;
  }

  /** What producers ask. */
  get reads(): Reads {
    return this.#ready().reads;
  }

  /** Cancellation, and whatever else ends a submission. */
  get endings(): Endings {
    return this.#ready().endings;
  }

  /** Takes the store and loads it. Rejects with what the store says; then the queue is of no use. */
  async start(): Promise<void> {
    this.#state = 'starting';
    const { store, clock, logger } = this.#o;
    const [grant] = await store.acquire([SHARD], `opsqueue ${uuidV7(clock.nowMs())}`);
    if (grant === undefined) throw new Error('the store granted no shard');
    this.#parts = this.#assemble(grant);
    let submissionsTotal = 0;
    const startedMs = clock.monotonicMs();
    for await (const piece of store.load([SHARD])) {
      for (const { record, done, tries } of piece) {
        this.#scheduler.insert(record, clock.monotonicMs(), { done, tries });
        submissionsTotal++;
      }
    }
    if (this.#state !== 'starting') {
      this.#lost.signal.throwIfAborted();
      throw new QueueUnavailableError('the queue was stopped before it had started');
    }
    const tookMs = Math.round(clock.monotonicMs() - startedMs);
    logger.info({ submissions: submissionsTotal, tookMs }, 'open submissions are loaded');
    this.#state = 'ready';
  }

  /** Lets go of everybody who waits, then gives the journal `graceMs` to get everything on disk. Idempotent. */
  async stop(graceMs: number): Promise<void> {
    if (this.#state === 'stopped') return;
    const wasLost = this.#state === 'lost';
    this.#state = 'stopped';
    this.#deadline?.cancel();
    this.#waiters.wakeAll();
    const parts = this.#parts;
    if (parts === null) return;
    parts.watch.stop();
    if (!wasLost) await endsWithin(this.#clock, graceMs, parts.journal.drain());
    parts.journal.abandon();
  }

  /** Something is wrong that nobody can put right: better no queue than one that loses or doubles work. */
  giveUp(error: unknown): void {
    if (this.#state === 'lost' || this.#state === 'stopped') return;
    this.#state = 'lost';
    this.#deadline?.cancel();
    this.#parts?.journal.abandon();
    this.#o.logger.error({ err: error }, 'the queue cannot go on');
    this.#lost.abort(error);
  }

  connect(peer: ConsumerPeer, options: ConsumerOptions): ConsumerHandle {
    const handle = this.#scheduler.addConsumer(options);
    handle.owner = peer;
    return handle;
  }

  disconnect(consumer: ConsumerHandle, manner: 'orderly' | 'broken'): void {
    // A queue that has stopped has forgotten its reservations; that must not look like broken connections.
    if (this.#state !== 'ready') return;
    this.#isDisconnecting = true;
    try {
      this.#scheduler.removeConsumer(consumer, manner, this.#clock.monotonicMs());
    } finally {
      this.#isDisconnecting = false;
    }
  }

  /** Answered through `reserved` of the peer: before this returns, or as soon as something is available. */
  reserve(consumer: ConsumerHandle, request: ReservationRequest): void {
    this.#scheduler.reserve(consumer, request, this.#clock.monotonicMs());
  }

  cancelReserve(consumer: ConsumerHandle, request: ReservationRequest): boolean {
    return this.#scheduler.cancelReserve(consumer, request);
  }

  completeChunk(consumer: ConsumerHandle, chunk: ChunkId, output: Uint8Array | null): void {
    const { submissionId, chunkIndex } = chunk;
    const startedMs = this.#clock.monotonicMs();
    const submission = this.#scheduler.get(submissionId);
    if (
      submission === undefined ||
      submission.state !== 'open' ||
      chunkIndex >= submission.record.chunksTotal ||
      submission.done.has(chunkIndex)
    ) {
      // Still the answer to an expiry, perhaps.
      this.#scheduler.complete(consumer, submissionId, chunkIndex, startedMs);
      return;
    }
    // The output goes first: no crash may leave a chunk that is done and has none.
    if (submission.record.prefix === null && output !== null) {
      this.#ready().journal.add({ kind: 'direct_output', id: submissionId, chunkIndex, content: output });
    }
    this.#scheduler.complete(consumer, submissionId, chunkIndex, startedMs);
    const { stats } = this;
    stats.chunksCompleted++;
    const reservedAtMs = takeReservedAt(submission, chunkIndex);
    if (reservedAtMs !== undefined) {
      Companion.of(submission).noteCompleted(startedMs - reservedAtMs);
      stats.chunkCompletedSeconds.observe((startedMs - reservedAtMs) / 1000, startedMs);
    }
    stats.completeSeconds.observe((this.#clock.monotonicMs() - startedMs) / 1000, startedMs);
  }

  /** Outputs come faster than the store takes them: whoever sends some should read no more for the moment. */
  get isCongested(): boolean {
    return this.#parts?.congestion.isCongested ?? false;
  }

  /** Calls back once, when it is no longer congested or the queue has ended. */
  onceRelieved(run: () => void): void {
    this.#ready().congestion.onceRelieved(run);
  }

  failChunk(consumer: ConsumerHandle, chunk: ChunkId, failure: ChunkFailure): FailOutcome {
    const { submissionId, chunkIndex } = chunk;
    const startedMs = this.#clock.monotonicMs();
    const submission = this.#scheduler.get(submissionId);
    const outcome = this.#scheduler.fail(consumer, submissionId, chunkIndex, failure, startedMs);
    const { stats } = this;
    if (outcome === 'retry') stats.chunksRetried++;
    if (outcome !== 'stale' && submission !== undefined) {
      stats.setbacks.failed++;
      const { text } = failure;
      this.#o.logger.debug(
        { ...chunkFields(chunk), outcome, failure: clipped(text, FAILURE_LOGGED_MAX) },
        'chunk failed',
      );
      const reservedAtMs = takeReservedAt(submission, chunkIndex);
      if (reservedAtMs !== undefined) {
        stats.chunkFailedSeconds.observe((startedMs - reservedAtMs) / 1000, startedMs);
      }
    }
    stats.failSeconds.observe((this.#clock.monotonicMs() - startedMs) / 1000, startedMs);
    return outcome;
  }

  releaseChunk(consumer: ConsumerHandle, chunk: ChunkId): void {
    this.#scheduler.release(consumer, chunk.submissionId, chunk.chunkIndex, this.#clock.monotonicMs());
  }

  /** A chunk that its holder still works on keeps its reservation. */
  extendReservation(consumer: ConsumerHandle, chunk: ChunkId, connId: string): void {
    const { submissionId, chunkIndex } = chunk;
    const nowMs = this.#clock.monotonicMs();
    if (!this.#scheduler.extend(consumer, submissionId, chunkIndex, nowMs)) return;
    const submission = this.#scheduler.get(submissionId);
    if (submission !== undefined) this.#longChunks.stillRuns(submission, chunkIndex, connId, nowMs);
  }

  /** Counts the whole schedule anew and throws where something differs. For tests: it looks at everything. */
  checkInvariants(): void {
    this.#scheduler.checkInvariants();
  }

  /** The input of a `Direct` submission's chunk, if it is in memory; undefined if only the store has it. */
  inputAtHand(submission: OpenSubmission, chunkIndex: ChunkIndex): Uint8Array | null | undefined {
    return this.#inputs.input(submission.record.id, chunkIndex);
  }

  /** Inputs of `Direct` submissions, in the order asked for. */
  directInputs(chunks: readonly ChunkId[]): Promise<readonly (Uint8Array | null)[]> {
    return this.#o.store.directContents('input', chunks);
  }

  #ready(): Parts {
    if (this.#parts === null) throw new Error('the queue is used before its start');
    return this.#parts;
  }

  #assemble(grant: ShardGrant): Parts {
    const { store, clock, random, logger } = this.#o;
    const pendingBytesMax = this.#o.pendingBytesMax ?? 256 * 1024 * 1024;
    const journal = new Journal({
      store,
      grant,
      clock,
      random,
      logger,
      committed: (seconds) => this.stats.commitSeconds.observe(seconds),
    });
    journal.lost.addEventListener('abort', () => this.giveUp(journal.lost.reason), { once: true });
    const watch = new StoreWatch({
      journal,
      clock,
      random,
      logger,
      holdHandOutAfterMs: this.#o.holdHandOutAfterMs ?? 5_000,
      hold: (held) => this.#guarded(() => this.#scheduler.holdHandOut(held, clock.monotonicMs())),
    });
    const shared = {
      store,
      clock,
      random,
      logger,
      journal,
      scheduler: this.#scheduler,
      stats: this.stats,
      waiters: this.#waiters,
      inputs: this.#inputs,
      giveUp: (error: unknown) => this.giveUp(error),
    };
    const inserts = new Inserts({
      ...shared,
      shard: grant.shard,
      highestId: grant.highestId,
      pendingBytesMax,
      isOpen: () => this.isHealthy,
    });
    const reads = new Reads({ ...shared, submissionsReturnedMax: this.#o.submissionsReturnedMax ?? 100_000 });
    const congestion = new Congestion(journal, pendingBytesMax / CONGESTED_SHARE);
    return { journal, congestion, watch, inserts, reads, endings: new Endings({ ...shared, reads }) };
  }

  readonly #events: SchedulerEvents = {
    reserved: (consumer, request, chunks) => {
      const nowMs = this.#clock.monotonicMs();
      this.stats.reservationsSucceeded++;
      for (const chunk of chunks) Companion.of(chunk.submission).reservedAtMs.set(chunk.chunkIndex, nowMs);
      peerOf(consumer).reserved(request, chunks);
    },
    expired: (consumer, submission, chunkIndex) => {
      this.stats.setbacks.expired++;
      this.#o.logger.debug(
        chunkFields({ submissionId: submission.record.id, chunkIndex }),
        'chunk reservation expired',
      );
      peerOf(consumer).expired(submission, chunkIndex);
    },
    dropped: (consumer, submission, chunkIndex, reason) =>
      peerOf(consumer).dropped(submission, chunkIndex, reason),
    sick: (consumer, told) => {
      this.stats.consumersPaused++;
      peerOf(consumer).sick(told);
    },
    recovered: (consumer) => peerOf(consumer).recovered(),
    pageChanged: (submission, page) => {
      this.#ready().journal.pageChanged(submission, page);
      this.#waiters.moved(submission);
    },
    triesChanged: (submission, chunkIndex, tries) => {
      if (this.#isDisconnecting) this.stats.setbacks.disconnected++;
      this.#ready().journal.add({ kind: 'tries', id: submission.record.id, chunkIndex, tries });
    },
    ending: (submission: OpenSubmission, cause: SubmissionEndCause) =>
      this.#ready().endings.ending(submission, cause),
    deadlineChanged: () => this.#armDeadline(),
  };

  #armDeadline(): void {
    this.#deadline?.cancel();
    const dueMs = this.#scheduler.nextDeadlineMs();
    if (dueMs === null) return;
    const isEarly = isRareNow(this.#o.random, 'queue: a deadline comes early');
    const delayMs = Math.max(0, dueMs - this.#clock.monotonicMs()) * (isEarly ? this.#o.random.next() : 1);
    this.#deadline = this.#clock.after(
      delayMs,
      () => this.#guarded(() => this.#scheduler.advance(this.#clock.monotonicMs())),
      { unref: true },
    );
  }

  /** For what no caller waits for: a broken invariant must not get lost. */
  #guarded(run: () => void): void {
    if (this.#state === 'lost' || this.#state === 'stopped') return;
    try {
      run();
    } catch (error) {
      this.giveUp(error);
    }
  }
}

function chunkFields({ submissionId, chunkIndex }: ChunkId): object {
  return { submission: String(submissionId), chunk: chunkIndex };
}

interface Parts {
  readonly journal: Journal;
  readonly congestion: Congestion;
  readonly watch: StoreWatch;
  readonly inserts: Inserts;
  readonly reads: Reads;
  readonly endings: Endings;
}

function peerOf(consumer: ConsumerHandle): ConsumerPeer {
  return consumer.owner as ConsumerPeer;
}

function takeReservedAt(submission: OpenSubmission, chunkIndex: ChunkIndex): number | undefined {
  if (!(submission.attachment instanceof Companion)) return undefined;
  const { reservedAtMs } = submission.attachment;
  const atMs = reservedAtMs.get(chunkIndex);
  if (atMs !== undefined) reservedAtMs.delete(chunkIndex);
  return atMs;
}
