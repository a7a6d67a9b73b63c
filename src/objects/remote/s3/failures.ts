import type { S3ServiceException } from '@aws-sdk/client-s3';
import { isError } from '../../../model/kinds.ts';
import { retryAfterMs } from '../../../system/time/retry-after.ts';
import { ObjectStoreError, type ObjectStoreErrorCode } from '../../errors.ts';
import {
  type ClockComparison,
  clockHint,
  corrupt,
  type FailedCall,
  failureOfConnection,
  failureOfLogin,
  failureOfStatus,
} from '../failures.ts';

/** What a code in an error of S3 means, where it says more than the status. */
const MEANINGS: ReadonlyMap<string, ObjectStoreErrorCode> = new Map([
  ['SlowDown', 'OBJECT_THROTTLED'],
  ['ServiceUnavailable', 'OBJECT_THROTTLED'],
  ['ThrottlingException', 'OBJECT_THROTTLED'],
  ['RequestLimitExceeded', 'OBJECT_THROTTLED'],
  ['TooManyRequests', 'OBJECT_THROTTLED'],
  ['RequestTimeout', 'OBJECT_UNREACHABLE'],
  ['InternalError', 'OBJECT_UNREACHABLE'],
  ['OperationAborted', 'OBJECT_UNREACHABLE'],
  ['AccessDenied', 'OBJECT_DENIED'],
  ['ExpiredToken', 'OBJECT_DENIED'],
  ['ExpiredTokenException', 'OBJECT_DENIED'],
  ['TokenRefreshRequired', 'OBJECT_DENIED'],
  ['RequestTimeTooSkewed', 'OBJECT_DENIED'],
  ['RequestExpired', 'OBJECT_DENIED'],
  ['InvalidToken', 'OBJECT_DENIED'],
]);

/** What came of an answer beside its code. */
interface AnswerDetails {
  readonly status?: number;
  readonly retryAfterMs?: number | undefined;
  readonly clock?: ClockComparison;
}

/** What the SDK leaves on an error of an answer: its own class of error, or that of the parser which gave up on it. */
type AnswerError = Error & Partial<Pick<S3ServiceException, '$metadata' | '$response'>>;

/** What an error of the SDK means. */
export function failureOfS3(
  call: FailedCall,
  cause: unknown,
  { nowMs, hasLogin }: { readonly nowMs: number; readonly hasLogin: boolean },
): ObjectStoreError {
  if (cause instanceof ObjectStoreError) return cause;
  if (!isError(cause)) return failureOfConnection({ ...call, cause });
  if (/^Checksum mismatch/.test(cause.message)) return corrupt(call.key, call.what, cause.message, cause);
  if (cause.name === 'CredentialsProviderError') {
    // The SDK says that nobody has credentials also when the metadata server, which had some, is away for a moment.
    return failureOfLogin({ ...call, cause }, hasLogin || undefined);
  }
  const error: AnswerError = cause;
  const status = error.$response?.statusCode ?? error.$metadata?.httpStatusCode ?? 0;
  const headers = error.$response?.headers;
  const clock = { nowMs, date: headers?.date };
  const details = { status, retryAfterMs: retryAfterMs(headers?.['retry-after'], nowMs), clock };
  const isParsed = '$fault' in cause;
  if (isParsed && MEANINGS.has(cause.name)) {
    return failureOfCode({ ...call, cause }, cause.name, cause.message, details);
  }
  // A load balancer in front of S3 answers with a page of its own: then the status is all that can be understood.
  if (status >= 300) {
    const text = isParsed ? `${cause.name}: ${cause.message}` : oneLine(error.$response?.body);
    return failureOfStatus({ ...call, cause }, status, { text, retryAfterMs: details.retryAfterMs, clock });
  }
  if (isParsed && status >= 200) {
    return corrupt(call.key, call.what, `unreadable answer: ${cause.message}`, cause);
  }
  return failureOfConnection({ ...call, cause });
}

/** What a code means that came without an error of the SDK's: in the answer to a batch. */
export function failureOfCode(
  call: FailedCall,
  code: string,
  message: string,
  details: AnswerDetails = {},
): ObjectStoreError {
  const meaning = MEANINGS.get(code) ?? 'OBJECT_FAILED';
  const { status = 0, retryAfterMs } = details;
  const hint = meaning === 'OBJECT_DENIED' ? clockHint(details.clock) : '';
  // In some answers an error follows a status that says success.
  const shown = status < 300 ? '' : `HTTP status ${status}: `;
  const text = `object ${call.key}: ${call.what}: ${shown}${code}: ${message}${hint}`;
  return new ObjectStoreError(meaning, call.key, text, {
    retryable: meaning === 'OBJECT_THROTTLED' || meaning === 'OBJECT_UNREACHABLE',
    status: status < 300 ? null : status,
    retryAfterMs,
    cause: call.cause,
  });
}

/** The SDK keeps the text of a body that it could not parse. */
function oneLine(body: unknown): string {
  return typeof body === 'string' ? body.replace(/\s+/g, ' ').trim() : '';
}
