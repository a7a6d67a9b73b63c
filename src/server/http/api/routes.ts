import { formatQueues } from '../../../protocol/producer/queues.ts';
import type { Queue } from '../../../queue/queue.ts';
import type { Clock } from '../../../system/time/clock.ts';
import type { Views } from '../../../views/views.ts';
import { respondJson } from '../answers.ts';
import type { ApiEndpoint } from '../endpoints.ts';
import type { Route } from '../submissions.ts';
import { actionRoute } from './actions.ts';
import { openapiRoute } from './openapi.ts';
import { readRoutes } from './reads.ts';

export interface ApiRoutesOptions {
  readonly queue: Queue;
  readonly views: Views;
  readonly clock: Clock;
}

/** `/api/v1`: what people, their page and their scripts read and do. */
export function apiRoutes({ queue, clock, views }: ApiRoutesOptions): Readonly<Record<ApiEndpoint, Route>> {
  return {
    queues: (exchange) => respondJson(exchange, 200, formatQueues(queue.inUse, clock.nowMs())),
    ...readRoutes(views),
    openapi: openapiRoute(),
    action: actionRoute(queue, views, clock),
  };
}
