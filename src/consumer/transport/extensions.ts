import type { ChunkId } from '../../model/ids.ts';
import type { InitMessage } from '../../protocol/consumer/types.ts';
import { announcedInInit } from '../../protocol/features.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { TransportEvent } from '../thread/protocol.ts';
import type { Chunks } from './chunks.ts';
import type { QueueLink } from './reservations.ts';
import type { Timers } from './timers.ts';

/** Extensions while a reservation lasts: one that is lost or late does no harm. */
const TIMES_PER_EXPIRATION = 3;
/** The shortest period, in milliseconds, however short reservations are. */
const PERIOD_MS_MIN = 10;
/** In one message. */
const CHUNKS_PER_MESSAGE = 1_000;

export interface ExtensionsOptions {
  readonly clock: Clock;
  readonly timers: Timers;
  readonly chunks: Chunks;
  readonly link: QueueLink;
  readonly pulse: Int32Array;
  readonly emit: (event: TransportEvent) => void;
}

/**
 * Tells the queue, well before reservations expire, which chunks are still worked on, so that an operation may take
 * longer than a reservation lasts. Only a queue that announced `extend` gets them.
 */
export class Extensions {
  readonly #o: ExtensionsOptions;
  /** null: the queue knows no extensions, or there is no connection. */
  #periodMs: number | null = null;
  #isArmed = false;
  /** What the pulse was, and when it was seen to have changed. */
  #pulse = 0;
  #pulseMs = 0;

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
      if (this.#o.chunks.size > 0) this.watch();
    });
  }

  #extend(): void {
    if (this.#periodMs === null) return;
    const { link } = this.#o;
    // What was reserved in the second half of the period has time until the next one.
    const chunks = this.#due(this.#periodMs / 2);
    for (let at = 0; at < chunks.length; at += CHUNKS_PER_MESSAGE) {
      link.send({ kind: 'extend', chunks: chunks.slice(at, at + CHUNKS_PER_MESSAGE) });
    }
  }

  /**
   * Those that were last reserved or extended at least `ageMs` ago; they count as extended now. A callback beyond its
   * time limit has lost its chunk, also where it blocks the thread that should report it: that has no pulse then.
   */
  #due(ageMs: number): ChunkId[] {
    const nowMs = this.#o.clock.monotonicMs();
    const pulse = Atomics.load(this.#o.pulse, 0);
    if (pulse !== this.#pulse) this.#pulseMs = nowMs;
    this.#pulse = pulse;
    const due: ChunkId[] = [];
    let isPulseWanted = false;
    for (const chunk of this.#o.chunks.list()) {
      if (!chunk.isOurs || nowMs - chunk.extendedMs < ageMs) continue;
      const timeUsed = chunk.feed.timeUsed(chunk, nowMs, this.#pulseMs);
      if (timeUsed === null) continue;
      if (timeUsed > 0.5) isPulseWanted = true;
      if (timeUsed > 1) continue;
      chunk.extended(nowMs);
      due.push(chunk.id);
    }
    if (isPulseWanted) this.#o.emit({ kind: 'pulse' });
    return due;
  }
}
