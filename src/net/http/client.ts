import type http from 'node:http';
import { ClientClosedError, QueueRefusedError, QueueUnreachableError } from '../../model/errors.ts';
import { linkedSignal } from '../../system/async/abort-signals.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Random } from '../../system/random.ts';
import { Backoff } from '../../system/time/backoff.ts';
import { type Clock, sleep } from '../../system/time/clock.ts';
import { absenceText } from '../absence.ts';
import { DIRECT_ROUTE, type QueueRoute, requestAgent } from '../address/queue-route.ts';
import type { QueueUrl } from '../address/queue-url.ts';
import { attemptRequest, type HttpAnswer, HttpAttemptError, type HttpRequest } from './attempt.ts';

export interface HttpClientOptions {
  readonly queue: QueueUrl;
  readonly route?: QueueRoute;
  /** How long a call may be repeated, from its first attempt, in milliseconds; 0 = one attempt. */
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

const RETRY_FIRST_MS = 10;
const RETRY_MAX_MS = 5_000;

/**
 * Requests to one queue over kept connections: each with a time-out, repeated with jittered back-off where that is
 * safe, for a limited time. It knows nothing of what the requests mean.
 */
export class HttpClient {
  readonly #o: HttpClientOptions;
  readonly #calls: http.Agent;
  readonly #polls: http.Agent;
  readonly #closing = new AbortController();
  #isDown = false;

  constructor(options: HttpClientOptions) {
    this.#o = options;
    const { queue, route = DIRECT_ROUTE } = options;
    const kept = { keepAlive: true, maxFreeSockets: CONNECTIONS_IDLE_MAX };
    this.#calls = requestAgent(queue, route, { ...kept, maxSockets: CONNECTIONS_MAX });
    this.#polls = requestAgent(queue, route, kept);
  }

  /** Fires when the client is closed, with a ClientClosedError. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** The name of the queue that is asked; '' for the unnamed one. */
  get queueName(): string {
    return this.#o.queue.queue;
  }

  /** Of a request, for errors. */
  urlOf(request: HttpRequest): string {
    return this.#o.queue.text + request.path;
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
    using both = linkedSignal(this.#closing.signal, signal);
    const agent = request.longPoll ? this.#polls : this.#calls;
    const answer = await attemptRequest(this.#o.queue, agent, this.#o.clock, request, both.signal);
    const { status } = answer;
    if (status < 500 && status !== 408 && status !== 429) return answer;
    const refused = new QueueRefusedError(`${request.method} ${request.path}`, status, bodyText(answer));
    throw new HttpAttemptError(refused.message, { ambiguous: true, retryable: true }, { cause: refused });
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
    const { clock, random, retryForMs } = this.#o;
    using both = linkedSignal(this.#closing.signal, signal);
    const backoff = new Backoff(random, { firstMs: RETRY_FIRST_MS, maxMs: RETRY_MAX_MS });
    const startMs = clock.monotonicMs();
    let ambiguous = false;
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
        const leftMs = startMs + retryForMs - clock.monotonicMs();
        if (!error.retryable || leftMs <= 0) throw this.#final(error, number, startMs);
        if (error.stale && number === 1) continue;
        this.#down(error);
        await sleep(clock, Math.min(backoff.nextMs(), leftMs), both.signal);
      }
    }
  }

  /** Ends it: requests under way fail with ClientClosedError, connections are closed. Idempotent. */
  close(): void {
    this.#closing.abort(new ClientClosedError());
    this.#calls.destroy();
    this.#polls.destroy();
  }

  #final(error: HttpAttemptError, attempts: number, startMs: number): Error {
    if (error.cause instanceof QueueRefusedError) return error.cause;
    const waitedMs = this.#o.clock.monotonicMs() - startMs;
    return new QueueUnreachableError(this.#o.queue.text, attempts, waitedMs, { cause: error });
  }

  #down(error: HttpAttemptError): void {
    if (this.#isDown) return;
    this.#isDown = true;
    const { cause, message } = error;
    const { logger, queue } = this.#o;
    const status = cause instanceof QueueRefusedError ? cause.status : undefined;
    logger.warn(
      { url: queue.text, reason: message },
      absenceText(queue, { error: cause, status, reason: message }),
    );
  }

  #up(): void {
    if (!this.#isDown) return;
    this.#isDown = false;
    this.#o.logger.info({ url: this.#o.queue.text }, 'the queue answers again');
  }
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
