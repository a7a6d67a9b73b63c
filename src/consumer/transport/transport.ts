import type { ChunkId } from '../../model/ids.ts';
import { bounded, messageOf, traceOf } from '../../model/thrown.ts';
import type { IncomingMessage, OutgoingMessage } from '../../net/websocket/client.ts';
import type { InitMessage, Nonce, ReservedChunkMessage } from '../../protocol/consumer/types.ts';
import { announcedInInit, type ConsumerQueueFeature } from '../../protocol/features.ts';
import type { Clock } from '../../system/clock.ts';
import type { Logger } from '../../system/logger.ts';
import type { ChunkBodies } from '../bodies.ts';
import {
  type ChunkResult,
  type Handle,
  type HeldChunk,
  type LossReason,
  opsOf,
  type TransportEvent,
  type WorkCommand,
} from '../thread/protocol.ts';
import { Extensions } from './extensions.ts';
import { GiveBack } from './give-back.ts';
import { chunkKeyOf, type Held } from './held.ts';
import { HeldChunks } from './held-chunks.ts';
import { ManualReservation } from './manual-reservation.ts';
import type { QueueLink } from './queue-link.ts';
import { type Asker, Reservations } from './reservations.ts';
import { RunFeed } from './run-feed.ts';
import { Timers } from './timers.ts';

/** Chunks are handed over in the order of their reservation, but a download that takes longer holds up no others. */
const SLOW_FETCH_MS = 1_000;

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

/** A result, or what is told by hand, that waits for a connection. */
interface Unsent {
  readonly message: OutgoingMessage;
  /** Whom it concerns that it is told; null: nobody waits for that. */
  readonly byHand: { readonly handle: Handle; readonly settle: () => void } | null;
}

/**
 * Keeps reservations, downloads and uploads going, whatever the calling thread does meanwhile. Commands in, events
 * out; the states of a chunk are those of {@link Held}.
 */
export class Transport {
  readonly #options: TransportOptions;
  readonly #link: QueueLink;
  readonly #clock: Clock;
  readonly #timers: Timers;
  readonly #chunks: HeldChunks;
  readonly #reservations: Reservations;
  readonly #extensions: Extensions;
  readonly #giveBacks: GiveBack<Held>;
  /** Results that are to be told as soon as there is a connection again. */
  #unsent: Unsent[] = [];
  #waitsNoMore = false;
  /** Chunks are to go back to a server that knows no other way than the end of the connection. */
  #resetDue = false;
  #sendingUnheld = 0;
  /** What the pulse was, and when it was seen to have changed. */
  #pulse = 0;
  #pulseMs = 0;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#link = options.link;
    this.#clock = options.clock;
    this.#timers = new Timers(options.clock);
    this.#chunks = new HeldChunks(options.handleBase);
    this.#reservations = new Reservations(options.link, this.#timers);
    this.#extensions = new Extensions({
      timers: this.#timers,
      due: (ageMs) => this.#extensionsDue(ageMs),
      send: (chunks) => this.#tell({ kind: 'extend', chunks }),
      isNeeded: () => this.#chunks.size > 0,
    });
    this.#giveBacks = new GiveBack({
      clock: options.clock,
      timers: this.#timers,
      isPossible: () => this.#supports('release'),
      giveBack: (feed, kept) => this.#giveBack(feed, kept),
    });
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
        return this.#reservations.add(new RunFeed<Held>(command.run, command.demand));
      case 'run_stop':
        return this.#stopRun(command.run);
      case 'reserve':
        return this.#reservations.add(new ManualReservation(command.request, command.max, command.strategy));
      case 'reserve_cancel':
        return this.#cancelRequest(command.request);
      case 'complete':
        return this.#complete(command.result);
      case 'fail':
        return this.#fail(command);
      case 'release':
        return this.#releaseHandles(command.handles);
      case 'wait_no_more':
        return this.#waitNoMore();
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
    this.#options.emit({ kind: 'connected', serverVersion: init.versionInfo, features: init.features });
    this.#resetDue = false;
    this.#extensions.connected(init);
    const unsent = this.#unsent;
    this.#unsent = [];
    for (const each of unsent) this.#tellOrWait(each);
    this.#reservations.askAll();
  }

  disconnected(reason: string): void {
    this.#options.emit({ kind: 'disconnected', reason });
    this.#reservations.disconnected();
    this.#extensions.disconnected();
    for (const held of this.#chunks.list()) {
      if (held.state === 'handed') this.#lost(held, 'disconnected');
      if (!mayYetCount(held)) {
        this.#forget(held);
        continue;
      }
      held.isOurs = false;
      held.renewal = null;
      if (held.expiry !== null) held.expiry = 'answered';
    }
    this.#requestsProgress();
    for (const feed of this.#reservations.feeds) this.#endIfDone(feed);
  }

  message(message: IncomingMessage) {
    switch (message.kind) {
      case 'reserved':
        return this.#reserved(message.nonce, message.chunks);
      case 'reserve_refused':
        return this.#refused(message.nonce, message.reason ?? 'the queue gave no reason');
      case 'expired':
        return this.#expired(chunkKeyOf(message.chunk));
      case 'dropped': {
        const held = this.#chunks.getByKey(chunkKeyOf(message.chunk));
        const reason = message.reason === 'completed_elsewhere' ? 'completed_elsewhere' : 'submission_ended';
        if (held !== undefined) this.#lose(held, reason);
        return;
      }
      default:
        return message satisfies never;
    }
  }

  // Reserving

  #reserved(nonce: Nonce, messages: readonly ReservedChunkMessage[]): void {
    const asker = this.#reservations.answered(nonce);
    if (asker === null || (asker instanceof RunFeed && asker.isStopped)) {
      this.#release(messages.map(({ chunk }) => chunk));
    } else if (messages.length === 0) this.#reservations.askLater(asker);
    else if (asker instanceof RunFeed) {
      asker.noteAnswer(asker.asked, messages.length);
      for (const message of messages) this.#take(message, asker);
      this.#reservations.ask(asker);
      this.#handOver(asker);
    } else {
      asker.isAnswered = true;
      for (const message of messages) {
        const held = this.#take(message, null);
        if (held !== null) asker.chunks.add(held);
      }
      this.#requestProgress(asker);
    }
  }

  #refused(nonce: Nonce, reason: string): void {
    const asker = this.#reservations.answered(nonce);
    if (asker instanceof RunFeed) {
      asker.isStopped = true;
      this.#options.emit({ kind: 'refused', of: 'run', id: asker.run, reason });
    } else if (asker !== null) {
      this.#reservations.remove(asker);
      this.#options.emit({ kind: 'refused', of: 'request', id: asker.request, reason });
    }
  }

  /** Takes a chunk in; null if it is one that is worked on already: it expired, or the connection broke. */
  #take(message: ReservedChunkMessage, feed: RunFeed<Held> | null): Held | null {
    const before = this.#chunks.getByKey(chunkKeyOf(message.chunk));
    if (before !== undefined && !before.isOurs) {
      before.isOurs = true;
      if (before.expiry !== null) before.renewal = message;
      return null;
    }
    const held = this.#chunks.add(message, feed, this.#clock.monotonicMs());
    feed?.noteChunk(opsOf(held.submission));
    this.#extensions.watch();
    if (held.submission.prefix === null && held.input === null) {
      this.#failHere(held, 'the chunk has neither a content nor the prefix of one in the object store');
      return held;
    }
    if (held.input !== null || this.#options.bodies === null) held.state = 'ready';
    else if (feed === null) void this.#fetch(held, held.submission.prefix ?? '', this.#options.bodies);
    return held;
  }

  // Downloading and handing over

  /** Starts downloads as far as memory allows, and hands over what is ready, in the order of the reservations. */
  #handOver(feed: RunFeed<Held>): void {
    if (feed.isStopped) return;
    const { queue } = feed;
    const nowMs = this.#clock.monotonicMs();
    let kept = 0;
    let isBlocked = false;
    for (const held of queue) {
      if (!this.#chunks.has(held)) continue;
      this.#fetchWhenFitting(held, feed);
      if (held.state === 'ready' && !isBlocked) {
        held.state = 'handed';
        held.handedMs = nowMs;
        this.#options.emit({ kind: 'ready', run: feed.run, chunk: toHeldChunk(held) });
        held.input = null;
        continue;
      }
      if (nowMs - held.reservedMs < SLOW_FETCH_MS) isBlocked = true;
      queue[kept++] = held;
    }
    queue.length = kept;
    if (isBlocked && !feed.isWatched) {
      feed.isWatched = true;
      this.#timers.after(SLOW_FETCH_MS, () => {
        feed.isWatched = false;
        this.#handOver(feed);
      });
    }
    this.#giveBacks.watch(feed);
  }

  #fetchWhenFitting(held: Held, feed: RunFeed<Held>): void {
    const { bodies } = this.#options;
    if (held.state !== 'fetching' || held.download !== null || bodies === null || !feed.mayFetch()) return;
    // Marks that it has begun; the true times come with the body, and so does its true size.
    held.download = { startMs: 0, endMs: 0 };
    held.bytes = feed.inputBytesExpected;
    feed.bytesHeld += held.bytes;
    void this.#fetch(held, held.submission.prefix ?? '', bodies);
  }

  async #fetch(held: Held, prefix: string, bodies: ChunkBodies): Promise<void> {
    held.isTransferring = true;
    try {
      const address = { prefix, chunkIndex: held.chunk.chunkIndex };
      const { content, times } = await bodies.read(address, held.transfer.signal);
      if (held.transfer.signal.aborted) return;
      held.isTransferring = false;
      held.input = content;
      held.download = times;
      held.state = 'ready';
      if (held.feed !== null) {
        held.feed.bytesHeld += content.length - held.bytes;
        held.bytes = content.length;
        held.feed.noteInput(content.length);
      }
    } catch (error) {
      if (held.transfer.signal.aborted) return;
      this.#options.logger.warn(
        {
          submission: String(held.chunk.submissionId),
          chunk: held.chunk.chunkIndex,
          error: messageOf(error),
        },
        'a chunk could not be downloaded: it fails',
      );
      this.#failHere(held, traceOf(error));
    }
    if (held.feed !== null) this.#handOver(held.feed);
    else this.#requestsProgress();
  }

  #requestsProgress(): void {
    for (const request of this.#reservations.requests) this.#requestProgress(request);
  }

  /** Answers a request once all its chunks are there; asks again if none is left. */
  #requestProgress(request: ManualReservation) {
    if (!request.isAnswered) return;
    for (const held of request.chunks) {
      if (!this.#chunks.has(held)) request.chunks.delete(held);
      else if (held.state === 'fetching') return;
    }
    if (request.chunks.size === 0) {
      request.isAnswered = false;
      return this.#reservations.ask(request);
    }
    const chunks = [...request.chunks].map((held) => {
      held.state = 'handed';
      return toHeldChunk(held);
    });
    this.#reservations.remove(request);
    this.#options.emit({ kind: 'reserved', request: request.request, chunks });
  }

  /** All but the first `kept`: they run in the order of their reservation. */
  #giveBack(feed: RunFeed<Held>, kept: number): void {
    const open = this.#chunks.list().filter((held) => held.feed === feed && held.state !== 'sending');
    const spare = open.slice(kept);
    for (const held of spare) if (held.state === 'handed') this.#lost(held, 'given_back');
    this.#releaseHandles(spare.map(({ handle }) => handle));
  }

  /**
   * What a run has or waits for. What was reserved by hand is its caller's: the queue's expiry takes it back if he
   * forgets it. A callback beyond its time limit has lost its chunk, also where it blocks the thread that says so.
   */
  #extensionsDue(ageMs: number): ChunkId[] {
    const nowMs = this.#clock.monotonicMs();
    const due: ChunkId[] = [];
    let isPulseWanted = false;
    const pulse = Atomics.load(this.#options.pulse, 0);
    if (pulse !== this.#pulse) this.#pulseMs = nowMs;
    this.#pulse = pulse;
    for (const held of this.#chunks.list()) {
      const { feed } = held;
      if (feed === null || !held.isOurs || nowMs - held.extendedMs < ageMs) continue;
      const busyMs = nowMs - Math.max(held.handedMs, feed.progressMs, this.#pulseMs);
      const { callbackMsMax } = feed.demand;
      if (held.state === 'handed') {
        if (busyMs > callbackMsMax / 2) isPulseWanted = true;
        if (busyMs > callbackMsMax) continue;
      }
      held.extendedMs = nowMs;
      due.push(held.chunk);
    }
    if (isPulseWanted) this.#options.emit({ kind: 'pulse' });
    return due;
  }

  // Results

  #complete(result: ChunkResult) {
    const held = this.#chunks.get(result.handle);
    // Positive handles are of chunks that were held and are not any more: a run has been told to drop its result.
    if (held === undefined && result.handle > 0 && !result.isByHand) {
      return this.#settled(result.handle, null);
    }
    if (held !== undefined) this.#noteResult(held, result);
    else this.#sendingUnheld++;
    void this.#send(result, held);
    if (held?.feed) this.#reservations.ask(held.feed);
  }

  #noteResult(held: Held, result: ChunkResult): void {
    held.state = 'sending';
    const { feed } = held;
    if (feed === null) return;
    const bytes = result.body?.length ?? 0;
    feed.chunksOpen--;
    feed.chunksSending++;
    feed.bytesHeld += bytes - held.bytes;
    held.bytes = bytes;
    feed.noteResult(bytes, result.computeMs);
    this.#giveBacks.noteProgress(feed);
    this.#handOver(feed);
  }

  async #send(result: ChunkResult, held: Held | undefined): Promise<void> {
    const { handle, chunk, prefix, body } = result;
    const { bodies } = this.#options;
    const transfer = held?.transfer ?? new AbortController();
    let times = null;
    if (prefix !== null && body !== null && bodies !== null) {
      try {
        const address = { prefix, chunkIndex: chunk.chunkIndex };
        if (held !== undefined) held.isTransferring = true;
        times = await bodies.write(address, body, result.compression, transfer.signal);
      } catch (error) {
        if (held === undefined) this.#sendingUnheld--;
        if (!transfer.signal.aborted) this.#uploadFailed(result, held, error);
        return;
      }
      if (transfer.signal.aborted) return;
      if (held !== undefined) held.isTransferring = false;
    }
    if (held === undefined) this.#sendingUnheld--;
    const message = { kind: 'complete' as const, chunk, outputContent: prefix === null ? body : null };
    const settle = () => this.#options.emit({ kind: 'settled', handle, error: null, upload: times });
    // A run goes on meanwhile, whoever called by hand wants to know.
    this.#tellOrWait(result.isByHand ? { message, byHand: { handle, settle } } : { message, byHand: null });
    if (held !== undefined) this.#forget(held);
    if (held?.feed) this.#handOver(held.feed);
    if (!result.isByHand) settle();
    this.#resetIfIdle();
  }

  #uploadFailed({ handle, chunk }: ChunkResult, held: Held | undefined, error: unknown): void {
    this.#options.logger.warn(
      { submission: String(chunk.submissionId), chunk: chunk.chunkIndex, error: messageOf(error) },
      'the result of a chunk could not be uploaded: it fails',
    );
    if (held === undefined || mayFail(held)) this.#tell({ kind: 'fail', chunk, failure: traceOf(error) });
    if (held !== undefined) this.#forget(held);
    this.#settled(handle, messageOf(error));
  }

  #fail(command: Extract<WorkCommand, { kind: 'fail' }>) {
    const held = this.#chunks.get(command.handle);
    const isUnconnected = command.isByHand && this.#link.init === null;
    if (held === undefined && command.handle > 0 && !isUnconnected)
      return this.#settled(command.handle, null);
    if (held !== undefined && held.renewal !== null && command.retryable)
      return this.#beginAgain(held, held.renewal);
    const failure = bounded(command.failure);
    const { retryable, delayMs } = command;
    const options = this.#supports('fail_options') ? { retryable, delayMs } : {};
    // Only the holder's failure counts: without the connection it is nobody's.
    const isWanted = held === undefined ? this.#link.init !== null : mayFail(held);
    const message = { kind: 'fail' as const, chunk: command.chunk, failure, ...options };
    if (isUnconnected) {
      const { handle } = command;
      return this.#tellOrWait({ message, byHand: { handle, settle: () => this.#settled(handle, null) } });
    }
    if (isWanted) this.#tell(message);
    if (held?.feed) this.#giveBacks.noteProgress(held.feed);
    if (held !== undefined) this.#forget(held);
    if (held?.feed) this.#handOver(held.feed);
    this.#settled(command.handle, null);
  }

  /** The expiry was the failed try of what has failed just now. This is the next one. */
  #beginAgain(held: Held, renewal: ReservedChunkMessage) {
    const { feed, chunk, handle } = held;
    if (feed === null || feed.isStopped) this.#release([chunk]);
    else this.#take(renewal, feed);
    this.#forget(held);
    if (feed !== null) this.#handOver(feed);
    this.#settled(handle, null);
  }

  #failHere(held: Held, failure: string): void {
    if (held.isOurs) this.#tell({ kind: 'fail', chunk: held.chunk, failure });
    this.#forget(held);
  }

  #settled(handle: Handle, error: string | null): void {
    this.#options.emit({ kind: 'settled', handle, error, upload: null });
    this.#resetIfIdle();
  }

  #tellOrWait(unsent: Unsent): void {
    const { message, byHand } = unsent;
    if (this.#link.send(message) !== null) byHand?.settle();
    else if (byHand !== null && this.#waitsNoMore)
      this.#options.emit({ kind: 'untold', handle: byHand.handle });
    else this.#unsent.push(unsent);
  }

  #waitNoMore(): void {
    this.#waitsNoMore = true;
    const unsent = this.#unsent;
    this.#unsent = [];
    for (const each of unsent) this.#tellOrWait(each);
  }

  /** Sends a message now: it is worth nothing on another connection. */
  #tell(message: OutgoingMessage): void {
    this.#link.send(message);
    if (message.kind === 'fail') this.#reservations.nudgeLater();
  }

  // Losing and giving back

  /** The result still counts, so what may be running goes on; the queue's question is answered by how it ends. */
  #expired(key: string) {
    const held = this.#chunks.getByKey(key);
    if (held === undefined) return;
    // An old queue gives the chunk to nobody before it is answered: the callback may take for ever.
    const isOldQueue = this.#link.init?.features.length === 0;
    const isAnswered = !mayYetCount(held) || (isOldQueue && held.state === 'handed');
    if (isAnswered) this.#tell({ kind: 'fail', chunk: held.chunk, failure: 'Reservation expired' });
    if (!mayYetCount(held)) return this.#lose(held, 'expired');
    held.isOurs = false;
    held.expiry = isAnswered ? 'answered' : 'unanswered';
    held.renewal = null;
    if (held.state === 'handed') this.#lost(held, 'expired');
  }

  #lose(held: Held, reason: LossReason): void {
    const { state, handle } = held;
    this.#forget(held);
    if (state === 'handed') this.#lost(held, reason);
    if (state === 'sending') this.#settled(handle, null);
    if (held.feed !== null) this.#handOver(held.feed);
    this.#requestsProgress();
  }

  #lost({ handle }: Held, reason: LossReason): void {
    this.#options.emit({ kind: 'lost', handle, reason });
  }

  #releaseHandles(handles: readonly Handle[]): void {
    const chunks = [];
    for (const handle of handles) {
      const held = this.#chunks.get(handle);
      if (held === undefined) continue;
      if (mayFail(held)) chunks.push(held.chunk);
      this.#forget(held);
      if (held.feed !== null) this.#handOver(held.feed);
    }
    this.#release(chunks);
  }

  #release(chunks: readonly Held['chunk'][]): void {
    if (chunks.length === 0 || this.#link.init === null) return;
    if (this.#supports('release')) this.#tell({ kind: 'release', chunks });
    else {
      this.#resetDue = true;
      this.#resetIfIdle();
    }
  }

  /** An old server takes chunks back uncounted only when the connection ends: as soon as nothing else needs it. */
  #resetIfIdle(): void {
    if (!this.#resetDue || this.#chunks.size > 0 || this.#sendingUnheld > 0) return;
    this.#resetDue = false;
    this.#link.reconnect('giving back chunks that nobody waits for');
  }

  #stopRun(run: number) {
    const feed = this.#reservations.feed(run);
    if (feed === undefined) return this.#options.emit({ kind: 'run_ended', run });
    feed.isStopped = true;
    const unstarted = this.#chunks
      .list()
      .filter((held) => held.feed === feed && (held.state === 'fetching' || held.state === 'ready'));
    this.#releaseHandles(unstarted.map(({ handle }) => handle));
    this.#withdraw(feed);
    this.#endIfDone(feed);
  }

  #cancelRequest(id: number): void {
    const request = this.#reservations.request(id);
    if (request === undefined) return;
    this.#reservations.remove(request);
    this.#withdraw(request);
    this.#releaseHandles([...request.chunks].map(({ handle }) => handle));
  }

  #withdraw(asker: Asker): void {
    const nonce = this.#reservations.withdraw(asker);
    if (nonce === null) return;
    if (this.#supports('cancel_reserve')) this.#tell({ kind: 'cancel_reserve', reserveNonce: nonce });
    else {
      this.#resetDue = true;
      this.#resetIfIdle();
    }
  }

  #endIfDone(feed: RunFeed<Held>): void {
    if (!feed.isStopped || !feed.isEmpty || this.#reservations.feed(feed.run) !== feed) return;
    this.#reservations.remove(feed);
    this.#options.emit({ kind: 'run_ended', run: feed.run });
  }

  #forget(held: Held): void {
    this.#chunks.forget(held);
    if (held.feed === null) return;
    this.#reservations.ask(held.feed);
    this.#endIfDone(held.feed);
  }

  #supports(feature: ConsumerQueueFeature): boolean {
    return announcedInInit(this.#link.init, feature);
  }
}

/** Whether there may be a result. What reserveChunks handed out is the caller's: that counts by its name, unheld. */
function mayYetCount({ state, feed }: Held): boolean {
  return state === 'sending' || (state === 'handed' && feed !== null);
}

/** Whether the queue listens to its failure: as that of the holder, or as the answer to an expiry, which is no try. */
function mayFail({ isOurs, expiry }: Held): boolean {
  return isOurs || expiry === 'unanswered';
}

function toHeldChunk({ handle, chunk, submission, retries, input, download }: Held): HeldChunk {
  return { handle, chunk, submission, retries, input, download };
}
