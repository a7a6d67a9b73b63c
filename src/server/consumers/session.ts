import { ProtocolError } from '../../model/errors.ts';
import type { ChunkIndex } from '../../model/ids.ts';
import { ANSWER_BYTES_MAX, STRATEGIES_OF_CONNECTION_MAX, STRATEGIES_PERIOD_MS } from '../../model/limits.ts';
import { queueField } from '../../model/queue-name.ts';
import type { FrameConnection, FrameListener } from '../../net/connection.ts';
import { Heartbeat, type HeartbeatTarget } from '../../net/websocket/heartbeat.ts';
import { CLOSE_INVALID, CLOSE_POLICY, CLOSE_WITHOUT_CODE } from '../../net/websocket/server.ts';
import {
  decodeClientMessage,
  encodeReserved,
  encodeServerMessage,
  StrategyRefusedError,
  UnknownStrategyError,
} from '../../protocol/consumer/codec.ts';
import type { ClientMessage, Nonce } from '../../protocol/consumer/types.ts';
import { CONSUMER_FEATURES } from '../../protocol/features.ts';
import type { Consumers } from '../../queue/consumers.ts';
import type { ConnectedConsumer, ConsumerFacts, ConsumerPeer } from '../../queue/peer.ts';
import type { Queue } from '../../queue/queue.ts';
import { InvariantError } from '../../scheduler/invariant.ts';
import type { HandedOutChunk, OpenSubmission, ReservationRequest } from '../../scheduler/types.ts';
import type { EndOfTurn, TurnTask } from '../../system/event-loop/end-of-turn.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { ConsumerFeatures } from './features.ts';
import { LateAnswers } from './late-answers.ts';
import { Outbox } from './outbox.ts';
import { itemsAtHand } from './reserved-answer.ts';
import type { SharedBySessions } from './shared.ts';
import { StrategiesInUse } from './strategies-in-use.ts';
import { WaitingRequests } from './waiting-requests.ts';

export interface ConsumerSessionOptions {
  readonly queue: Queue;
  /** Which of the queues it works for; '' is the unnamed one. */
  readonly queueName: string;
  readonly shared: SharedBySessions;
  readonly connection: FrameConnection;
  readonly features: ConsumerFeatures;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly turn: EndOfTurn;
  readonly connId: string;
  /** Of the peer, for people. */
  readonly address?: string | undefined;
  /** Name and version of the client, if it says so. */
  readonly client?: string | undefined;
  readonly versionInfo: string;
  readonly heartbeatIntervalMs: number;
  readonly missableHeartbeatsMax: number;
  /** Bytes that may be on their way to a peer that does not read; beyond, it is dropped. Default 64 MiB. */
  readonly bufferedBytesMax?: number | undefined;
  /** Bytes of one answer, where its inputs come from the store; a single chunk may have more. Default 8 MiB. */
  readonly answerBytesMax?: number | undefined;
  /** Reservations that one connection may have waiting. Default 10 000. */
  readonly reservationsWaitingMax?: number | undefined;
  /** Chunks that one connection may hold before its next reservation waits. Default 10 000. */
  readonly chunksHeldMax?: number | undefined;
  /** The session is over. */
  ended(session: ConsumerSession): void;
}

/** The payload of our pings, as the reference sends it: a heart. */
const PING_PAYLOAD = Uint8Array.of(0xf0, 0x9f, 0x92, 0x93);
const TOO_MANY_STRATEGIES =
  `a connection may use ${STRATEGIES_OF_CONNECTION_MAX} different strategies within ${STRATEGIES_PERIOD_MS / 1000} seconds: ` +
  'use those again, or wait before using another one';
const EMPTY_PAYLOAD = new Uint8Array(0);

/**
 * One consumer's connection.
 *
 *     new --open: Init, first ping--> open --peer closes, is silent, sends garbage, does not read; stop--> closed
 *
 * Old clients leave Nagle's algorithm on: what they send next waits for the acknowledgement of what is not
 * answered. So every turn in which they sent something and got nothing ends with an empty pong.
 */
export class ConsumerSession implements FrameListener, ConsumerPeer, HeartbeatTarget, TurnTask {
  readonly #o: ConsumerSessionOptions;
  readonly #queue: Queue;
  readonly #consumers: Consumers;
  readonly #connection: FrameConnection;
  readonly #features: ConsumerFeatures;
  readonly #clock: Clock;
  readonly #heartbeat: Heartbeat;
  readonly #outbox: Outbox;
  readonly #consumer: ConnectedConsumer;
  readonly #encodeOptions: { readonly byteStrings: boolean };
  readonly #bufferedBytesMax: number;
  readonly #reservationsWaitingMax: number;
  readonly #chunksHeldMax: number;
  readonly #waiting = new WaitingRequests();
  /** Of these, those that the queue does not know yet: the peer holds too much. */
  readonly #postponed = new Set<ReservationRequest>();
  readonly #late: LateAnswers;
  readonly #strategies = new StrategiesInUse();
  #isOpen = false;
  /** Registered for the end of this turn. */
  #isInTurn = false;
  /** Whether a message came in this turn, and whether anything was sent. */
  #hasReceived = false;
  #hasSent = false;
  #sentMs: number;
  readonly #sinceMs: number;
  #isPaused = false;
  #hasBeenRefused = false;
  #isSick = false;
  /** As a warning. */
  #isSickLogged = false;

  constructor(options: ConsumerSessionOptions) {
    this.#o = options;
    this.#queue = options.queue;
    this.#consumers = options.queue.consumersOf(options.queueName);
    this.#connection = options.connection;
    this.#features = options.features;
    this.#clock = options.clock;
    this.#sentMs = options.clock.monotonicMs();
    this.#sinceMs = options.clock.monotonicMs();
    this.#encodeOptions = { byteStrings: options.features.bytes };
    this.#bufferedBytesMax = options.bufferedBytesMax ?? 64 * 1024 * 1024;
    this.#reservationsWaitingMax = options.reservationsWaitingMax ?? 10_000;
    this.#chunksHeldMax = options.chunksHeldMax ?? 10_000;
    this.#heartbeat = new Heartbeat(
      {
        clock: options.clock,
        intervalMs: options.heartbeatIntervalMs,
        missableHeartbeatsMax: options.missableHeartbeatsMax,
      },
      this,
    );
    this.#outbox = new Outbox(options.connection, ANSWER_BYTES_MAX, (error) => this.failed(error));
    this.#consumer = this.#consumers.connect(this, {
      concurrency: options.features.concurrency,
      silentOnExpiry: options.features.silentExpiry,
    });
    this.#late = new LateAnswers(
      {
        consumers: this.#consumers,
        shared: options.shared,
        consumer: this.#consumer,
        clock: options.clock,
        logger: options.logger,
        encodeOptions: this.#encodeOptions,
        answerBytesMax: options.answerBytesMax ?? ANSWER_BYTES_MAX,
        answersExpiry: !options.features.silentExpiry,
        isOpen: () => this.#maySpeak(),
      },
      this.#outbox,
    );
  }

  get facts(): ConsumerFacts {
    const { connId, address = null, client = null } = this.#o;
    return {
      connId,
      address,
      client,
      sinceMs: this.#sinceMs,
      heardMs: this.#heartbeat.heardMs,
      strategy: this.#strategies.last,
      isFull: this.#postponed.size > 0 || this.#isPaused,
    };
  }

  /** Nothing may go to the peer before this. */
  open(): void {
    this.#isOpen = true;
    this.#send(
      encodeServerMessage({
        kind: 'init',
        missableHeartbeatsMax: this.#o.missableHeartbeatsMax,
        heartbeatIntervalMs: this.#o.heartbeatIntervalMs,
        versionInfo: this.#o.versionInfo,
        connId: this.#o.connId,
        ...(this.#features.announced
          ? {
              features: CONSUMER_FEATURES.queue,
              reservationExpirationMs: this.#consumers.reservationExpirationMs,
            }
          : { features: [] }),
      }),
    );
    this.#heartbeat.start();
  }

  /** The server stops: a close frame without a code, as the reference sends it. */
  stop(): void {
    this.#end('orderly', () => this.#connection.close(CLOSE_WITHOUT_CODE, ''));
  }

  /** Cuts the connection, whatever the peer does. */
  cut(): void {
    this.#end('orderly', () => {});
    this.#connection.terminate();
  }

  alive(): void {
    this.#heartbeat.alive();
  }

  message(bytes: Uint8Array): void {
    if (!this.#maySpeak()) return;
    this.#joinTurn();
    this.#hasReceived = true;
    try {
      this.#handle(decodeClientMessage(bytes));
    } catch (error) {
      if (error instanceof StrategyRefusedError) this.#refuse(error.nonce, error.message);
      else if (error instanceof UnknownStrategyError && this.#features.refusal)
        this.#refuse(error.nonce, error.message);
      else if (error instanceof ProtocolError) this.#garbage(error);
      else this.failed(error);
    }
  }

  closed(orderly: boolean): void {
    this.#end(orderly ? 'orderly' : 'broken', () => {});
    this.#o.ended(this);
  }

  drained(): void {
    this.#outbox.pump();
  }

  endTurn(): void {
    const isUnanswered = this.#hasReceived && !this.#hasSent;
    if (this.#hasSent) this.#sentMs = this.#clock.monotonicMs();
    this.#isInTurn = false;
    this.#hasReceived = false;
    this.#hasSent = false;
    if (!this.#isOpen) return;
    if (isUnanswered && (!this.#features.announced || this.#hasLongBeenSilent())) this.#sendSign();
    if (this.#postponed.size > 0) this.#catchUp();
    const isSlow = this.#connection.bufferedBytes + this.#outbox.bytesWaiting > this.#bufferedBytesMax;
    if (isSlow) this.#tooSlow();
  }

  /** Who sends is not pinged, and would take a queue that has nothing to say for dead. */
  #hasLongBeenSilent(): boolean {
    return this.#clock.monotonicMs() - this.#sentMs >= this.#o.heartbeatIntervalMs / 2;
  }

  #sendSign(): void {
    this.#sentMs = this.#clock.monotonicMs();
    this.#connection.pong(EMPTY_PAYLOAD);
  }

  ping(): void {
    this.#joinTurn();
    this.#hasSent = true;
    this.#connection.ping(PING_PAYLOAD);
  }

  dead(): void {
    this.#o.logger.warn({ connId: this.#o.connId }, 'consumer missed its heartbeats, closing connection');
    this.#end('broken', () => this.#connection.terminate());
  }

  reserved(request: ReservationRequest, chunks: readonly HandedOutChunk[]): void {
    this.#waiting.delete(request);
    // What leaves later is made later: some of it may be done or ended by then.
    const isLate = !this.#outbox.isEmpty;
    const items = isLate ? null : itemsAtHand(this.#consumers, this.#o.shared, chunks, this.#encodeOptions);
    if (items === null) this.#late.add(request, chunks, () => this.#askAgain(request));
    else this.#send(encodeReserved(request.nonce, items, this.#encodeOptions));
  }

  expired(submission: OpenSubmission, chunkIndex: ChunkIndex): void {
    this.#joinTurn();
    const chunk = { submissionId: submission.record.id, chunkIndex };
    if (this.#late.isUntold(chunk)) return;
    this.#sendAtOnce(encodeServerMessage({ kind: 'expired', chunk }));
  }

  dropped(submission: OpenSubmission, chunkIndex: ChunkIndex, reason: string): void {
    this.#joinTurn();
    const chunk = { submissionId: submission.record.id, chunkIndex };
    if (!this.#features.dropped || this.#late.isUntold(chunk)) return;
    this.#sendAtOnce(encodeServerMessage({ kind: 'dropped', chunk, reason }));
  }

  sick({ failuresInRow, pauseMs }: { readonly failuresInRow: number; readonly pauseMs: number }): void {
    // Once, and again at debug as its pauses grow.
    const skipped = this.#isSick ? null : this.#o.shared.sickBudget.take();
    this.#isSick = true;
    if (skipped !== null) this.#isSickLogged = true;
    this.#o.logger[skipped === null ? 'debug' : 'warn'](
      {
        connId: this.#o.connId,
        address: this.#o.address,
        ...queueField(this.#o.queueName),
        failuresInRow,
        pauseMs,
        ...(skipped ? { sickUnlogged: skipped } : {}),
      },
      'consumer fails its chunks while others complete theirs, slowing it down',
    );
  }

  /** Of this session only: it ends, and what it held goes back. */
  failed(error: unknown): void {
    // The schedule contradicts itself.
    if (error instanceof InvariantError) {
      this.#queue.giveUp(error);
      return;
    }
    this.#o.logger.error(
      { connId: this.#o.connId, err: error },
      'consumer session failed, closing connection',
    );
    this.#end('broken', () => this.#connection.terminate());
  }

  recovered(): void {
    this.#o.logger[this.#isSickLogged ? 'info' : 'debug'](
      { connId: this.#o.connId, address: this.#o.address },
      'consumer completes chunks again',
    );
    this.#isSick = false;
    this.#isSickLogged = false;
  }

  #handle(message: ClientMessage): void {
    switch (message.kind) {
      case 'reserve':
        this.#reserve(message);
        break;
      case 'complete':
        this.#consumers.complete(this.#consumer, message.chunk, message.outputContent);
        if (message.outputContent !== null && this.#consumers.isCongested) this.#pause();
        break;
      case 'fail':
        // It speaks of an earlier reservation, of its last connection perhaps.
        if (this.#late.isUntold(message.chunk)) break;
        this.#consumers.fail(this.#consumer, message.chunk, {
          text: message.failure,
          retryable: message.retryable ?? true,
          delayMs: message.delayMs ?? 0,
        });
        break;
      case 'release':
        for (const chunk of message.chunks) {
          // One before it may have come back at once, and the session may have failed over that.
          if (!this.#isOpen) break;
          if (!this.#late.isUntold(chunk)) this.#consumers.release(this.#consumer, chunk);
        }
        break;
      case 'extend':
        for (const chunk of message.chunks) {
          if (!this.#late.isUntold(chunk)) this.#consumers.extend(this.#consumer, chunk, this.#o.connId);
        }
        break;
      case 'cancel_reserve':
        this.#cancelReserve(message.reserveNonce);
        break;
      default:
        message satisfies never;
    }
  }

  #reserve({ nonce, max, strategy }: Extract<ClientMessage, { kind: 'reserve' }>): void {
    if (max === 0) {
      this.#refuse(nonce, 'a reservation is for at least one chunk: max is 0');
      return;
    }
    if (this.#waiting.size + this.#late.size >= this.#reservationsWaitingMax) {
      this.#close(CLOSE_POLICY, `more than ${this.#reservationsWaitingMax} reservations wait`);
      return;
    }
    const known = this.#strategies.use(strategy, this.#clock.monotonicMs());
    if (known === null) {
      this.#refuse(nonce, TOO_MANY_STRATEGIES);
      return;
    }
    const request = { nonce, max, strategy: known };
    this.#waiting.add(request);
    if (this.#postponed.size > 0 || this.#holdsTooMuch()) {
      this.#postponed.add(request);
      return;
    }
    this.#consumers.reserve(this.#consumer, request);
  }

  #cancelReserve(nonce: Nonce): void {
    const request = this.#waiting.find(nonce);
    if (request !== undefined) {
      this.#waiting.delete(request);
      if (this.#postponed.delete(request) || this.#consumers.cancelReserve(this.#consumer, request)) {
        this.#send(encodeReserved(nonce, [], this.#encodeOptions));
      }
      return;
    }
    this.#late.takeBack(nonce);
  }

  #holdsTooMuch(): boolean {
    return this.#consumer.chunksReserved + this.#consumer.chunksBarred >= this.#chunksHeldMax;
  }

  /** It holds less now, perhaps. */
  #catchUp(): void {
    try {
      for (const request of this.#postponed) {
        if (this.#holdsTooMuch()) return;
        this.#postponed.delete(request);
        this.#consumers.reserve(this.#consumer, request);
      }
    } catch (error) {
      this.#queue.giveUp(error);
    }
  }

  /** Everything that the request was to get was done or ended meanwhile. */
  #askAgain(request: ReservationRequest): void {
    this.#waiting.add(request);
    this.#consumers.reserve(this.#consumer, request);
  }

  /** Until the store has taken what the peer has sent. */
  #pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#connection.pause();
    this.#heartbeat.hold(true);
    this.#consumers.onceRelieved(() => {
      this.#isPaused = false;
      if (!this.#isOpen) return;
      this.#heartbeat.hold(false);
      this.#connection.resume();
    });
  }

  #refuse(nonce: Nonce, reason: string): void {
    this.#consumers.refused();
    // Once a connection: a client that does not understand it goes on asking.
    const level = this.#hasBeenRefused ? 'debug' : 'warn';
    this.#hasBeenRefused = true;
    this.#o.logger[level]({ connId: this.#o.connId, reason }, 'refused a reservation');
    const told = this.#features.refusal ? reason : null;
    this.#send(encodeServerMessage({ kind: 'reserve_refused', nonce, reason: told }));
  }

  #garbage(error: ProtocolError): void {
    this.#o.logger.warn({ connId: this.#o.connId, err: error }, 'malformed message from consumer');
    this.#close(CLOSE_INVALID, error.message);
  }

  #tooSlow(): void {
    const { bufferedBytes } = this.#connection;
    this.#o.logger.warn(
      { connId: this.#o.connId, bufferedBytes },
      'consumer does not read, closing connection',
    );
    this.#end('broken', () => this.#connection.terminate());
  }

  #close(code: number, reason: string): void {
    this.#end('broken', () => this.#connection.close(code, reason));
  }

  #send(message: Uint8Array): void {
    if (!this.#maySpeak()) return;
    this.#joinTurn();
    this.#hasSent = true;
    this.#outbox.send(message);
  }

  /** A queue that is not the owner any more must neither take nor say anything, even before its sessions are ended. */
  #maySpeak(): boolean {
    return this.#isOpen && this.#consumers.isOpen;
  }

  /** Ahead of the answers that wait. */
  #sendAtOnce(message: Uint8Array): void {
    if (!this.#maySpeak()) return;
    this.#joinTurn();
    this.#hasSent = true;
    this.#connection.send(message);
  }

  #joinTurn(): void {
    if (this.#isInTurn) return;
    this.#isInTurn = true;
    this.#o.turn.add(this);
  }

  /** What it held is free again, before anybody else notices that the connection ends. */
  #end(manner: 'orderly' | 'broken', hangUp: () => void): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#heartbeat.stop();
    this.#outbox.close();
    this.#waiting.clear();
    this.#postponed.clear();
    hangUp();
    try {
      const { untold } = this.#late;
      this.#late.clear();
      this.#consumers.disconnect(this.#consumer, manner, untold);
    } catch (error) {
      this.#queue.giveUp(error);
    }
  }
}
