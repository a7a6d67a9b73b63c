import {
  DeadlinePassedError,
  type OpsqueueError,
  ProtocolError,
  SubmissionConflictError,
  TooManyMatchingSubmissionsError,
} from '../../model/errors.ts';
import type { SubmissionStatus } from '../../model/submission.ts';
import { CONTENT_TYPE_JSON, CONTENT_TYPE_TEXT, type HttpExchange } from '../../net/http/exchange.ts';
import { PRODUCER_FEATURES } from '../../protocol/features.ts';
import {
  formatCount,
  formatErrorText,
  formatStatus,
  JsonSyntaxError,
} from '../../protocol/producer/requests.ts';
import { QueueUnavailableError, TooManyQueuesError } from '../../queue/errors.ts';
import { StoreError } from '../../store/errors.ts';

/** What our server offers beyond the original; for our own clients only. */
const FEATURES_HEADER = ['opsqueue-features', PRODUCER_FEATURES.queue.join(',')];

/** Whether the client is one of ours: the others get the headers of the recordings only. */
function isOurClient(exchange: HttpExchange): boolean {
  // The latter is a consumer's, whose upgrade is refused.
  return (
    exchange.header('opsqueue-client') !== undefined || exchange.header('opsqueue-features') !== undefined
  );
}

/** Answers, with the list of features for clients of ours. */
export function respondAnnounced(
  exchange: HttpExchange,
  status: number,
  body: string | Uint8Array,
  contentType: string | null,
  more: readonly string[] | null = null,
): void {
  if (isOurClient(exchange)) {
    exchange.respond(status, body, contentType, [...(more ?? []), ...FEATURES_HEADER]);
  } else exchange.respond(status, body, contentType, more);
}

export function respondJson(exchange: HttpExchange, status: number, body: Uint8Array): void {
  respondAnnounced(exchange, status, body, CONTENT_TYPE_JSON);
}

export function respondText(exchange: HttpExchange, status: number, body: string): void {
  respondAnnounced(exchange, status, body, CONTENT_TYPE_TEXT);
}

/** A status, with what only clients of ours understand if it is one. */
export function respondStatus(exchange: HttpExchange, status: number, of: SubmissionStatus | null): void {
  respondJson(exchange, status, formatStatus(of, isOurClient(exchange)));
}

/** Answers with what an error means to a client; false if it means nothing to any. */
export function respondError(exchange: HttpExchange, error: unknown): boolean {
  if (error instanceof JsonSyntaxError) respondText(exchange, 400, error.message);
  else if (error instanceof ProtocolError) respondText(exchange, 422, error.message);
  else if (error instanceof DeadlinePassedError) respondCoded(exchange, 422, error);
  else if (error instanceof SubmissionConflictError) respondConflict(exchange, error);
  else if (error instanceof TooManyQueuesError) respondText(exchange, 429, error.message);
  else if (error instanceof TooManyMatchingSubmissionsError) {
    respondJson(exchange, 400, formatCount(error.max));
  } else if (error instanceof QueueUnavailableError || error instanceof StoreError) {
    respondJson(exchange, 503, formatErrorText(error.message));
  } else return false;
  return true;
}

/** Clients of ours get the code in a header: nothing has to be read out of the text. */
function respondCoded(exchange: HttpExchange, status: number, { code, message }: OpsqueueError): void {
  const more = isOurClient(exchange) ? ['opsqueue-error', code] : null;
  respondAnnounced(exchange, status, message, CONTENT_TYPE_TEXT, more);
}

/** Clients of ours get the field in a header: nothing has to be read out of the text. */
function respondConflict(exchange: HttpExchange, { field, message }: SubmissionConflictError): void {
  const more = isOurClient(exchange) && field !== null ? ['opsqueue-conflict', field] : null;
  respondAnnounced(exchange, 409, message, CONTENT_TYPE_TEXT, more);
}
