import { ClientClosedError, type OpsqueueError } from '../../model/errors.ts';
import { isUint8Array } from '../../model/kinds.ts';
import { oncePerTurn } from '../../system/event-loop/end-of-turn.ts';
import { EventLoopShare } from '../../system/event-loop/share.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { Activity } from '../activity.ts';
import type { Engine, FeedOwner } from '../engine.ts';
import {
  type FeedStart,
  type Handle,
  type HeldChunk,
  type LossReason,
  opsOf,
  opsOpenMax,
  type RunDemand,
} from '../thread/protocol.ts';
import { type CallbackWatch, isTimeout } from './callback-watch.ts';
import { ChunkOutcomes } from './chunk-outcomes.ts';
import { IdleTimer } from './idle-timer.ts';
import { ChunkJob } from './job.ts';
import { LocalBodies } from './local-bodies.ts';
import type { Processor } from './processor.ts';
import type { RunTracing } from './tracing.ts';

/** A result waits no longer than that for others to travel with, in milliseconds. */
const FLUSH_MS = 1;

/** What a run does with its chunks. */
export interface ChunkWork {
  readonly demand: RunDemand;
  readonly processor: Processor;
  /** The processor's. */
  readonly watch: CallbackWatch;
}

export interface ChunkRunParts extends ChunkWork {
  readonly engine: Engine;
  readonly activity: Activity;
  /** The run stops when it was idle for this long, in milliseconds; null: it never does. */
  readonly untilIdleMs: number | null;
  readonly tracing: RunTracing;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Runs the callback for the chunks that the transport hands over, on the calling thread.
 *
 *     running --stop, idle for long--> stopping (what runs is finished) --everything reported--> over
 *       any --abandon, failed--> over
 *
 * While it is paused, a running one takes no chunks.
 */
export class ChunkRun implements FeedOwner {
  readonly demand: RunDemand;
  /** Settles when the run is over. */
  readonly over: Promise<void>;
  readonly #options: ChunkRunParts;
  readonly #engine: Engine;
  readonly #id: number;
  readonly #queue: HeldChunk[] = [];
  /** Chunks in the callback, or in the object store on this thread. */
  readonly #jobs = new Map<Handle, ChunkJob>();
  readonly #local: LocalBodies;
  readonly #idle: IdleTimer;
  readonly #outcomes: ChunkOutcomes;
  readonly #share: EventLoopShare;
  readonly #pumpSoon: () => void;
  /** Chunks in the callback, and their operations as far as their submissions tell. */
  #computing = 0;
  #opsComputing = 0;
  #state: 'running' | 'stopping' | 'over' = 'running';
  #isPaused = false;
  /** The transport has nothing in hand, and waits for the queue. */
  #isWaiting = false;
  /** Resolved when nothing is in progress. */
  #quiet: PromiseWithResolvers<void> | null = null;
  #transportEnded = false;
  #flushedMs = 0;
  #finish: (outcome: { readonly error: unknown } | null) => void = () => {};

  constructor(options: ChunkRunParts) {
    this.#options = options;
    this.#engine = options.engine;
    this.demand = options.demand;
    this.#local = new LocalBodies(options.engine.localBodies, options.demand);
    this.#outcomes = new ChunkOutcomes({
      ...options,
      local: this.#local,
      jobs: this.#jobs,
      isOver: () => this.#state === 'over',
      changed: () => this.#look(),
    });
    this.#idle = new IdleTimer({ ...options, due: () => this.stop() });
    this.#share = new EventLoopShare(options.clock);
    this.#pumpSoon = oncePerTurn(options.clock, () => this.#pump());
    this.over = new Promise((resolve, reject) => {
      this.#finish = (outcome) => (outcome === null ? resolve() : reject(outcome.error));
    });
    this.#id = this.#engine.startFeed(this);
  }

  start(feed: number): FeedStart {
    return { kind: 'run', feed, demand: this.demand };
  }

  get isStopping(): boolean {
    return this.#state !== 'running';
  }

  /** Finishes what runs, gives back the rest. */
  stop(): void {
    if (this.#state !== 'running') return;
    this.#state = 'stopping';
    this.#releaseUnstarted();
    this.#engine.stopFeed(this.#id);
    this.#look();
  }

  get isPaused(): boolean {
    return this.#isPaused;
  }

  /** Takes no chunks until `resume`: finishes what runs, gives back the rest. Resolves when nothing runs. */
  pause(): Promise<void> {
    if (!this.#isPaused && this.#state === 'running') {
      this.#isPaused = true;
      this.#releaseUnstarted();
      this.#engine.pauseFeed(this.#id, true);
    }
    this.#quiet ??= Promise.withResolvers<void>();
    const { promise } = this.#quiet;
    this.#look();
    return promise;
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.#state === 'running') this.#engine.pauseFeed(this.#id, false);
    this.#look();
  }

  /** Chunks in the callback. */
  get chunksRunning(): number {
    return this.#computing;
  }

  get #takesChunks(): boolean {
    return this.#state === 'running' && !this.#isPaused;
  }

  /** What only waits goes back. */
  #releaseUnstarted(): void {
    const unstarted = this.#queue.splice(0);
    for (const [handle, job] of this.#jobs) {
      if (job.hasBegun) continue;
      // It is still being read, and that may take for ever.
      job.drop('abandoned');
      this.#jobs.delete(handle);
      unstarted.push(job.held);
    }
    this.#giveBack(unstarted);
  }

  /** Chunks of which nothing is to come: what was read of them takes no room any more. */
  #giveBack(chunks: readonly HeldChunk[]): void {
    for (const { handle } of chunks) this.#local.leave(handle);
    this.#engine.release(chunks);
  }

  /** Drops everything; `over` rejects with the reason. */
  abandon(reason: unknown): void {
    this.#dropAll({ error: reason });
  }

  /** Drops everything, because whoever stops has waited long enough; `over` resolves. */
  giveUp(): void {
    this.#dropAll(null);
  }

  /** The callback that has run for longest, for a log. */
  get waitsFor(): object | null {
    const longest = this.#options.watch.longest;
    if (longest === null) return null;
    const { callee, tookMs, running } = longest;
    const { submissionId, chunkIndex } = callee;
    return { submission: submissionId, chunk: chunkIndex, tookMs: Math.round(tookMs), running };
  }

  #dropAll(outcome: { readonly error: unknown } | null): void {
    if (this.#state === 'over') return;
    const jobs = [...this.#jobs.values()];
    for (const job of jobs) job.drop('abandoned');
    this.#engine.release([...this.#queue.splice(0), ...jobs.map(({ held }) => held)]);
    this.#engine.stopFeed(this.#id);
    this.#end(outcome);
  }

  ready(chunks: readonly HeldChunk[]) {
    if (!this.#takesChunks) return this.#engine.release(chunks);
    for (const chunk of chunks) {
      if (chunk.input === null) void this.#readHere(chunk);
      else this.#queue.push(chunk);
    }
    this.#pumpSoon();
  }

  lost(handle: Handle, reason: LossReason): void {
    const job = this.#jobs.get(handle);
    if (job !== undefined) {
      // Whoever completes a chunk, its work is done: neither a broken connection nor an expiry is a reason to stop.
      if (reason === 'disconnected' || (reason === 'expired' && job.hasBegun)) return;
      if (reason === 'given_back') job.isHeld = false;
      else job.drop(reason === 'expired' ? 'abandoned' : reason);
      return;
    }
    const at = this.#queue.findIndex((chunk) => chunk.handle === handle);
    if (at < 0) return;
    this.#giveBack(this.#queue.splice(at, 1));
  }

  waits(isWaiting: boolean): void {
    this.#isWaiting = isWaiting;
    this.#look();
  }

  crashed(): void {
    for (const { handle } of this.#queue.splice(0)) this.#local.leave(handle);
    this.waits(false);
    for (const job of this.#jobs.values()) job.isHeld = false;
  }

  ended(): void {
    this.#transportEnded = true;
    this.#look();
  }

  failed(error: OpsqueueError) {
    if (this.#state === 'stopping' && error instanceof ClientClosedError) return this.#end(null);
    this.abandon(error);
  }

  /** What may follow from a change: the end, a pause that has come to rest, idleness. */
  #look(): void {
    const isQuiet = this.#jobs.size === 0 && !this.#outcomes.isSending;
    if (isQuiet && this.#state === 'stopping' && this.#transportEnded) this.#end(null);
    if (isQuiet || this.#state === 'over' || !this.#isPaused) {
      this.#quiet?.resolve();
      this.#quiet = null;
    }
    this.#idle.set(this.#isWaiting && isQuiet && this.#takesChunks);
  }

  #end(outcome: { readonly error: unknown } | null): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#options.watch.stop();
    this.#engine.forgetFeed(this.#id);
    this.#look();
    this.#idle.end();
    this.#finish(outcome);
  }

  /** Reads a chunk that only this thread can read. */
  async #readHere(chunk: HeldChunk): Promise<void> {
    const { handle } = chunk;
    const job = new ChunkJob(chunk);
    this.#jobs.set(handle, job);
    let read: HeldChunk | null = null;
    try {
      read = await this.#local.read(job);
    } catch (error) {
      if (!job.isDropped) return this.#outcomes.failed(job, error, this.#options.tracing.chunk(job));
    }
    this.#jobs.delete(handle);
    if (read !== null && this.#takesChunks && !job.isDropped && job.isHeld) {
      this.#queue.push(read);
      return this.#pumpSoon();
    }
    this.#local.leave(handle);
    this.#engine.release([chunk]);
    this.#look();
  }

  #pump() {
    const { clock } = this.#options;
    while (this.#state === 'running') {
      const chunk = this.#queue[0];
      if (chunk === undefined || !this.#hasPlaceFor(chunk)) return;
      const nowMs = clock.monotonicMs();
      if (this.#share.isOver(nowMs)) return this.#pumpSoon();
      this.#queue.shift();
      // The next callback may block: nothing that is done must wait for it.
      if (nowMs - this.#flushedMs > FLUSH_MS) this.#flush(nowMs);
      this.#start(chunk, nowMs);
    }
  }

  #hasPlaceFor({ submission }: HeldChunk): boolean {
    const { concurrency, ops } = this.demand;
    if (this.#computing >= concurrency) return false;
    return ops === null || this.#opsComputing < opsOpenMax(ops, opsOf(submission));
  }

  #flush(nowMs: number) {
    this.#flushedMs = nowMs;
    this.#engine.flush();
  }

  #start(chunk: HeldChunk, startMs: number) {
    const job = new ChunkJob(chunk);
    const span = this.#options.tracing.chunk(job);
    this.#jobs.set(chunk.handle, job);
    job.hasBegun = true;
    this.#computing++;
    this.#opsComputing += opsOf(job.held.submission);
    let output: Uint8Array | Promise<Uint8Array>;
    try {
      output = span.run(() => this.#options.processor(chunk.input ?? new Uint8Array(), job));
    } catch (error) {
      this.#left(job);
      return this.#outcomes.failed(job, error, span);
    }
    if (isUint8Array(output)) {
      this.#left(job);
      return this.#outcomes.completed(job, output, this.#options.clock.monotonicMs() - startMs, span);
    }
    output.then(
      (bytes) => {
        this.#left(job);
        this.#outcomes.completed(job, bytes, this.#options.clock.monotonicMs() - startMs, span);
        this.#pumpSoon();
      },
      (error: unknown) => {
        this.#left(job);
        this.#outcomes.failed(job, error, span);
        if (isTimeout(error)) job.interrupt(error);
        this.#pumpSoon();
      },
    );
  }

  #left({ held: { submission } }: ChunkJob): void {
    this.#computing--;
    this.#opsComputing -= opsOf(submission);
  }
}
