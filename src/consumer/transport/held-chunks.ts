import type { ReservedChunkMessage } from '../../protocol/consumer/types.ts';
import type { Handle } from '../thread/protocol.ts';
import { chunkKeyOf, type Held } from './held.ts';
import type { RunFeed } from './run-feed.ts';
import { SubmissionCache } from './submission-cache.ts';

/** Every chunk that this consumer holds, or works on although its connection broke. */
export class HeldChunks {
  readonly #byHandle = new Map<Handle, Held>();
  readonly #byKey = new Map<string, Held>();
  readonly #submissions = new SubmissionCache();
  #lastHandle: Handle;

  /** Every handle is above `handleBase`. */
  constructor(handleBase: Handle) {
    this.#lastHandle = handleBase;
  }

  get size(): number {
    return this.#byHandle.size;
  }

  get(handle: Handle): Held | undefined {
    return this.#byHandle.get(handle);
  }

  getByKey(key: string): Held | undefined {
    return this.#byKey.get(key);
  }

  has(held: Held): boolean {
    return this.#byHandle.get(held.handle) === held;
  }

  /** As they are now: they may be forgotten meanwhile. */
  list(): readonly Held[] {
    return [...this.#byHandle.values()];
  }

  add(message: ReservedChunkMessage, feed: RunFeed<Held> | null, nowMs: number): Held {
    const held: Held = {
      handle: ++this.#lastHandle,
      chunk: message.chunk,
      key: chunkKeyOf(message.chunk),
      submission: this.#submissions.shared(message.submission),
      retries: message.retries,
      feed,
      reservedMs: nowMs,
      extendedMs: nowMs,
      handedMs: 0,
      transfer: new AbortController(),
      state: 'fetching',
      isTransferring: false,
      isOurs: true,
      expiry: null,
      renewal: null,
      bytes: message.inputContent?.length ?? 0,
      input: message.inputContent,
      download: null,
    };
    this.#byHandle.set(held.handle, held);
    this.#byKey.set(held.key, held);
    if (feed !== null) {
      feed.chunksOpen++;
      feed.bytesHeld += held.bytes;
      feed.queue.push(held);
    }
    return held;
  }

  /** Ends its transfer and takes it out of all counts. */
  forget(held: Held): void {
    // Aborting costs more than all the rest: only what is under way.
    if (held.isTransferring) held.transfer.abort();
    this.#byHandle.delete(held.handle);
    if (this.#byKey.get(held.key) === held) this.#byKey.delete(held.key);
    const { feed } = held;
    if (feed === null) return;
    if (held.state === 'sending') feed.chunksSending--;
    else feed.chunksOpen--;
    feed.bytesHeld -= held.bytes;
  }

  clear(): void {
    for (const held of this.#byHandle.values()) held.transfer.abort();
    this.#byHandle.clear();
    this.#byKey.clear();
  }
}
