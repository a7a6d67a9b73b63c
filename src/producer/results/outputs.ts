import { ChunkContentError, SubmissionForgottenError } from '../../model/errors.ts';
import type { ChunkIndex, SubmissionId } from '../../model/ids.ts';
import { isUint8Array } from '../../model/kinds.ts';
import type { SubmissionStatus } from '../../model/submission.ts';
import { messageOf } from '../../model/thrown.ts';
import type { BoundedStore } from '../../objects/bounded-store.ts';
import { ObjectStoreError, SAME_STORE } from '../../objects/errors.ts';
import { chunkKey } from '../../objects/keys.ts';
import { decompressChunk, isCompressedChunk } from '../../protocol/chunk/compression.ts';
import type { QueueApi } from '../queue-api.ts';
import type { SubmissionTracing } from '../tracing.ts';

/** Where the outputs of one submission are. */
export interface Outputs {
  /** Names a chunk in errors. */
  keyOf(index: ChunkIndex): string;
  /** Rejects if there is none. */
  fetch(index: ChunkIndex, signal: AbortSignal): Promise<Uint8Array>;
  /** What the chunk was made of; null if it is not there. */
  fetchInput(index: ChunkIndex, signal: AbortSignal): Promise<Uint8Array | null>;
}

/** Outputs in the object store, unpacked. */
export class StoredOutputs implements Outputs {
  readonly #o: {
    readonly api: QueueApi;
    readonly store: BoundedStore;
    readonly id: SubmissionId;
    readonly prefix: string;
    readonly tracing: SubmissionTracing;
  };
  /** Whether there is anything of the submission; once a result was found to be missing. */
  #isAnyLeft: Promise<boolean> | null = null;

  constructor(options: {
    readonly api: QueueApi;
    readonly store: BoundedStore;
    readonly id: SubmissionId;
    readonly prefix: string;
    readonly tracing: SubmissionTracing;
  }) {
    this.#o = options;
  }

  keyOf(index: ChunkIndex): string {
    return chunkKey(this.#o.prefix, index, 'out');
  }

  async fetch(index: ChunkIndex, signal: AbortSignal): Promise<Uint8Array> {
    const key = this.keyOf(index);
    const content = await this.#get(index, signal);
    if (!isCompressedChunk(content)) return content;
    try {
      return await decompressChunk(content);
    } catch (cause) {
      throw contentError(key, cause);
    }
  }

  async fetchInput(index: ChunkIndex, signal: AbortSignal): Promise<Uint8Array | null> {
    const { store, prefix } = this.#o;
    try {
      const content = await store.get(chunkKey(prefix, index, 'in'), { signal });
      return isCompressedChunk(content) ? await decompressChunk(content) : content;
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  async #get(index: ChunkIndex, signal: AbortSignal): Promise<Uint8Array> {
    const { api, store, id, tracing } = this.#o;
    const key = this.keyOf(index);
    try {
      return await tracing.transfer('download_chunk', index, () => store.get(key, { signal }));
    } catch (error) {
      if (!isMissing(error)) throw error;
      // Chunks go when a submission is forgotten and cleaned up: that is the cause to name.
      const status = await api.status(id, {}, signal);
      if (status === null) throw new SubmissionForgottenError(id);
      const why = await this.#whyMissing(status.state, signal);
      throw error.with({ message: `${error.message}; ${why}` });
    }
  }

  /** Why a result is not there that a consumer has written: the likeliest cause first. */
  async #whyMissing(state: SubmissionStatus['state'], signal: AbortSignal): Promise<string> {
    const { store, prefix } = this.#o;
    // Where it may not be listed, the state decides.
    this.#isAnyLeft ??= store.has(prefix, { signal }).catch(() => state === 'in_progress');
    const reads = `this producer reads from ${store.url}`;
    if (await this.#isAnyLeft) {
      return `${reads}: the consumer must use ${SAME_STORE} (or the chunk was deleted)`;
    }
    if (state === 'in_progress') {
      return `none of the submission's chunks are there: ${reads}, and must use ${SAME_STORE}, as the one that submitted it (or they were deleted)`;
    }
    return `the submission is ${state}, and its chunks were probably removed after that (cleanup, delete(), opsqueue gc); if not: ${reads}, and must use ${SAME_STORE}, as the one that submitted it`;
  }
}

/** Outputs that one request asks for, where they are wanted in order. */
const DIRECT_OUTPUTS_AT_A_TIME = 256;

/** Outputs of a `Direct` submission, which the queue keeps. */
export class DirectOutputReader implements Outputs {
  readonly #api: QueueApi;
  readonly #id: SubmissionId;
  readonly #limit: number;
  /** Came with others and were not asked for yet. */
  readonly #ahead = new Map<ChunkIndex, unknown>();
  /** The request under way, and what it asks for. */
  #loading: { readonly from: ChunkIndex; readonly done: Promise<void> } | null = null;

  /** @param o `isInOrder`: outputs are asked for in ascending order, so that it pays to ask for many at a time */
  constructor(api: QueueApi, id: SubmissionId, o: { readonly isInOrder: boolean }) {
    this.#api = api;
    this.#id = id;
    this.#limit = o.isInOrder ? DIRECT_OUTPUTS_AT_A_TIME : 1;
  }

  keyOf(index: ChunkIndex): string {
    return `${this.#id}/${index}`;
  }

  async fetch(index: ChunkIndex, signal: AbortSignal): Promise<Uint8Array> {
    while (!this.#ahead.has(index)) {
      const loading = this.#loading;
      if (loading !== null && index >= loading.from && index < loading.from + this.#limit) {
        await loading.done;
      } else {
        const mine = { from: index, done: this.#load(index, signal) };
        this.#loading = mine;
        await mine.done.finally(() => {
          if (this.#loading === mine) this.#loading = null;
        });
      }
    }
    const content = this.#ahead.get(index);
    this.#ahead.delete(index);
    if (isUint8Array(content)) return content;
    throw new ChunkContentError(this.keyOf(index), 'its consumer returned no output');
  }

  /** It came with the failure. */
  async fetchInput(): Promise<null> {
    return null;
  }

  async #load(from: ChunkIndex, signal: AbortSignal): Promise<void> {
    const contents = await this.#api.directOutputs(this.#id, from, this.#limit, signal);
    if (contents === null) throw new SubmissionForgottenError(this.#id);
    if (contents.length === 0)
      throw new ChunkContentError(this.keyOf(from), 'the queue has no output for it');
    for (const [at, content] of contents.entries()) {
      // Those that are not done yet are asked for again.
      if (at === 0 || content !== null) this.#ahead.set(from + at, content);
    }
  }
}

/** The object is not there. */
export function isMissing(error: unknown): error is ObjectStoreError {
  return error instanceof ObjectStoreError && error.code === 'OBJECT_NOT_FOUND';
}

export function contentError(key: string, cause: unknown): ChunkContentError {
  const text = messageOf(cause);
  return new ChunkContentError(key, `its content cannot be decoded (truncated, or another codec?): ${text}`, {
    cause,
  });
}
