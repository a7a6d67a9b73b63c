import type { Readable } from 'node:stream';
import type { Agent, Dispatcher } from 'undici';
import { VERSION } from '../../model/version.ts';
import type { OptionReader } from '../options.ts';
import { type FailedCall, failureOfConnection, failureOfStatus, retryAfterMs } from './failures.ts';
import { loadPackage } from './load.ts';
import { contentLength, readBody } from './read-body.ts';

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
  return {
    connectTimeoutMs: options.durationMs(5_000, 'connect_timeout'),
    connectionsMax: options.integer(128, 1, 'max_connections'),
    idleMs: options.durationMs(30_000, 'pool_idle_timeout'),
    proxyUrl: options.text('proxy_url'),
    allowHttp: options.flag(false, 'allow_http'),
    allowInvalidCertificates: options.flag(false, 'allow_invalid_certificates'),
    userAgent: options.text('user_agent') ?? `opsqueue/${VERSION}`,
  };
}

export interface TransportRequest {
  readonly method: Dispatcher.HttpMethod | 'MKCOL' | 'PROPFIND';
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
  readonly signal: AbortSignal;
}

export interface TransportAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Readable;
}

/** HTTP over undici, without retries: for the schemes that have no SDK of their own worth using. */
export class HttpTransport {
  readonly #dispatcher: Dispatcher;
  readonly #userAgent: string;

  constructor(dispatcher: Dispatcher, userAgent: string) {
    this.#dispatcher = dispatcher;
    this.#userAgent = userAgent;
  }

  static async open(scheme: string, connection: ConnectionOptions): Promise<HttpTransport> {
    const { Agent, ProxyAgent, interceptors } = await loadPackage(scheme, 'undici@8', () => import('undici'));
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
    return new HttpTransport(
      agent.compose(interceptors.redirect({ maxRedirections: 5 })),
      connection.userAgent,
    );
  }

  /** Sends, and resolves with any answer; throws an ObjectStoreError if none came. */
  async send(call: FailedCall, request: TransportRequest): Promise<TransportAnswer> {
    const url = new URL(request.url);
    try {
      const { statusCode, headers, body } = await this.#dispatcher.request({
        // WebDAV's methods are not in the type.
        method: request.method as Dispatcher.HttpMethod,
        origin: url.origin,
        path: url.pathname + url.search,
        headers: { 'user-agent': this.#userAgent, ...request.headers },
        body: request.body ?? null,
        signal: request.signal,
      });
      return { status: statusCode, headers, body };
    } catch (cause) {
      throw failureOfConnection({ ...call, cause });
    }
  }

  /** The whole body of an answer. */
  async read(call: FailedCall, answer: TransportAnswer, signal: AbortSignal): Promise<Uint8Array> {
    try {
      return await readBody(answer.body, contentLength(answer.headers['content-length']), signal, call.key);
    } catch (cause) {
      throw signal.aborted && cause === signal.reason ? cause : failureOfConnection({ ...call, cause });
    }
  }

  /** Reads what nobody needs, so that the connection can be used again. */
  async discard(call: FailedCall, answer: TransportAnswer, signal: AbortSignal): Promise<void> {
    await this.read(call, answer, signal);
  }

  /** The error of an answer that is no success. */
  async failure(
    call: FailedCall,
    answer: TransportAnswer,
    signal: AbortSignal,
    nowMs: number,
  ): Promise<Error> {
    let text = '';
    try {
      text = Buffer.from(await this.read(call, answer, signal)).toString('utf8', 0, 2_000);
    } catch {
      // The status is what matters.
    }
    return failureOfStatus(call, answer.status, {
      text: text.replace(/\s+/g, ' ').trim(),
      retryAfterMs: retryAfterMs(headerText(answer, 'retry-after'), nowMs),
    });
  }

  async close(): Promise<void> {
    await this.#dispatcher.destroy();
  }
}

export function headerText(answer: TransportAnswer, name: string): string | undefined {
  const value = answer.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}

/** Whether the status says success. */
export function isSuccess(status: number): boolean {
  return status >= 200 && status < 300;
}

/** A name in a URL: each segment percent-encoded, whatever it holds already (names are encoded once themselves). */
export function namePath(name: string): string {
  return name.split('/').map(encodeURIComponent).join('/');
}
