import { messageOf } from '../../model/thrown.ts';
import type { BoundedStore } from '../../objects/bounded-store.ts';
import { ObjectStoreError, SAME_STORE } from '../../objects/errors.ts';
import { type ChunkKind, chunkKey } from '../../objects/keys.ts';
import {
  type ChunkCompression,
  compressChunk,
  decompressChunk,
  isCompressedChunk,
} from '../../protocol/chunk/compression.ts';
import { Semaphore } from '../../system/async/semaphore.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { TransferTimes } from '../thread/protocol.ts';

/** Which body of which chunk. */
export interface BodyAddress {
  /** From the queue; checked before it becomes a path. */
  readonly prefix: string;
  readonly chunkIndex: number;
}

/** A body could not be read or written: names the object and the reason. */
export class BodyError extends Error {
  constructor(verb: 'read' | 'write', key: string, cause: unknown, hint = '') {
    const why = messageOf(cause);
    const code = cause instanceof ObjectStoreError ? ` [${cause.code}]` : '';
    super(`could not ${verb} the chunk's body ${key}${code}: ${why}${hint}`, { cause });
    this.name = 'BodyError';
  }
}

/** A chunk in an object store came to a consumer that has none. */
export class NoObjectStoreError extends Error {
  constructor() {
    super(
      "the chunk is in an object store, and the consumer was made without an object store: give it the producer's instead of null",
    );
    this.name = 'NoObjectStoreError';
  }
}

/** Reads inputs and writes results, a bounded number of each at once, in the order of the calls. */
export class ChunkBodies {
  readonly #store: BoundedStore;
  readonly #clock: Clock;
  readonly #reads: Semaphore;
  readonly #writes: Semaphore;

  constructor(store: BoundedStore, clock: Clock, transfersMax: number) {
    this.#store = store;
    this.#clock = clock;
    this.#reads = new Semaphore(transfersMax);
    this.#writes = new Semaphore(transfersMax);
  }

  /** The unpacked input of a chunk. */
  async read(
    address: BodyAddress,
    signal: AbortSignal,
  ): Promise<{ readonly content: Uint8Array; readonly times: TransferTimes }> {
    await this.#reads.take();
    try {
      signal.throwIfAborted();
      const startMs = this.#clock.nowMs();
      const key = keyOf('read', address, 'in');
      const content = await this.#attempt('read', key, async () => {
        const packed = await this.#store.get(key, { signal });
        return isCompressedChunk(packed) ? decompressChunk(packed) : packed;
      });
      return { content, times: { startMs, endMs: this.#clock.nowMs() } };
    } finally {
      this.#reads.give();
    }
  }

  async write(
    address: BodyAddress,
    content: Uint8Array,
    compression: ChunkCompression | null,
    signal: AbortSignal,
  ): Promise<TransferTimes> {
    await this.#writes.take();
    try {
      signal.throwIfAborted();
      const startMs = this.#clock.nowMs();
      const key = keyOf('write', address, 'out');
      await this.#attempt('write', key, async () => {
        const packed = compression === null ? content : await compressChunk(content);
        await this.#store.put(key, packed, { signal });
      });
      return { startMs, endMs: this.#clock.nowMs() };
    } finally {
      this.#writes.give();
    }
  }

  async #attempt<T>(verb: 'read' | 'write', key: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      const isMissing = error instanceof ObjectStoreError && error.code === 'OBJECT_NOT_FOUND';
      const hint = `; this consumer reads from ${this.#store.url}: the producer must use ${SAME_STORE} (or the chunk was deleted)`;
      throw new BodyError(verb, key, error, isMissing ? hint : '');
    }
  }
}

function keyOf(verb: 'read' | 'write', { prefix, chunkIndex }: BodyAddress, kind: ChunkKind): string {
  try {
    return chunkKey(prefix, chunkIndex, kind);
  } catch (error) {
    throw new BodyError(verb, `of the prefix ${JSON.stringify(prefix.slice(0, 200))}`, error);
  }
}
