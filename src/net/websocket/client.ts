import type { InitMessage, Nonce } from '../../protocol/consumer/types.ts';
import { EndOfTurn } from '../../system/event-loop/end-of-turn.ts';
import type { Logger } from '../../system/log/logger.ts';
import { Backoff, type BackoffOptions } from '../../system/time/backoff.ts';
import type { Timer } from '../../system/time/clock.ts';
import { absenceText } from '../absence.ts';
import type { QueueAddresses } from '../address/queue-addresses.ts';
import { CLOSE_NORMAL, Link, type LinkListener, type LinkOptions, type MessageToQueue } from './link.ts';

/** A connection that lasted this long was a success: the next attempt comes soon. */
const STABLE_MS = 1_000;
/** That there is still no connection is logged again after this time, then after twice as long each time, up to the latter. */
const DOWN_SAID_AFTER_MS = 10_000;
const DOWN_SAID_AFTER_MS_MAX = 10 * 60_000;
/** The longest wait that a server may ask for, in milliseconds. */
const ASKED_MS_MAX = 5_000;

export interface WsClientOptions extends Omit<LinkOptions, 'url' | 'hasChoice' | 'connectMsMax'> {
  readonly queue: QueueAddresses;
  readonly logger: Logger;
  readonly backoff?: BackoffOptions;
}

/**
 * A consumer's connection to the queue, made again for ever with jittered back-off. Where the queue has several addresses, one
 * that fails is followed by the next one at once, and the back-off by a round of all.
 *
 *     idle --start--> connecting --Init--> up --closed, silent or garbage--> waiting --> connecting ...
 *                         |  ^
 *                         +--+ failed: the next address of the round
 *       any --stop--> stopped
 */
export class WsClient {
  readonly #options: WsClientOptions;
  readonly #listener: LinkListener;
  readonly #backoff: Backoff;
  readonly #turn: EndOfTurn;
  #link: Link | null = null;
  #retry: Timer | null = null;
  #state: 'idle' | 'running' | 'stopped' = 'idle';
  /** Since a connection was up, and since the last wait. */
  #attempts = 0;
  #attemptsOfRound = 0;
  /** How long a server asked to wait in this round, in milliseconds. */
  #askedMs = 0;
  /** When it was last said that there is no connection, after how long it is said again, and the reason then given. */
  #downSaidMs = 0;
  #sayAfterMs = 0;
  #reasonSaid = '';

  constructor(options: WsClientOptions, listener: LinkListener) {
    this.#options = options;
    this.#listener = listener;
    this.#backoff = new Backoff(options.random, options.backoff);
    this.#turn = new EndOfTurn(options.clock);
  }

  /** What the server said first; null while there is no connection. */
  get init(): InitMessage | null {
    return this.#link?.init ?? null;
  }

  start(): void {
    if (this.#state !== 'idle') return;
    this.#state = 'running';
    this.#connect();
  }

  /** Sends a message and answers its nonce; null without a connection. What is sent in one turn leaves together. */
  send(message: MessageToQueue): Nonce | null {
    return this.#link?.send(message) ?? null;
  }

  /** Ends the connection in good order and makes a new one at once: gives back all chunks, and none counts a try. */
  reconnect(reason: string): void {
    const link = this.#link;
    if (link === null) return;
    this.#backoff.reset();
    link.end(reason, CLOSE_NORMAL);
  }

  /** Ends it in good order (idempotent); resolves when the socket is closed. */
  async stop(): Promise<void> {
    this.#state = 'stopped';
    this.#retry?.cancel();
    this.#retry = null;
    const link = this.#link;
    if (link === null) return;
    link.end('the client was stopped', CLOSE_NORMAL);
    await link.closed;
  }

  #connect(): void {
    this.#retry = null;
    this.#attempts++;
    this.#attemptsOfRound++;
    const { queue, clock } = this.#options;
    const url = queue.current;
    let upSinceMs = 0;
    const hasChoice = queue.all.length > 1;
    const options = { ...this.#options, url, hasChoice, connectMsMax: queue.connectMsMax };
    const link = new Link(options, this.#turn, {
      connected: (init) => {
        upSinceMs = clock.monotonicMs();
        this.#attempts = 0;
        queue.worked(url);
        this.#options.logger.info({ url: url.text, server: init.versionInfo }, 'connected to the queue');
        this.#listener.connected(init);
      },
      message: (message) => this.#listener.message(message),
      disconnected: (reason) => {
        if (this.#link !== link) return;
        this.#link = null;
        const wasUp = link.init !== null;
        const wasStable = wasUp && clock.monotonicMs() - upSinceMs >= STABLE_MS;
        if (wasStable) this.#backoff.reset();
        if (!wasStable || link.wasSilent) queue.failed(url, link.absence(reason));
        if (this.#state === 'running') this.#connectAgain(reason, wasUp ? null : link);
        if (wasUp) this.#listener.disconnected(reason);
      },
    });
    this.#link = link;
  }

  /** `failed` is the attempt that led to nothing; null after a connection that was up. */
  #connectAgain(reason: string, failed: Link | null): void {
    const { queue } = this.#options;
    this.#askedMs = Math.max(this.#askedMs, Math.min(failed?.retryAfterMs ?? 0, ASKED_MS_MAX));
    if (failed === null) this.#connectLater(reason, false);
    else if (this.#attemptsOfRound < queue.all.length) this.#connect();
    else this.#connectLater(Array.from(queue.absences.values(), (each) => each.reason).join('; '), true);
  }

  #connectLater(reason: string, isAbsent: boolean): void {
    const { clock, logger, queue } = this.#options;
    const waitMs = this.#backoff.nextMs(this.#askedMs);
    this.#attemptsOfRound = 0;
    this.#askedMs = 0;
    this.#retry = clock.after(waitMs, () => this.#connect());
    const fields = { url: queue.text, reason, waitMs: Math.round(waitMs), attempts: this.#attempts };
    const what = isAbsent ? absenceText(queue.absences) : 'connection to the queue lost, connecting again';
    if (!isAbsent || this.#attempts <= queue.all.length) {
      logger.warn(fields, what);
      this.#downSaidMs = clock.monotonicMs();
      this.#sayAfterMs = DOWN_SAID_AFTER_MS;
      this.#reasonSaid = reason;
      return;
    }
    // The others would fill the log while a queue is down: now and then one, and what is new about it.
    const isDue = clock.monotonicMs() - this.#downSaidMs >= this.#sayAfterMs;
    if (!isDue && reason === this.#reasonSaid) {
      logger.debug(fields, what);
      return;
    }
    logger.warn(fields, what);
    this.#downSaidMs = clock.monotonicMs();
    if (isDue) this.#sayAfterMs = Math.min(this.#sayAfterMs * 2, DOWN_SAID_AFTER_MS_MAX);
    this.#reasonSaid = reason;
  }
}
