import { ClientClosedError, type OpsqueueError } from '../../model/errors.ts';
import { isUint8Array } from '../../model/kinds.ts';
import { traceOf } from '../../model/thrown.ts';
import type { Clock } from '../../system/clock.ts';
import { oncePerTurn } from '../../system/end-of-turn.ts';
import type { Logger } from '../../system/logger.ts';
import { Semaphore } from '../../system/semaphore.ts';
import { EventLoopShare } from '../../system/yield.ts';
import type { Engine, FeedOwner, ReportCommand } from '../engine.ts';
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
import { ChunkJob } from './job.ts';
import type { Processor } from './processor.ts';
import type { ChunkSpan, RunTracing } from './tracing.ts';
import { verdictOf } from './verdict.ts';

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
  readonly tracing: RunTracing;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Runs the callback for the chunks that the transport hands over, on the calling thread.
 *
 *     running --stop--> stopping (what runs is finished) --everything told--> over
 *       any --abandon, failed--> over
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
  readonly #local: LocalTransfers | null;
  readonly #share: EventLoopShare;
  readonly #pumpSoon: () => void;
  /** Chunks in the callback, and their operations as far as their submissions tell. */
  #computing = 0;
  #opsComputing = 0;
  /** Results on their way whose receipt is waited for. */
  #sending = 0;
  #state: 'running' | 'stopping' | 'over' = 'running';
  #transportEnded = false;
  #flushedMs = 0;
  #finish: (outcome: { readonly error: unknown } | null) => void = () => {};

  constructor(options: ChunkRunParts) {
    this.#options = options;
    this.#engine = options.engine;
    this.demand = options.demand;
    this.#local =
      options.engine.localBodies === null ? null : new LocalTransfers(options.demand.memoryBytesMax);
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
    const unstarted = this.#queue.splice(0);
    for (const [handle, job] of this.#jobs) {
      if (job.hasBegun) continue;
      // It is still being read, and that may take for ever.
      job.drop('abandoned');
      this.#jobs.delete(handle);
      unstarted.push(job.held);
    }
    this.#engine.release(unstarted);
    this.#engine.stopFeed(this.#id);
    this.#endIfDone();
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
    return { submission: String(submissionId), chunk: chunkIndex, tookMs: Math.round(tookMs), running };
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
    if (this.#state !== 'running') return this.#engine.release(chunks);
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
    this.#engine.release(this.#queue.splice(at, 1));
  }

  crashed(): void {
    this.#queue.length = 0;
    for (const job of this.#jobs.values()) job.isHeld = false;
  }

  ended(): void {
    this.#transportEnded = true;
    this.#endIfDone();
  }

  failed(error: OpsqueueError) {
    if (this.#state === 'stopping' && error instanceof ClientClosedError) return this.#end(null);
    this.abandon(error);
  }

  #endIfDone(): void {
    if (this.#state !== 'stopping' || !this.#transportEnded) return;
    if (this.#jobs.size === 0 && this.#sending === 0) this.#end(null);
  }

  #end(outcome: { readonly error: unknown } | null): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#options.watch.stop();
    this.#engine.forgetFeed(this.#id);
    this.#finish(outcome);
  }

  /** Reads a chunk that only this thread can read. */
  async #readHere(chunk: HeldChunk): Promise<void> {
    const bodies = this.#engine.localBodies;
    const { handle, submission } = chunk;
    const job = new ChunkJob(chunk);
    this.#jobs.set(handle, job);
    let input: HeldChunk | null = null;
    try {
      if (bodies === null || submission.prefix === null)
        throw new Error('the chunk came without its content');
      await this.#local?.enter();
      const address = { prefix: submission.prefix, chunkIndex: chunk.chunk.chunkIndex };
      const { content, times } = await bodies.read(address, job.signal);
      this.#local?.hold(handle, content.length);
      input = { ...chunk, input: content, download: times };
    } catch (error) {
      this.#local?.leave(handle);
      if (!job.isDropped) return this.#fail(job, error, this.#options.tracing.chunk(job));
    }
    this.#jobs.delete(handle);
    if (input === null || this.#state !== 'running' || job.isDropped || !job.isHeld) {
      this.#local?.leave(handle);
      this.#engine.release([chunk]);
      return this.#endIfDone();
    }
    this.#queue.push(input);
    this.#pumpSoon();
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
    this.#opsComputing += opsOf(job.submission);
    let output: Uint8Array | Promise<Uint8Array>;
    try {
      output = span.run(() => this.#options.processor(chunk.input ?? new Uint8Array(), job));
    } catch (error) {
      this.#left(job);
      return this.#fail(job, error, span);
    }
    if (isUint8Array(output)) {
      this.#left(job);
      return this.#complete(job, output, this.#options.clock.monotonicMs() - startMs, span);
    }
    output.then(
      (bytes) => {
        this.#left(job);
        this.#complete(job, bytes, this.#options.clock.monotonicMs() - startMs, span);
        this.#pumpSoon();
      },
      (error: unknown) => {
        this.#left(job);
        this.#fail(job, error, span);
        if (isTimeout(error)) job.interrupt(error);
        this.#pumpSoon();
      },
    );
  }

  #left({ submission }: ChunkJob): void {
    this.#computing--;
    this.#opsComputing -= opsOf(submission);
  }

  #complete(job: ChunkJob, output: Uint8Array, computeMs: number, span: ChunkSpan) {
    span.computed(null);
    if (this.#isUnwanted(job, span)) return;
    const { prefix } = job.submission;
    if (this.#engine.localBodies === null || prefix === null) return this.#send(job, output, computeMs, span);
    const address = { prefix, chunkIndex: job.chunkIndex };
    this.#local?.hold(job.held.handle, output.length);
    this.#engine.localBodies.write(address, output, this.demand.compression, job.signal).then(
      (times) => {
        span.uploaded(times);
        if (!this.#isUnwanted(job, span)) this.#send(job, null, computeMs, span);
      },
      (error: unknown) => this.#fail(job, error, span),
    );
  }

  #send(job: ChunkJob, body: Uint8Array | null, computeMs: number, span: ChunkSpan): void {
    this.#jobs.delete(job.held.handle);
    this.#local?.leave(job.held.handle);
    const { chunk, handle } = job.held;
    const { prefix } = job.submission;
    const { compression } = this.demand;
    // What is not held any more counts by its name.
    const name = { chunk, handle: job.isHeld ? handle : null };
    const result = { ...name, prefix, body, compression, computeMs };
    const command: ReportCommand = { kind: 'complete', result };
    if (job.isHeld && !span.isRecorded) this.#engine.report(command);
    else void this.#reportAndWait(command, span);
  }

  async #reportAndWait(command: ReportCommand, span: ChunkSpan): Promise<void> {
    this.#sending++;
    try {
      const { upload } = await this.#engine.reportAndWait(command, 'uploaded');
      span.uploaded(upload);
    } catch {
      // The engine ended, and with it this run.
      span.uploaded(null);
    }
    this.#sending--;
    this.#endIfDone();
  }

  #fail(job: ChunkJob, error: unknown, span: ChunkSpan): void {
    span.computed(error);
    if (this.#isUnwanted(job, span)) return;
    const { handle } = job.held;
    this.#jobs.delete(handle);
    this.#local?.leave(handle);
    const { submissionId, chunkIndex } = job;
    const failure = traceOf(error);
    this.#options.logger.warn(
      { submission: String(submissionId), chunk: chunkIndex, error: failure },
      'a chunk failed',
    );
    const { retryable, delayMs } = verdictOf(error) ?? { retryable: true, delayMs: 0 };
    if (job.isHeld) {
      const { chunk } = job.held;
      this.#engine.report({ kind: 'fail', failure: { handle, chunk, failure, retryable, delayMs } });
    }
    span.uploaded(null);
    this.#endIfDone();
  }

  /** Forgets a job whose result nobody wants. */
  #isUnwanted(job: ChunkJob, span: ChunkSpan): boolean {
    if (!job.isDropped && this.#state !== 'over') return false;
    this.#jobs.delete(job.held.handle);
    this.#local?.leave(job.held.handle);
    span.uploaded(null);
    this.#endIfDone();
    return true;
  }
}

/** Bounds the bytes of bodies that are read and written on the calling thread. */
class LocalTransfers {
  readonly #bytes: Semaphore;
  readonly #held = new Map<Handle, number>();

  constructor(bytesMax: number) {
    this.#bytes = new Semaphore(bytesMax);
  }

  /** Waits for room; how much it takes is known only when it is read. */
  enter(): Promise<void> | undefined {
    return this.#bytes.take(0);
  }

  /** The chunk now takes so many bytes. */
  hold(handle: Handle, bytes: number): void {
    this.#bytes.add(bytes - (this.#held.get(handle) ?? 0));
    this.#held.set(handle, bytes);
  }

  leave(handle: Handle): void {
    const bytes = this.#held.get(handle) ?? 0;
    this.#held.delete(handle);
    this.#bytes.give(bytes);
  }
}
