import { OpsqueueError, SubmissionNotFoundError } from '../../../model/errors.ts';
import { CONTENT_TYPE_PROBLEM, type HttpExchange } from '../../../net/http/exchange.ts';
import { formatProblem } from '../../../protocol/producer/action-answers.ts';
import { TooManyViewsError } from '../../../views/frames.ts';
import { respondAnnounced } from '../answers.ts';

/** Codes of what is refused before a route is reached, or outside of it. */
const CODES: Readonly<Record<number, string>> = {
  400: 'MALFORMED_REQUEST',
  403: 'FOREIGN_REQUEST',
  404: 'NO_SUCH_PATH',
  405: 'METHOD_NOT_ALLOWED',
  413: 'BODY_TOO_LARGE',
  415: 'NOT_JSON',
  429: 'TOO_MANY_QUEUES',
  500: 'FAILED',
  503: 'QUEUE_UNAVAILABLE',
};
/** For those that have no text. */
const TEXTS: Readonly<Record<number, string>> = {
  404: 'there is no such path: GET /api/v1/openapi.json has those that there are',
  405: 'this path has other methods: see the header allow',
};

/** From here on whatever refuses a request of the API says so as a problem. */
export function refuseByProblems(exchange: HttpExchange): void {
  exchange.problemOf = (status, text) =>
    formatProblem({
      status,
      code: CODES[status] ?? 'REFUSED',
      detail: text || (TEXTS[status] ?? ''),
      queue: null,
    });
}

/**
 * @param queue in which queue the submission is that is not in the one that was asked
 * @param more further headers: name, value, ...
 */
export function respondProblem(
  exchange: HttpExchange,
  status: number,
  code: string,
  detail: string,
  {
    queue = null,
    more = null,
  }: { readonly queue?: string | null; readonly more?: readonly string[] | null } = {},
): void {
  respondAnnounced(
    exchange,
    status,
    formatProblem({ status, code, detail, queue }),
    CONTENT_TYPE_PROBLEM,
    more,
  );
}

/** Answers with an error as a problem. @param statusOf undefined: that error is no answer, and is thrown */
export function respondProblemOf(
  exchange: HttpExchange,
  error: unknown,
  statusOf: (error: unknown) => number | undefined,
): void {
  const status = statusOf(error);
  if (status === undefined || !(error instanceof OpsqueueError)) throw error;
  const more = error instanceof TooManyViewsError ? ['retry-after', String(error.retryAfterSeconds)] : null;
  const queue = error instanceof SubmissionNotFoundError ? error.queue : null;
  respondProblem(exchange, status, error.code, error.message, { queue, more });
}
