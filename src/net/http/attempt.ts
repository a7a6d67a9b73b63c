import http from 'node:http';
import https from 'node:https';
import type { Clock, Timer } from '../../system/time/clock.ts';
import type { QueueUrl } from '../address/queue-url.ts';
import { isClientCertificateRefused, socketErrorText } from '../connect-error.ts';

/** One call of the producer API. */
export interface HttpRequest {
  readonly method: 'GET' | 'POST';
  /** Below the queue's base path, from its `/` on. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** JSON. A POST without it goes out without any header about a body. */
  readonly body?: Uint8Array;
  /** The longest time for one attempt, connecting and reading included, in milliseconds. */
  readonly timeoutMs: number;
  /** The server may hold the answer back: it gets a connection beyond the limit for ordinary calls. */
  readonly longPoll?: boolean;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Uint8Array;
  /** What was asked, and where, for errors. */
  readonly url: string;
}

/** Bytes of an answer; nothing that a queue sends comes near it. */
export const RESPONSE_BYTES_MAX = 256 * 1024 * 1024;

/** Why an attempt brought no usable answer. */
export class HttpAttemptError extends Error {
  /** The request may have been received, and carried out. */
  readonly ambiguous: boolean;
  /** Another attempt may go better. */
  readonly retryable: boolean;
  /** A kept connection had been closed by the server just then: another attempt may go out at once. */
  readonly stale: boolean;
  /** How long the server asked to wait, in milliseconds; 0 if it did not. */
  readonly retryAfterMs: number;

  constructor(
    message: string,
    what: {
      readonly ambiguous: boolean;
      readonly retryable: boolean;
      readonly stale?: boolean;
      readonly retryAfterMs?: number;
    },
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = 'HttpAttemptError';
    this.ambiguous = what.ambiguous;
    this.retryable = what.retryable;
    this.stale = what.stale ?? false;
    this.retryAfterMs = what.retryAfterMs ?? 0;
  }
}

/** Nothing listens there, or nothing can be reached, now: that may change. */
const UNREACHABLE_CODES = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
]);
const BROKEN_CODES = new Set(['ECONNRESET', 'ECONNABORTED', 'EPIPE', 'ETIMEDOUT', 'HPE_INVALID_EOF_STATE']);

/** Where an attempt goes, and how. */
export interface AttemptTarget {
  readonly queue: QueueUrl;
  readonly agent: http.Agent;
  readonly clock: Clock;
  /** The longest time to connect, in milliseconds; Infinity: that of the request. */
  readonly connectMsMax: number;
  /** There is a connection: the request leaves. */
  connected?(): void;
}

/** One attempt at a request. Rejects with an {@link HttpAttemptError}, or with the signal's reason. */
export function attemptRequest(
  { queue, agent, clock, connectMsMax, connected }: AttemptTarget,
  request: HttpRequest,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(signal.reason);
    const outgoing = open(queue, agent, request);
    let connecting: Timer | null = null;
    const link = watchConnecting(outgoing, queue, {
      begun: () => {
        if (connectMsMax >= request.timeoutMs) return;
        connecting = clock.after(connectMsMax, () => fail(noConnection(connectMsMax)));
      },
      up() {
        connecting?.cancel();
        connected?.();
      },
    });
    const settle = () => {
      timer.cancel();
      connecting?.cancel();
      signal.removeEventListener('abort', onAbort);
    };
    const fail = (error: unknown) => {
      settle();
      reject(error);
      outgoing.destroy();
    };
    const onAbort = () => fail(signal.reason);
    const timer = clock.after(request.timeoutMs, () =>
      fail(
        link.isUp
          ? new HttpAttemptError(`no answer within ${request.timeoutMs} ms`, {
              ambiguous: true,
              retryable: true,
            })
          : noConnection(request.timeoutMs),
      ),
    );
    signal.addEventListener('abort', onAbort, { once: true });
    outgoing.on('error', (error) => {
      const isUnsent = !link.isUp || isClientCertificateRefused(error);
      fail(isUnsent ? unsent(error) : broken(error, outgoing.reusedSocket));
    });
    outgoing.on('response', (response) => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      response.on('data', (piece: Buffer) => {
        bytes += piece.length;
        if (bytes > RESPONSE_BYTES_MAX) {
          fail(
            new HttpAttemptError(`an answer of more than ${RESPONSE_BYTES_MAX} bytes`, {
              ambiguous: true,
              retryable: false,
            }),
          );
        }
        pieces.push(piece);
      });
      response.on('error', (error) => fail(broken(error, false)));
      response.on('end', () => {
        settle();
        const body = pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces);
        const url = queue.text + request.path;
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body, url });
      });
    });
    outgoing.end(request.body);
  });
}

function open(queue: QueueUrl, agent: http.Agent, request: HttpRequest): http.ClientRequest {
  const headers: Record<string, string | number> = { ...request.headers };
  if (request.body !== undefined) {
    headers['content-type'] = 'application/json';
    headers['content-length'] = request.body.length;
  }
  const options: https.RequestOptions = {
    agent,
    hostname: queue.hostname,
    port: queue.port,
    method: request.method,
    path: queue.basePath + request.path,
    headers,
  };
  const outgoing = queue.secure ? https.request(options) : http.request(options);
  if (request.body === undefined) {
    outgoing.removeHeader('content-length');
    outgoing.removeHeader('transfer-encoding');
  }
  return outgoing;
}

/** Whether the connection is made, TLS included: before that nothing of the request has left. */
function watchConnecting(
  outgoing: http.ClientRequest,
  queue: QueueUrl,
  on: { begun(): void; up(): void },
): { readonly isUp: boolean } {
  const link = { isUp: false };
  outgoing.on('socket', (socket) => {
    // One that the agent kept, or that a proxy's tunnel was made for: a listener on it would never be called, nor removed.
    link.isUp = outgoing.reusedSocket || !socket.connecting;
    if (link.isUp) return on.up();
    on.begun();
    socket.once(queue.secure ? 'secureConnect' : 'connect', () => {
      link.isUp = true;
      on.up();
    });
  });
  return link;
}

function noConnection(withinMs: number): HttpAttemptError {
  return new HttpAttemptError(`no connection within ${withinMs} ms`, { ambiguous: false, retryable: true });
}

/** A proxy did not connect to the queue: because that is down (a status above 500), or it does not do so at all. */
function mayTunnelLater(error: NodeJS.ErrnoException): boolean {
  if (error.code !== 'ERR_PROXY_TUNNEL') return false;
  const status = 'statusCode' in error && typeof error.statusCode === 'number' ? error.statusCode : 500;
  return status >= 500;
}

/** There was no connection: whatever it was, it may be sent again. */
function unsent(error: NodeJS.ErrnoException): HttpAttemptError {
  const code = error.code ?? '';
  const retryable = UNREACHABLE_CODES.has(code) || BROKEN_CODES.has(code) || mayTunnelLater(error);
  return new HttpAttemptError(
    retryable ? socketErrorText(error) : `no connection, nothing was sent: ${socketErrorText(error)}`,
    { ambiguous: false, retryable },
    { cause: error },
  );
}

/** The connection, or what came on it, broke: the request may have been received. */
function broken(error: NodeJS.ErrnoException, reused: boolean): HttpAttemptError {
  const retryable = BROKEN_CODES.has(error.code ?? '');
  return new HttpAttemptError(
    retryable
      ? `the connection was closed before the answer (${socketErrorText(error)})`
      : socketErrorText(error),
    { ambiguous: true, retryable, stale: retryable && reused },
    { cause: error },
  );
}
