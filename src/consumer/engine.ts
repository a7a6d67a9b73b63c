import {
  ClientClosedError,
  IncorrectUsageError,
  type OpsqueueError,
  ReservationRefusedError,
  TransportLostError,
} from '../model/errors.ts';
import type { ChunkId } from '../model/ids.ts';
import type { Logger } from '../system/log/logger.ts';
import { NumberedCalls } from '../system/process/worker.ts';
import type { Random } from '../system/random.ts';
import { Backoff } from '../system/time/backoff.ts';
import type { Clock, Timer } from '../system/time/clock.ts';
import type { ChunkBodies } from './content/bodies.ts';
import type { StartTransport, TransportHandle } from './thread/handle.ts';
import type {
  ChunkName,
  ChunkResult,
  Command,
  Failure,
  FeedStart,
  Handle,
  HeldChunk,
  LossReason,
  Receipt,
  TransferTimes,
  TransportEvent,
  TransportSetup,
} from './thread/protocol.ts';

/** A transport thread that ends more often than this before it ever reaches the queue is given up. */
const CRASHES_MAX = 5;
/** Handles of successive transport threads lie so far apart. */
const HANDLES_PER_THREAD = 2 ** 40;

export interface EngineOptions {
  readonly setup: Omit<TransportSetup, 'handleBase' | 'pulse'>;
  /** Reads and writes bodies on the calling thread, where the transport thread cannot; else null. */
  readonly localBodies: ChunkBodies | null;
  readonly startTransport: StartTransport;
  readonly listener: EngineListener;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** What concerns the client as a whole. */
export interface EngineListener {
  connected(serverVersion: string): void;
  disconnected(reason: string): void;
  /** The transport could not read the body of a run's chunk, or write that of its result. */
  chunkFailed(chunk: ChunkId, failure: string, hadResult: boolean): void;
}

/** What wants chunks: a run of one of the `runEach...`, or a call of `reserveChunks`. */
export interface FeedOwner {
  readonly isStopping: boolean;
  readonly isPaused: boolean;
  /** The command that starts it, here and in the place of a crashed thread. */
  start(feed: number): FeedStart;
  ready(chunks: readonly HeldChunk[]): void;
  lost(handle: Handle, reason: LossReason): void;
  /** The transport has nothing of this feed in hand, and waits for the queue; or not any more. */
  waits(isWaiting: boolean): void;
  /** The transport thread ended, and knows no handle any more. */
  crashed(): void;
  /** The transport holds nothing of this feed any more. */
  ended(): void;
  /** It cannot go on, and is forgotten. */
  failed(error: OpsqueueError): void;
}

/** How the way of a result or a failure to the queue ended. */
export interface Settled {
  /** Why it was dropped. */
  readonly error: string | null;
  readonly upload: TransferTimes | null;
}

/** A result or a failure; the engine adds the receipt. */
export type ReportCommand =
  | { readonly kind: 'complete'; readonly result: Omit<ChunkResult, 'receipt'> }
  | { readonly kind: 'fail'; readonly failure: Omit<Failure, 'receipt'> };

/**
 * The calling thread's side of a consumer: starts the transport thread on first use, starts it again if it crashes,
 * and brings its events to the feeds.
 */
export class Engine {
  readonly localBodies: ChunkBodies | null;
  readonly #options: EngineOptions;
  readonly #backoff: Backoff;
  readonly #feeds = new Map<number, FeedOwner>();
  readonly #receipts = new NumberedCalls<Settled>();
  /** Reports that came while there was no thread. */
  #unposted: Command[] = [];
  readonly #pulse = new Int32Array(new SharedArrayBuffer(4));
  /** Of calls that wait for a connection. */
  #connecting: PromiseWithResolvers<void> | null = null;
  #thread: TransportHandle | null = null;
  #restart: Timer | null = null;
  #isConnected = false;
  #closed: OpsqueueError | null = null;
  #fatal: OpsqueueError | null = null;
  #waitsNoMore = false;
  #threads = 0;
  #crashes = 0;
  #nextId = 1;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.localBodies = options.localBodies;
    this.#backoff = new Backoff(options.random);
  }

  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** The error that ended it for good. */
  get fatal(): OpsqueueError | null {
    return this.#fatal;
  }

  /** Why nothing goes any more. */
  get #ended(): OpsqueueError | null {
    return this.#closed ?? this.#fatal;
  }

  /** Resolves when there is a connection. */
  connect(): Promise<void> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    if (this.#isConnected) return Promise.resolve();
    this.#connecting ??= Promise.withResolvers<void>();
    this.#needThread();
    this.#keepAlive();
    return this.#connecting.promise;
  }

  /** Starts a feed; it fails at once if the engine is closed or has given up. */
  startFeed(owner: FeedOwner): number {
    const feed = this.#nextId++;
    if (this.#ended !== null) {
      owner.failed(this.#ended);
      return feed;
    }
    this.#feeds.set(feed, owner);
    this.#postStart(feed, owner);
    this.#keepAlive();
    return feed;
  }

  /** The feed wants nothing more; `ended` follows. */
  stopFeed(feed: number): void {
    if (this.#feeds.has(feed)) this.#post({ kind: 'stop', feed });
  }

  /** While it is paused, it wants nothing. */
  pauseFeed(feed: number, isPaused: boolean): void {
    if (this.#feeds.has(feed)) this.#post({ kind: 'pause', feed, isPaused });
  }

  /** Its owner wants to hear nothing any more. */
  forgetFeed(feed: number): void {
    this.#feeds.delete(feed);
    this.#keepAlive();
  }

  /** Sends a result or a failure; its end is that of its feed. */
  report(command: ReportCommand): void {
    this.#post(withReceipt(command, null));
  }

  /**
   * Sends a result or a failure; resolves when it is uploaded, or when it is sent to the queue. Rejects if the engine is
   * closed or gives up, also before.
   */
  reportAndWait(command: ReportCommand, when: Receipt['when']): Promise<Settled> {
    if (this.#ended !== null) return Promise.reject(this.#ended);
    const { number, answer } = this.#receipts.open();
    this.#post(withReceipt(command, { id: number, when }));
    this.#keepAlive();
    return answer;
  }

  /** Counts, for tests and leak checks. */
  get counts(): { readonly feeds: number; readonly receipts: number } {
    return { feeds: this.#feeds.size, receipts: this.#receipts.size };
  }

  /** Reports that wait for a connection reject, now and from now on. */
  waitNoMore() {
    this.#waitsNoMore = true;
    this.#thread?.post({ kind: 'wait_no_more' });
  }

  release(chunks: readonly ChunkName[]): void {
    if (chunks.length > 0) this.#post({ kind: 'release', chunks });
  }

  /** The calling thread is not stuck in a callback. */
  beat(): void {
    Atomics.add(this.#pulse, 0, 1);
  }

  flush() {
    this.#thread?.flush();
  }

  /** Ends the connection in good order and the thread. Runs are the caller's to end before. */
  async close(error: OpsqueueError): Promise<void> {
    this.#closed = error;
    this.#disconnected('the client was closed');
    this.#restart?.cancel();
    this.#failAll(error);
    await this.#thread?.close();
    this.#thread = null;
  }

  #post(command: Command) {
    if (this.#ended !== null) return;
    this.#needThread();
    if (this.#thread !== null) this.#thread.post(command);
    // All else is sent anew by #resume, or concerns chunks that are lost.
    else if (command.kind === 'complete' || command.kind === 'fail') this.#unposted.push(command);
  }

  #postStart(feed: number, owner: FeedOwner): void {
    this.#post(owner.start(feed));
    if (owner.isPaused) this.#post({ kind: 'pause', feed, isPaused: true });
  }

  #needThread(): void {
    if (this.#thread === null && this.#restart === null) this.#startThread();
  }

  #startThread() {
    const handleBase = this.#threads++ * HANDLES_PER_THREAD;
    const setup = { ...this.#options.setup, handleBase, pulse: this.#pulse };
    this.#thread = this.#options.startTransport(setup, {
      event: (event) => this.#event(event),
      crashed: (error) => this.#crashed(error),
    });
    if (this.#waitsNoMore) this.#thread.post({ kind: 'wait_no_more' });
  }

  #event(event: TransportEvent) {
    this.beat();
    switch (event.kind) {
      case 'connected':
        this.#isConnected = true;
        this.#crashes = 0;
        this.#backoff.reset();
        this.#connecting?.resolve();
        this.#connecting = null;
        this.#keepAlive();
        return this.#options.listener.connected(event.serverVersion);
      case 'disconnected':
        return this.#disconnected(event.reason);
      case 'waiting':
        return this.#feeds.get(event.feed)?.waits(event.isWaiting);
      case 'failed':
        return this.#options.listener.chunkFailed(event.chunk, event.failure, event.hadResult);
      case 'ready': {
        const owner = this.#feeds.get(event.feed);
        if (owner === undefined) this.release(event.chunks);
        else owner.ready(event.chunks);
        return;
      }
      case 'refused':
        this.#fail(event.feed, new ReservationRefusedError(event.reason));
        return this.#keepAlive();
      case 'lost':
        return this.#feeds.get(event.feed)?.lost(event.handle, event.reason);
      case 'settled':
        this.#receipts.answered(event.receipt, event);
        return this.#keepAlive();
      case 'unsent':
        this.#receipts.failed(event.receipt, new ClientClosedError());
        return this.#keepAlive();
      case 'feed_ended':
        return this.#feeds.get(event.feed)?.ended();
      case 'pulse':
        return;
      case 'log':
        return this.#options.logger[event.level](event.fields, event.message);
      case 'fatal':
        return this.#giveUp(
          event.code === 'INCORRECT_USAGE'
            ? new IncorrectUsageError(event.message)
            : new TransportLostError(event.message),
        );
      default:
        return event satisfies never;
    }
  }

  #disconnected(reason: string): void {
    if (!this.#isConnected) return;
    this.#isConnected = false;
    this.#options.listener.disconnected(reason);
  }

  #crashed(error: Error) {
    this.#thread = null;
    this.#disconnected(error.message);
    if (this.#ended !== null) return;
    const { logger, clock } = this.#options;
    logger.error({ error: error.message, stack: error.stack }, 'the transport thread of the consumer ended');
    const lost = `the transport thread ended before the result was sent: ${error.message}`;
    for (const owner of [...this.#feeds.values()]) owner.crashed();
    this.#receipts.answerAll({ error: lost, upload: null });
    if (isNotInstalled(error)) {
      const text = `the transport thread cannot be loaded: ${error.message}`;
      return this.#giveUp(new TransportLostError(text, { cause: error }));
    }
    if (++this.#crashes > CRASHES_MAX) {
      const often = `the transport thread ended ${this.#crashes} times in a row; the last time: ${error.message}`;
      return this.#giveUp(new TransportLostError(often, { cause: error }));
    }
    this.#restart = clock.after(this.#backoff.nextMs(), () => {
      this.#restart = null;
      this.#resume();
    });
  }

  /** Starts the feeds again, in a new thread. */
  #resume(): void {
    if (this.#connecting !== null) this.#needThread();
    for (const command of this.#unposted.splice(0)) this.#post(command);
    for (const [feed, owner] of this.#feeds) {
      if (owner.isStopping) this.#post({ kind: 'stop', feed });
      else this.#postStart(feed, owner);
    }
    this.#keepAlive();
  }

  #giveUp(error: OpsqueueError): void {
    this.#fatal = error;
    this.#isConnected = false;
    this.#failAll(error);
  }

  #failAll(error: OpsqueueError): void {
    for (const feed of [...this.#feeds.keys()]) this.#fail(feed, error);
    this.#receipts.failAll(error);
    this.#connecting?.reject(error);
    this.#connecting = null;
    this.#keepAlive();
  }

  #fail(feed: number, error: OpsqueueError): void {
    // Forgotten afterwards: until then it may have something to stop.
    this.#feeds.get(feed)?.failed(error);
    this.#feeds.delete(feed);
  }

  #keepAlive(): void {
    const isNeeded = this.#feeds.size > 0 || this.#receipts.size > 0 || this.#connecting !== null;
    this.#thread?.keepAlive(isNeeded);
  }
}

function withReceipt(command: ReportCommand, receipt: Receipt | null): Command {
  return command.kind === 'complete'
    ? { kind: 'complete', result: { ...command.result, receipt } }
    : { kind: 'fail', failure: { ...command.failure, receipt } };
}

/** A file or a package is missing: it will be the next time. */
function isNotInstalled(error: Error): boolean {
  return 'code' in error && (error.code === 'ERR_MODULE_NOT_FOUND' || error.code === 'MODULE_NOT_FOUND');
}
