import { checkBoolean, checkInteger, mustBe } from '../model/check.ts';
import { IncorrectUsageError, OpsqueueError } from '../model/errors.ts';
import { type ChunkId, submissionIdOf } from '../model/ids.ts';
import { isUint8Array } from '../model/kinds.ts';
import { CHUNKS_PER_ANSWER_MAX, CHUNKS_PER_SUBMISSION_MAX } from '../model/limits.ts';
import type { Strategy } from '../model/strategy.ts';
import { submissionInfoOf } from '../model/submission.ts';
import { messageOf, traceOf } from '../model/thrown.ts';
import { linkedSignal, orAborted } from '../system/async/abort-signals.ts';
import { NoObjectStoreError } from './content/bodies.ts';
import { type ChunkFormat, checkedValues, formatFor } from './content/format.ts';
import type { Engine, ReportCommand } from './engine.ts';
import { strategyOf } from './options.ts';
import type { ConsumerParts } from './parts.ts';
import { decode, encode } from './run/processor.ts';
import { verdictOf } from './run/verdict.ts';
import type { ChunkName, HeldChunk } from './thread/protocol.ts';
import type {
  ChunkReference,
  CompleteOptions,
  FailOptions,
  RawReservedChunk,
  ReservedChunk,
  ReserveOptions,
} from './types.ts';

/** The body of a result could not be uploaded, so the chunk has failed. */
export class ChunkNotCompletedError extends OpsqueueError {
  constructor(message: string) {
    super('CHUNK_NOT_COMPLETED', message);
  }
}

export type ManualParts = Pick<ConsumerParts, 'engine' | 'contract' | 'isContractGiven'>;

/** How the operations of a chunk were read. */
interface Read {
  readonly format: ChunkFormat;
  readonly ops: number;
}

/** Chunks that are reserved, completed and failed by hand. */
export class ManualChunks {
  readonly #parts: ManualParts;
  readonly #engine: Engine;
  /** Of chunks that were reserved here: their results are written alike. */
  readonly #reads = new WeakMap<ChunkReference, Read>();
  /** Calls that have not ended. */
  readonly #calls = new Set<Promise<unknown>>();
  readonly #stopped = new AbortController();
  readonly #closed = new AbortController();

  constructor(parts: ManualParts) {
    this.#parts = parts;
    this.#engine = parts.engine;
  }

  reserve(options: ReserveOptions): Promise<(ReservedChunk | RawReservedChunk)[]> {
    return this.#during(this.#reserve(options));
  }

  complete(
    chunk: ChunkReference,
    results: readonly unknown[] | Uint8Array,
    options: CompleteOptions,
  ): Promise<void> {
    return this.#during(this.#complete(chunk, results, options));
  }

  async fail(chunk: ChunkReference, failure: unknown, options: FailOptions): Promise<void> {
    const id = checkReference(chunk);
    checkInteger('delayMs', options.delayMs ?? 0, 0, Number.MAX_SAFE_INTEGER);
    checkBoolean('retryable', options.retryable ?? true);
    await this.#during(this.#sendFailure({ chunk: id, handle: null }, failure, options));
  }

  release(chunk: ChunkReference): void {
    this.#engine.release([{ chunk: checkReference(chunk), handle: null }]);
  }

  /** Ends every call that waits for chunks. */
  stop(reason: unknown): void {
    this.#stopped.abort(reason);
  }

  /** Ends every call, uploads included. */
  close(reason: unknown): void {
    this.#stopped.abort(reason);
    this.#closed.abort(reason);
  }

  /** Resolves when every call has ended. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#calls]);
  }

  async #during<T>(call: Promise<T>): Promise<T> {
    this.#calls.add(call);
    try {
      return await call;
    } finally {
      this.#calls.delete(call);
    }
  }

  async #reserve({
    max = 1,
    strategy,
    codec,
    raw = false,
    signal,
  }: ReserveOptions): Promise<(ReservedChunk | RawReservedChunk)[]> {
    checkInteger('max', max, 1, CHUNKS_PER_ANSWER_MAX);
    checkBoolean('raw', raw);
    const checked = strategyOf(strategy);
    const format = formatFor(this.#parts, codec);
    using linked = linkedSignal(signal, this.#stopped.signal);
    for (;;) {
      linked.signal.throwIfAborted();
      const held = await this.#reserveOnce(max, checked, linked.signal);
      const chunks = await this.#withContents(held, raw ? null : format, linked.signal);
      // What could not be read has failed; as long as nothing else came, wait on.
      if (chunks.length > 0) return chunks;
    }
  }

  #reserveOnce(max: number, strategy: Strategy, signal: AbortSignal): Promise<readonly HeldChunk[]> {
    const engine = this.#engine;
    const reserved = Promise.withResolvers<readonly HeldChunk[]>();
    const onAbort = () => {
      engine.stopFeed(feed);
      end();
      reserved.reject(signal.reason);
    };
    const end = () => {
      signal.removeEventListener('abort', onAbort);
      engine.forgetFeed(feed);
    };
    signal.addEventListener('abort', onAbort, { once: true });
    const feed = engine.startFeed({
      isStopping: false,
      isPaused: false,
      start: (id) => ({ kind: 'reserve', feed: id, max, strategy }),
      ready: (chunks) => {
        end();
        reserved.resolve(chunks);
      },
      failed: (error) => {
        signal.removeEventListener('abort', onAbort);
        reserved.reject(error);
      },
      // Nothing is lost: it reserves again, and what the caller has he names.
      lost() {},
      waits() {},
      crashed() {},
      ended() {},
    });
    return reserved.promise;
  }

  /** Without those that could not be read. With the signal all of them go back, whatever their reads do. */
  async #withContents(
    held: readonly HeldChunk[],
    format: ChunkFormat | null,
    signal: AbortSignal,
  ): Promise<(ReservedChunk | RawReservedChunk)[]> {
    const reads = Promise.all(held.map((chunk) => this.#content(chunk, format, signal)));
    try {
      return (await orAborted(reads, signal)).filter((chunk) => chunk !== null);
    } catch (error) {
      this.#engine.release(held);
      throw error;
    }
  }

  /** null: it could not be read or decoded, and the chunk has failed. */
  async #content(
    held: HeldChunk,
    format: ChunkFormat | null,
    signal: AbortSignal,
  ): Promise<ReservedChunk | RawReservedChunk | null> {
    const { chunk, submission, retries } = held;
    const place = {
      submissionId: String(chunk.submissionId),
      chunkIndex: chunk.chunkIndex,
      submission: submissionInfoOf(submission),
    };
    const known = { ...place, submissionPrefix: submission.prefix, retries };
    try {
      const input = await this.#input(held, signal);
      if (format === null) return { ...known, input };
      const decoded = decode(format.codec, input, place);
      const ops = await checkedValues('operation', format.operation, decoded, place);
      const reserved = { ...known, ops };
      this.#reads.set(reserved, { format, ops: ops.length });
      return reserved;
    } catch (error) {
      const retryable = verdictOf(error)?.retryable ?? true;
      if (!signal.aborted) await this.#sendFailure(held, error, { retryable });
      return null;
    }
  }

  async #input({ chunk, submission, input }: HeldChunk, signal: AbortSignal): Promise<Uint8Array> {
    const bodies = this.#engine.localBodies;
    if (input !== null) return input;
    if (bodies === null || submission.prefix === null) throw new NoObjectStoreError();
    const address = { prefix: submission.prefix, chunkIndex: chunk.chunkIndex };
    return (await bodies.read(address, signal)).content;
  }

  async #complete(
    chunk: ChunkReference,
    results: readonly unknown[] | Uint8Array,
    options: CompleteOptions,
  ): Promise<void> {
    const id = checkReference(chunk);
    if (!isUint8Array(results) && !Array.isArray(results)) {
      throw mustBe('the results of a chunk', 'an array or a Uint8Array', results);
    }
    // The bytes are the caller's, who may use them again at once.
    const body = isUint8Array(results)
      ? new Uint8Array(results)
      : await this.#encoded(chunk, results, options);
    const bodies = this.#engine.localBodies;
    const prefix = chunk.submissionPrefix;
    const result = { handle: null, chunk: id, prefix, compression: null, computeMs: null };
    if (bodies === null || prefix === null)
      return this.#report({ kind: 'complete', result: { ...result, body } });
    const { signal } = this.#closed;
    try {
      await orAborted(bodies.write({ prefix, chunkIndex: id.chunkIndex }, body, null, signal), signal);
    } catch (error) {
      signal.throwIfAborted();
      await this.#sendFailure({ chunk: id, handle: null }, error, {});
      throw new ChunkNotCompletedError(messageOf(error));
    }
    return this.#report({ kind: 'complete', result: { ...result, body: null } });
  }

  /** @throws IncorrectUsageError for a wrong number of results, ContractViolationError, ResultsUnencodableError */
  async #encoded(chunk: ChunkReference, results: unknown[], { codec }: CompleteOptions): Promise<Uint8Array> {
    const read = this.#reads.get(chunk);
    const format = read !== undefined && codec === undefined ? read.format : formatFor(this.#parts, codec);
    if (read !== undefined && results.length !== read.ops) {
      throw new IncorrectUsageError(
        `the results of a chunk must be as many as its ${read.ops} operations, got ${results.length}`,
      );
    }
    const place = { submissionId: String(chunk.submissionId), chunkIndex: chunk.chunkIndex };
    return encode(format.codec, await checkedValues('result', format.result, results, place), place, true);
  }

  async #sendFailure(
    { handle, chunk }: ChunkName,
    failure: unknown,
    { retryable = true, delayMs = 0 }: FailOptions,
  ): Promise<void> {
    const text = typeof failure === 'string' ? failure : traceOf(failure);
    await this.#report({ kind: 'fail', failure: { handle, chunk, failure: text, retryable, delayMs } });
  }

  async #report(command: ReportCommand): Promise<void> {
    const { error } = await this.#engine.reportAndWait(command, 'sent');
    if (error !== null) throw new ChunkNotCompletedError(error);
  }
}

function checkReference(chunk: ChunkReference): ChunkId {
  if (typeof chunk !== 'object' || chunk === null) {
    throw mustBe('the chunk', 'a ChunkReference', chunk);
  }
  const { chunkIndex, submissionPrefix } = chunk;
  const submissionId = submissionIdOf(chunk.submissionId);
  if (submissionId === null) {
    throw mustBe('submissionId', 'a string of digits or a bigint, from 0 to 2^63 - 1', chunk.submissionId);
  }
  if (submissionPrefix !== null && typeof submissionPrefix !== 'string') {
    throw mustBe('submissionPrefix', 'a string or null', submissionPrefix);
  }
  checkInteger('chunkIndex', chunkIndex, 0, CHUNKS_PER_SUBMISSION_MAX - 1);
  return { submissionId, chunkIndex };
}
