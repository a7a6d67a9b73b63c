import { checkBoolean, checkInteger, mustBe } from '../model/check.ts';
import { OpsqueueError } from '../model/errors.ts';
import { SUBMISSION_ID_MAX } from '../model/ids.ts';
import { isUint8Array } from '../model/kinds.ts';
import { CHUNKS_PER_ANSWER_MAX, CHUNKS_PER_SUBMISSION_MAX } from '../model/limits.ts';
import type { Strategy } from '../model/strategy.ts';
import { messageOf, traceOf } from '../model/thrown.ts';
import { linkedSignal, orAborted } from '../system/signals.ts';
import type { Engine } from './engine.ts';
import { checkStrategy } from './options.ts';
import type { Handle, HeldChunk } from './thread/protocol.ts';
import type { ChunkReference, ReservedChunk } from './types.ts';

/** The body of a result could not be uploaded, so the chunk has failed. */
export class ChunkNotCompletedError extends OpsqueueError {
  constructor(message: string) {
    super('CHUNK_NOT_COMPLETED', message);
  }
}

/** Chunks that are reserved, completed and failed by hand. */
export class ManualChunks {
  readonly #engine: Engine;
  /** Of chunks that were reserved here and have no result yet. */
  readonly #handles = new Map<string, Handle>();
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

  async fail(
    chunk: ChunkReference,
    failure: unknown,
    options: { readonly retryable?: boolean | undefined; readonly delayMs?: number | undefined },
  ): Promise<void> {
    const id = checkReference(chunk);
    checkInteger('delayMs', options.delayMs ?? 0, 0, Number.MAX_SAFE_INTEGER);
    checkBoolean('retryable', options.retryable ?? true);
    await this.#during(this.#sendFailure(this.#takeHandle(chunk), id, failure, options, true));
  }

  release(chunk: ChunkReference): void {
    checkReference(chunk);
    this.#engine.release([this.#takeHandle(chunk)]);
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
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        this.#engine.cancelReserve(request);
        reject(signal.reason);
      };
      const done = () => signal.removeEventListener('abort', onAbort);
      signal.addEventListener('abort', onAbort, { once: true });
      const request = this.#engine.reserve({
        max,
        strategy,
        reserved: (chunks) => {
          done();
          resolve(chunks);
        },
        failed: (error) => {
          done();
          reject(error);
        },
      });
    });
  }

  /** Without those that could not be read. With the signal all of them go back, whatever their reads do. */
  async #withInputs(held: readonly HeldChunk[], signal: AbortSignal): Promise<ReservedChunk[]> {
    const reads = Promise.all(held.map((chunk) => this.#input(chunk, signal)));
    let inputs: (Uint8Array | null)[];
    try {
      inputs = await orAborted(reads, signal);
    } catch (error) {
      this.#engine.release(held.map(({ handle }) => handle));
      throw error;
    }
    return held.flatMap(({ handle, chunk, submission, retries }, index) => {
      const input = inputs[index];
      if (input === null || input === undefined) return [];
      this.#handles.set(`${chunk.submissionId}/${chunk.chunkIndex}`, handle);
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
      if (!signal.aborted) await this.#sendFailure(handle, chunk, error, {}, false);
      return null;
    }
  }

  async #complete(chunk: ChunkReference, output: Uint8Array): Promise<void> {
    const id = checkReference(chunk);
    if (!isUint8Array(output)) {
      throw mustBe('the output of a chunk', 'a Uint8Array', output);
    }
    const handle = this.#takeHandle(chunk);
    const bodies = this.#engine.localBodies;
    const prefix = chunk.submissionPrefix;
    const result = { isByHand: true, handle, chunk: id, prefix, compression: null, computeMs: null };
    // It is the caller's, who may use it again at once.
    const body = new Uint8Array(output);
    if (bodies === null || prefix === null)
      return this.#send({ kind: 'complete', result: { ...result, body } });
    const { signal } = this.#closed;
    try {
      await orAborted(bodies.write({ prefix, chunkIndex: id.chunkIndex }, body, null, signal), signal);
    } catch (error) {
      signal.throwIfAborted();
      await this.#sendFailure(handle, id, error, {}, false);
      throw new ChunkNotCompletedError(messageOf(error));
    }
    return this.#send({ kind: 'complete', result: { ...result, body: null } });
  }

  #takeHandle({ submissionId, chunkIndex }: ChunkReference): Handle {
    const key = `${submissionId}/${chunkIndex}`;
    const handle = this.#handles.get(key);
    this.#handles.delete(key);
    return handle ?? this.#engine.newHandle();
  }

  async #sendFailure(
    handle: Handle,
    chunk: HeldChunk['chunk'],
    failure: unknown,
    {
      retryable = true,
      delayMs = 0,
    }: { readonly retryable?: boolean | undefined; readonly delayMs?: number | undefined },
    isByHand: boolean,
  ): Promise<void> {
    const text = typeof failure === 'string' ? failure : traceOf(failure);
    await this.#send({ kind: 'fail', handle, chunk, failure: text, retryable, delayMs, isByHand });
  }

  async #send(command: Parameters<Engine['sendAndWait']>[0]): Promise<void> {
    const error = await this.#engine.sendAndWait(command);
    if (error !== null) throw new ChunkNotCompletedError(error);
  }
}

function checkReference(chunk: ChunkReference): HeldChunk['chunk'] {
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
