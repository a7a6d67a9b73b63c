import { checkInteger } from '../model/check.ts';
import { ClientClosedError, IncorrectUsageError } from '../model/errors.ts';
import { isUrl } from '../model/kinds.ts';
import { FRAME_BYTES_MAX_DEFAULT } from '../model/limits.ts';
import { checkCallOptions } from '../model/option-names.ts';
import type { Strategy } from '../model/strategy.ts';
import { urlText } from '../model/url-text.ts';
import { queueRoute } from '../net/address/queue-route.ts';
import { parseQueueUrl } from '../net/address/queue-url.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { type Clock, systemClock } from '../system/clock.ts';
import { type Logger, loggerOf } from '../system/logger.ts';
import { systemRandom } from '../system/random.ts';
import { linkedSignal } from '../system/signals.ts';
import { ChunkBodies } from './bodies.ts';
import { Engine } from './engine.ts';
import { LazyStore } from './lazy-store.ts';
import { ManualChunks } from './manual-chunks.ts';
import * as names from './option-names.ts';
import {
  checkCallback,
  checkCodec,
  checkCodecName,
  checkDemand,
  checkModuleUrl,
  checkObjectStore,
  checkObjectStoreOptions,
  checkOnOpError,
  checkOpConcurrency,
  checkThreads,
  checkTransferLimits,
} from './options.ts';
import { checkPoolFile } from './pool/program.ts';
import type { CallbackShape } from './pool/protocol.ts';
import { CallbackWatch } from './run/callback-watch.ts';
import { OpLanes } from './run/op-batch.ts';
import { chunkProcessor, opProcessor, rawProcessor } from './run/processor.ts';
import { ChunkRun, type ChunkWork } from './run/run.ts';
import { RunTracing } from './run/tracing.ts';
import { logWhileStopping } from './stop-log.ts';
import { type StartTransport, TransportThread } from './thread/handle.ts';
import type { RunDemand } from './thread/protocol.ts';
import type {
  ChunkCallback,
  ChunkReference,
  ChunkRunOptions,
  ConsumerClientOptions,
  FailOptions,
  OpCallback,
  OpRunOptions,
  RawChunkCallback,
  ReservedChunk,
  ReserveOptions,
  RunOptions,
  StopOptions,
} from './types.ts';

/** A callback in a module. */
interface ModuleCallback {
  readonly shape: CallbackShape;
  readonly module: URL | string;
  readonly onOpError?: 'fail-chunk' | 'record';
}

/** Why a pool is not started any more: by `stop` its call resolves. */
const STOPPED = Symbol('stopped');

/** What a test may replace. */
export interface ConsumerParts {
  readonly clock: Clock;
  readonly startTransport: StartTransport;
}

/**
 * Works on chunks of operations. The connection to the queue is made on first use, in a thread of its own, and again
 * whenever it breaks: however long a callback blocks its thread, heartbeats are answered.
 */
export class ConsumerClient implements AsyncDisposable {
  readonly #engine: Engine;
  readonly #manual: ManualChunks;
  /** Opened, and to be closed, by this client. */
  readonly #ownStore: LazyStore | null;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #tracing = new RunTracing();
  readonly #runs = new Set<ChunkRun>();
  /** Pools of threads that load their module. */
  readonly #starting = new Set<Promise<unknown>>();
  /** Fires with `stop` (the reason is then STOPPED) and with `close`. */
  readonly #stopped = new AbortController();
  #ending: Promise<void> | null = null;
  #closing: Promise<void> | null = null;

  /**
   * @param url of the queue: `host` (port 3999), `host:port`, `ws(s)://...` or `http(s)://...`
   * @param objectStore where the chunks are: the same URL as the producer's, or an object store of one's own
   * @throws IncorrectUsageError for a URL or an option that makes no sense
   */
  constructor(
    url: string | URL,
    objectStore: string | URL | ObjectStore,
    options: ConsumerClientOptions = {},
    parts: Partial<ConsumerParts> = {},
  ) {
    checkCallOptions(options, names.CONSUMER_CLIENT);
    const queueUrl = urlText(url);
    const route = queueRoute(parseQueueUrl(queueUrl), options);
    const store = urlText(objectStore);
    checkObjectStore(store);
    const objectStoreOptions = checkObjectStoreOptions(options.objectStoreOptions ?? {});
    const { frameBytesMax = FRAME_BYTES_MAX_DEFAULT } = options;
    const transferLimits = checkTransferLimits(options);
    const clock = parts.clock ?? systemClock;
    const isRemote = typeof store === 'string' && TransportThread.canOpen(store);
    this.#ownStore =
      typeof store !== 'string' || isRemote ? null : new LazyStore(store, objectStoreOptions, clock);
    const localStore = typeof store === 'string' ? this.#ownStore : store;
    this.#clock = clock;
    this.#logger = loggerOf(options.logger);
    this.#engine = new Engine({
      setup: {
        queueUrl,
        queueRoute: route,
        objectStore: isRemote ? { url: store, options: objectStoreOptions } : null,
        frameBytesMax: checkInteger('frameBytesMax', frameBytesMax, 1_024, 2 ** 31 - 1),
        transferLimits,
      },
      localBodies: localStore === null ? null : new ChunkBodies(localStore, clock, transferLimits),
      startTransport:
        parts.startTransport ?? ((setup, listener) => new TransportThread(setup, listener, clock)),
      clock,
      random: systemRandom,
      logger: this.#logger,
    });
    this.#manual = new ManualChunks(this.#engine);
  }

  /**
   * Runs the callback for each operation of each chunk, for ever: until `stop`, `close` or the signal. A callback that
   * throws fails its chunk (see `onOpError`), which is tried again; throw NonRetryableError to fail the submission at
   * once, RetryLaterError to have it tried later. The operations of a chunk run one after the other.
   *
   * With the URL of a module instead of a function, its default export is called in `threads` threads.
   */
  async runEachOp<Op = unknown, Result = unknown>(
    callback: OpCallback<Op, Result> | URL | string,
    options: OpRunOptions = {},
  ): Promise<void> {
    checkCallOptions(options, names.RUN_OPS);
    const onOpError = checkOnOpError(options.onOpError);
    if (isModule(callback)) return this.#runModule({ shape: 'op', module: callback, onOpError }, options);
    checkCallback(callback, options);
    const codec = checkCodec(options.codec);
    const opConcurrency = checkOpConcurrency(options.opConcurrency);
    const demand = checkDemand(options, 0, opConcurrency);
    const watch = this.#watch(demand);
    const work = {
      callback: callback as OpCallback,
      isRecording: onOpError === 'record',
      watch,
      lanes: opConcurrency === null ? null : new OpLanes(opConcurrency),
    };
    return this.#run({ demand, watch, processor: opProcessor(work, codec) }, options.signal);
  }

  /** Like {@link runEachOp}, but the callback gets all operations of a chunk and answers as many results. */
  async runEachChunk<Op = unknown, Result = unknown>(
    callback: ChunkCallback<Op, Result> | URL | string,
    options: ChunkRunOptions = {},
  ): Promise<void> {
    refuseOfOperations(options);
    checkCallOptions(options, names.RUN_CHUNKS);
    if (isModule(callback)) return this.#runModule({ shape: 'chunk', module: callback }, options);
    checkCallback(callback, options);
    const demand = checkDemand(options, 0, null);
    const watch = this.#watch(demand);
    const processor = chunkProcessor(callback as ChunkCallback, checkCodec(options.codec), watch);
    return this.#run({ demand, watch, processor }, options.signal);
  }

  /** Like {@link runEachOp}, but the callback gets the bytes of a chunk and answers the bytes of its result. */
  async runEachChunkRaw(callback: RawChunkCallback | URL | string, options: RunOptions = {}): Promise<void> {
    checkCallOptions(options, names.CONSUMER_RUN);
    if (isModule(callback)) return this.#runModule({ shape: 'raw', module: callback }, options);
    checkCallback(callback, options);
    const demand = checkDemand(options, 0, null);
    const watch = this.#watch(demand);
    return this.#run({ demand, watch, processor: rawProcessor(callback, watch) }, options.signal);
  }

  /**
   * Reserves chunks by hand: waits until there is at least one, answers at most `max`. Each is then to be completed,
   * failed or released.
   *
   * @throws IncorrectUsageError if `max` is not an integer from 1 to 1000
   * @throws ReservationRefusedError if the queue refuses the strategy
   */
  async reserveChunks(max = 1, strategy?: Strategy, options: ReserveOptions = {}): Promise<ReservedChunk[]> {
    checkCallOptions(options, names.RESERVE);
    this.#assertOpen();
    return this.#manual.reserve(max, strategy, options.signal);
  }

  /**
   * Uploads the result and tells the queue; waits for a connection, if there is none. Rejects if it could not be
   * uploaded (the chunk has failed then), or with ClientClosedError if the client ends before the queue could be told.
   */
  async completeChunk(chunk: ChunkReference, output: Uint8Array): Promise<void> {
    this.#assertOpen();
    return this.#manual.complete(chunk, output);
  }

  /**
   * Counts as a try, unless the reservation is over; the text (or the error's stack) is what the producer gets to read
   * if it was the last one. Waits for a connection as `completeChunk` does.
   */
  async failChunk(chunk: ChunkReference, failure: unknown, options: FailOptions = {}): Promise<void> {
    checkCallOptions(options, names.FAIL);
    this.#assertOpen();
    return this.#manual.fail(chunk, failure, options);
  }

  /** Gives a chunk back: another consumer gets it, and it does not count as a try. */
  async releaseChunk(chunk: ChunkReference): Promise<void> {
    this.#assertOpen();
    this.#manual.release(chunk);
  }

  /** Whether the connection to the queue is up. False before the first use. */
  isHealthy(): boolean {
    return this.#engine.isConnected;
  }

  /**
   * Finishes the chunks that run, gives back those that are only reserved (uncounted), then ends the connection; the
   * calls of `runEach...` resolve. Chunks of `reserveChunks` that are not completed by then go back. Idempotent.
   *
   * @param options `graceMs`: how long to wait for what runs, in milliseconds; then the callbacks' signals fire, and their
   *   chunks go back as well, uncounted. Without it there is no limit but `callbackMsMax`. Also in a later call.
   */
  stop(options: StopOptions = {}): Promise<void> {
    checkCallOptions(options, names.STOP);
    const { graceMs } = options;
    if (graceMs !== undefined) checkInteger('graceMs', graceMs, 0, 2 ** 31 - 1);
    this.#ending ??= this.#finish();
    if (graceMs !== undefined) this.#giveUpAfter(graceMs, this.#ending);
    return this.#ending;
  }

  /** Abandons everything: callbacks' signals fire, calls that wait reject with ClientClosedError. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#shut();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** The callback is a module's default export, and runs in threads. */
  async #runModule(
    { shape, module, onOpError = 'fail-chunk' }: ModuleCallback,
    options: OpRunOptions,
  ): Promise<void> {
    const threads = checkThreads(options.threads, checkOpConcurrency(options.opConcurrency));
    const opConcurrency = checkOpConcurrency(options.opConcurrency, threads);
    const demand = checkDemand(options, threads, opConcurrency);
    const setup = {
      moduleUrl: checkModuleUrl(module),
      shape,
      codec: checkCodecName(options.codec),
      onOpError,
      opConcurrency: opConcurrency === null ? null : Math.floor(opConcurrency / threads),
      callbackMsMax: demand.callbackMsMax,
    };
    const watch = this.#watch(demand);
    this.#assertOpen();
    if (options.signal?.aborted) throw options.signal.reason;
    checkPoolFile();
    // Loaded on demand: most consumers need no pool.
    const { CallbackPool } = await import('./pool/handle.ts');
    using linked = linkedSignal(options.signal, this.#stopped.signal);
    const starting = CallbackPool.start(setup, threads, watch, linked.signal);
    this.#starting.add(starting);
    let pool: Awaited<typeof starting>;
    try {
      pool = await starting;
    } catch (error) {
      // Stopped before there was anything to stop: nothing is wrong with that.
      if (error === STOPPED) return;
      throw error;
    } finally {
      this.#starting.delete(starting);
    }
    try {
      const work = { demand, watch, processor: pool.processor };
      if (this.#stopped.signal.reason !== STOPPED) await this.#run(work, options.signal);
    } finally {
      await pool.close();
    }
  }

  #watch({ callbackMsMax }: RunDemand): CallbackWatch {
    return new CallbackWatch(this.#clock, callbackMsMax, () => this.#engine.beat());
  }

  async #run(work: ChunkWork, signal: AbortSignal | undefined): Promise<void> {
    this.#assertOpen();
    if (signal?.aborted) throw signal.reason;
    const run = new ChunkRun({
      ...work,
      engine: this.#engine,
      tracing: this.#tracing,
      clock: this.#clock,
      logger: this.#logger,
    });
    const onAbort = () => run.abandon(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#runs.add(run);
    try {
      await run.over;
    } finally {
      this.#runs.delete(run);
      signal?.removeEventListener('abort', onAbort);
    }
  }

  #assertOpen(): void {
    if (this.#ending !== null || this.#closing !== null) throw new ClientClosedError();
    if (this.#engine.fatal !== null) throw this.#engine.fatal;
  }

  async #finish(): Promise<void> {
    this.#stopped.abort(STOPPED);
    this.#manual.stop(new ClientClosedError());
    this.#engine.waitNoMore();
    const runs = [...this.#runs];
    for (const run of runs) run.stop();
    const log = logWhileStopping(this.#clock, this.#logger, runs);
    await Promise.allSettled([...this.#starting, ...runs.map((run) => run.over), this.#manual.settled()]);
    log.cancel();
    await this.close();
  }

  #giveUpAfter(graceMs: number, ending: Promise<void>): void {
    const timer = this.#clock.after(graceMs, () => {
      for (const run of [...this.#runs]) {
        const waiting = run.waitsFor;
        if (waiting !== null) {
          this.#logger.warn({ ...waiting, graceMs }, 'stop gives up a callback that has not finished');
        }
        run.giveUp();
      }
      // Whoever waits for the end hears of a failure.
      void this.close().catch(() => {});
    });
    const ended = () => timer.cancel();
    ending.then(ended, ended);
  }

  async #shut(): Promise<void> {
    const error = new ClientClosedError();
    this.#ending ??= this.#closing;
    this.#stopped.abort(error);
    for (const run of [...this.#runs]) run.abandon(error);
    this.#manual.close(error);
    await this.#engine.close(error);
    await this.#ownStore?.close();
  }
}

/** Options that have a meaning for single operations only, in words that say so. */
function refuseOfOperations({ onOpError, opConcurrency }: OpRunOptions): void {
  if (onOpError === 'record' || opConcurrency !== undefined) {
    const name = onOpError === 'record' ? "onOpError 'record'" : 'opConcurrency';
    throw new IncorrectUsageError(
      `${name} needs runEachOp: in runEachChunk the callback looks after its operations`,
    );
  }
}

function isModule(callback: unknown): callback is URL | string {
  return typeof callback === 'string' || isUrl(callback);
}
