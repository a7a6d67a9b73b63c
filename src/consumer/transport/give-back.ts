import type { Clock } from '../../system/clock.ts';
import type { RunFeed } from './run-feed.ts';
import type { Timers } from './timers.ts';

/** What a run has reserved ahead should be begun within this time; the rest is better off elsewhere. */
const BACKLOG_MS = 1_000;
/** A callback that takes longer keeps only what it works on: what was reserved ahead goes to others. */
const STALL_MS = 30_000;

export interface GiveBackOptions<Chunk> {
  readonly clock: Clock;
  readonly timers: Timers;
  /** Whether the queue takes chunks back. */
  readonly isPossible: () => boolean;
  /** Gives back all but so many chunks, the first ones, of those that have no result yet. */
  readonly giveBack: (feed: RunFeed<Chunk>, kept: number) => void;
}

/**
 * Gives back what was reserved ahead when the pace that it was reserved for does not hold: all beyond twice the
 * concurrency as soon as it would wait for long, where the client chose how many to reserve ahead; all that is not
 * worked on when nothing has come back for very long.
 */
export class GiveBack<Chunk> {
  readonly #o: GiveBackOptions<Chunk>;

  constructor(options: GiveBackOptions<Chunk>) {
    this.#o = options;
  }

  /** There are chunks that wait behind others. */
  watch(feed: RunFeed<Chunk>): void {
    if (feed.isStallWatched || feed.chunksOpen <= feed.concurrency || !this.#o.isPossible()) return;
    if (feed.progressMs === 0) feed.progressMs = this.#o.clock.monotonicMs();
    const idleMs = this.#idleMs(feed);
    // It may hold much later, before the timer is due.
    const nextMs = feed.demand.prefetch === 'auto' && idleMs < BACKLOG_MS ? BACKLOG_MS : STALL_MS;
    feed.isStallWatched = true;
    this.#o.timers.after(Math.max(nextMs - idleMs, 0), () => {
      feed.isStallWatched = false;
      this.#look(feed);
    });
  }

  /** A result has come. */
  noteProgress(feed: RunFeed<Chunk>): void {
    feed.progressMs = this.#o.clock.monotonicMs();
    feed.isStalled = false;
    if (feed.holdsMuch && feed.backlogMs > BACKLOG_MS) this.#keepFew(feed);
  }

  #look(feed: RunFeed<Chunk>): void {
    if (feed.isStopped || feed.chunksOpen <= feed.concurrency) return;
    const idleMs = this.#idleMs(feed);
    if (idleMs >= STALL_MS) {
      feed.isStalled = true;
      this.#o.giveBack(feed, feed.concurrency);
      return;
    }
    if (idleMs >= BACKLOG_MS && feed.holdsMuch) this.#keepFew(feed);
    this.watch(feed);
  }

  #keepFew(feed: RunFeed<Chunk>): void {
    if (this.#o.isPossible()) this.#o.giveBack(feed, 2 * feed.concurrency);
  }

  #idleMs(feed: RunFeed<Chunk>): number {
    return this.#o.clock.monotonicMs() - feed.progressMs;
  }
}
