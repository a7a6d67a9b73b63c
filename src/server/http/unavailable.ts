import {
  CONTENT_TYPE_JSON,
  CONTENT_TYPE_TEXT,
  type HttpExchange,
  RETRY_SOON,
} from '../../net/http/exchange.ts';
import type { HttpHandler } from '../../net/http/server.ts';
import { formatErrorText } from '../../protocol/producer/requests.ts';
import type { Admission, Admitted, Refusal } from './admission.ts';
import { refuseByProblems } from './api/problem.ts';
import { ENDPOINTS, isOfApi } from './endpoints.ts';
import { isOfNode, type NodeView, nodeRoutes } from './node-routes.ts';

const FOREIGN = 403;

export interface UnavailableOptions {
  /** On a standby: what it does with connections that have just come. What it answers itself is unavailable for a moment. */
  readonly connection?: NonNullable<HttpHandler['connection']>;
  readonly admission: Admission;
  readonly node: NodeView;
  /** What this node has to say when it is asked for metrics. */
  metrics(): Promise<string>;
}

/** Answers while the port is open and the queue is not: before it is open, on a standby, and once it stops. */
export function unavailableHandler(options: UnavailableOptions): HttpHandler {
  const { admission, node, connection } = options;
  const routes = nodeRoutes(node);
  /** Whether it is about this node, or of a page of another site. */
  const answers = (exchange: HttpExchange, decision: Refusal | Admitted): boolean => {
    if (decision.kind === 'refused') {
      // They are not told why nobody answers. What else is wrong with a request, a node that is active says.
      if (decision.status !== FOREIGN) return false;
      exchange.respond(FOREIGN, decision.text, CONTENT_TYPE_TEXT);
    } else if (isOfNode(decision.name)) void routes[decision.name](exchange, decision);
    else if (decision.name === 'metrics') {
      void options.metrics().then((text) => exchange.respond(200, text, CONTENT_TYPE_TEXT));
    } else return false;
    return true;
  };
  return {
    ...(connection === undefined ? {} : { connection }),
    request(exchange) {
      const { path, queue } = admission.queuePath(exchange);
      if (isOfApi(path)) refuseByProblems(exchange);
      if (answers(exchange, admission.admit(exchange))) return;
      const reason = node.whyNobody(queue);
      if (connection === undefined) respondUnavailable(exchange, reason, null);
      else respondElsewhere(exchange, reason);
    },
    isUpgrade: () => false,
    upgrade: (_request, socket) => void socket.destroy(),
  };
}

/** Another node will answer in a moment: the connection ends, so that the next one reaches it. */
export function respondElsewhere(exchange: HttpExchange, reason: string): void {
  exchange.endConnection();
  respondUnavailable(exchange, reason, RETRY_SOON);
}

function respondUnavailable(exchange: HttpExchange, reason: string, more: readonly string[] | null): void {
  if (exchange.path.endsWith(ENDPOINTS.ping.path))
    exchange.respond(503, 'unhealthy', CONTENT_TYPE_TEXT, more);
  else exchange.respond(503, formatErrorText(reason), CONTENT_TYPE_JSON, more);
}
