import type http from 'node:http';
import { ClientClosedError, QueueRefusedError, QueueUnreachableError } from '../../model/errors.ts';
import { type LinkedSignal, linkedSignal } from '../../system/async/abort-signals.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Random } from '../../system/random.ts';
import { Backoff } from '../../system/time/backoff.ts';
import { type Clock, sleep, type Timer } from '../../system/time/clock.ts';
import { retryAfterMs } from '../../system/time/retry-after.ts';
import { absenceText } from '../absence.ts';
import type { QueueAddresses } from '../address/queue-addresses.ts';
import { DIRECT_ROUTE, type QueueRoute, requestAgent } from '../address/queue-route.ts';
import { hostAndPort, type QueueUrl } from '../address/queue-url.ts';
import { attemptRequest, type HttpAnswer, HttpAttemptError, type HttpRequest } from './attempt.ts';

export interface HttpClientOptions {
  readonly queue: QueueAddresses;
  readonly route?: QueueRoute;
  /** How long a call may be repeated, from its first attempt, in milliseconds; 0 = one attempt at each address. */
  readonly retryForMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
}

/** What an attempt of {@link HttpClient.retry} knows of the ones before it. */
export interface AttemptState {
  /** From 1. */
  readonly number: number;
  /** An earlier attempt may have been received and carried out, although no answer came. */
  readonly ambiguous: boolean;
  readonly signal: AbortSignal;
}

/** Ordinary calls share this many connections; long polls have their own. */
const CONNECTIONS_MAX = 64;
/** Connections that are kept open while nothing is asked. They do not keep the process alive. */
const CONNECTIONS_IDLE_MAX = 16;

/** Of a body that is shown in an error; a page has its style sheet in front. */
const BODY_BYTES_SHOWN = 4096;

/**
 * Where there is another address to go to: when a request has no answer for so long, the server is asked whether it lives,
 * and again each time that it has said so. If it does not answer within the second time, the request goes elsewhere. A
 * node that hangs keeps its connections, and a request may take half a minute, or be held for longer.
 */
const ASK_AFTER_MS = 2_000;
const ASK_MS_MAX = 3_000;
const ASK_ALIVE = { method: 'GET', path: '/node/alive', timeoutMs: ASK_MS_MAX } as const;

const RETRY_FIRST_MS = 10;
const RETRY_MAX_MS = 5_000;

/**
 * Requests to one queue over kept connections: each with a time-out, repeated with jittered back-off where that is
 * safe, for a limited time. Where the queue has several addresses, the next attempt goes to the next one at once, and the
 * back-off follows a round of all. It knows nothing of what the requests mean.
 */
export class HttpClient {
  readonly #o: HttpClientOptions;
  readonly #calls: http.Agent;
  readonly #polls: http.Agent;
  /** For questions whether a server lives: each on a connection of its own. */
  readonly #asks: http.Agent;
  /** Those that are asked at the moment, and whether they live. */
  readonly #asked = new Map<QueueUrl, Promise<boolean>>();
  readonly #closing = new AbortController();
  #isDown = false;

  constructor(options: HttpClientOptions) {
    this.#o = options;
    const { queue, route = DIRECT_ROUTE } = options;
    const kept = { keepAlive: true, maxFreeSockets: CONNECTIONS_IDLE_MAX };
    this.#calls = requestAgent(queue, route, { ...kept, maxSockets: CONNECTIONS_MAX });
    this.#polls = requestAgent(queue, route, kept);
    this.#asks = requestAgent(queue, route, { keepAlive: false });
  }

  /** Fires when the client is closed, with a ClientClosedError. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** The name of the queue that is asked; '' for the unnamed one. */
  get queueName(): string {
    return this.#o.queue.queue;
  }

  /** Requests that have not been answered. */
  get requestsOpen(): number {
    const busy = [this.#calls.sockets, this.#calls.requests, this.#polls.sockets, this.#polls.requests];
    return busy.reduce(
      (sum, hosts) => sum + Object.values(hosts).reduce((n, of) => n + (of?.length ?? 0), 0),
      0,
    );
  }

  /**
   * One attempt. An answer of any status below 500 but 408 and 429 is an answer; the rest is an HttpAttemptError.
   */
  async once(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    const { queue } = this.#o;
    const url = queue.current;
    try {
      const answer = await this.#attempt(url, request, signal);
      queue.worked(url);
      return answer;
    } catch (error) {
      if (error instanceof HttpAttemptError) this.#failed(url, error);
      throw error;
    }
  }

  async #attempt(url: QueueUrl, request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    using both = linkedSignal(this.#closing.signal, signal);
    const agent = request.longPoll ? this.#polls : this.#calls;
    const { clock, queue } = this.#o;
    using watch = queue.all.length === 1 ? null : this.#watch(url, both);
    const target = {
      queue: url,
      agent,
      clock,
      connectMsMax: queue.connectMsMax,
      connected: () => watch?.begin(),
    };
    const answer = await attemptRequest(target, request, both.signal);
    const { status } = answer;
    if (status < 500 && status !== 408 && status !== 429) return answer;
    const refused = new QueueRefusedError(`${request.method} ${request.path}`, status, bodyText(answer));
    const retryAfter = retryAfterMs(answer.headers['retry-after'], clock.nowMs());
    throw new HttpAttemptError(
      refused.message,
      { ambiguous: true, retryable: true, ...(retryAfter === undefined ? {} : { retryAfterMs: retryAfter }) },
      { cause: refused },
    );
  }

  /** Ends the attempt if nobody is there any more who could answer. */
  #watch(url: QueueUrl, attempt: LinkedSignal): Disposable & { begin(): void } {
    const { clock } = this.#o;
    let isOver = false;
    let timer: Timer | null = null;
    const begin = () => {
      timer = clock.after(ASK_AFTER_MS, ask, { unref: true });
    };
    const ask = async () => {
      const isAlive = await this.#isAlive(url);
      if (isOver) return;
      if (isAlive) begin();
      else {
        const message = `no answer within ${ASK_AFTER_MS + ASK_MS_MAX} ms, nor to a request for ${ASK_ALIVE.path}`;
        attempt.abort(new HttpAttemptError(message, { ambiguous: true, retryable: true }));
      }
    };
    return {
      begin,
      [Symbol.dispose]() {
        isOver = true;
        timer?.cancel();
      },
    };
  }

  /** Whatever it answers, it lives: not every queue knows the question. */
  #isAlive(url: QueueUrl): Promise<boolean> {
    let asked = this.#asked.get(url);
    if (asked === undefined) {
      const target = { queue: url, agent: this.#asks, clock: this.#o.clock, connectMsMax: Infinity };
      asked = attemptRequest(target, ASK_ALIVE, this.#closing.signal)
        .then(
          () => true,
          () => false,
        )
        .finally(() => this.#asked.delete(url));
      this.#asked.set(url, asked);
    }
    return asked;
  }

  /** Repeats a request that may be received twice, see {@link retry}. */
  send(request: HttpRequest, signal?: AbortSignal): Promise<HttpAnswer> {
    return this.retry((state) => this.once(request, state.signal), signal);
  }

  /**
   * Calls `attempt` until it succeeds, fails with anything but a retryable HttpAttemptError, or time is up.
   *
   * @throws QueueUnreachableError after the last attempt; QueueRefusedError if that one was answered with a 5xx;
   *   ClientClosedError; the signal's reason
   */
  async retry<T>(attempt: (state: AttemptState) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const { clock, queue, random, retryForMs } = this.#o;
    using both = linkedSignal(this.#closing.signal, signal);
    const backoff = new Backoff(random, { firstMs: RETRY_FIRST_MS, maxMs: RETRY_MAX_MS });
    const startMs = clock.monotonicMs();
    let ambiguous = false;
    let round = NEW_ROUND;
    for (let number = 1; ; number++) {
      both.signal.throwIfAborted();
      try {
        const result = await attempt({ number, ambiguous, signal: both.signal });
        this.#up();
        return result;
      } catch (error) {
        both.signal.throwIfAborted();
        if (!(error instanceof HttpAttemptError)) throw error;
        ambiguous ||= error.ambiguous;
        if (error.stale && number === 1) continue;
        round = afterAttempt(round, error);
        const isLast = round.attempts >= queue.all.length;
        const leftMs = startMs + retryForMs - clock.monotonicMs();
        // The first round goes to its end even if no time is left for another one.
        const isOver = leftMs <= 0 && (isLast || backoff.tries > 0);
        const isHopeless = !error.retryable && (error.ambiguous || (isLast && !round.isRetryable));
        if (isOver || isHopeless) throw this.#final(error, number, startMs);
        if (!isLast) continue;
        this.#down(error);
        await sleep(clock, Math.min(backoff.nextMs(round.retryAfterMs), leftMs), both.signal);
        round = NEW_ROUND;
      }
    }
  }

  /** Ends it: requests under way fail with ClientClosedError, connections are closed. Idempotent. */
  close(): void {
    this.#closing.abort(new ClientClosedError());
    this.#calls.destroy();
    this.#polls.destroy();
    this.#asks.destroy();
  }

  #failed(url: QueueUrl, error: HttpAttemptError): void {
    // A connection that was kept broke: nothing is known of the address.
    if (error.stale) return;
    const { cause, message } = error;
    const { logger, queue } = this.#o;
    const wasCurrent = url === queue.current;
    const status = cause instanceof QueueRefusedError ? cause.status : undefined;
    queue.failed(url, { error: cause, status, reason: message });
    if (wasCurrent && url !== queue.current) {
      logger.info(
        { url: url.text, reason: message, next: queue.current.text },
        'an address of the queue failed, trying the next one',
      );
    }
  }

  #final(error: HttpAttemptError, attempts: number, startMs: number): Error {
    if (error.cause instanceof QueueRefusedError) return error.cause;
    const { clock, queue } = this.#o;
    const others = [...queue.absences].slice(0, -1);
    const reasons = [...others.map(([url, { reason }]) => `${hostAndPort(url)}: ${reason}`), error.message];
    const cause = others.length === 0 ? error : new Error(reasons.join('; '), { cause: error });
    return new QueueUnreachableError(queue.text, attempts, clock.monotonicMs() - startMs, { cause });
  }

  #down({ message }: HttpAttemptError): void {
    if (this.#isDown) return;
    this.#isDown = true;
    const { logger, queue } = this.#o;
    logger.warn({ url: queue.text, reason: message }, absenceText(queue.absences));
  }

  #up(): void {
    if (!this.#isDown) return;
    this.#isDown = false;
    this.#o.logger.info({ url: this.#o.queue.text }, 'the queue answers again');
  }
}

/** What came of the attempts of a call since it waited last. */
interface Round {
  readonly attempts: number;
  /** One of them may go better next time. */
  readonly isRetryable: boolean;
  /** How long a server asked to wait, in milliseconds. */
  readonly retryAfterMs: number;
}

const NEW_ROUND: Round = { attempts: 0, isRetryable: false, retryAfterMs: 0 };

function afterAttempt(round: Round, error: HttpAttemptError): Round {
  return {
    attempts: round.attempts + 1,
    isRetryable: round.isRetryable || error.retryable,
    retryAfterMs: Math.max(round.retryAfterMs, Math.min(error.retryAfterMs, RETRY_MAX_MS)),
  };
}

/** The beginning of a body, for errors; of a page the words. */
export function bodyText(answer: HttpAnswer): string {
  const text = new TextDecoder().decode(answer.body.subarray(0, BODY_BYTES_SHOWN));
  const words = isPage(answer)
    ? text.replace(/<(style|script)\b.*?<\/\1>|<[^>]*>/gis, ' ').replace(/\s+/g, ' ')
    : text;
  return words.trim().slice(0, 1024) || '(no reason given)';
}

/** Whether it is something for a browser, which no queue ever sends. */
export function isPage(answer: HttpAnswer): boolean {
  return /^(text\/html|application\/xhtml\+xml)\b/i.test(answer.headers['content-type'] ?? '');
}
