import { traceOf } from '../../model/thrown.ts';
import type { ReservedChunkMessage } from '../../protocol/consumer/types.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { ChunkBodies } from '../content/bodies.ts';
import type { TransportEvent } from '../thread/protocol.ts';
import type { Chunks } from './chunks.ts';
import type { Extensions } from './extensions.ts';
import type { Feed, FeedChunk } from './feed.ts';
import type { GiveBack } from './give-back.ts';
import type { ReportOutbox } from './outbox.ts';
import type { Reservations } from './reservations.ts';
import { SLOW_FETCH_MS } from './run-feed.ts';
import type { Timers } from './timers.ts';

export interface IntakeParts {
  readonly chunks: Chunks;
  readonly reservations: Reservations;
  readonly extensions: Extensions;
  readonly giveBacks: GiveBack;
  readonly outbox: ReportOutbox;
  /** null: the calling thread reads the bodies. */
  readonly bodies: ChunkBodies | null;
  readonly clock: Clock;
  readonly timers: Timers;
  readonly emit: (event: TransportEvent) => void;
}

/** The way of a chunk from its reservation to the calling thread. */
export class Intake {
  readonly #p: IntakeParts;

  constructor(parts: IntakeParts) {
    this.#p = parts;
  }

  /** Takes in the chunks of an answer. */
  take(messages: readonly ReservedChunkMessage[], feed: Feed): void {
    const empty = messages
      .map((message) => this.#add(message, feed))
      .filter((chunk) => chunk?.hasBody === false);
    for (const chunk of empty) {
      if (chunk !== null)
        this.#fail(chunk, 'the chunk has neither a content nor the prefix of one in the object store');
    }
    this.#p.reservations.look(feed);
    this.progress(feed);
  }

  /** Starts downloads as far as memory allows, and hands over what is ready. */
  progress(feed: Feed): void {
    if (feed.isStopped) return;
    this.#fetchNext(feed);
    const { clock, timers, emit, giveBacks, reservations } = this.#p;
    const chunks = feed.handOver(clock.monotonicMs());
    if (chunks.length > 0) emit({ kind: 'ready', feed: feed.id, chunks });
    if (feed.isHeldUp && !feed.isWatched) {
      feed.isWatched = true;
      timers.after(SLOW_FETCH_MS, () => {
        feed.isWatched = false;
        this.progress(feed);
      });
    }
    giveBacks.watch(feed);
    if (feed.isStopped) reservations.look(feed);
  }

  /** null: it is worked on already, as it expired or the connection broke. */
  #add(message: ReservedChunkMessage, feed: Feed): FeedChunk | null {
    const { chunks, clock, extensions } = this.#p;
    const before = chunks.named(message.chunk);
    extensions.watch();
    if (before !== undefined && !before.isOurs) {
      if (before.isWorkedOn) {
        before.reservedAgain(message);
        return null;
      }
      chunks.remove(before);
    }
    return chunks.add(message, feed, clock.monotonicMs());
  }

  #fetchNext(feed: Feed): void {
    const { bodies } = this.#p;
    if (bodies === null) return;
    for (;;) {
      const chunk = feed.nextToFetch();
      if (chunk === null) return;
      void this.#fetch(chunk, bodies);
    }
  }

  async #fetch(chunk: FeedChunk, bodies: ChunkBodies): Promise<void> {
    const { feed, submission } = chunk;
    const { chunkIndex } = chunk.id;
    const signal = chunk.beginFetch(feed.inputBytesExpected);
    try {
      const { content, times } = await bodies.read({ prefix: submission.prefix ?? '', chunkIndex }, signal);
      if (signal.aborted) return;
      chunk.fetched(content, times);
      feed.noteInput(content.length);
    } catch (error) {
      if (signal.aborted) return;
      this.#fail(chunk, traceOf(error));
    }
    this.progress(feed);
  }

  #fail(chunk: FeedChunk, failure: string): void {
    if (chunk.isOurs) this.#p.outbox.queue?.fail(chunk.id, failure, null);
    this.#p.emit({ kind: 'failed', chunk: chunk.id, failure, hadResult: false });
    this.#p.chunks.remove(chunk);
  }
}
