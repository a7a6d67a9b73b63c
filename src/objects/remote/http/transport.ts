import type { Agent, Dispatcher } from 'undici';
import { IncorrectUsageError } from '../../../model/errors.ts';
import { isError } from '../../../model/kinds.ts';
import { VERSION } from '../../../model/version.ts';
import { retryAfterMs } from '../../../system/time/retry-after.ts';
import type { ObjectStoreError } from '../../errors.ts';
import type { OptionReader } from '../../options.ts';
import { isHttpUrl } from '../endpoint.ts';
import { type FailedCall, failureOfConnection, failureOfStatus } from '../failures.ts';
import { INSTALL, orNotInstalledFor } from '../load.ts';
import { BodyCollector, contentLength } from '../read-body.ts';

/** What every scheme takes about its connections. */
export interface ConnectionOptions {
  readonly connectTimeoutMs: number;
  readonly connectionsMax: number;
  readonly idleMs: number;
  readonly proxyUrl: string | undefined;
  readonly allowHttp: boolean;
  readonly allowInvalidCertificates: boolean;
  readonly userAgent: string;
}

export function connectionOptions(options: OptionReader): ConnectionOptions {
  const proxyUrl = options.text('proxy_url');
  if (proxyUrl !== undefined && !isHttpUrl(proxyUrl)) {
    // It is not shown: it may have a password in it, in a place that nobody can find in what is no URL.
    throw new IncorrectUsageError('object store option proxy_url: not an http(s) URL');
  }
  return {
    connectTimeoutMs: options.durationMs(5_000, 'connect_timeout'),
    connectionsMax: options.integer(128, 1, 'max_connections'),
    idleMs: options.durationMs(30_000, 'pool_idle_timeout'),
    proxyUrl,
    allowHttp: options.flag(false, 'allow_http'),
    allowInvalidCertificates: options.flag(false, 'allow_invalid_certificates'),
    userAgent: options.text('user_agent') ?? `opsqueue/${VERSION}`,
  };
}

export interface TransportRequest {
  readonly method: Dispatcher.HttpMethod;
  /** From the `/` on. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

/** An answer, read to its end. */
export interface TransportAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Uint8Array;
}

/** HTTP over undici, without retries: for the schemes that have no SDK of their own worth using. */
export class HttpTransport {
  readonly #dispatcher: Dispatcher;
  readonly #origin: string;
  readonly #userAgent: string;

  constructor(dispatcher: Dispatcher, origin: string, userAgent: string) {
    this.#dispatcher = dispatcher;
    this.#origin = origin;
    this.#userAgent = userAgent;
  }

  static async open(
    scheme: 'gs' | 'http',
    origin: string,
    connection: ConnectionOptions,
  ): Promise<HttpTransport> {
    const { Agent, ProxyAgent } = await import('undici').catch(orNotInstalledFor(scheme, INSTALL[scheme]));
    const tls = { rejectUnauthorized: !connection.allowInvalidCertificates };
    const settings: Agent.Options = {
      connections: connection.connectionsMax,
      keepAliveTimeout: connection.idleMs,
      // Time-outs are the retry wrapper's: one for the whole try.
      headersTimeout: 0,
      bodyTimeout: 0,
      connect: { timeout: connection.connectTimeoutMs, ...tls },
    };
    const agent =
      connection.proxyUrl === undefined
        ? new Agent(settings)
        : new ProxyAgent({ ...settings, uri: connection.proxyUrl, requestTls: tls, proxyTls: tls });
    return new HttpTransport(agent, origin, connection.userAgent);
  }

  /**
   * Sends, and resolves with any answer once all of it is here; throws an ObjectStoreError if it did not come.
   *
   * Straight on undici's dispatch: its `request` makes a stream of every body, which costs as much as all the rest.
   */
  async send(call: FailedCall, request: TransportRequest, signal: AbortSignal): Promise<TransportAnswer> {
    try {
      return await new Promise((resolve, reject) => {
        const handler = new WholeAnswer(call.key, signal, resolve, reject);
        if (signal.aborted) return reject(signal.reason);
        this.#dispatcher.dispatch(
          {
            method: request.method,
            origin: this.#origin,
            path: request.path,
            headers: { 'user-agent': this.#userAgent, ...request.headers },
            body: request.body ?? null,
          },
          handler,
        );
      });
    } catch (cause) {
      throw signal.aborted && cause === signal.reason ? cause : failureOfConnection({ ...call, cause });
    }
  }

  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }
}

/** Collects an answer into one buffer of its own. */
class WholeAnswer implements Dispatcher.DispatchHandler {
  readonly #signal: AbortSignal;
  readonly #resolve: (answer: TransportAnswer) => void;
  readonly #reject: (error: unknown) => void;
  readonly #collector: BodyCollector;
  readonly #onAbort: () => void;
  #controller: Dispatcher.DispatchController | null = null;
  #status = 0;
  #headers: TransportAnswer['headers'] = {};

  constructor(
    name: string,
    signal: AbortSignal,
    resolve: (answer: TransportAnswer) => void,
    reject: (error: unknown) => void,
  ) {
    this.#signal = signal;
    this.#resolve = resolve;
    this.#reject = reject;
    this.#collector = new BodyCollector(name);
    this.#onAbort = () => {
      // Before the request has begun there is nothing to end yet: it is ended as it begins.
      this.#controller?.abort(signal.reason);
      this.#reject(signal.reason);
    };
    signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#signal.aborted) controller.abort(this.#signal.reason);
  }

  onResponseStart(
    _controller: Dispatcher.DispatchController,
    status: number,
    headers: TransportAnswer['headers'],
  ): void {
    if (status < 200) return;
    this.#status = status;
    this.#headers = headers;
    this.#guard(() => this.#collector.begin(contentLength(headers['content-length'])));
  }

  onResponseData(_controller: Dispatcher.DispatchController, part: Buffer): void {
    this.#guard(() => this.#collector.add(part));
  }

  onResponseEnd(): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#guard(() =>
      this.#resolve({ status: this.#status, headers: this.#headers, body: this.#collector.end() }),
    );
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#reject(error);
  }

  #guard(run: () => void): void {
    try {
      run();
    } catch (error) {
      this.#signal.removeEventListener('abort', this.#onAbort);
      this.#reject(error);
      this.#controller?.abort(isError(error) ? error : new Error(String(error)));
    }
  }
}

/** The error of an answer that is no success. */
export function failureOfAnswer(call: FailedCall, answer: TransportAnswer, nowMs: number): ObjectStoreError {
  const text = Buffer.from(answer.body.buffer, 0, Math.min(answer.body.length, 2_000)).toString();
  return failureOfStatus(call, answer.status, {
    text: text.replace(/\s+/g, ' ').trim(),
    retryAfterMs: retryAfterMs(headerText(answer, 'retry-after'), nowMs),
    clock: { nowMs, date: headerText(answer, 'date') },
  });
}

export function headerText(answer: TransportAnswer, name: string): string | undefined {
  const value = answer.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** Whether the status says success. */
export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}
