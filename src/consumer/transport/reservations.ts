import { CHUNKS_PER_ANSWER_MAX } from '../../model/limits.ts';
import { isExtension } from '../../model/strategy-shape.ts';
import { strategyText } from '../../model/strategy-text.ts';
import type { MessageToQueue } from '../../net/websocket/link.ts';
import type { InitMessage, Nonce } from '../../protocol/consumer/types.ts';
import { announcedInInit } from '../../protocol/features.ts';
import type { Feed } from './feed.ts';
import type { Timers } from './timers.ts';

/** After an empty answer. */
const ASK_AGAIN_MS = 500;

/** The connection to the queue, as far as the transport needs it. */
export interface QueueLink {
  /** What the server said first; null while there is no connection. */
  readonly init: InitMessage | null;
  /** null: there is no connection. */
  send(message: MessageToQueue): Nonce | null;
  reconnect(reason: string): void;
}

export interface ReservationEvents {
  /** Nothing is left of a feed that was stopped. */
  ended(feed: Feed): void;
  /** A feed has nothing and waits for the queue, or not any more. */
  waiting(feed: Feed): void;
  /** The queue does not take a feed's reservations: it was stopped. */
  refused(feed: Feed, reason: string): void;
}

/** All feeds, and the reservations that are outstanding. */
export class Reservations {
  readonly #link: QueueLink;
  readonly #timers: Timers;
  readonly #events: ReservationEvents;
  readonly #feeds = new Map<number, Feed>();
  /** Which feed waits for which answer. */
  readonly #waiting = new Map<Nonce, Feed>();

  constructor(link: QueueLink, timers: Timers, events: ReservationEvents) {
    this.#link = link;
    this.#timers = timers;
    this.#events = events;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** The sum of all runs' concurrency, 1 at least. */
  get concurrency(): number {
    let sum = 0;
    for (const feed of this.#feeds.values()) sum += feed.concurrencyMax;
    return Math.max(sum, 1);
  }

  get feeds(): readonly Feed[] {
    return [...this.#feeds.values()];
  }

  get(id: number): Feed | undefined {
    return this.#feeds.get(id);
  }

  add(feed: Feed): void {
    this.#feeds.set(feed.id, feed);
    this.look(feed);
  }

  /** Asks for what a feed wants by now, or ends it if it is over. */
  look(feed: Feed): void {
    this.ask(feed);
    this.#noteWaiting(feed);
    if (feed.isOver && this.#feeds.delete(feed.id)) this.#events.ended(feed);
  }

  /** Asks for what is wanted, if anything is. */
  ask(feed: Feed): void {
    const max = Math.min(feed.wanted, CHUNKS_PER_ANSWER_MAX);
    if (max === 0) return;
    const { init } = this.#link;
    if (init !== null && isExtension(feed.strategy) && !announcedInInit(init, 'strategies')) {
      const text = strategyText(feed.strategy);
      this.refuse(
        feed,
        `the queue does not know the strategy ${text}: it is of an older version, or the original`,
      );
      return;
    }
    feed.asked = max;
    feed.nonce = this.#link.send({ kind: 'reserve', max, strategy: feed.strategy });
    if (feed.nonce !== null) this.#waiting.set(feed.nonce, feed);
  }

  /** The queue has answered; null if no feed waits for that. */
  answered(nonce: Nonce): Feed | null {
    const feed = this.#waiting.get(nonce);
    if (feed === undefined) return null;
    this.#waiting.delete(nonce);
    if (feed.nonce === nonce) feed.nonce = null;
    return feed;
  }

  /** What the feed holds is worked on to its end. */
  refuse(feed: Feed, reason: string): void {
    feed.isStopped = true;
    this.#events.refused(feed, reason);
    this.look(feed);
  }

  /** A server may answer that there is nothing, instead of waiting. */
  askLater(feed: Feed): void {
    feed.isPausing = true;
    this.#timers.after(ASK_AGAIN_MS, () => {
      feed.isPausing = false;
      this.ask(feed);
    });
  }

  /** No feed waits for it any more; null if nothing is outstanding. */
  withdraw(feed: Feed): Nonce | null {
    const { nonce } = feed;
    feed.nonce = null;
    if (nonce !== null) this.#waiting.delete(nonce);
    return nonce;
  }

  /** The connection is gone, and all that was asked on it. */
  disconnected(): void {
    this.#waiting.clear();
    for (const feed of this.#feeds.values()) {
      feed.nonce = null;
      this.#noteWaiting(feed);
    }
  }

  #noteWaiting(feed: Feed): void {
    const isWaiting = feed.isEmpty && !feed.takesNothing && this.#link.init !== null;
    if (isWaiting === feed.isWaiting) return;
    feed.isWaiting = isWaiting;
    this.#events.waiting(feed);
  }

  clear(): void {
    this.#feeds.clear();
    this.#waiting.clear();
  }
}
