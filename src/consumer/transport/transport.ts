import type { ChunkId } from '../../model/ids.ts';
import type { MessageFromQueue } from '../../net/websocket/link.ts';
import type { InitMessage, Nonce, ReservedChunkMessage } from '../../protocol/consumer/types.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { ChunkBodies } from '../content/bodies.ts';
import type { ChunkName, LossReason, TransportEvent, WorkCommand } from '../thread/protocol.ts';
import { Chunks } from './chunks.ts';
import { chooseDialect } from './dialect/choose.ts';
import { Extensions } from './extensions.ts';
import { type Feed, type FeedChunk, OnceFeed } from './feed.ts';
import { GiveBack } from './give-back.ts';
import { Intake } from './intake.ts';
import { ReportOutbox } from './outbox.ts';
import { type QueueLink, Reservations } from './reservations.ts';
import { ResultDelivery } from './results.ts';
import { RunFeed } from './run-feed.ts';
import { Timers } from './timers.ts';

export interface TransportOptions {
  readonly link: QueueLink;
  /** null: the calling thread reads and writes the bodies. */
  readonly bodies: ChunkBodies | null;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly emit: (event: TransportEvent) => void;
  /** Every handle is above it. */
  readonly handleBase: number;
  readonly pulse: Int32Array;
}

/**
 * Keeps reservations, downloads and uploads going, whatever the calling thread does meanwhile. Commands in, events
 * out; the states of a chunk are those of {@link Chunk}.
 */
export class Transport {
  readonly #link: QueueLink;
  readonly #emit: (event: TransportEvent) => void;
  readonly #timers: Timers;
  readonly #chunks: Chunks;
  readonly #reservations: Reservations;
  readonly #extensions: Extensions;
  readonly #intake: Intake;
  readonly #results: ResultDelivery;
  readonly #outbox = new ReportOutbox();

  constructor(options: TransportOptions) {
    const { link, bodies, clock, emit, handleBase, pulse } = options;
    this.#link = link;
    this.#emit = emit;
    const timers = new Timers(clock);
    const reservations = new Reservations(link, timers, {
      ended: ({ id }) => emit({ kind: 'feed_ended', feed: id }),
      waiting: ({ id, isWaiting }) => emit({ kind: 'waiting', feed: id, isWaiting }),
      refused: ({ id }, reason) => emit({ kind: 'refused', feed: id, reason }),
    });
    const areReadHere = bodies !== null;
    const chunks = new Chunks({ handleBase, areReadHere, left: (feed) => reservations.look(feed) });
    const extensions = new Extensions({ clock, timers, chunks, link, pulse, emit });
    const giveBacks = new GiveBack({
      clock,
      timers,
      isPossible: () => this.#outbox.queue?.takesBack === true,
      giveBack: (feed, kept) => this.#giveBack(feed, kept),
    });
    const parts = { ...options, timers, chunks, reservations, extensions, giveBacks, outbox: this.#outbox };
    this.#timers = timers;
    this.#chunks = chunks;
    this.#reservations = reservations;
    this.#extensions = extensions;
    this.#intake = new Intake(parts);
    this.#results = new ResultDelivery({ ...parts, intake: this.#intake });
  }

  /** Counts, for tests and leak checks. */
  get counts(): { readonly held: number; readonly waiting: number; readonly timers: number } {
    return { held: this.#chunks.size, waiting: this.#reservations.waiting, timers: this.#timers.size };
  }

  /** The concurrency to announce: that of all runs. */
  get concurrency(): number {
    return this.#reservations.concurrency;
  }

  handle(command: WorkCommand) {
    switch (command.kind) {
      case 'run':
        return this.#reservations.add(new RunFeed(command.feed, command.demand));
      case 'reserve':
        return this.#reservations.add(new OnceFeed(command.feed, command.max, command.strategy));
      case 'stop':
        return this.#stop(command.feed);
      case 'pause':
        return this.#pause(command.feed, command.isPaused);
      case 'complete':
        return this.#results.complete(command.result);
      case 'fail':
        return this.#results.fail(command.failure);
      case 'release':
        return this.#release(command.chunks);
      case 'wait_no_more':
        return this.#outbox.waitNoMore();
      default:
        return command satisfies never;
    }
  }

  /** Takes all timers back and ends every transfer. */
  close(): void {
    this.#timers.close();
    this.#chunks.clear();
    this.#reservations.clear();
  }

  connected(init: InitMessage): void {
    this.#emit({ kind: 'connected', serverVersion: init.versionInfo });
    this.#extensions.connected(init);
    const dialect = chooseDialect(init, {
      link: this.#link,
      timers: this.#timers,
      reservations: this.#reservations,
      isIdle: () => !this.#chunks.areNeeded && !this.#results.isSendingUnheld,
    });
    this.#outbox.connected(dialect);
    for (const feed of this.#reservations.feeds) this.#reservations.look(feed);
  }

  disconnected(reason: string): void {
    this.#emit({ kind: 'disconnected', reason });
    this.#outbox.disconnected();
    this.#reservations.disconnected();
    this.#extensions.disconnected();
    for (const chunk of this.#chunks.list()) {
      if (chunk.state === 'handed') this.#lost(chunk, 'disconnected');
      if (chunk.isWorkedOn || chunk.state === 'taken') chunk.cut();
      else this.#chunks.remove(chunk);
    }
  }

  message(message: MessageFromQueue) {
    switch (message.kind) {
      case 'reserved':
        return this.#reserved(message.nonce, message.chunks);
      case 'reserve_refused':
        return this.#refused(message.nonce, message.reason ?? 'the queue gave no reason');
      case 'expired':
        return this.#expired(message.chunk);
      case 'dropped': {
        const chunk = this.#chunks.named(message.chunk);
        const reason = message.reason === 'completed_elsewhere' ? 'completed_elsewhere' : 'submission_ended';
        if (chunk !== undefined) this.#lose(chunk, reason);
        return;
      }
      default:
        return message satisfies never;
    }
  }

  #reserved(nonce: Nonce, messages: readonly ReservedChunkMessage[]): void {
    const feed = this.#reservations.answered(nonce);
    if (feed === null || feed.takesNothing) {
      if (messages.length > 0) this.#outbox.queue?.giveBack(messages.map(({ chunk }) => chunk));
    } else if (messages.length === 0) this.#reservations.askLater(feed);
    else {
      feed.noteAnswer(messages.length);
      this.#intake.take(messages, feed);
    }
  }

  #refused(nonce: Nonce, reason: string): void {
    const feed = this.#reservations.answered(nonce);
    if (feed !== null) this.#reservations.refuse(feed, reason);
  }

  /** The result still counts, so what may be running goes on. What a caller took is completed by its name. */
  #expired(id: ChunkId): void {
    const chunk = this.#chunks.named(id);
    if (chunk === undefined) return;
    const queue = this.#outbox.queue;
    if (!chunk.isWorkedOn) {
      queue?.fail(id, 'Reservation expired', null);
      if (chunk.state === 'taken') chunk.expired(true);
      else this.#lose(chunk, 'expired');
      return;
    }
    chunk.expired(chunk.state === 'handed' && queue?.answerExpiry(id) === true);
    if (chunk.state === 'handed') this.#lost(chunk, 'expired');
  }

  #lose(chunk: FeedChunk, reason: LossReason): void {
    if (chunk.state === 'handed') this.#lost(chunk, reason);
    this.#chunks.remove(chunk);
    this.#intake.progress(chunk.feed);
  }

  #lost({ feed, handle }: FeedChunk, reason: LossReason): void {
    this.#emit({ kind: 'lost', feed: feed.id, handle, reason });
  }

  /** All but the first `kept`: they run in the order of their reservation. */
  #giveBack(feed: Feed, kept: number): void {
    const open = this.#chunks.list().filter((chunk) => chunk.feed === feed && chunk.state !== 'sending');
    const spare = open.slice(kept);
    for (const chunk of spare) if (chunk.state === 'handed') this.#lost(chunk, 'given_back');
    this.#releaseAll(spare);
  }

  #stop(id: number) {
    const feed = this.#reservations.get(id);
    if (feed === undefined) return this.#emit({ kind: 'feed_ended', feed: id });
    feed.isStopped = true;
    this.#takeNoMore(feed);
    this.#reservations.look(feed);
  }

  #pause(id: number, isPaused: boolean): void {
    const feed = this.#reservations.get(id);
    if (feed === undefined || feed.isStopped) return;
    feed.isPaused = isPaused;
    if (isPaused) this.#takeNoMore(feed);
    this.#reservations.look(feed);
  }

  /** What was not handed over goes back, and what was asked for is not wanted any more. */
  #takeNoMore(feed: Feed): void {
    const isUnstarted = ({ state }: FeedChunk) =>
      state === 'waiting' || state === 'fetching' || state === 'ready';
    this.#releaseAll(this.#chunks.list().filter((chunk) => chunk.feed === feed && isUnstarted(chunk)));
    const nonce = this.#reservations.withdraw(feed);
    if (nonce !== null) this.#outbox.queue?.withdraw(nonce);
  }

  #release(names: readonly ChunkName[]): void {
    this.#releaseAll(names.flatMap(({ handle, chunk }) => this.#chunks.find(handle, chunk) ?? []));
  }

  #releaseAll(chunks: readonly FeedChunk[]): void {
    for (const chunk of chunks) this.#chunks.remove(chunk);
    const released = chunks.filter(({ mayFail }) => mayFail).map(({ id }) => id);
    if (released.length > 0) this.#outbox.queue?.giveBack(released);
    for (const feed of new Set(chunks.map(({ feed }) => feed))) this.#intake.progress(feed);
  }
}
