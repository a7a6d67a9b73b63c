import type { ChunkId } from '../../model/ids.ts';
import type { InitMessage } from '../../protocol/consumer/types.ts';
import { announcedInInit } from '../../protocol/features.ts';
import type { Timers } from './timers.ts';

/** Told so many times while a reservation lasts: one that is lost or late does no harm. */
const TIMES_PER_EXPIRATION = 3;
/** No oftener than this, in milliseconds, however short reservations are. */
const PERIOD_MS_MIN = 10;
/** In one message. */
const CHUNKS_PER_MESSAGE = 1_000;

export interface ExtensionsOptions {
  readonly timers: Timers;
  /** The chunks to keep that were last reserved or extended at least `ageMs` ago. They count as extended now. */
  readonly due: (ageMs: number) => readonly ChunkId[];
  readonly send: (chunks: readonly ChunkId[]) => void;
  /** Whether anything is held that may have to be extended later. */
  readonly isNeeded: () => boolean;
}

/**
 * Tells the queue, well before reservations expire, which chunks are still worked on, so that an operation may take
 * longer than a reservation lasts. Only a queue that announced `extend` is told.
 */
export class Extensions {
  readonly #o: ExtensionsOptions;
  /** null: the queue knows no extensions, or there is no connection. */
  #periodMs: number | null = null;
  #isArmed = false;

  constructor(options: ExtensionsOptions) {
    this.#o = options;
  }

  connected(init: InitMessage): void {
    const { reservationExpirationMs } = init;
    this.#periodMs =
      reservationExpirationMs !== undefined && announcedInInit(init, 'extend')
        ? Math.max(reservationExpirationMs / TIMES_PER_EXPIRATION, PERIOD_MS_MIN)
        : null;
  }

  disconnected(): void {
    this.#periodMs = null;
  }

  /** A chunk was reserved. */
  watch(): void {
    if (this.#isArmed || this.#periodMs === null) return;
    this.#isArmed = true;
    this.#o.timers.after(this.#periodMs, () => {
      this.#isArmed = false;
      this.#extend();
      if (this.#o.isNeeded()) this.watch();
    });
  }

  #extend(): void {
    if (this.#periodMs === null) return;
    // What was reserved in the second half of the period has time until the next one.
    const chunks = this.#o.due(this.#periodMs / 2);
    for (let at = 0; at < chunks.length; at += CHUNKS_PER_MESSAGE) {
      this.#o.send(chunks.slice(at, at + CHUNKS_PER_MESSAGE));
    }
  }
}
