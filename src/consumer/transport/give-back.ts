import type { Clock } from '../../system/time/clock.ts';
import type { Feed } from './feed.ts';
import type { Timers } from './timers.ts';

/** What a run has reserved ahead should be begun within this time; the rest is better off elsewhere. */
const BACKLOG_MS = 1_000;
/** A callback that takes longer keeps only what it works on: what was reserved ahead goes to others. */
const STALL_MS = 30_000;

export interface GiveBackOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  /** Whether the queue takes chunks back. */
  readonly isPossible: () => boolean;
  /** Gives back all chunks but the first `kept` of those that have no result yet. */
  readonly giveBack: (feed: Feed, kept: number) => void;
}

/**
 * Gives back what was reserved ahead when the pace that it was reserved for does not hold: all beyond twice the
 * concurrency as soon as it would wait for long, where the client chose how many to reserve ahead; all that is not
 * worked on when nothing has come back for very long.
 */
export class GiveBack {
  readonly #o: GiveBackOptions;

  constructor(options: GiveBackOptions) {
    this.#o = options;
  }

  /** There are chunks that wait behind others. */
  watch(feed: Feed): void {
    if (feed.isStallWatched || feed.chunksOpen <= feed.keeps || !this.#o.isPossible()) return;
    if (feed.progressMs === 0) feed.progressMs = this.#o.clock.monotonicMs();
    const idleMs = this.#idleMs(feed);
    // It may hold much later, before the timer is due.
    const nextMs = feed.reservesByPace && idleMs < BACKLOG_MS ? BACKLOG_MS : STALL_MS;
    feed.isStallWatched = true;
    this.#o.timers.after(Math.max(nextMs - idleMs, 0), () => {
      feed.isStallWatched = false;
      this.#look(feed);
    });
  }

  /** A result has come. */
  noteProgress(feed: Feed): void {
    feed.progressMs = this.#o.clock.monotonicMs();
    feed.isStalled = false;
    if (holdsMuch(feed) && feed.backlogMs > BACKLOG_MS) this.#keepFew(feed);
  }

  #look(feed: Feed): void {
    if (feed.isStopped || feed.chunksOpen <= feed.keeps) return;
    const idleMs = this.#idleMs(feed);
    if (idleMs >= STALL_MS) {
      feed.isStalled = true;
      this.#o.giveBack(feed, feed.keeps);
      return;
    }
    if (idleMs >= BACKLOG_MS && holdsMuch(feed)) this.#keepFew(feed);
    this.watch(feed);
  }

  #keepFew(feed: Feed): void {
    if (this.#o.isPossible()) this.#o.giveBack(feed, 2 * feed.keeps);
  }

  #idleMs(feed: Feed): number {
    return this.#o.clock.monotonicMs() - feed.progressMs;
  }
}

/** It was chosen here to reserve ahead, and it holds more than twice what it works on. */
function holdsMuch(feed: Feed): boolean {
  return feed.reservesByPace && feed.chunksOpen > 2 * feed.keeps;
}
