import { ObjectStoreError, type ObjectStoreErrorCode } from '../errors.ts';

/** Never answered within a try's time, or the connection broke. */
const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EADDRNOTAVAIL',
  'ERR_STREAM_PREMATURE_CLOSE',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_SOCKET',
  'UND_ERR_RES_CONTENT_LENGTH_MISMATCH',
  'UND_ERR_ABORTED',
  'REQUEST_SEND_ERROR',
  // Azure's SDK says so when the connection breaks within an answer that it reads itself.
  'PARSE_ERROR',
]);
/** Errors of names that the SDKs give, where they give no code. */
const UNREACHABLE_NAMES = new Set(['TimeoutError', 'AbortError']);
/** Node's codes for a certificate that was refused. */
const CERTIFICATE = /CERT|^ERR_TLS|^ERR_SSL|UNABLE_TO_VERIFY|SELF_SIGNED/;

/** What to say of a call that failed. */
export interface FailedCall {
  readonly key: string;
  /** What was tried, such as `put`. */
  readonly what: string;
  readonly cause?: unknown;
}

/** What an HTTP status that is no success means. */
export function failureOfStatus(
  call: FailedCall,
  status: number,
  details: { readonly text: string; readonly retryAfterMs?: number | undefined },
): ObjectStoreError {
  const { code, retryable } = meaningOf(status);
  const said = details.text === '' ? '' : `: ${details.text.slice(0, 500)}`;
  return new ObjectStoreError(
    code,
    call.key,
    `object ${call.key}: ${call.what}: HTTP status ${status}${said}`,
    {
      status,
      retryable,
      ...(details.retryAfterMs === undefined ? {} : { retryAfterMs: details.retryAfterMs }),
      ...(call.cause === undefined ? {} : { cause: call.cause }),
    },
  );
}

function meaningOf(status: number): { code: ObjectStoreErrorCode; retryable: boolean } {
  switch (status) {
    case 404:
    case 410:
      return { code: 'OBJECT_NOT_FOUND', retryable: false };
    case 401:
    case 403:
    case 407:
      return { code: 'OBJECT_DENIED', retryable: false };
    case 429:
    case 503:
      return { code: 'OBJECT_THROTTLED', retryable: true };
    case 408:
    case 502:
    case 504:
      return { code: 'OBJECT_UNREACHABLE', retryable: true };
    case 507:
      return { code: 'OBJECT_STORE_FULL', retryable: false };
    case 501:
    case 505:
      return { code: 'OBJECT_FAILED', retryable: false };
    default:
      return { code: 'OBJECT_FAILED', retryable: status >= 500 };
  }
}

/** What an error without an answer means: the connection, its certificate, or something that is not known here. */
export function failureOfConnection(call: FailedCall): ObjectStoreError {
  const { cause } = call;
  if (cause instanceof ObjectStoreError) return cause;
  const chain = causes(cause);
  const text = chain.map((error) => error.message).find((message) => message !== '') ?? String(cause);
  const refusedCertificate = chain.some((error) => CERTIFICATE.test(codeOf(error)));
  const unreachable = chain.some(
    (error) => UNREACHABLE.has(codeOf(error)) || UNREACHABLE_NAMES.has(error.name),
  );
  return new ObjectStoreError(
    unreachable || refusedCertificate ? 'OBJECT_UNREACHABLE' : 'OBJECT_FAILED',
    call.key,
    `object ${call.key}: ${call.what}: ${text}${codesOf(chain, text)}`,
    { cause, retryable: unreachable && !refusedCertificate },
  );
}

/** The bytes that came are not the ones that were put. */
export function corrupt(key: string, what: string, why: string, cause?: unknown): ObjectStoreError {
  return new ObjectStoreError('OBJECT_CORRUPT', key, `object ${key}: ${what}: ${why}`, {
    retryable: true,
    ...(cause === undefined ? {} : { cause }),
  });
}

/** The body ended early, or did not end where it should. */
export function truncated(key: string, what: string, why: string): ObjectStoreError {
  return new ObjectStoreError('OBJECT_UNREACHABLE', key, `object ${key}: ${what}: ${why}`, {
    retryable: true,
  });
}

/** `Retry-After`: seconds or a date. Undefined if there is none that makes sense. */
export function retryAfterMs(header: string | undefined, nowMs: number): number | undefined {
  if (header === undefined) return undefined;
  const text = header.trim();
  if (/^[0-9]+(?:\.[0-9]+)?$/.test(text)) return Number(text) * 1_000;
  const atMs = Date.parse(text);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}

function causes(error: unknown): Error[] {
  const chain: Error[] = [];
  let next: unknown = error;
  while (next instanceof Error && chain.length < 8) {
    chain.push(next);
    next = next instanceof AggregateError ? next.errors[0] : next.cause;
  }
  return chain;
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

function codesOf(chain: readonly Error[], text: string): string {
  const codes = chain.map(codeOf).filter((code) => code !== '' && !text.includes(code));
  return codes.length === 0 ? '' : ` (${[...new Set(codes)].join(', ')})`;
}
