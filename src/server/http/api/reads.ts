import { OpsqueueError, ProtocolError, SubmissionNotFoundError } from '../../../model/errors.ts';
import { CONTENT_TYPE_JSON, type HttpExchange } from '../../../net/http/exchange.ts';
import { PARAMETERS } from '../../../protocol/api/parameters.ts';
import { history } from '../../../views/answers/history.ts';
import { overview } from '../../../views/answers/overview.ts';
import { type Computation, type Computed, TooManyViewsError } from '../../../views/frames.ts';
import type { Sources } from '../../../views/sources.ts';
import type { Views } from '../../../views/views.ts';
import { respondAnnounced } from '../answers.ts';
import type { Route } from '../submissions.ts';
import { respondProblem } from './problem.ts';
import { parseQuery, type QueryOf, type QueryShape, queryText } from './query.ts';

type ReadEndpoint = 'overview' | 'history';

/** Which status an error of a read has. */
const STATUSES = [
  [ProtocolError, 400],
  [SubmissionNotFoundError, 404],
  [TooManyViewsError, 429],
] as const;

/** `GET /api/v1/...`: views of what is going on, each computed now and then for all who ask. */
export function readRoutes(views: Views): Readonly<Record<ReadEndpoint, Route>> {
  const json = <Ps extends QueryShape>(
    name: ReadEndpoint,
    parameters: Ps,
    compute: (sources: Sources, query: QueryOf<Ps>, segment: string) => Computation<object>,
  ): Route =>
    answered(async (exchange, { queue, segment }) => {
      const query = parseQuery(parameters, exchange.query, queue);
      const key = `${name} ${segment} ${queryText(query)}`;
      const frame = await views.json(key, (sources) => compute(sources, query, segment));
      respondFrame(exchange, frame, jsonText(frame), views.sources.sinceMs);
    });

  return {
    overview: json('overview', PARAMETERS.overview, (sources, { queue }) => overview(sources, queue)),
    history: json('history', PARAMETERS.history, function* compute(sources, query) {
      yield;
      return history(sources, query);
    }),
  };
}

/** With its errors as problems. */
function answered(run: Route): Route {
  return async (exchange, target, body) => {
    try {
      await run(exchange, target, body);
    } catch (error) {
      const status = STATUSES.find(([type]) => error instanceof type)?.[1];
      if (status === undefined || !(error instanceof OpsqueueError)) throw error;
      const more =
        error instanceof TooManyViewsError ? ['retry-after', String(error.retryAfterSeconds)] : null;
      const queue = error instanceof SubmissionNotFoundError ? error.queue : null;
      respondProblem(exchange, status, error.code, error.message, { queue, more });
    }
  };
}

/** Its value begins with `{`. */
function jsonText({ value, asOfMs, ageMs }: Computed<string>): string {
  return `{"as_of":"${new Date(asOfMs).toISOString()}","age_ms":${ageMs},${value.slice(1)}`;
}

/** 304 for whoever has it already. */
function respondFrame(
  exchange: HttpExchange,
  { number }: Computed<unknown>,
  body: string,
  /** Of the server: numbers begin anew with it. */
  since: number,
): void {
  const etag = `W/"${since.toString(36)}-${number}"`;
  const headers = ['etag', etag, 'cache-control', 'no-cache'];
  if (exchange.header('if-none-match') === etag) respondAnnounced(exchange, 304, '', null, headers);
  else respondAnnounced(exchange, 200, body, CONTENT_TYPE_JSON, headers);
}
