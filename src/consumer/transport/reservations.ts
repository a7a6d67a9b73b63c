import { CHUNKS_PER_ANSWER_MAX } from '../../model/limits.ts';
import type { Nonce } from '../../protocol/consumer/types.ts';
import type { Held } from './held.ts';
import type { ManualReservation } from './manual-reservation.ts';
import type { QueueLink } from './queue-link.ts';
import { RunFeed } from './run-feed.ts';
import type { Timers } from './timers.ts';

/** After an empty answer. */
const ASK_AGAIN_MS = 500;
/** How long after a failure an old server is asked again, and how many reservations may wait there for that. */
const NUDGE_MS = 100;
const NUDGED_MAX = 64;

/** Who asks for chunks. */
export type Asker = RunFeed<Held> | ManualReservation;

/** The reservations that are outstanding, and who asks for what. */
export class Reservations {
  readonly #link: QueueLink;
  readonly #timers: Timers;
  readonly #feeds = new Map<number, RunFeed<Held>>();
  readonly #requests = new Map<number, ManualReservation>();
  /** Who waits for which answer. */
  readonly #waiting = new Map<Nonce, Asker>();
  #nudgeDue = false;

  constructor(link: QueueLink, timers: Timers) {
    this.#link = link;
    this.#timers = timers;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** The sum of all runs' concurrency, 1 at least. */
  get concurrency(): number {
    let sum = 0;
    for (const feed of this.#feeds.values()) sum += feed.demand.concurrency;
    return Math.max(sum, 1);
  }

  get feeds(): readonly RunFeed<Held>[] {
    return [...this.#feeds.values()];
  }

  get requests(): readonly ManualReservation[] {
    return [...this.#requests.values()];
  }

  feed(run: number): RunFeed<Held> | undefined {
    return this.#feeds.get(run);
  }

  request(id: number): ManualReservation | undefined {
    return this.#requests.get(id);
  }

  add(asker: Asker): void {
    if (asker instanceof RunFeed) this.#feeds.set(asker.run, asker);
    else this.#requests.set(asker.request, asker);
    this.ask(asker);
  }

  remove(asker: Asker): void {
    if (asker instanceof RunFeed) this.#feeds.delete(asker.run);
    else this.#requests.delete(asker.request);
  }

  /** Asks for what is wanted, if anything is and nothing was asked for. */
  ask(asker: Asker): void {
    if (asker instanceof RunFeed) {
      const max = Math.min(asker.wanted, CHUNKS_PER_ANSWER_MAX);
      if (max === 0) return;
      asker.asked = max;
      asker.nonce = this.#send(asker, max, asker.demand.strategy);
    } else if (!asker.isAnswered && asker.nonce === null && this.#requests.has(asker.request)) {
      asker.nonce = this.#send(asker, asker.max, asker.strategy);
    }
  }

  /** There is a connection. */
  askAll(): void {
    for (const feed of this.#feeds.values()) this.ask(feed);
    for (const request of this.#requests.values()) this.ask(request);
  }

  /** The queue has answered; whom it concerns, if anybody. */
  answered(nonce: Nonce): Asker | null {
    const asker = this.#waiting.get(nonce);
    if (asker === undefined) return null;
    this.#waiting.delete(nonce);
    if (asker.nonce === nonce) asker.nonce = null;
    return asker;
  }

  /** The reference's server may answer that there is nothing, instead of waiting. */
  askLater(asker: Asker): void {
    if (asker instanceof RunFeed) asker.isPausing = true;
    this.#timers.after(ASK_AGAIN_MS, () => {
      if (asker instanceof RunFeed) asker.isPausing = false;
      this.ask(asker);
    });
  }

  /**
   * The reference's server looks at a reservation that waits only when somebody inserts or reserves: a chunk that
   * failed would lie there while everybody waits. So an old server is asked once more, a moment after the failure,
   * because it looks for chunks before it has dealt with a failure of the same instant.
   */
  nudgeLater(): void {
    if (this.#nudgeDue || this.#link.init?.features.length !== 0) return;
    this.#nudgeDue = true;
    this.#timers.after(NUDGE_MS, () => {
      this.#nudgeDue = false;
      if (this.#link.init?.features.length !== 0 || this.#waiting.size >= NUDGED_MAX) return;
      for (const feed of this.#feeds.values()) {
        if (feed.nonce === null) continue;
        feed.nonce = null;
        this.ask(feed);
      }
    });
  }

  /** Nobody waits for it any more; answers whether anything had been asked for. */
  withdraw(asker: Asker): Nonce | null {
    const { nonce } = asker;
    asker.nonce = null;
    if (nonce !== null) this.#waiting.delete(nonce);
    return nonce;
  }

  /** The connection is gone, and all that was asked on it. */
  disconnected(): void {
    this.#waiting.clear();
    for (const feed of this.#feeds.values()) feed.nonce = null;
    for (const request of this.#requests.values()) request.nonce = null;
  }

  clear(): void {
    this.#feeds.clear();
    this.#requests.clear();
    this.#waiting.clear();
  }

  #send(asker: Asker, max: number, strategy: ManualReservation['strategy']): Nonce | null {
    const nonce = this.#link.send({ kind: 'reserve', max, strategy });
    if (nonce !== null) this.#waiting.set(nonce, asker);
    return nonce;
  }
}
