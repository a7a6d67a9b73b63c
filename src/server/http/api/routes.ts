import { formatQueues, parseQueues } from '../../../protocol/producer/queues.ts';
import type { Queue } from '../../../queue/queue.ts';
import type { Clock } from '../../../system/time/clock.ts';
import { mergeQueues } from '../../../views/across/queues.ts';
import type { Across } from '../../across/across.ts';
import { respondJson } from '../answers.ts';
import type { ApiEndpoint } from '../endpoints.ts';
import type { Route } from '../submissions.ts';
import { type ActionRouteOptions, actionRoute } from './actions.ts';
import { openapiRoute } from './openapi.ts';
import { readRoutes } from './reads.ts';

/** `/api/v1`: what people, their page and their scripts read and do. */
export function apiRoutes({
  queue,
  clock,
  views,
  across,
}: ActionRouteOptions): Readonly<Record<ApiEndpoint, Route>> {
  return {
    queues: queuesRoute(queue, clock, across),
    ...readRoutes(views, across),
    openapi: openapiRoute(),
    action: actionRoute({ queue, views, clock, across }),
  };
}

/** Not a view: it is asked for once. */
function queuesRoute(queue: Queue, clock: Clock, across: Across | null): Route {
  return async (exchange) => {
    if (across?.isPart(exchange) !== true) {
      respondJson(exchange, 200, formatQueues(queue.inUse, clock.nowMs()));
      return;
    }
    const { values, missing } = await across.fanOut.values({ path: 'queues' }, parseQueues);
    const all = mergeQueues([queue.inUse, ...values.map(({ value }) => value.queues)]);
    respondJson(exchange, 200, formatQueues(all, clock.nowMs(), across.missing(missing)));
  };
}
