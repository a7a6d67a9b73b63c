import type { ChunkId, ChunkIndex } from '../model/ids.ts';
import type { Scheduler } from '../scheduler/scheduler.ts';
import type {
  ChunkFailure,
  ConsumerOptions,
  FailOutcome,
  OpenSubmission,
  ReservationRequest,
} from '../scheduler/types.ts';
import type { Store } from '../store/store.ts';
import { clipped, type Logger } from '../system/log/logger.ts';
import type { Clock } from '../system/time/clock.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { QueueEvent, QueueEvents } from './events.ts';
import type { Congestion } from './journal/congestion.ts';
import type { ConnectedConsumer, ConsumerPeer } from './peer.ts';
import type { Shard } from './shard/shard.ts';
import type { QueueStats } from './stats/stats.ts';

export interface ConsumersOptions {
  /** Of the queue. */
  readonly name: string;
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly shard: Shard;
  readonly scheduler: Scheduler<ConsumerPeer>;
  readonly dispatcher: Dispatcher;
  readonly events: QueueEvents;
  readonly stats: QueueStats;
  /** How long a reservation lasts that is not extended. */
  readonly reservationExpirationMs: number;
  readonly congestion: Congestion;
  /** One of them has come or gone. */
  changed(): void;
}

/** Characters of a failure that go into the log. */
const FAILURE_LOGGED_MAX = 500;

/** What consumers of one queue do: connect, reserve, complete, fail, give back. */
export class Consumers {
  /** How long a reservation lasts that is not extended. */
  readonly reservationExpirationMs: number;
  readonly #o: ConsumersOptions;
  readonly #clock: Clock;
  readonly #shard: Shard;
  readonly #scheduler: Scheduler<ConsumerPeer>;
  readonly #dispatcher: Dispatcher;

  constructor(options: ConsumersOptions) {
    this.#o = options;
    this.#clock = options.clock;
    this.#shard = options.shard;
    this.#scheduler = options.scheduler;
    this.#dispatcher = options.dispatcher;
    this.reservationExpirationMs = options.reservationExpirationMs;
  }

  /** Whether the queue still runs, and this node is its owner, by the clock. */
  get isOpen(): boolean {
    return this.#shard.isOpen;
  }

  connect(peer: ConsumerPeer, options: ConsumerOptions): ConnectedConsumer {
    const consumer = this.#scheduler.addConsumer(peer, options);
    this.#publish({ kind: 'consumer_connected', queue: this.#o.name, consumer });
    this.#o.changed();
    return consumer;
  }

  /** `untold`: chunks that it was never told of, which therefore were not running. */
  disconnect(
    consumer: ConnectedConsumer,
    manner: 'orderly' | 'broken',
    untold: readonly ChunkId[] = [],
  ): void {
    // A queue that has stopped has forgotten its reservations; that must not look like broken connections.
    if (!this.isOpen) return;
    const nowMs = this.#clock.monotonicMs();
    this.#scheduler.removeConsumer(consumer, manner, nowMs, untold);
    this.#dispatcher.run(nowMs);
    this.#publish({ kind: 'consumer_gone', queue: this.#o.name, consumer, manner });
    this.#o.changed();
  }

  /** Answered through `reserved` of the peer: before this returns, or as soon as something is available. */
  reserve(consumer: ConnectedConsumer, request: ReservationRequest): void {
    const startedMs = this.#clock.monotonicMs();
    const isAnswered = this.#scheduler.reserve(consumer, request, startedMs);
    this.#dispatcher.run(startedMs);
    if (!isAnswered) return;
    const nowMs = this.#clock.monotonicMs();
    this.#o.stats.reserved(request.max, request.strategy, (nowMs - startedMs) / 1000, nowMs);
  }

  /** A reservation was asked for that there cannot be. */
  refused(): void {
    this.#publish({ kind: 'reservation_refused', queue: this.#o.name });
  }

  /** False if it is answered already. */
  cancelReserve(consumer: ConnectedConsumer, request: ReservationRequest): boolean {
    return this.#scheduler.cancelReserve(consumer, request);
  }

  complete(
    consumer: ConnectedConsumer,
    { submissionId, chunkIndex }: ChunkId,
    output: Uint8Array | null,
  ): void {
    const startedMs = this.#clock.monotonicMs();
    const submission = this.#scheduler.get(submissionId);
    const isDirect = submission?.record.prefix === null && output !== null;
    // The output goes first: no crash may leave a chunk that is done and has none.
    if (isDirect && submission.hasOpenChunk(chunkIndex)) {
      this.#shard.journal.add({ kind: 'direct_output', id: submissionId, chunkIndex, content: output });
    }
    const isAccepted = this.#scheduler.complete(consumer, submissionId, chunkIndex, startedMs);
    this.#dispatcher.run(startedMs);
    if (!isAccepted) return;
    this.#o.stats.completeSeconds.observe((this.#clock.monotonicMs() - startedMs) / 1000, startedMs);
  }

  fail(
    consumer: ConnectedConsumer,
    { submissionId, chunkIndex }: ChunkId,
    failure: ChunkFailure,
  ): FailOutcome {
    const { stats, logger } = this.#o;
    const startedMs = this.#clock.monotonicMs();
    const outcome = this.#scheduler.fail(consumer, submissionId, chunkIndex, failure, startedMs);
    this.#dispatcher.run(startedMs);
    if (outcome !== 'stale') {
      logger.debug(
        {
          submission: String(submissionId),
          chunk: chunkIndex,
          outcome,
          failure: clipped(failure.text, FAILURE_LOGGED_MAX),
        },
        'chunk failed',
      );
    }
    stats.failSeconds.observe((this.#clock.monotonicMs() - startedMs) / 1000, startedMs);
    return outcome;
  }

  /** Gives back a chunk, uncounted. */
  release(consumer: ConnectedConsumer, { submissionId, chunkIndex }: ChunkId): void {
    if (!this.isOpen) return;
    const nowMs = this.#clock.monotonicMs();
    this.#scheduler.release(consumer, submissionId, chunkIndex, nowMs);
    this.#dispatcher.run(nowMs);
  }

  /** A chunk that its holder still works on keeps its reservation. */
  extend(consumer: ConnectedConsumer, { submissionId, chunkIndex }: ChunkId, connId: string): void {
    const nowMs = this.#clock.monotonicMs();
    const isExtended = this.#scheduler.extend(consumer, submissionId, chunkIndex, nowMs);
    this.#dispatcher.run(nowMs);
    const reservation = isExtended ? this.#scheduler.get(submissionId)?.reservation(chunkIndex) : undefined;
    if (reservation !== undefined) this.#shard.longChunks.stillRuns(reservation, connId, nowMs);
  }

  /** Outputs come faster than the store takes them: the connections of those who send some should be read no more for now. */
  get isCongested(): boolean {
    return this.#o.congestion.isCongested;
  }

  /** Calls back once, when it is no longer congested or the queue has ended. */
  onceRelieved(run: () => void): void {
    this.#o.congestion.onceRelieved(run);
  }

  /** How many chunks of it are done on disk; fewer than that while much waits. */
  chunksCommitted(submission: OpenSubmission): number {
    return this.#shard.journal.chunksCommitted(submission);
  }

  /** The input of a `Direct` submission's chunk, if it is in memory; undefined if only the store has it. */
  inputAtHand(submission: OpenSubmission, chunkIndex: ChunkIndex): Uint8Array | null | undefined {
    return this.#shard.inputs.input(submission.record.id, chunkIndex);
  }

  /** Inputs of `Direct` submissions, in the order asked for. */
  inputs(chunks: readonly ChunkId[]): Promise<readonly (Uint8Array | null)[]> {
    return this.#o.store.directContents('input', chunks);
  }

  #publish(event: QueueEvent): void {
    this.#o.events.publish(event, this.#clock.monotonicMs());
  }
}
