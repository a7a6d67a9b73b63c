import { IncorrectUsageError, OpsqueueError } from '../model/errors.ts';
import { CHUNKS_PER_ANSWER_MAX } from '../model/limits.ts';
import type { Strategy } from '../model/strategy.ts';
import { messageOf } from '../model/thrown.ts';
import type { Engine } from './engine.ts';
import { failureText } from './failure-text.ts';
import type { Handle, HeldChunk } from './messages.ts';
import { checkInteger, checkStrategy, show } from './options.ts';
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
  readonly #cancels = new Set<(reason: unknown) => void>();
  readonly #settling = new Set<Promise<unknown>>();

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  async reserve(
    max: number,
    strategy: Strategy | undefined,
    signal: AbortSignal | undefined,
  ): Promise<ReservedChunk[]> {
    checkInteger('max', max, 1, CHUNKS_PER_ANSWER_MAX);
    const checked = checkStrategy(strategy);
    for (;;) {
      signal?.throwIfAborted();
      const held = await this.#reserveOnce(max, checked, signal);
      const chunks = await Promise.all(held.map((chunk) => this.#withInput(chunk)));
      const readable = chunks.filter((chunk) => chunk !== null);
      // What could not be read has failed; as long as nothing else came, wait on.
      if (readable.length > 0) return readable;
    }
  }

  async complete(chunk: ChunkReference, output: Uint8Array): Promise<void> {
    const id = checkReference(chunk);
    if (!(output instanceof Uint8Array)) {
      throw new IncorrectUsageError(`the output of a chunk must be a Uint8Array: it is ${show(output)}`);
    }
    const handle = this.#takeHandle(chunk);
    const bodies = this.#engine.localBodies;
    const prefix = chunk.submissionPrefix;
    const result = { countsUnheld: true, handle, chunk: id, prefix, compression: null, computeMs: null };
    if (bodies === null || prefix === null) {
      // A copy: sending it moves it to the other thread, and it is the caller's.
      return this.#send({ kind: 'complete', result: { ...result, body: new Uint8Array(output) } });
    }
    const address = { prefix, chunkIndex: chunk.chunkIndex };
    try {
      await bodies.write(address, output, null, new AbortController().signal);
    } catch (error) {
      await this.#sendFailure(handle, id, error, {});
      throw new ChunkNotCompletedError(messageOf(error));
    }
    return this.#send({ kind: 'complete', result: { ...result, body: null } });
  }

  async fail(
    chunk: ChunkReference,
    failure: unknown,
    options: { readonly retryable?: boolean | undefined; readonly delayMs?: number | undefined },
  ): Promise<void> {
    const id = checkReference(chunk);
    checkInteger('delayMs', options.delayMs ?? 0, 0, Number.MAX_SAFE_INTEGER);
    await this.#sendFailure(this.#takeHandle(chunk), id, failure, options);
  }

  release(chunk: ChunkReference): void {
    checkReference(chunk);
    this.#engine.release([this.#takeHandle(chunk)]);
  }

  /** Ends every call that waits for chunks. */
  cancelAll(reason: unknown): void {
    for (const cancel of [...this.#cancels]) cancel(reason);
  }

  /** Resolves when all results are told. */
  async settled(): Promise<void> {
    await Promise.allSettled([...this.#settling]);
  }

  #reserveOnce(
    max: number,
    strategy: Strategy,
    signal: AbortSignal | undefined,
  ): Promise<readonly HeldChunk[]> {
    return new Promise((resolve, reject) => {
      const done = () => {
        this.#cancels.delete(cancel);
        signal?.removeEventListener('abort', onAbort);
      };
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
      const cancel = (reason: unknown) => {
        done();
        this.#engine.cancelReserve(request);
        reject(reason);
      };
      const onAbort = () => cancel(signal?.reason);
      this.#cancels.add(cancel);
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  async #withInput(held: HeldChunk): Promise<ReservedChunk | null> {
    const { handle, chunk, submission, retries } = held;
    let { input } = held;
    const bodies = this.#engine.localBodies;
    if (input === null && bodies !== null && submission.prefix !== null) {
      try {
        const address = { prefix: submission.prefix, chunkIndex: chunk.chunkIndex };
        input = (await bodies.read(address, new AbortController().signal)).content;
      } catch (error) {
        await this.#sendFailure(handle, chunk, error, {});
        return null;
      }
    }
    this.#handles.set(`${chunk.submissionId}/${chunk.chunkIndex}`, handle);
    return {
      ...chunk,
      submissionPrefix: submission.prefix,
      submission,
      retries,
      input: input ?? new Uint8Array(),
    };
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
  ): Promise<void> {
    const text = typeof failure === 'string' ? failure : failureText(failure);
    await this.#send({ kind: 'fail', handle, chunk, failure: text, retryable, delayMs });
  }

  async #send(command: Parameters<Engine['sendAndWait']>[0]): Promise<void> {
    const settled = this.#engine.sendAndWait(command);
    this.#settling.add(settled);
    const error = await settled.finally(() => this.#settling.delete(settled));
    if (error !== null) throw new ChunkNotCompletedError(error);
  }
}

function checkReference(chunk: ChunkReference): HeldChunk['chunk'] {
  const { submissionId, chunkIndex, submissionPrefix } = chunk;
  if (typeof submissionId !== 'bigint') {
    throw new IncorrectUsageError(`submissionId must be a bigint: it is ${show(submissionId)}`);
  }
  if (submissionPrefix !== null && typeof submissionPrefix !== 'string') {
    throw new IncorrectUsageError(`submissionPrefix must be a text or null: it is ${show(submissionPrefix)}`);
  }
  checkInteger('chunkIndex', chunkIndex, 0, Number.MAX_SAFE_INTEGER);
  return { submissionId, chunkIndex };
}
