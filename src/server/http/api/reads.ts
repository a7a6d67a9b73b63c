import { OpsqueueError, ProtocolError, SubmissionNotFoundError } from '../../../model/errors.ts';
import type { SubmissionId } from '../../../model/ids.ts';
import { CONTENT_TYPE_JSON, type HttpExchange } from '../../../net/http/exchange.ts';
import { PARAMETERS } from '../../../protocol/api/parameters.ts';
import { MAP_HEADER } from '../../../protocol/api/submissions.ts';
import { parseIdSegment } from '../../../protocol/producer/requests.ts';
import { chunks } from '../../../views/answers/chunks.ts';
import { consumerDetails, consumers } from '../../../views/answers/consumers.ts';
import { eventsAfter } from '../../../views/answers/events.ts';
import { failures } from '../../../views/answers/failure-groups.ts';
import { history } from '../../../views/answers/history.ts';
import { chunkMap } from '../../../views/answers/map.ts';
import { overview } from '../../../views/answers/overview.ts';
import { queueDetails } from '../../../views/answers/queue-details.ts';
import { submission } from '../../../views/answers/submission.ts';
import { endedList, endStateOf, openList } from '../../../views/answers/submissions.ts';
import { keys, values } from '../../../views/answers/values.ts';
import { why } from '../../../views/answers/why.ts';
import { type Computed, type Computing, inOneStep, TooManyViewsError } from '../../../views/frames.ts';
import type { Sources } from '../../../views/sources.ts';
import type { Views } from '../../../views/views.ts';
import { respondAnnounced, respondJson } from '../answers.ts';
import type { ApiEndpoint } from '../endpoints.ts';
import type { Route } from '../submissions.ts';
import { respondProblem } from './problem.ts';
import { parseQuery, type QueryOf, type QueryShape, queryText } from './query.ts';

type ReadEndpoint = Exclude<ApiEndpoint, 'queues' | 'openapi' | 'action'>;

const CONTENT_TYPE_OCTETS = 'application/octet-stream';

/** No consumer is connected by that id. */
class ConsumerNotFoundError extends OpsqueueError {
  constructor(connId: string) {
    super(
      'CONSUMER_NOT_FOUND',
      `no consumer is connected as ${JSON.stringify(connId.slice(0, 60))}: it may be gone`,
    );
  }
}

/** Which status an error of a read has. */
const STATUSES = [
  [ProtocolError, 400],
  [SubmissionNotFoundError, 404],
  [ConsumerNotFoundError, 404],
  [TooManyViewsError, 429],
] as const;

/** `GET /api/v1/...`: views of what is going on, each computed now and then for all who ask. */
export function readRoutes(views: Views): Readonly<Record<ReadEndpoint, Route>> {
  const json = <Ps extends QueryShape>(
    name: ReadEndpoint,
    parameters: Ps,
    compute: (sources: Sources, query: QueryOf<Ps>, segment: string) => Computing<object>,
  ): Route =>
    answered(async (exchange, { queue, segment }) => {
      const query = parseQuery(parameters, exchange.query, queue);
      const key = `${name} ${segment} ${queryText(query)}`;
      const frame = await views.json(key, (sources) => compute(sources, query, segment));
      respondFrame(exchange, frame, jsonText(frame), views.sources.sinceMs);
    });

  return {
    overview: json('overview', PARAMETERS.overview, (sources, { queue }) =>
      sources.disk.whenLooked(() => overview(sources, queue)),
    ),
    history: json('history', PARAMETERS.history, (sources, query) => inOneStep(history(sources, query))),
    submissions: json('submissions', PARAMETERS.submissions, (sources, query) => {
      const endState = endStateOf(query);
      return endState === null ? openList(sources, query) : endedList(sources, query, endState);
    }),
    submission: json('submission', PARAMETERS.submission, (sources, { queue }, segment) =>
      submission(sources, idOf(segment), queue),
    ),
    chunks: json('chunks', PARAMETERS.chunks, (sources, query, segment) =>
      chunks(sources, idOf(segment), query),
    ),
    map: answered(async (exchange, { queue, segment }) => {
      const query = parseQuery(PARAMETERS.map, exchange.query, queue);
      const id = idOf(segment);
      const frame = await views.map(`map ${id} ${queryText(query)}`, (sources) =>
        chunkMap(sources, id, query),
      );
      const { octets, total, from, cell, cells } = frame.value;
      const header = `total=${total}; from=${from}; cell=${cell}; cells=${cells}`;
      respondFrame(exchange, frame, octets, views.sources.sinceMs, [MAP_HEADER, header]);
    }),
    failures: json('failures', PARAMETERS.failures, failures),
    consumers: json('consumers', PARAMETERS.consumers, consumers),
    consumerDetails: json(
      'consumerDetails',
      PARAMETERS.consumerDetails,
      function* of(sources, query, segment) {
        const details = yield* consumerDetails(sources, segment, query.queue);
        if (details === null) throw new ConsumerNotFoundError(segment);
        return details;
      },
    ),
    keys: json('keys', PARAMETERS.keys, keys),
    values: json('values', PARAMETERS.values, (sources, query) => {
      if (query.key === null) throw new ProtocolError('key', 'key: it is missing: /api/v1/keys lists them');
      return values(sources, query, views.valueRates);
    }),
    events: answered((exchange, { queue }) => eventsRoute(views, exchange, queue)),
    why: json('why', PARAMETERS.why, why),
    queue: json('queue', PARAMETERS.queue, (sources) =>
      sources.disk.whenLooked(() => inOneStep(queueDetails(sources, views.facts, views.frames))),
    ),
  };
}

function idOf(segment: string): SubmissionId {
  const id = parseIdSegment(segment);
  if (id !== null) return id;
  throw new ProtocolError('submission_id', `${JSON.stringify(segment.slice(0, 60))} is not a submission id`);
}

/** Whoever has seen all waits for what comes next. */
async function eventsRoute(views: Views, exchange: HttpExchange, confinedTo: string): Promise<void> {
  const query = parseQuery(PARAMETERS.events, exchange.query, confinedTo);
  const { clock, watcher } = views.sources;
  const untilMs = clock.monotonicMs() + query.wait_ms;
  let content = eventsAfter(views.sources, query);
  while (content.items.length === 0 && content.missed === 0) {
    const leftMs = untilMs - clock.monotonicMs();
    if (leftMs <= 0 || !views.isOpen) break;
    await new Promise<void>((resolve) => {
      // What happens together is told together.
      const forget = watcher.occurrences.onceAdded(() => clock.soon(resolve));
      const timer = clock.after(leftMs, resolve, { unref: true });
      exchange.onPeerGone(() => {
        forget();
        timer.cancel();
      });
    });
    content = eventsAfter(views.sources, { ...query, after: Number(content.next) });
  }
  const asOf = new Date(clock.nowMs()).toISOString();
  respondJson(exchange, 200, Buffer.from(JSON.stringify({ as_of: asOf, age_ms: 0, ...content })));
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
  body: string | Uint8Array,
  /** Of the server: numbers begin anew with it. */
  since: number,
  more: readonly string[] = [],
): void {
  const etag = `W/"${since.toString(36)}-${number}"`;
  const headers = ['etag', etag, 'cache-control', 'no-cache', ...more];
  const type = typeof body === 'string' ? CONTENT_TYPE_JSON : CONTENT_TYPE_OCTETS;
  if (exchange.header('if-none-match') === etag) respondAnnounced(exchange, 304, '', null, headers);
  else respondAnnounced(exchange, 200, body, type, headers);
}
