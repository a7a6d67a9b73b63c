import { isError } from '../../model/kinds.ts';
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

/** What came with a status that is no success. */
export interface AnswerDetails {
  readonly text: string;
  readonly retryAfterMs?: number | undefined;
  /** The time here, and the `Date` of the answer. */
  readonly clock?: ClockComparison;
}

/** The time of this machine, and the `Date` header of an answer that came just now. */
export interface ClockComparison {
  readonly nowMs: number;
  readonly date: string | undefined;
}

/** Logins allow for less than this, in milliseconds: Google's tokens for five minutes, signatures of S3 and Azure for fifteen. */
const CLOCK_SKEW_MS_MAX = 4 * 60_000;

/** What to add to a refusal if the clocks are so far apart that this may be why. */
export function clockHint(clock: ClockComparison | undefined): string {
  const skewMs = clock?.date === undefined ? Number.NaN : clock.nowMs - Date.parse(clock.date);
  if (!(Math.abs(skewMs) > CLOCK_SKEW_MS_MAX)) return '';
  const minutes = Math.round(Math.abs(skewMs) / 60_000);
  return ` (the clock of this machine is ${minutes} minutes ${skewMs > 0 ? 'ahead of' : 'behind'} the server's: logins depend on it)`;
}

/** What an HTTP status that is no success means. */
export function failureOfStatus(call: FailedCall, status: number, details: AnswerDetails): ObjectStoreError {
  const { code, retryable } = meaningOf(status);
  const said = details.text === '' ? '' : `: ${details.text.slice(0, 500)}`;
  const hint = code === 'OBJECT_DENIED' ? clockHint(details.clock) : '';
  const text = `object ${call.key}: ${call.what}: HTTP status ${status}${said}${hint}`;
  const { retryAfterMs } = details;
  return new ObjectStoreError(code, call.key, text, { status, retryable, retryAfterMs, cause: call.cause });
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
    case 421: // The connection leads to another server than the one that is meant; the next try makes a new one.
    case 423: // WebDAV: another client has locked it.
    case 425: // Too early: not while the connection is so new.
      return { code: 'OBJECT_FAILED', retryable: true };
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

/** The login failed: either nobody could be asked, or the answer was no; `passes` if the caller knows which it is. */
export function failureOfLogin(call: FailedCall, passes = mayPass(call.cause)): ObjectStoreError {
  const { message } = failureOfConnection({ ...call, what: `${call.what}: login` });
  return new ObjectStoreError(passes ? 'OBJECT_UNREACHABLE' : 'OBJECT_DENIED', call.key, message, {
    cause: call.cause,
    retryable: passes,
  });
}

function mayPass(cause: unknown): boolean {
  // What a login of Azure's says of a way that this machine does not have: that it cannot be reached is no news.
  return causes(cause, 'CredentialUnavailableError').some((error) => {
    const status = statusOf(error);
    const isUnreachable = UNREACHABLE.has(codeOf(error)) || UNREACHABLE_NAMES.has(error.name);
    return isUnreachable || status >= 500 || status === 429 || status === 408;
  });
}

/** The bytes that came are not the ones that were put. */
export function corrupt(key: string, what: string, why: string, cause?: unknown): ObjectStoreError {
  return new ObjectStoreError('OBJECT_CORRUPT', key, `object ${key}: ${what}: ${why}`, {
    retryable: true,
    cause,
  });
}

/** The body ended early, or did not end where it should. */
export function truncated(key: string, what: string, why: string): ObjectStoreError {
  return new ObjectStoreError('OBJECT_UNREACHABLE', key, `object ${key}: ${what}: ${why}`, {
    retryable: true,
  });
}

/** The error and what it came of, all the errors of one that stands for several included; without those of a name. */
function causes(error: unknown, without?: string): Error[] {
  const found: Error[] = [];
  const left = [error];
  while (left.length > 0 && found.length < 16) {
    const next = left.shift();
    if (!isError(next) || next.name === without) continue;
    found.push(next);
    left.push(next.cause, ...('errors' in next && Array.isArray(next.errors) ? next.errors : []));
  }
  return found;
}

/** What the server of a login answered, as the libraries for it write that down. */
function statusOf(error: Error): number {
  const status = 'statusCode' in error ? error.statusCode : 'status' in error ? error.status : 0;
  return Number(status) || 0;
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : '';
}

function codesOf(chain: readonly Error[], text: string): string {
  const codes = chain.map(codeOf).filter((code) => code !== '' && !text.includes(code));
  return codes.length === 0 ? '' : ` (${[...new Set(codes)].join(', ')})`;
}
