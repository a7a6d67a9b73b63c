import { ClientClosedError, type OpsqueueError } from '../../model/errors.ts';
import { isUint8Array } from '../../model/kinds.ts';
import { traceOf } from '../../model/thrown.ts';
import type { Clock } from '../../system/clock.ts';
import { oncePerTurn } from '../../system/end-of-turn.ts';
import type { Logger } from '../../system/logger.ts';
import { Semaphore } from '../../system/semaphore.ts';
import { EventLoopShare } from '../../system/yield.ts';
import type { ChunkWorker, Engine } from '../engine.ts';
import {
  type Handle,
  type HeldChunk,
  type LossReason,
  opsOf,
  opsOpenMax,
  type RunDemand,
  type TransferTimes,
} from '../thread/protocol.ts';
import { type CallbackWatch, isTimeout } from './callback-watch.ts';
import { ChunkJob } from './job.ts';
import type { Processor } from './processor.ts';
import type { ChunkSpan, Tracing } from './tracing.ts';
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
  readonly tracing: Tracing;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Runs the callback for the chunks that the transport hands over, on the calling thread.
 *
 *     running --stop--> stopping (what runs is finished) --everything told--> over
 *       any --abandon, failed--> over
 */
export class ChunkRun implements ChunkWorker {
  readonly demand: RunDemand;
  /** Settles when the run is over. */
  readonly over: Promise<void>;
  readonly #options: ChunkRunParts;
  readonly #engine: Engine;
  readonly #id: number;
  readonly #queue: HeldChunk[] = [];
  /** Chunks in the callback, or in the object store on this thread. */
  readonly #jobs = new Map<Handle, ChunkJob>();
  /** Results on their way, with what traces them. */
  readonly #sent = new Map<Handle, ChunkSpan>();
  readonly #local: LocalTransfers | null;
  readonly #share: EventLoopShare;
  readonly #pumpSoon: () => void;
  /** Chunks in the callback, and their operations as far as their submissions tell. */
  #computing = 0;
  #opsComputing = 0;
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
    this.#id = this.#engine.startRun(this);
  }

  get isStopping(): boolean {
    return this.#state !== 'running';
  }

  /** Finishes what runs, gives back the rest. */
  stop(): void {
    if (this.#state !== 'running') return;
    this.#state = 'stopping';
    const unstarted = this.#queue.splice(0).map(({ handle }) => handle);
    for (const [handle, job] of this.#jobs) {
      if (job.hasBegun) continue;
      // It is still being read, and that may take for ever.
      job.drop('abandoned');
      this.#jobs.delete(handle);
      unstarted.push(handle);
    }
    this.#engine.release(unstarted);
    this.#engine.stopRun(this.#id);
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
    for (const job of this.#jobs.values()) job.drop('abandoned');
    this.#engine.release([...this.#queue.splice(0).map(({ handle }) => handle), ...this.#jobs.keys()]);
    this.#engine.stopRun(this.#id);
    this.#end(outcome);
  }

  ready(chunk: HeldChunk) {
    if (this.#state !== 'running') return this.#engine.release([chunk.handle]);
    if (chunk.input === null) return void this.#readHere(chunk);
    this.#queue.push(chunk);
    this.#pumpSoon();
  }

  lost(handle: Handle, reason: LossReason): void {
    const job = this.#jobs.get(handle);
    if (job !== undefined) {
      // Whoever completes a chunk, its work is done: neither a broken connection nor an expiry is a reason to stop.
      if (reason === 'disconnected' || (reason === 'expired' && job.hasBegun)) return;
      if (reason === 'given_back') job.isHeld = false;
      else job.drop(reason === 'expired' ? 'abandoned' : reason);
      this.#engine.disown(handle);
      return;
    }
    const at = this.#queue.findIndex((chunk) => chunk.handle === handle);
    if (at < 0) return;
    this.#queue.splice(at, 1);
    this.#engine.release([handle]);
  }

  settled(handle: Handle, upload: TransferTimes | null): void {
    const span = this.#sent.get(handle);
    if (span === undefined) {
      // The transport crashed: it will not know this handle when the result comes.
      const job = this.#jobs.get(handle);
      if (job !== undefined) job.isHeld = false;
      return;
    }
    this.#sent.delete(handle);
    span.uploaded(upload);
    this.#endIfDone();
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
    if (this.#jobs.size === 0 && this.#sent.size === 0) this.#end(null);
  }

  #end(outcome: { readonly error: unknown } | null): void {
    if (this.#state === 'over') return;
    this.#state = 'over';
    this.#options.watch.stop();
    for (const span of this.#sent.values()) span.uploaded(null);
    this.#sent.clear();
    this.#engine.forgetRun(this.#id);
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
      this.#engine.release([handle]);
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
    const handle = job.isHeld ? job.held.handle : this.#engine.newHandle();
    this.#sent.set(handle, span);
    const { prefix } = job.submission;
    const { compression } = this.demand;
    const { chunk } = job.held;
    const result = { isByHand: false, handle, chunk, prefix, body, compression, computeMs };
    this.#engine.send({ kind: 'complete', result }, this);
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
      this.#sent.set(handle, span);
      const { chunk } = job.held;
      const told = { handle, chunk, failure, retryable, delayMs, isByHand: false };
      this.#engine.send({ kind: 'fail', ...told }, this);
    } else span.uploaded(null);
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
