import type { ChunkId } from '../../../model/ids.ts';
import type { QueueLink, Reservations } from '../reservations.ts';
import type { Timers } from '../timers.ts';
import type { Dialect, DialectParts } from './dialect.ts';

/** How long after a failure reservations are asked for once more, and how many may wait there for that. */
const NUDGE_MS = 100;
const NUDGED_MAX = 64;

/** The original's server. It knows three messages: reserve, complete and fail. */
export class OriginalDialect implements Dialect {
  /** It takes them back uncounted only when the connection ends: all of them. */
  readonly takesBack = false;
  readonly #link: QueueLink;
  readonly #timers: Timers;
  readonly #reservations: Reservations;
  readonly #isIdle: () => boolean;
  /** The connection is to end as soon as nothing else needs it. */
  #resetDue = false;
  #nudgeDue = false;
  #isOver = false;

  constructor({ link, timers, reservations, isIdle }: DialectParts) {
    this.#link = link;
    this.#timers = timers;
    this.#reservations = reservations;
    this.#isIdle = isIdle;
  }

  giveBack(): void {
    this.#resetDue = true;
    this.afterResult();
  }

  withdraw(): void {
    this.giveBack();
  }

  fail(chunk: ChunkId, failure: string): void {
    this.#link.send({ kind: 'fail', chunk, failure });
    this.#nudgeLater();
  }

  /** It gives the chunk to no consumer before it is answered, and the callback may take for ever. */
  answerExpiry(chunk: ChunkId): boolean {
    this.fail(chunk, 'Reservation expired');
    return true;
  }

  afterResult(): void {
    if (!this.#resetDue || !this.#isIdle()) return;
    this.#resetDue = false;
    this.#link.reconnect('giving back unneeded chunks');
  }

  ended(): void {
    this.#isOver = true;
  }

  /**
   * It looks at a reservation that waits only when a client inserts or reserves: a chunk that failed would lie there
   * while all consumers wait. So it is asked once more, a moment after the failure, because it looks for chunks before
   * it has dealt with a failure of the same instant.
   */
  #nudgeLater(): void {
    if (this.#nudgeDue) return;
    this.#nudgeDue = true;
    this.#timers.after(NUDGE_MS, () => {
      this.#nudgeDue = false;
      if (this.#isOver || this.#reservations.waiting >= NUDGED_MAX) return;
      for (const feed of this.#reservations.feeds) {
        if (feed.nonce === null || !feed.takesSurplus) continue;
        feed.nonce = null;
        this.#reservations.ask(feed);
      }
    });
  }
}
