import { ChunkSet, PAGE_CHUNKS } from '../../model/chunk-set.ts';
import { SubmissionForgottenError } from '../../model/errors.ts';
import type { ChunkIndex, SubmissionId } from '../../model/ids.ts';
import type { ChunksDoneAnswer, ChunksDonePage } from '../../protocol/producer/requests.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { QueueApi } from '../queue-api.ts';
import { HOLD_MS, Pacer } from './completion.ts';
import type { ChunkPlan } from './download.ts';

/** An answer that brings nothing new is followed by a pause, this long at most. */
const POLL_MAX_MS = 100;

export interface DoneTrackerOptions {
  readonly api: Pick<QueueApi, 'chunksDone'>;
  readonly clock: Clock;
  readonly id: SubmissionId;
  readonly chunksTotal: number;
  /**
   * - `ordered`: each chunk as soon as it and all before it are done, or set aside
   * - `unordered`: each as soon as it is done or set aside
   * - `snapshot`: those that are done now, ascending; waits for nothing
   */
  readonly mode: 'ordered' | 'unordered' | 'snapshot';
  /** Chunks that are set aside are given out as those that are done, and known as such. Default true. */
  readonly withFailed?: boolean;
  /** The submission ended otherwise than by completion, and all that is known to be done was given out: throws. */
  readonly onBroken: (signal: AbortSignal) => Promise<void>;
}

/**
 * Asks the queue which chunks are done, as far as the reader needs to know it: while it has enough to do, nothing is
 * asked. Memory is that of the pages of one answer and of one bit per chunk that was given out of turn.
 */
export function doneChunks(options: DoneTrackerOptions): ChunkPlan {
  const found =
    options.mode === 'ordered' ? new InOrder(options.chunksTotal) : new AnyOrder(options.chunksTotal);
  const asker = new Asker(options, found);
  return {
    isFailed: (index) => asker.failed.has(index),
    next(signal) {
      const index = found.take();
      if (index !== null || found.isExhausted) return index;
      return asker.untilFound(signal);
    },
  };
}

/** What is known to be done and was not given out yet. */
interface Found {
  take(): ChunkIndex | null;
  absorb(answer: ChunksDoneAnswer): void;
  /** The first page of which anything is still wanted. */
  readonly firstPage: number;
  /** Whether pages behind those of a first answer matter before it is taken from. */
  readonly wantsEveryPage: boolean;
  readonly isExhausted: boolean;
}

class InOrder implements Found {
  readonly wantsEveryPage = false;
  readonly #total: number;
  readonly #done: ChunkSet;
  #isComplete = false;
  #next = 0;

  constructor(chunksTotal: number) {
    this.#total = chunksTotal;
    this.#done = new ChunkSet(chunksTotal);
  }

  get firstPage(): number {
    return ChunkSet.pageOf(this.#next);
  }

  get isExhausted(): boolean {
    return this.#next >= this.#total;
  }

  take(): ChunkIndex | null {
    if (this.isExhausted || !(this.#isComplete || this.#done.has(this.#next))) return null;
    return this.#next++;
  }

  absorb(answer: ChunksDoneAnswer): void {
    for (const { page, content } of answer.pages) this.#done.setPage(page, content);
    this.#isComplete = answer.state === 'completed';
  }
}

class AnyOrder implements Found {
  readonly wantsEveryPage = true;
  readonly #total: number;
  readonly #given: ChunkSet;
  /** Pages of the answers since the last one was taken from; the first is being looked through, up to `#at`. */
  #pages: ChunksDonePage[] = [];
  #at = 0;
  #isComplete = false;

  constructor(chunksTotal: number) {
    this.#total = chunksTotal;
    this.#given = new ChunkSet(chunksTotal);
  }

  get firstPage(): number {
    return ChunkSet.pageOf(this.#given.nextMissing(0));
  }

  get isExhausted(): boolean {
    return this.#given.isFull;
  }

  take(): ChunkIndex | null {
    if (this.#isComplete) return this.#give(this.#given.nextMissing(this.#at));
    for (let head = this.#pages[0]; head !== undefined; head = this.#pages[0]) {
      const { page, content } = head;
      const base = page * PAGE_CHUNKS;
      const end = Math.min(base + PAGE_CHUNKS, this.#total);
      for (let index = this.#given.nextMissing(Math.max(this.#at, base)); index < end; ) {
        if (isDone(content, index - base)) return this.#give(index);
        index = this.#given.nextMissing(index + 1);
      }
      this.#pages.shift();
    }
    return null;
  }

  absorb(answer: ChunksDoneAnswer): void {
    this.#at = 0;
    if (answer.state === 'completed') {
      this.#isComplete = true;
      this.#pages = [];
    } else {
      this.#pages.push(...answer.pages);
    }
  }

  #give(index: ChunkIndex): ChunkIndex | null {
    if (index >= this.#total) return null;
    this.#given.add(index);
    this.#at = index + 1;
    return index;
  }
}

function isDone(content: ChunksDonePage['content'], bit: number): boolean {
  if (content === 'full') return true;
  return (content[bit >>> 3]! & (1 << (bit & 7))) !== 0;
}

class Asker {
  readonly #o: DoneTrackerOptions;
  readonly #found: Found;
  /** As of the last answers. */
  readonly failed: ChunkSet;
  readonly #pacer: Pacer;
  #known = 0;
  /** Where the answer goes on that had to be cut off; null between whole ones. */
  #nextPage: number | null = null;
  #state: ChunksDoneAnswer['state'] | null = null;

  constructor(options: DoneTrackerOptions, found: Found) {
    this.#o = options;
    this.#found = found;
    this.failed = new ChunkSet(options.chunksTotal);
    this.#pacer = new Pacer(options.clock, POLL_MAX_MS);
  }

  async untilFound(signal: AbortSignal): Promise<ChunkIndex | null> {
    const { mode, onBroken } = this.#o;
    for (;;) {
      if (this.#nextPage === null && this.#state !== null) {
        if (mode === 'snapshot') return null;
        if (this.#state === 'failed' || this.#state === 'cancelled') {
          await onBroken(signal);
          return null;
        }
      }
      this.#pacer.asked();
      await this.#ask(signal);
      const index = this.#found.take();
      if (index !== null) {
        this.#pacer.reset();
        return index;
      }
      if (this.#nextPage === null && this.#state === 'in_progress' && mode !== 'snapshot') {
        await this.#pacer.nothingNew(signal);
      }
    }
  }

  async #ask(signal: AbortSignal): Promise<void> {
    const { api, id, mode } = this.#o;
    const goesOn = this.#nextPage !== null;
    const fromPage = this.#nextPage ?? this.#found.firstPage;
    const holdMs = goesOn || mode === 'snapshot' ? 0 : HOLD_MS;
    const answer = await api.chunksDone(id, { known: this.#known, fromPage, holdMs }, signal);
    if (answer === null) throw new SubmissionForgottenError(id);
    // What was done while the rest of a long answer was fetched comes with the next one.
    if (!goesOn) this.#known = answer.chunksDone + answer.chunksFailed;
    this.#found.absorb(this.#o.withFailed === false ? answer : this.#withFailed(answer));
    this.#state = answer.state;
    this.#nextPage = this.#found.wantsEveryPage ? answer.nextPage : null;
  }

  /** The answer with what is set aside among what is done, which is noted. */
  #withFailed(answer: ChunksDoneAnswer): ChunksDoneAnswer {
    const { pages, failedPages } = answer;
    const merged = new Map(pages.map(({ page, content }) => [page, content]));
    for (const page of merged.keys()) this.failed.setPage(page, 'empty');
    for (const { page, content } of failedPages) {
      this.failed.setPage(page, content);
      merged.set(page, union(merged.get(page), content));
    }
    if (failedPages.length === 0) return answer;
    const all = Array.from(merged, ([page, content]) => ({ page, content }));
    return { ...answer, pages: all.sort((a, b) => a.page - b.page) };
  }
}

function union(a: ChunksDonePage['content'] | undefined, b: ChunksDonePage['content']) {
  if (a === undefined || b === 'full') return b;
  return a === 'full' ? a : a.map((byte, i) => byte | b[i]!);
}
