import {
  ClientClosedError,
  IncorrectUsageError,
  type OpsqueueError,
  ReservationRefusedError,
  TransportLostError,
} from '../model/errors.ts';
import type { Strategy } from '../model/strategy.ts';
import { Backoff } from '../system/backoff.ts';
import type { Clock, Timer } from '../system/clock.ts';
import type { Logger } from '../system/logger.ts';
import type { Random } from '../system/random.ts';
import type { ChunkBodies } from './bodies.ts';
import type { StartTransport, TransportHandle } from './thread/handle.ts';
import type {
  Command,
  Handle,
  HeldChunk,
  LossReason,
  RunDemand,
  TransferTimes,
  TransportEvent,
  TransportSetup,
} from './thread/protocol.ts';

/** A transport thread that ends more often than this before it ever reaches the queue is given up. */
const CRASHES_MAX = 5;
/** Handles of successive transport threads lie so far apart. */
const HANDLES_PER_THREAD = 2 ** 40;

export interface EngineOptions {
  readonly setup: Omit<TransportSetup, 'handleBase' | 'pulse'>;
  /** Reads and writes bodies on the calling thread, where the transport thread cannot; else null. */
  readonly localBodies: ChunkBodies | null;
  readonly startTransport: StartTransport;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** Whoever works on chunks: a run of one of the `runEach...`. */
export interface ChunkWorker {
  readonly demand: RunDemand;
  readonly isStopping: boolean;
  /** A chunk to work on. */
  ready(chunk: HeldChunk): void;
  lost(handle: Handle, reason: LossReason): void;
  settled(handle: Handle, upload: TransferTimes | null): void;
  /** The transport holds nothing of this run any more. */
  ended(): void;
  /** It cannot go on. */
  failed(error: OpsqueueError): void;
}

/** Waits for chunks, once. */
export interface ReservationWaiter {
  readonly max: number;
  readonly strategy: Strategy;
  reserved(chunks: readonly HeldChunk[]): void;
  failed(error: OpsqueueError): void;
}

/**
 * The calling thread's side of a consumer: starts the transport thread on first use, starts it again if it crashes,
 * and brings its events to whom they concern.
 */
export class Engine {
  readonly localBodies: ChunkBodies | null;
  readonly #options: EngineOptions;
  readonly #backoff: Backoff;
  readonly #runs = new Map<number, ChunkWorker>();
  readonly #requests = new Map<number, ReservationWaiter>();
  /** Whom the events of a chunk concern; null: nobody. */
  readonly #owners = new Map<Handle, ChunkWorker>();
  readonly #settling = new Map<Handle, PromiseWithResolvers<string | null>>();
  readonly #pulse = new Int32Array(new SharedArrayBuffer(4));
  #thread: TransportHandle | null = null;
  #restart: Timer | null = null;
  #isConnected = false;
  #closed: OpsqueueError | null = null;
  #fatal: OpsqueueError | null = null;
  #waitsNoMore = false;
  #threads = 0;
  #crashes = 0;
  #nextId = 1;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.localBodies = options.localBodies;
    this.#backoff = new Backoff(options.random);
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** The error that ended it for good. */
  get fatal(): OpsqueueError | null {
    return this.#fatal;
  }

  /** Why nothing goes any more. */
  get #ended(): OpsqueueError | null {
    return this.#closed ?? this.#fatal;
  }

  get runs(): readonly ChunkWorker[] {
    return [...this.#runs.values()];
  }

  startRun(worker: ChunkWorker): number {
    const run = this.#nextId++;
    this.#runs.set(run, worker);
    this.#post({ kind: 'run', run, demand: worker.demand });
    this.#keepAlive();
    return run;
  }

  stopRun(run: number) {
    if (this.#runs.has(run)) this.#post({ kind: 'run_stop', run });
  }

  /** The run is over. */
  forgetRun(run: number) {
    const worker = this.#runs.get(run);
    this.#runs.delete(run);
    for (const [handle, owner] of this.#owners) if (owner === worker) this.#owners.delete(handle);
    this.#keepAlive();
  }

  reserve(waiter: ReservationWaiter): number {
    const request = this.#nextId++;
    if (this.#ended !== null) {
      waiter.failed(this.#ended);
      return request;
    }
    this.#requests.set(request, waiter);
    this.#post({ kind: 'reserve', request, max: waiter.max, strategy: waiter.strategy });
    this.#keepAlive();
    return request;
  }

  cancelReserve(request: number) {
    if (!this.#requests.delete(request)) return;
    this.#post({ kind: 'reserve_cancel', request });
    this.#keepAlive();
  }

  /** A handle for a chunk that is not held. */
  newHandle(): Handle {
    return -this.#nextId++;
  }

  /** Sends a result or a failure of a run's chunk; the run hears of its end by `settled`. */
  send(command: Extract<Command, { kind: 'complete' | 'fail' }>, owner: ChunkWorker) {
    const handle = command.kind === 'complete' ? command.result.handle : command.handle;
    this.#owners.set(handle, owner);
    this.#post(command);
  }

  /**
   * Sends a result or a failure; resolves when the queue was told, with the text of what went wrong before. Rejects if
   * the engine is closed or gives up, also before.
   */
  sendAndWait(command: Extract<Command, { kind: 'complete' | 'fail' }>): Promise<string | null> {
    const handle = command.kind === 'complete' ? command.result.handle : command.handle;
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const settling = Promise.withResolvers<string | null>();
    this.#settling.set(handle, settling);
    this.#post(command);
    this.#keepAlive();
    return settling.promise;
  }

  /** What waits for a connection to be told rejects, now and from now on. */
  waitNoMore() {
    this.#waitsNoMore = true;
    this.#thread?.post({ kind: 'wait_no_more' });
  }

  /** Nothing will come of this handle any more: neither from the transport nor from its owner. */
  disown(handle: Handle) {
    this.#owners.delete(handle);
  }

  /** Counts, for tests and leak checks. */
  get counts(): { readonly owners: number } {
    return { owners: this.#owners.size };
  }

  release(handles: readonly Handle[]) {
    for (const handle of handles) this.#owners.delete(handle);
    if (handles.length > 0) this.#post({ kind: 'release', handles });
  }

  /** The calling thread is not stuck in a callback. */
  beat(): void {
    Atomics.add(this.#pulse, 0, 1);
  }

  flush() {
    this.#thread?.flush();
  }

  /** Ends the connection in good order and the thread. Runs are the caller's to end before. */
  async close(error: OpsqueueError): Promise<void> {
    this.#closed = error;
    this.#isConnected = false;
    this.#restart?.cancel();
    this.#failAll(error);
    await this.#thread?.close();
    this.#thread = null;
  }

  #post(command: Command) {
    if (this.#ended !== null) return;
    if (this.#thread === null && this.#restart === null) this.#startThread();
    // Without a thread it is told again by #resume, or it is of a chunk that is lost.
    this.#thread?.post(command);
  }

  #startThread() {
    const handleBase = this.#threads++ * HANDLES_PER_THREAD;
    const setup = { ...this.#options.setup, handleBase, pulse: this.#pulse };
    this.#thread = this.#options.startTransport(setup, {
      event: (event) => this.#event(event),
      crashed: (error) => this.#crashed(error),
    });
    if (this.#waitsNoMore) this.#thread.post({ kind: 'wait_no_more' });
  }

  #event(event: TransportEvent) {
    this.beat();
    switch (event.kind) {
      case 'connected':
        this.#isConnected = true;
        this.#crashes = 0;
        this.#backoff.reset();
        return;
      case 'disconnected':
        this.#isConnected = false;
        return;
      case 'ready':
        return this.#ready(event.run, event.chunk);
      case 'reserved': {
        const waiter = this.#requests.get(event.request);
        this.#requests.delete(event.request);
        if (waiter === undefined) this.release(event.chunks.map(({ handle }) => handle));
        else waiter.reserved(event.chunks);
        return this.#keepAlive();
      }
      case 'refused': {
        const error = new ReservationRefusedError(event.reason);
        if (event.of === 'run') this.#runs.get(event.id)?.failed(error);
        else this.#requests.get(event.id)?.failed(error);
        this.#requests.delete(event.id);
        return this.#keepAlive();
      }
      case 'lost':
        return this.#owners.get(event.handle)?.lost(event.handle, event.reason);
      case 'settled':
        return this.#settled(event.handle, event.error, event.upload);
      case 'untold':
        this.#settling.get(event.handle)?.reject(new ClientClosedError());
        this.#settling.delete(event.handle);
        return this.#keepAlive();
      case 'run_ended':
        return this.#runs.get(event.run)?.ended();
      case 'pulse':
        return;
      case 'log':
        return this.#options.logger[event.level](event.fields, event.message);
      case 'fatal':
        return this.#giveUp(
          event.code === 'INCORRECT_USAGE'
            ? new IncorrectUsageError(event.message)
            : new TransportLostError(event.message),
        );
      default:
        return event satisfies never;
    }
  }

  #ready(run: number, chunk: HeldChunk) {
    const worker = this.#runs.get(run);
    if (worker === undefined) return this.release([chunk.handle]);
    this.#owners.set(chunk.handle, worker);
    worker.ready(chunk);
  }

  #settled(handle: Handle, error: string | null, upload: TransferTimes | null): void {
    const owner = this.#owners.get(handle);
    this.#owners.delete(handle);
    owner?.settled(handle, upload);
    const settling = this.#settling.get(handle);
    if (settling === undefined) return;
    this.#settling.delete(handle);
    settling.resolve(error);
    this.#keepAlive();
  }

  #crashed(error: Error) {
    this.#thread = null;
    this.#isConnected = false;
    if (this.#ended !== null) return;
    const { logger, clock } = this.#options;
    logger.error({ error: error.message, stack: error.stack }, 'the transport thread of the consumer ended');
    const lost = `the transport thread ended before the queue was told: ${error.message}`;
    const owners = [...this.#owners];
    this.#owners.clear();
    for (const [handle, owner] of owners) {
      owner.lost(handle, 'disconnected');
      owner.settled(handle, null);
    }
    for (const { resolve } of this.#settling.values()) resolve(lost);
    this.#settling.clear();
    if (isNotInstalled(error)) {
      const text = `the transport thread cannot be loaded: ${error.message}`;
      return this.#giveUp(new TransportLostError(text, { cause: error }));
    }
    if (++this.#crashes > CRASHES_MAX) {
      const often = `the transport thread ended ${this.#crashes} times in a row; the last time: ${error.message}`;
      return this.#giveUp(new TransportLostError(often, { cause: error }));
    }
    this.#restart = clock.after(this.#backoff.nextMs(), () => {
      this.#restart = null;
      this.#resume();
    });
  }

  /** Tells a new thread what is wanted. */
  #resume(): void {
    if (this.#runs.size === 0 && this.#requests.size === 0) return;
    for (const [run, worker] of this.#runs) {
      this.#post(worker.isStopping ? { kind: 'run_stop', run } : { kind: 'run', run, demand: worker.demand });
    }
    for (const [request, { max, strategy }] of this.#requests) {
      this.#post({ kind: 'reserve', request, max, strategy });
    }
    this.#keepAlive();
  }

  #giveUp(error: OpsqueueError): void {
    this.#fatal = error;
    this.#isConnected = false;
    this.#failAll(error);
  }

  #failAll(error: OpsqueueError): void {
    for (const worker of this.#runs.values()) worker.failed(error);
    for (const waiter of this.#requests.values()) waiter.failed(error);
    this.#requests.clear();
    for (const { reject } of this.#settling.values()) reject(error);
    this.#settling.clear();
    this.#keepAlive();
  }

  #keepAlive(): void {
    this.#thread?.keepAlive(this.#runs.size > 0 || this.#requests.size > 0 || this.#settling.size > 0);
  }
}

/** A file or a package is missing: it will be the next time. */
function isNotInstalled(error: Error): boolean {
  return 'code' in error && (error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND');
}
