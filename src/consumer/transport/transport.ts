import { CHUNKS_PER_ANSWER_MAX } from '../../model/limits.ts';
import type { IncomingMessage, OutgoingMessage } from '../../net/ws-client.ts';
import type { InitMessage, Nonce, ReservedChunkMessage } from '../../protocol/consumer-types.ts';
import type { Clock, Timer } from '../../system/clock.ts';
import type { Logger } from '../../system/logger.ts';
import { bounded, failureText } from '../failure-text.ts';
import type { ChunkResult, Handle, HeldChunk, LossReason, TransportEvent, WorkCommand } from '../messages.ts';
import type { ChunkBodies } from './bodies.ts';
import { chunkKeyOf, type Held } from './held.ts';
import { ManualReservation } from './manual-reservation.ts';
import { RunFeed } from './run-feed.ts';
import { SubmissionCache } from './submission-cache.ts';

/** How long after a failure an old server is asked once more. */
const NUDGE_MS = 100;
/** Reservations that may wait at an old server because of that. */
const NUDGED_MAX = 64;
/** After an empty answer to a reservation. */
const ASK_AGAIN_MS = 500;
/** Chunks are handed over in the order of their reservation, but a download that takes longer holds up no others. */
const SLOW_FETCH_MS = 1_000;

/** The connection, as far as the transport needs it. */
export interface QueueLink {
  readonly init: InitMessage | null;
  send(message: OutgoingMessage): Nonce | null;
  reconnect(reason: string): void;
}

export interface TransportOptions {
  readonly link: QueueLink;
  /** null: the calling thread reads and writes the bodies. */
  readonly bodies: ChunkBodies | null;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly emit: (event: TransportEvent) => void;
  /** Every handle is above it. */
  readonly handleBase: number;
}

/**
 * Keeps reservations, downloads and uploads going, whatever the calling thread does meanwhile. Commands in, events
 * out; the states of a chunk are those of {@link Held}.
 */
export class Transport {
  readonly #options: TransportOptions;
  readonly #link: QueueLink;
  readonly #clock: Clock;
  readonly #feeds = new Map<number, RunFeed<Held>>();
  readonly #requests = new Map<number, ManualReservation>();
  readonly #byHandle = new Map<Handle, Held>();
  readonly #byKey = new Map<string, Held>();
  /** Who waits for the answer to which reservation. */
  readonly #waiting = new Map<Nonce, RunFeed<Held> | ManualReservation>();
  /** What is to be told as soon as there is a connection again. */
  readonly #unsent: OutgoingMessage[] = [];
  readonly #submissions = new SubmissionCache();
  readonly #timers = new Set<Timer>();
  #nextHandle: number;
  /** Chunks are to go back to a server that knows no other way than the end of the connection. */
  #resetDue = false;
  #nudgeDue = false;
  #sendingUnheld = 0;

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#link = options.link;
    this.#clock = options.clock;
    this.#nextHandle = options.handleBase;
  }

  /** Counts, for tests and leak checks. */
  get counts(): { readonly held: number; readonly waiting: number; readonly timers: number } {
    return { held: this.#byHandle.size, waiting: this.#waiting.size, timers: this.#timers.size };
  }

  /** The concurrency to announce: that of all runs. */
  get concurrency(): number {
    let sum = 0;
    for (const feed of this.#feeds.values()) sum += feed.demand.concurrency;
    return Math.max(sum, 1);
  }

  handle(command: WorkCommand) {
    switch (command.kind) {
      case 'run': {
        const feed = new RunFeed<Held>(command.run, command.demand);
        this.#feeds.set(command.run, feed);
        return this.#reserveFor(feed);
      }
      case 'run_stop':
        return this.#stopRun(command.run);
      case 'reserve': {
        const request = new ManualReservation(command.request, command.max, command.strategy);
        this.#requests.set(command.request, request);
        return this.#ask(request);
      }
      case 'reserve_cancel':
        return this.#cancelRequest(command.request);
      case 'complete':
        return this.#complete(command.result);
      case 'fail':
        return this.#fail(command);
      case 'release':
        return this.#releaseHandles(command.handles);
      default:
        return command satisfies never;
    }
  }

  /** Takes all timers back and ends every transfer. */
  close() {
    for (const timer of this.#timers) timer.cancel();
    this.#timers.clear();
    for (const held of this.#byHandle.values()) held.transfer.abort();
    this.#byHandle.clear();
    this.#byKey.clear();
    this.#feeds.clear();
    this.#requests.clear();
    this.#waiting.clear();
  }

  connected(init: InitMessage) {
    this.#options.emit({ kind: 'connected', serverVersion: init.versionInfo, features: init.features });
    this.#resetDue = false;
    for (const message of this.#unsent.splice(0)) this.#link.send(message);
    for (const feed of this.#feeds.values()) this.#reserveFor(feed);
    for (const request of this.#requests.values()) this.#ask(request);
  }

  disconnected(reason: string) {
    this.#options.emit({ kind: 'disconnected', reason });
    this.#waiting.clear();
    for (const feed of this.#feeds.values()) feed.reservation = null;
    for (const request of this.#requests.values()) request.nonce = null;
    for (const held of [...this.#byHandle.values()]) {
      if (held.state === 'handed')
        this.#options.emit({ kind: 'lost', handle: held.handle, reason: 'disconnected' });
      // What reserveChunks handed out is the caller's: its result counts by its name, without being held.
      if (held.state === 'sending' || (held.state === 'handed' && held.feed !== null)) held.isOurs = false;
      else this.#forget(held);
    }
    for (const request of [...this.#requests.values()]) this.#requestProgress(request);
    for (const feed of [...this.#feeds.values()]) this.#endIfDone(feed);
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
        const held = this.#byKey.get(chunkKeyOf(message.chunk));
        const reason = message.reason === 'completed_elsewhere' ? 'completed_elsewhere' : 'submission_ended';
        if (held !== undefined) this.#lose(held, reason);
        return;
      }
      default:
        return message satisfies never;
    }
  }

  // Reserving

  #reserveFor(feed: RunFeed<Held>): void {
    const wanted = Math.min(feed.wanted, CHUNKS_PER_ANSWER_MAX);
    if (wanted <= 0) return;
    const nonce = this.#link.send({ kind: 'reserve', max: wanted, strategy: feed.demand.strategy });
    if (nonce === null) return;
    feed.reservation = { nonce };
    this.#waiting.set(nonce, feed);
  }

  #ask(request: ManualReservation) {
    if (request.isAnswered || request.nonce !== null) return;
    const { max, strategy } = request;
    const nonce = this.#link.send({ kind: 'reserve', max, strategy });
    if (nonce === null) return;
    request.nonce = nonce;
    this.#waiting.set(nonce, request);
  }

  #reserved(nonce: Nonce, messages: readonly ReservedChunkMessage[]) {
    const asker = this.#waiting.get(nonce);
    this.#waiting.delete(nonce);
    if (asker === undefined) return this.#giveBackUnasked(messages);
    if (asker instanceof RunFeed) asker.reservation = null;
    else asker.nonce = null;
    if (messages.length === 0) return this.#askAgainLater(asker);
    if (asker instanceof RunFeed) {
      for (const message of messages) this.#take(message, asker);
      this.#reserveFor(asker);
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

  /** The reference's server may answer that there is nothing, instead of waiting. */
  #askAgainLater(asker: RunFeed<Held> | ManualReservation): void {
    if (asker instanceof RunFeed) asker.isPausing = true;
    this.#after(ASK_AGAIN_MS, () => {
      if (asker instanceof RunFeed) {
        asker.isPausing = false;
        this.#reserveFor(asker);
      } else if (this.#requests.has(asker.request)) this.#ask(asker);
    });
  }

  #refused(nonce: Nonce, reason: string): void {
    const asker = this.#waiting.get(nonce);
    this.#waiting.delete(nonce);
    if (asker instanceof RunFeed) {
      asker.reservation = null;
      asker.isStopped = true;
      this.#options.emit({ kind: 'refused', of: 'run', id: asker.run, reason });
    } else if (asker !== undefined) {
      this.#requests.delete(asker.request);
      this.#options.emit({ kind: 'refused', of: 'request', id: asker.request, reason });
    }
  }

  /** Takes a chunk in; null if it is one that is worked on already, from before the connection broke. */
  #take(message: ReservedChunkMessage, feed: RunFeed<Held> | null): Held | null {
    const key = chunkKeyOf(message.chunk);
    const before = this.#byKey.get(key);
    if (before !== undefined && !before.isOurs) {
      before.isOurs = true;
      return null;
    }
    const held: Held = {
      handle: ++this.#nextHandle,
      chunk: message.chunk,
      key,
      submission: this.#submissions.shared(message.submission),
      retries: message.retries,
      feed,
      reservedMs: this.#clock.monotonicMs(),
      transfer: new AbortController(),
      state: 'fetching',
      isTransferring: false,
      isOurs: true,
      bytes: message.inputContent?.length ?? 0,
      input: message.inputContent,
      download: null,
    };
    this.#byHandle.set(held.handle, held);
    this.#byKey.set(key, held);
    if (feed !== null) {
      feed.chunksOpen++;
      feed.bytesHeld += held.bytes;
      feed.queue.push(held);
    }
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
    const { queue } = feed;
    const nowMs = this.#clock.monotonicMs();
    let kept = 0;
    let blocked = false;
    if (feed.isStopped) return;
    for (const held of queue) {
      if (this.#byHandle.get(held.handle) !== held) continue;
      this.#fetchWhenFitting(held, feed);
      if (held.state === 'ready' && !blocked) {
        held.state = 'handed';
        this.#options.emit({ kind: 'ready', run: feed.run, chunk: toHeldChunk(held) });
        held.input = null;
        continue;
      }
      if (nowMs - held.reservedMs < SLOW_FETCH_MS) blocked = true;
      queue[kept++] = held;
    }
    queue.length = kept;
    if (blocked && !feed.isWatched) {
      feed.isWatched = true;
      this.#after(SLOW_FETCH_MS, () => {
        feed.isWatched = false;
        this.#handOver(feed);
      });
    }
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
          error: errorMessage(error),
        },
        'a chunk could not be downloaded: it fails',
      );
      this.#failHere(held, failureText(error));
    }
    if (held.feed !== null) this.#handOver(held.feed);
    else for (const request of this.#requests.values()) this.#requestProgress(request);
  }

  /** Answers a request once all its chunks are there; asks again if none is left. */
  #requestProgress(request: ManualReservation) {
    if (!request.isAnswered) return;
    for (const held of request.chunks) {
      if (this.#byHandle.get(held.handle) !== held) request.chunks.delete(held);
      else if (held.state === 'fetching') return;
    }
    if (request.chunks.size === 0) {
      request.isAnswered = false;
      return this.#ask(request);
    }
    const chunks = [...request.chunks].map((held) => {
      held.state = 'handed';
      return toHeldChunk(held);
    });
    this.#requests.delete(request.request);
    this.#options.emit({ kind: 'reserved', request: request.request, chunks });
  }

  // Results

  #complete(result: ChunkResult) {
    const held = this.#byHandle.get(result.handle);
    // Positive handles are of chunks that were held and are not any more: their result is not wanted.
    if (held === undefined && result.handle > 0) return this.#settled(result.handle, null);
    if (held !== undefined) this.#noteResult(held, result);
    else this.#sendingUnheld++;
    void this.#send(result, held);
    if (held?.feed) this.#reserveFor(held.feed);
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
        if (transfer.signal.aborted) return;
        this.#options.logger.warn(
          { submission: String(chunk.submissionId), chunk: chunk.chunkIndex, error: errorMessage(error) },
          'the result of a chunk could not be uploaded: it fails',
        );
        if (held === undefined || held.isOurs)
          this.#tell({ kind: 'fail', chunk, failure: failureText(error) });
        if (held !== undefined) this.#forget(held);
        return this.#settled(handle, errorMessage(error));
      }
      if (transfer.signal.aborted) return;
      if (held !== undefined) held.isTransferring = false;
    }
    if (held === undefined) this.#sendingUnheld--;
    this.#tell({ kind: 'complete', chunk, outputContent: prefix === null ? body : null });
    if (held !== undefined) this.#forget(held);
    if (held?.feed) this.#handOver(held.feed);
    this.#options.emit({ kind: 'settled', handle, error: null, upload: times });
    this.#resetIfIdle();
  }

  #fail(command: Extract<WorkCommand, { kind: 'fail' }>) {
    const held = this.#byHandle.get(command.handle);
    if (held === undefined && command.handle > 0) return this.#settled(command.handle, null);
    const failure = bounded(command.failure);
    const options = this.#supports('fail_options')
      ? { retryable: command.retryable, delayMs: command.delayMs }
      : {};
    // Only the holder's failure counts: without the connection it is nobody's.
    const isHolder = held === undefined ? this.#link.init !== null : held.isOurs;
    if (isHolder) this.#tell({ kind: 'fail', chunk: command.chunk, failure, ...options });
    if (held !== undefined) this.#forget(held);
    if (held?.feed) this.#handOver(held.feed);
    this.#settled(command.handle, null);
  }

  #failHere(held: Held, failure: string): void {
    if (held.isOurs) this.#tell({ kind: 'fail', chunk: held.chunk, failure });
    this.#forget(held);
  }

  #settled(handle: Handle, error: string | null): void {
    this.#options.emit({ kind: 'settled', handle, error, upload: null });
    this.#resetIfIdle();
  }

  /** Sends a message now. A result is still worth something on the next connection; all else is not. */
  #tell(message: OutgoingMessage): void {
    if (this.#link.send(message) === null && message.kind === 'complete') this.#unsent.push(message);
    if (message.kind === 'fail') this.#nudgeLater();
  }

  /**
   * The reference's server looks at a reservation that waits only when somebody inserts or reserves: a chunk that
   * failed would lie there while everybody waits. So an old server is asked once more, a moment after the failure,
   * because it looks for chunks before it has dealt with a failure of the same instant.
   */
  #nudgeLater(): void {
    if (this.#nudgeDue || this.#link.init?.features.length !== 0) return;
    this.#nudgeDue = true;
    this.#after(NUDGE_MS, () => {
      this.#nudgeDue = false;
      if (this.#link.init?.features.length !== 0 || this.#waiting.size >= NUDGED_MAX) return;
      for (const feed of this.#feeds.values()) {
        if (feed.reservation === null) continue;
        feed.reservation = null;
        this.#reserveFor(feed);
      }
    });
  }

  // Losing and giving back

  #expired(key: string): void {
    const held = this.#byKey.get(key);
    if (held === undefined) return;
    // A server that knows our features does not wait for this answer; an old one counts it as the failed try.
    if (this.#link.init?.features.length === 0) {
      this.#tell({ kind: 'fail', chunk: held.chunk, failure: 'Reservation expired' });
    }
    this.#lose(held, 'expired');
  }

  #lose(held: Held, reason: LossReason): void {
    const { state, handle } = held;
    this.#forget(held);
    if (state === 'handed') this.#options.emit({ kind: 'lost', handle, reason });
    if (state === 'sending') this.#settled(handle, null);
    if (held.feed !== null) this.#handOver(held.feed);
    for (const request of [...this.#requests.values()]) this.#requestProgress(request);
  }

  #giveBackUnasked(messages: readonly ReservedChunkMessage[]): void {
    this.#release(messages.map(({ chunk }) => chunk));
  }

  #releaseHandles(handles: readonly Handle[]): void {
    const chunks = [];
    for (const handle of handles) {
      const held = this.#byHandle.get(handle);
      if (held === undefined) continue;
      if (held.isOurs) chunks.push(held.chunk);
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
    if (!this.#resetDue || this.#byHandle.size > 0 || this.#sendingUnheld > 0) return;
    this.#resetDue = false;
    this.#link.reconnect('giving back chunks that nobody waits for');
  }

  #stopRun(run: number) {
    const feed = this.#feeds.get(run);
    if (feed === undefined) return this.#options.emit({ kind: 'run_ended', run });
    feed.isStopped = true;
    const unstarted = [...this.#byHandle.values()].filter(
      (held) => held.feed === feed && (held.state === 'fetching' || held.state === 'ready'),
    );
    this.#releaseHandles(unstarted.map(({ handle }) => handle));
    if (feed.reservation !== null) this.#takeBackReservation(feed.reservation.nonce);
    this.#endIfDone(feed);
  }

  #cancelRequest(id: number): void {
    const request = this.#requests.get(id);
    if (request === undefined) return;
    this.#requests.delete(id);
    if (request.nonce !== null) this.#takeBackReservation(request.nonce);
    this.#releaseHandles([...request.chunks].map(({ handle }) => handle));
  }

  #takeBackReservation(nonce: Nonce | null): void {
    if (nonce === null) return;
    this.#waiting.delete(nonce);
    if (this.#supports('cancel_reserve')) {
      this.#tell({ kind: 'cancel_reserve', reserveNonce: nonce });
    } else {
      this.#resetDue = true;
      this.#resetIfIdle();
    }
  }

  #endIfDone(feed: RunFeed<Held>): void {
    if (!feed.isStopped || !feed.isEmpty || this.#feeds.get(feed.run) !== feed) return;
    this.#feeds.delete(feed.run);
    this.#options.emit({ kind: 'run_ended', run: feed.run });
  }

  #forget(held: Held): void {
    // Aborting costs more than all the rest: only what is under way.
    if (held.isTransferring) held.transfer.abort();
    this.#byHandle.delete(held.handle);
    if (this.#byKey.get(held.key) === held) this.#byKey.delete(held.key);
    const { feed } = held;
    if (feed === null) return;
    if (held.state === 'sending') feed.chunksSending--;
    else feed.chunksOpen--;
    feed.bytesHeld -= held.bytes;
    this.#reserveFor(feed);
    this.#endIfDone(feed);
  }

  #supports(feature: string): boolean {
    return this.#link.init?.features.includes(feature) ?? false;
  }

  #after(delayMs: number, run: () => void, until?: AbortSignal): void {
    const timer = this.#clock.after(delayMs, () => {
      this.#timers.delete(timer);
      if (until?.aborted !== true) run();
    });
    this.#timers.add(timer);
  }
}

function toHeldChunk({ handle, chunk, submission, retries, input, download }: Held): HeldChunk {
  return { handle, chunk, submission, retries, input, download };
}

function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
