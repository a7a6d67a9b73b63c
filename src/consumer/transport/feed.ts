import type { Strategy } from '../../model/strategy.ts';
import type { Nonce } from '../../protocol/consumer/types.ts';
import type { HeldChunk } from '../thread/protocol.ts';
import type { Chunk, ChunkBook, ChunkState } from './chunk.ts';

export type FeedChunk = Chunk<Feed>;

/** Wants chunks, and hands them over to the calling thread. */
export abstract class Feed implements ChunkBook {
  readonly id: number;
  readonly strategy: Strategy;
  /** The reservation that is outstanding. */
  nonce: Nonce | null = null;
  /** The number of chunks that it asks for. */
  asked = 0;
  /** Nothing is asked for until then (an empty answer). */
  isPausing = false;
  /** It wants nothing more. */
  isStopped = false;
  /** It wants nothing until it is resumed. */
  isPaused = false;
  /** The calling thread knows that it has nothing, and waits for the queue. */
  isWaiting = false;
  /** What is ready waits behind a download. */
  isHeldUp = false;
  /** A timer looks after downloads that take long. */
  isWatched = false;
  /** A timer looks after callbacks that take long. */
  isStallWatched = false;
  /** The callback has been busy for so long that nothing is reserved ahead any more, until it comes back. */
  isStalled = false;
  /** When the latest result came. */
  progressMs = 0;
  /** Reserved and not handed over, in the order of their reservation. */
  protected queue: FeedChunk[] = [];
  readonly #unread: FeedChunk[] = [];
  #open = 0;
  #sending = 0;
  #bytes = 0;

  constructor(id: number, strategy: Strategy) {
    this.id = id;
    this.strategy = strategy;
  }

  /** Chunks that it keeps in any case, the first ones. */
  abstract get keeps(): number;
  /** Whether more chunks than it asked for do no harm. */
  abstract get takesSurplus(): boolean;
  /** It is stopped, and waits for nothing any more. */
  abstract get isOver(): boolean;
  /** Takes out what is to be handed over now. */
  abstract handOver(nowMs: number): HeldChunk[];
  /**
   * The part of its time limit that the callback has used for the chunk, since the calling thread was last alive; null:
   * its reservation is not to be extended.
   */
  abstract timeUsed(chunk: FeedChunk, nowMs: number, aliveMs: number): number | null;
  /** How many more chunks are missing. */
  protected abstract get missing(): number;

  /** Callbacks that run at once, at most. */
  get concurrencyMax(): number {
    return 0;
  }

  /** How many to reserve ahead follows from the pace of the callback. */
  get reservesByPace(): boolean {
    return false;
  }

  /** How long what it holds keeps it busy, by that pace; 0 if it is not known. */
  get backlogMs(): number {
    return 0;
  }

  get inputBytesExpected(): number {
    return 0;
  }

  /** A reservation was answered with this many chunks. */
  noteAnswer(_chunks: number): void {}
  noteInput(_bytes: number): void {}
  noteResult(_bytes: number, _computeMs: number | null): void {}

  protected mayFetch(): boolean {
    return true;
  }

  /** How many more chunks to reserve now. */
  get wanted(): number {
    return this.takesNothing || this.isPausing || this.nonce !== null ? 0 : this.missing;
  }

  /** Chunks that come nevertheless go back. */
  get takesNothing(): boolean {
    return this.isStopped || this.isPaused;
  }

  get isEmpty(): boolean {
    return this.#open === 0 && this.#sending === 0;
  }

  /** Chunks that have no result yet. */
  get chunksOpen(): number {
    return this.#open;
  }

  /** Chunks whose result is on its way. */
  get chunksSending(): number {
    return this.#sending;
  }

  get bytesHeld(): number {
    return this.#bytes;
  }

  add(chunk: FeedChunk): void {
    this.queue.push(chunk);
    if (chunk.state === 'waiting') this.#unread.push(chunk);
  }

  /** The next chunk whose body may be read now; null if there is none. */
  nextToFetch(): FeedChunk | null {
    for (;;) {
      const [chunk] = this.#unread;
      if (chunk === undefined || (chunk.state === 'waiting' && !this.mayFetch())) return null;
      this.#unread.shift();
      if (chunk.state === 'waiting') return chunk;
    }
  }

  moved(before: ChunkState | null, after: ChunkState): void {
    if (before === 'sending') this.#sending--;
    else if (before !== null && (after === 'sending' || after === 'gone')) this.#open--;
    if (before === null) this.#open++;
    else if (after === 'sending') this.#sending++;
  }

  weighed(bytes: number): void {
    this.#bytes += bytes;
  }
}

/** A call of `reserveChunks`: wants chunks once, and hands all of them over together. */
export class OnceFeed extends Feed {
  readonly #max: number;

  constructor(id: number, max: number, strategy: Strategy) {
    super(id, strategy);
    this.#max = max;
  }

  override get keeps(): number {
    return Number.POSITIVE_INFINITY;
  }

  override get takesSurplus(): boolean {
    return false;
  }

  override get isOver(): boolean {
    return this.isStopped;
  }

  /** All chunks of an answer may have failed. */
  protected override get missing(): number {
    return this.chunksOpen === 0 ? this.#max : 0;
  }

  override handOver(nowMs: number): HeldChunk[] {
    this.queue = this.queue.filter(({ state }) => state !== 'gone');
    if (this.queue.length === 0 || this.queue.some(({ state }) => state !== 'ready')) return [];
    this.isStopped = true;
    return this.queue.splice(0).map((chunk) => chunk.handOver('taken', nowMs));
  }

  /** They are the caller's: the queue's expiry takes back what is forgotten. */
  override timeUsed(): null {
    return null;
  }
}
