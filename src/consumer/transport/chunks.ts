import type { ChunkId } from '../../model/ids.ts';
import type { ReservedChunkMessage } from '../../protocol/consumer/types.ts';
import type { Handle } from '../thread/protocol.ts';
import { Chunk, chunkKeyOf } from './chunk.ts';
import type { Feed, FeedChunk } from './feed.ts';
import { SubmissionCache } from './submission-cache.ts';

export interface HeldChunksOptions {
  /** Every handle is above it. */
  readonly handleBase: Handle;
  /** Bodies in the object store are read by the transport. */
  readonly areReadHere: boolean;
  /** A chunk is gone: its feed may want another one, or be over. */
  readonly left: (feed: Feed) => void;
}

/** Every chunk that this consumer holds, or works on although it is not reserved any more. */
export class Chunks {
  readonly #options: HeldChunksOptions;
  readonly #byHandle = new Map<Handle, FeedChunk>();
  readonly #byKey = new Map<string, FeedChunk>();
  readonly #submissions = new SubmissionCache();
  #lastHandle: Handle;

  constructor(options: HeldChunksOptions) {
    this.#options = options;
    this.#lastHandle = options.handleBase;
  }

  get size(): number {
    return this.#byHandle.size;
  }

  /** Whether any is reserved, or a run's result may come of it. */
  get areNeeded(): boolean {
    for (const chunk of this.#byHandle.values()) if (chunk.isOurs || chunk.isWorkedOn) return true;
    return false;
  }

  get(handle: Handle): FeedChunk | undefined {
    return this.#byHandle.get(handle);
  }

  named(chunk: ChunkId): FeedChunk | undefined {
    return this.#byKey.get(chunkKeyOf(chunk));
  }

  /** By its handle; without one what a caller of `reserveChunks` took under that name. */
  find(handle: Handle | null, chunk: ChunkId): FeedChunk | undefined {
    if (handle !== null) return this.get(handle);
    const found = this.named(chunk);
    return found?.state === 'taken' ? found : undefined;
  }

  /** As they are now: some may leave meanwhile. */
  list(): readonly FeedChunk[] {
    return [...this.#byHandle.values()];
  }

  add(message: ReservedChunkMessage, feed: Feed, nowMs: number): FeedChunk {
    const submission = this.#submissions.shared(message.submission);
    const origin = { feed, nowMs, isReadHere: this.#options.areReadHere };
    const chunk = new Chunk(++this.#lastHandle, message, submission, origin);
    this.#byHandle.set(chunk.handle, chunk);
    this.#byKey.set(chunk.key, chunk);
    feed.add(chunk);
    return chunk;
  }

  /** It is done with. */
  remove(chunk: FeedChunk): void {
    chunk.leave();
    this.#byHandle.delete(chunk.handle);
    if (this.#byKey.get(chunk.key) === chunk) this.#byKey.delete(chunk.key);
    this.#options.left(chunk.feed);
  }

  clear(): void {
    for (const chunk of this.#byHandle.values()) chunk.leave();
    this.#byHandle.clear();
    this.#byKey.clear();
  }
}
