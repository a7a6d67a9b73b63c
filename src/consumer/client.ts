import { EventEmitter } from 'node:events';
import type { Contract } from '../contract/contract.ts';
import { checkInteger } from '../model/check.ts';
import { ClientClosedError } from '../model/errors.ts';
import { checkCallOptions } from '../model/option-names.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { orAborted } from '../system/async/abort-signals.ts';
import type { ConsumerEvents } from './events.ts';
import { ManualChunks } from './manual-chunks.ts';
import * as names from './option-names.ts';
import { type ConsumerParts, consumerParts } from './parts.ts';
import { Calls } from './run/calls.ts';
import { Runs } from './run/runs.ts';
import type {
  ChunkCallback,
  ChunkCallbackOf,
  ChunkReference,
  ChunkRunOptions,
  CompleteOptions,
  ConnectOptions,
  ConsumerClientOptions,
  ConsumerStats,
  FailOptions,
  OpCallback,
  OpCallbackOf,
  OpRunOptions,
  RawChunkCallback,
  RawReservedChunk,
  RawReserveOptions,
  ReservedChunk,
  ReserveOptions,
  RunOptions,
  StopOptions,
} from './types.ts';

/**
 * Works on chunks of operations. The connection to the queue is made on first use, in a thread of its own, and again
 * whenever it breaks: however long a callback blocks its thread, heartbeats are answered.
 *
 * It is an EventEmitter with the events of {@link ConsumerEvents}. A listener that throws is logged, and hurts nothing else.
 *
 * @example
 * ```ts
 * const consumer = new ConsumerClient('localhost:3999', 's3://bucket/words');
 * process.once('SIGTERM', () => consumer.stop({ graceMs: 10_000 }));
 * consumer.on('chunkFailed', ({ failure }) => console.warn(failure));
 * await consumer.runEachOp((word: string) => word.toUpperCase());
 * ```
 * @typeParam Op - an operation as the callback gets it
 * @typeParam Result - a result as the callback returns it
 */
export class ConsumerClient<Op = unknown, Result = unknown>
  extends EventEmitter<ConsumerEvents>
  implements AsyncDisposable
{
  readonly #parts: ConsumerParts;
  readonly #calls: Calls;
  readonly #runs: Runs;
  readonly #manual: ManualChunks;
  #ending: Promise<void> | null = null;
  #closing: Promise<void> | null = null;

  /**
   * @param url of the queue: `host` (port 3999), `host:port`, `ws(s)://...` or `http(s)://...`; several addresses with commas
   *   between
   * @param contract what producers and consumers agree on, made by `defineContract`; or where the chunks are and no more: the
   *   same URL as the producer's, an ObjectStore of your own (which the client does not close), or null, if there are only direct
   *   submissions
   * @throws IncorrectUsageError for a URL or an option that makes no sense
   */
  constructor(
    url: string | URL,
    contract: Contract<never, unknown, Op, Result> | string | URL | ObjectStore | null,
    options: ConsumerClientOptions = {},
  ) {
    super();
    checkCallOptions(options, names.CONSUMER_CLIENT);
    this.#parts = consumerParts(url, contract, options, this as EventEmitter);
    this.#runs = new Runs(this.#parts);
    this.#calls = new Calls(this.#parts, this.#runs);
    this.#manual = new ManualChunks(this.#parts);
  }

  /**
   * Runs the callback for each operation of each chunk, for ever: until `stop`, `close`, `untilIdleMs` or the signal. A
   * callback that throws fails its chunk (see `onOpError`), which is tried again; throw NonRetryableError to fail the
   * submission at once, RetryLaterError to have it tried later. The operations of a chunk run one after the other, unless
   * there is an `opConcurrency`.
   *
   * With the URL of a module instead of a function, its default export is called in `threads` threads. If the client has a
   * contract with schemas or with a codec of your own, the module exports it as `contract`.
   *
   * @example
   * ```ts
   * await consumer.runEachOp(async (url: string, { signal }) => (await fetch(url, { signal })).text(), {
   *   opConcurrency: 100,
   *   onOpError: 'record',
   * });
   * ```
   */
  async runEachOp<GivenOp = Op, GivenResult = Result>(
    callback: OpCallbackOf<Op, Result, GivenOp, GivenResult> | URL | string,
    options: OpRunOptions = {},
  ): Promise<void> {
    this.#assertOpen();
    return this.#calls.eachOp(callback as OpCallback, options);
  }

  /**
   * Like {@link runEachOp}, but the callback gets all operations of a chunk and returns as many results.
   *
   * @example
   * ```ts
   * await consumer.runEachChunk((words: string[]) => words.map((word) => word.toUpperCase()));
   * ```
   */
  async runEachChunk<GivenOp = Op, GivenResult = Result>(
    callback: ChunkCallbackOf<Op, Result, GivenOp, GivenResult> | URL | string,
    options: ChunkRunOptions = {},
  ): Promise<void> {
    this.#assertOpen();
    return this.#calls.eachChunk(callback as ChunkCallback, options);
  }

  /**
   * Like {@link runEachOp}, but the callback gets the bytes of a chunk and returns the bytes of its result.
   *
   * @example
   * ```ts
   * await consumer.runEachChunkRaw((input) => gzipSync(input));
   * ```
   */
  async runEachChunkRaw(callback: RawChunkCallback | URL | string, options: RunOptions = {}): Promise<void> {
    this.#assertOpen();
    return this.#calls.eachChunkRaw(callback, options);
  }

  /**
   * Reserves chunks by hand: waits until there is at least one, returns at most `max`. Each is then to be completed,
   * failed or released. One whose content cannot be read or decoded fails, and is left out.
   *
   * @example
   * ```ts
   * for (const chunk of await consumer.reserveChunks({ max: 10 })) {
   *   await consumer.completeChunk(chunk, chunk.ops.map(work));
   * }
   * ```
   * @throws ReservationRefusedError if the queue refuses the strategy
   */
  async reserveChunks(options: RawReserveOptions): Promise<RawReservedChunk[]>;
  async reserveChunks(options?: ReserveOptions): Promise<ReservedChunk<Op>[]>;
  async reserveChunks(options: ReserveOptions = {}): Promise<(RawReservedChunk | ReservedChunk<Op>)[]> {
    checkCallOptions(options, names.RESERVE);
    this.#assertOpen();
    return this.#manual.reserve(options) as Promise<(RawReservedChunk | ReservedChunk<Op>)[]>;
  }

  /**
   * Uploads the results and reports them to the queue; waits for a connection, if there is none. Rejects if they could not be
   * uploaded (the chunk has failed then), or with ClientClosedError if the client ends before the queue could be reached.
   *
   * @param results as many as the chunk has operations; or the bytes of the result, as they are
   * @example
   * ```ts
   * await consumer.completeChunk(chunk, ['A', 'B']);
   * ```
   */
  async completeChunk(
    chunk: ChunkReference,
    results: readonly Result[] | Uint8Array,
    options: CompleteOptions = {},
  ): Promise<void> {
    checkCallOptions(options, names.COMPLETE);
    this.#assertOpen();
    return this.#manual.complete(chunk, results, options);
  }

  /**
   * Counts as a try, unless the reservation is over; the text (or the error's stack) is what the producer gets to read
   * if it was the last one. Waits for a connection as `completeChunk` does.
   *
   * @example
   * ```ts
   * await consumer.failChunk(chunk, new Error('the model is not loaded'), { delayMs: 10_000 });
   * ```
   */
  async failChunk(chunk: ChunkReference, failure: unknown, options: FailOptions = {}): Promise<void> {
    checkCallOptions(options, names.FAIL);
    this.#assertOpen();
    return this.#manual.fail(chunk, failure, options);
  }

  /**
   * Gives a chunk back: another consumer gets it, and it does not count as a try.
   *
   * @example
   * ```ts
   * await consumer.releaseChunk(chunk);
   * ```
   */
  async releaseChunk(chunk: ChunkReference): Promise<void> {
    this.#assertOpen();
    this.#manual.release(chunk);
  }

  /**
   * Connects to the queue, instead of with the first use; resolves as soon as there is a connection. While the queue
   * cannot be reached, it goes on trying.
   *
   * @example
   * ```ts
   * await consumer.connect({ signal: AbortSignal.timeout(10_000) });
   * ```
   * @throws ClientClosedError if the client is closed meanwhile
   */
  async connect(options: ConnectOptions = {}): Promise<void> {
    checkCallOptions(options, names.CONNECT);
    this.#assertOpen();
    options.signal?.throwIfAborted();
    const connected = this.#parts.engine.connect();
    return options.signal === undefined ? connected : orAborted(connected, options.signal);
  }

  /**
   * Takes no further chunks for the calls of `runEach...`, those that begin later as well, until `resume`. What runs is
   * finished, what is only reserved goes back, uncounted. Resolves when nothing runs.
   *
   * @example
   * ```ts
   * await consumer.pause();
   * await reloadModel();
   * consumer.resume();
   * ```
   */
  async pause(): Promise<void> {
    this.#assertOpen();
    return this.#runs.pause();
  }

  /**
   * Takes chunks again after `pause`.
   *
   * @example
   * ```ts
   * consumer.resume();
   * ```
   */
  resume(): void {
    this.#runs.resume();
  }

  /**
   * What the client is doing, and what it has done.
   *
   * @example
   * ```ts
   * const { chunksRunning, chunksCompleted } = consumer.stats();
   * ```
   */
  stats(): ConsumerStats {
    const { chunksCompleted, chunksFailed } = this.#parts.activity;
    const { chunksRunning, isPaused } = this.#runs;
    return { isConnected: this.isHealthy(), isPaused, chunksRunning, chunksCompleted, chunksFailed };
  }

  /**
   * Whether the connection to the queue is up. False before the first use.
   *
   * @example
   * ```ts
   * response.writeHead(consumer.isHealthy() ? 200 : 503).end();
   * ```
   */
  isHealthy(): boolean {
    return this.#parts.engine.isConnected;
  }

  /**
   * Finishes the chunks that run, gives back those that are only reserved (uncounted), then ends the connection; the
   * calls of `runEach...` resolve. Chunks of `reserveChunks` that are not completed by then go back. Idempotent.
   *
   * @param options `graceMs`: how long to wait for what runs, in milliseconds; then the callbacks' signals fire, and their
   *   chunks go back as well, uncounted. Without it there is no limit but `callbackMsMax`. Also in a later call.
   * @example
   * ```ts
   * process.once('SIGTERM', () => consumer.stop({ graceMs: 10_000 }));
   * ```
   */
  stop(options: StopOptions = {}): Promise<void> {
    checkCallOptions(options, names.STOP);
    const { graceMs } = options;
    if (graceMs !== undefined) checkInteger('graceMs', graceMs, 0, 2 ** 31 - 1);
    this.#ending ??= this.#finish();
    if (graceMs !== undefined) this.#giveUpAfter(graceMs, this.#ending);
    return this.#ending;
  }

  /**
   * Abandons everything: callbacks' signals fire, calls that wait reject with ClientClosedError. Idempotent.
   *
   * @example
   * ```ts
   * await consumer.close();
   * ```
   */
  close(): Promise<void> {
    this.#closing ??= this.#shut();
    return this.#closing;
  }

  /** `await using`: as {@link stop} does. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  #assertOpen(): void {
    if (this.#ending !== null || this.#closing !== null) throw new ClientClosedError();
    const { fatal } = this.#parts.engine;
    if (fatal !== null) throw fatal;
  }

  async #finish(): Promise<void> {
    this.#manual.stop(new ClientClosedError());
    this.#parts.engine.waitNoMore();
    await this.#runs.finish(() => this.#manual.settled());
    await this.close();
  }

  #giveUpAfter(graceMs: number, ending: Promise<void>): void {
    const timer = this.#parts.clock.after(graceMs, () => {
      this.#runs.giveUp(graceMs);
      // The caller of `stop` gets a failure.
      void this.close().catch(() => {});
    });
    const ended = () => timer.cancel();
    ending.then(ended, ended);
  }

  async #shut(): Promise<void> {
    const error = new ClientClosedError();
    this.#ending ??= this.#closing;
    this.#runs.abandon(error);
    this.#manual.close(error);
    await this.#parts.engine.close(error);
    await this.#parts.localStore?.close();
  }
}
