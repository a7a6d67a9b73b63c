import type { ChunkIndex } from '../../model/ids.ts';
import { isPromise } from '../../model/kinds.ts';
import { Gate } from '../gate.ts';
import type { FailedOutput } from './failed-chunks.ts';

/** Says which chunks are to be read, one after the other; null at the end. A promise where that is not known yet. */
export interface ChunkPlan {
  /** Whether the chunk was set aside, as far as is known: it has no output. */
  isFailed(index: ChunkIndex): boolean;
  next(signal: AbortSignal): ChunkIndex | null | Promise<ChunkIndex | null>;
}

/** All chunks of a submission, in order. */
export function everyChunk(chunksTotal: number): ChunkPlan {
  let at = 0;
  return { next: () => (at < chunksTotal ? at++ : null), isFailed: () => false };
}

/** The output of one chunk. */
export interface Downloaded {
  readonly chunkIndex: ChunkIndex;
  readonly content: Uint8Array | FailedOutput;
}

export interface DownloaderOptions {
  readonly plan: ChunkPlan;
  /** Null: there is no such output, and that is fine: the chunk is passed over. */
  readonly fetch: (index: ChunkIndex, signal: AbortSignal) => Promise<Uint8Array | FailedOutput | null>;
  /** In the order of the plan, or as they arrive. */
  readonly order: 'planned' | 'arrival';
  /** Chunks that are under way or wait for the reader. */
  readonly transfersMax: number;
  /** No further download starts while those chunks are expected to take more than this. */
  readonly memoryBytesMax: number;
  /** Stops everything that is under way. */
  readonly signal: AbortSignal;
}

interface Slot {
  readonly chunkIndex: ChunkIndex;
  state: 'running' | 'ready' | 'failed';
  content: Uint8Array | FailedOutput | null;
  error: unknown;
}

type PlanState = { readonly state: 'open' | 'ended' } | { readonly state: 'failed'; readonly error: unknown };

/**
 * Reads chunks ahead of its reader, in bounded memory. Two loops meet at two gates: `#fill` starts downloads while
 * there is room, `next` takes what is ready.
 */
export class Downloader {
  readonly #o: DownloaderOptions;
  readonly #room = new Gate();
  readonly #arrival = new Gate();
  /** Started and not yet given out, in the order of the plan. */
  readonly #slots: Slot[] = [];
  #running = 0;
  #bytesReady = 0;
  /** The largest chunk so far: what one that is under way is taken for. */
  #bytesLargest = 0;
  #plan: PlanState = { state: 'open' };

  constructor(options: DownloaderOptions) {
    this.#o = options;
    const wake = () => {
      this.#room.open();
      this.#arrival.open();
    };
    options.signal.addEventListener('abort', wake, { once: true });
    this.#fill().catch((error: unknown) => this.#endPlan({ state: 'failed', error }));
  }

  /** The next chunk; null at the end. One call at a time. */
  async next(): Promise<Downloaded | null> {
    for (;;) {
      this.#o.signal.throwIfAborted();
      const at = this.#o.order === 'planned' ? 0 : this.#slots.findIndex(({ state }) => state !== 'running');
      const slot = this.#slots[at];
      if (slot !== undefined && slot.state !== 'running') {
        this.#slots.splice(at, 1);
        this.#bytesReady -= slot.content?.length ?? 0;
        this.#room.open();
        if (slot.state === 'failed') throw slot.error;
        if (slot.content !== null) return { chunkIndex: slot.chunkIndex, content: slot.content };
      } else if (slot === undefined && this.#slots.length === 0 && this.#plan.state !== 'open') {
        if (this.#plan.state === 'failed') throw this.#plan.error;
        return null;
      } else {
        await this.#arrival.wait();
      }
    }
  }

  async #fill(): Promise<void> {
    const { plan, signal } = this.#o;
    for (;;) {
      while (!this.#hasRoom()) {
        await this.#room.wait();
        signal.throwIfAborted();
      }
      const next = plan.next(signal);
      const chunkIndex = isPromise(next) ? await next : next;
      signal.throwIfAborted();
      if (chunkIndex === null) return this.#endPlan({ state: 'ended' });
      const slot: Slot = { chunkIndex, state: 'running', content: null, error: undefined };
      this.#slots.push(slot);
      this.#running++;
      void this.#fetch(slot);
    }
  }

  async #fetch(slot: Slot): Promise<void> {
    try {
      slot.content = await this.#o.fetch(slot.chunkIndex, this.#o.signal);
      slot.state = 'ready';
      const bytes = slot.content?.length ?? 0;
      this.#bytesReady += bytes;
      this.#bytesLargest = Math.max(this.#bytesLargest, bytes);
    } catch (error) {
      slot.state = 'failed';
      slot.error = error;
    }
    this.#running--;
    this.#arrival.open();
    this.#room.open();
  }

  #hasRoom(): boolean {
    if (this.#slots.length === 0) return true;
    const bytes = this.#bytesReady + (this.#running + 1) * this.#bytesLargest;
    return this.#slots.length < this.#o.transfersMax && bytes <= this.#o.memoryBytesMax;
  }

  #endPlan(plan: PlanState): void {
    this.#plan = plan;
    this.#arrival.open();
  }
}
