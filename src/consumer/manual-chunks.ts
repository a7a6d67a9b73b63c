import { checkBoolean, checkInteger, mustBe } from '../model/check.ts';
import { OpsqueueError } from '../model/errors.ts';
import { type ChunkId, SUBMISSION_ID_MAX } from '../model/ids.ts';
import { isUint8Array } from '../model/kinds.ts';
import { CHUNKS_PER_ANSWER_MAX, CHUNKS_PER_SUBMISSION_MAX } from '../model/limits.ts';
import type { Strategy } from '../model/strategy.ts';
import { messageOf, traceOf } from '../model/thrown.ts';
import { linkedSignal, orAborted } from '../system/signals.ts';
import type { Engine, ReportCommand } from './engine.ts';
import { checkStrategy } from './options.ts';
import type { ChunkName, HeldChunk } from './thread/protocol.ts';
import type { ChunkReference, FailOptions, ReservedChunk } from './types.ts';

/** The body of a result could not be uploaded, so the chunk has failed. */
export class ChunkNotCompletedError extends OpsqueueError {
  constructor(message: string) {
    super('CHUNK_NOT_COMPLETED', message);
  }
}

/** Chunks that are reserved, completed and failed by hand. */
export class ManualChunks {
  readonly #engine: Engine;
  /** Calls that have not ended. */
  readonly #calls = new Set<Promise<unknown>>();
  readonly #stopped = new AbortController();
  readonly #closed = new AbortController();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  reserve(
    max: number,
    strategy: Strategy | undefined,
    signal: AbortSignal | undefined,
  ): Promise<ReservedChunk[]> {
    return this.#during(this.#reserve(max, strategy, signal));
  }

  complete(chunk: ChunkReference, output: Uint8Array): Promise<void> {
    return this.#during(this.#complete(chunk, output));
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

  async #reserve(
    max: number,
    strategy: Strategy | undefined,
    signal: AbortSignal | undefined,
  ): Promise<ReservedChunk[]> {
    checkInteger('max', max, 1, CHUNKS_PER_ANSWER_MAX);
    const checked = checkStrategy(strategy);
    using linked = linkedSignal(signal, this.#stopped.signal);
    for (;;) {
      linked.signal.throwIfAborted();
      const held = await this.#reserveOnce(max, checked, linked.signal);
      const chunks = await this.#withInputs(held, linked.signal);
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
      crashed() {},
      ended() {},
    });
    return reserved.promise;
  }

  /** Without those that could not be read. With the signal all of them go back, whatever their reads do. */
  async #withInputs(held: readonly HeldChunk[], signal: AbortSignal): Promise<ReservedChunk[]> {
    const reads = Promise.all(held.map((chunk) => this.#input(chunk, signal)));
    let inputs: (Uint8Array | null)[];
    try {
      inputs = await orAborted(reads, signal);
    } catch (error) {
      this.#engine.release(held);
      throw error;
    }
    return held.flatMap(({ chunk, submission, retries }, index) => {
      const input = inputs[index];
      if (input === null || input === undefined) return [];
      return [{ ...chunk, submissionPrefix: submission.prefix, submission, retries, input }];
    });
  }

  /** null: it could not be read, and the chunk has failed. */
  async #input({ handle, chunk, submission, input }: HeldChunk, signal: AbortSignal) {
    const bodies = this.#engine.localBodies;
    if (input !== null || bodies === null || submission.prefix === null) return input ?? new Uint8Array();
    try {
      const address = { prefix: submission.prefix, chunkIndex: chunk.chunkIndex };
      return (await bodies.read(address, signal)).content;
    } catch (error) {
      if (!signal.aborted) await this.#sendFailure({ handle, chunk }, error, {});
      return null;
    }
  }

  async #complete(chunk: ChunkReference, output: Uint8Array): Promise<void> {
    const id = checkReference(chunk);
    if (!isUint8Array(output)) {
      throw mustBe('the output of a chunk', 'a Uint8Array', output);
    }
    const bodies = this.#engine.localBodies;
    const prefix = chunk.submissionPrefix;
    const result = { handle: null, chunk: id, prefix, compression: null, computeMs: null };
    // It is the caller's, who may use it again at once.
    const body = new Uint8Array(output);
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
  const { submissionId, chunkIndex, submissionPrefix } = chunk;
  if (typeof submissionId !== 'bigint' || submissionId < 0n || submissionId > SUBMISSION_ID_MAX) {
    throw mustBe('submissionId', `a bigint from 0 to ${SUBMISSION_ID_MAX}`, submissionId);
  }
  if (submissionPrefix !== null && typeof submissionPrefix !== 'string') {
    throw mustBe('submissionPrefix', 'a text or null', submissionPrefix);
  }
  checkInteger('chunkIndex', chunkIndex, 0, CHUNKS_PER_SUBMISSION_MAX - 1);
  return { submissionId, chunkIndex };
}
