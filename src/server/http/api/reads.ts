import { ProtocolError } from '../../../model/errors.ts';
import type { SubmissionId } from '../../../model/ids.ts';
import type { HttpExchange } from '../../../net/http/exchange.ts';
import { PARAMETERS } from '../../../protocol/api/parameters.ts';
import { SHAPES } from '../../../protocol/api/shapes.ts';
import { isOfEnded, MAP_HEADER } from '../../../protocol/api/submissions.ts';
import { parseIdSegment } from '../../../protocol/producer/requests.ts';
import { mergeHistories } from '../../../views/across/history.ts';
import {
  isPaged,
  isPagedValues,
  mergeConsumers,
  mergeFailures,
  mergeKeys,
  mergeSubmissions,
  mergeValues,
  WHOLE,
} from '../../../views/across/lists.ts';
import { mergeOverviews } from '../../../views/across/overview.ts';
import { mergeWhys } from '../../../views/across/why.ts';
import { chunks } from '../../../views/answers/chunks.ts';
import { consumerDetails, consumers } from '../../../views/answers/consumers.ts';
import { endedList, joinedByAge } from '../../../views/answers/ended-submissions.ts';
import { failures } from '../../../views/answers/failure-groups.ts';
import { history } from '../../../views/answers/history.ts';
import { chunkMap } from '../../../views/answers/map.ts';
import { overview } from '../../../views/answers/overview.ts';
import { queueDetails } from '../../../views/answers/queue-details.ts';
import { submission } from '../../../views/answers/submission.ts';
import { openList } from '../../../views/answers/submissions.ts';
import { keys, values } from '../../../views/answers/values.ts';
import { why, whyOfQueues } from '../../../views/answers/why.ts';
import { inOneStep } from '../../../views/frames.ts';
import type { Sources } from '../../../views/sources.ts';
import type { Views } from '../../../views/views.ts';
import type { Across } from '../../across/across.ts';
import { respondJson } from '../answers.ts';
import type { ApiEndpoint } from '../endpoints.ts';
import type { Route } from '../submissions.ts';
import { eventsRoute } from './events.ts';
import { parseQuery, type QueryOf, queryText } from './query.ts';
import { answered, ConsumerNotFoundError, jsonReader, respondFrame, ViewRoutes } from './view-routes.ts';

type ReadEndpoint = Exclude<ApiEndpoint, 'queues' | 'openapi' | 'action'>;

/** `GET /api/v1/...`: views of what is going on, each computed now and then for all who ask. */
export function readRoutes(views: Views, across: Across | null): Readonly<Record<ReadEndpoint, Route>> {
  const routes = new ViewRoutes(views, across);
  const homeOfId = (query: { readonly queue: string | null }, segment: string) =>
    query.queue ?? routes.queueOf(idOf(segment));
  type SubmissionsQuery = QueryOf<typeof PARAMETERS.submissions>;
  const failedSo = async ({ failure }: SubmissionsQuery) =>
    failure === null ? null : await views.failedSo(failure);
  const openSubmissions = routes.ofAll(
    'submissions',
    PARAMETERS.submissions,
    async (sources, query) => openList(sources, query, await failedSo(query)),
    { shape: SHAPES.submissions, merge: mergeSubmissions },
  );
  const ended = async (sources: Sources, query: SubmissionsQuery) =>
    endedList(sources, query, await failedSo(query));
  const endedSubmissions = routes.ofQueue('submissions', PARAMETERS.submissions, ended);
  const allSubmissions = routes.ofAll('submissions', PARAMETERS.submissions, ended, {
    shape: SHAPES.submissions,
    merge: joinedByAge,
  });
  const whyOne = routes.ofQueue(
    'why',
    PARAMETERS.why,
    why,
    ({ submission: id, queue }) => queue ?? (id === null ? null : routes.queueOf(id)),
  );
  const whyAll = routes.ofAll('why', PARAMETERS.why, (sources, { queue }) => whyOfQueues(sources, queue), {
    shape: SHAPES.why,
    merge: mergeWhys,
  });
  const hasParameter = (exchange: HttpExchange, name: string) =>
    new URLSearchParams(exchange.query).has(name);

  return {
    overview: routes.ofAll(
      'overview',
      PARAMETERS.overview,
      (sources, { queue }) => sources.disk.whenLooked(() => overview(sources, queue)),
      {
        shape: SHAPES.overview,
        merge: mergeOverviews,
      },
    ),
    history: routes.ofAll(
      'history',
      PARAMETERS.history,
      (sources, query) => inOneStep(history(sources, query)),
      {
        shape: SHAPES.history,
        merge: mergeHistories,
      },
    ),
    submissions: (exchange, target, body) => {
      const state = new URLSearchParams(exchange.query).get('state') ?? 'open';
      // Those that have ended are in the store, which is the same for all nodes; how they failed, each knows of its own.
      const isOfStore = state !== 'all' && !hasParameter(exchange, 'failure');
      const route = !isOfEnded(state) ? openSubmissions : isOfStore ? endedSubmissions : allSubmissions;
      return route(exchange, target, body);
    },
    submission: routes.ofQueue(
      'submission',
      PARAMETERS.submission,
      (sources, { queue }, segment) => submission(sources, idOf(segment), queue),
      homeOfId,
    ),
    chunks: routes.ofQueue(
      'chunks',
      PARAMETERS.chunks,
      (sources, query, segment) => chunks(sources, idOf(segment), query),
      homeOfId,
    ),
    map: answered(async (exchange, { queue, segment }) => {
      const query = parseQuery(PARAMETERS.map, exchange.query, queue);
      const id = idOf(segment);
      const home = routes.isSpread(exchange) ? await homeOfId(query, segment) : query.queue;
      await routes.atHome(exchange, home, async () => {
        const frame = await views.map(`map ${id} ${queryText(query)}`, (sources) =>
          chunkMap(sources, id, query),
        );
        const { octets, total, from, cell, cells } = frame.value;
        const header = `total=${total}; from=${from}; cell=${cell}; cells=${cells}`;
        respondFrame(exchange, frame, octets, views.sources.sinceMs, [MAP_HEADER, header]);
      });
    }),
    failures: routes.ofAll('failures', PARAMETERS.failures, failures, {
      partOf: (query) => (isPaged(query) ? query : { ...query, ...WHOLE }),
      shape: SHAPES.failures,
      merge: mergeFailures,
    }),
    consumers: routes.ofAll('consumers', PARAMETERS.consumers, consumers, {
      partOf: (query) => (isPaged(query) ? query : { ...query, ...WHOLE }),
      shape: SHAPES.consumers,
      merge: mergeConsumers,
    }),
    consumerDetails: consumerRoute(routes, across),
    keys: routes.ofAll('keys', PARAMETERS.keys, keys, {
      partOf: (query) => ({ ...query, ...WHOLE }),
      shape: SHAPES.keys,
      merge: mergeKeys,
    }),
    values: routes.ofAll(
      'values',
      PARAMETERS.values,
      (sources, query) => {
        if (query.key === null) throw new ProtocolError('key', 'key: it is missing: /api/v1/keys lists them');
        return values(sources, query, views.valueRates);
      },
      {
        partOf: (query) => (isPagedValues(query) ? query : { ...query, ...WHOLE }),
        shape: SHAPES.values,
        merge: mergeValues,
      },
    ),
    events: eventsRoute(routes, across),
    why: (exchange, target, body) =>
      (hasParameter(exchange, 'submission') ? whyOne : whyAll)(exchange, target, body),
    queue: routes.ofQueue('queue', PARAMETERS.queue, (sources) =>
      sources.disk.whenLooked(() => inOneStep(queueDetails(sources, views.facts, views.frames))),
    ),
  };
}

function idOf(segment: string): SubmissionId {
  const id = parseIdSegment(segment);
  if (id !== null) return id;
  throw new ProtocolError('submission_id', `${JSON.stringify(segment.slice(0, 60))} is not a submission id`);
}

/** One that is not here may be on another node. */
function consumerRoute(routes: ViewRoutes, across: Across | null): Route {
  return answered(async (exchange, { queue: confinedTo, segment }) => {
    const { queue } = parseQuery(PARAMETERS.consumerDetails, exchange.query, confinedTo);
    await routes.atHome(exchange, queue, async () => {
      try {
        await routes.respondView(exchange, `consumerDetails ${segment} ${queue}`, function* of(sources) {
          const details = yield* consumerDetails(sources, segment, queue);
          if (details === null) throw new ConsumerNotFoundError(segment);
          return details;
        });
      } catch (error) {
        const mayBeElsewhere = error instanceof ConsumerNotFoundError && queue === null;
        if (!mayBeElsewhere || across?.isSpread(exchange) !== true) throw error;
        const question = { path: `consumers/${encodeURIComponent(segment)}` };
        const { values } = await across.fanOut.values(question, jsonReader(SHAPES.consumerDetails));
        const [found] = values;
        if (found === undefined) throw error;
        respondJson(exchange, 200, Buffer.from(JSON.stringify(found.value)));
      }
    });
  });
}
