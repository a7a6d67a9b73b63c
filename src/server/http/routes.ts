import { VERSION } from '../../model/version.ts';
import { CONTENT_TYPE_JSON, CONTENT_TYPE_TEXT, type HttpExchange } from '../../net/http/exchange.ts';
import { upgradeProblem } from '../../net/websocket/server.ts';
import { formatErrorText } from '../../protocol/producer/requests.ts';
import type { Queue } from '../../queue/queue.ts';
import type { Logger } from '../../system/logger.ts';
import type { Metrics } from './metrics.ts';
import { Router } from './router.ts';
import {
  ProducerRoutes,
  type ProducerRoutesOptions,
  respondAnnounced,
  SUBMISSIONS_ROOT,
} from './submissions.ts';

export interface RoutesOptions extends ProducerRoutesOptions {
  readonly queue: Queue;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

/** As old clients know it: `v` and a semantic version. */
export const VERSION_INFO = `v${VERSION}`;

/** Every path that the server answers over plain HTTP. */
export class Routes {
  readonly #o: RoutesOptions;
  readonly #router = new Router();
  readonly #producers: ProducerRoutes;

  constructor(options: RoutesOptions) {
    this.#o = options;
    this.#producers = new ProducerRoutes(options);
    const version = (exchange: HttpExchange) => exchange.respond(200, VERSION_INFO, CONTENT_TYPE_TEXT);
    // Where clients of ours ask what the queue can do before they ask for anything else.
    const announce = (exchange: HttpExchange) =>
      respondAnnounced(exchange, 200, VERSION_INFO, CONTENT_TYPE_TEXT);
    this.#router
      .add('GET', '/ping', (exchange) => this.#ping(exchange))
      .add('GET', '/version', version)
      .add('GET', '/producer/version', announce)
      .add('GET', '/metrics', (exchange) => this.#metrics(exchange))
      .add('GET', CONSUMER_PATH, noUpgrade);
    this.#producers.addTo(this.#router);
  }

  /** Answers a request, sooner or later. */
  handle(exchange: HttpExchange): void {
    const match = this.#begin(exchange);
    const { method } = exchange;
    if (match === null) {
      exchange.respond(404, '', null);
      return;
    }
    const { endpoint, segment } = match;
    if (method !== endpoint.method && !(method === 'HEAD' && endpoint.method === 'GET')) {
      exchange.respond(405, '', null, ['allow', endpoint.method === 'GET' ? 'GET,HEAD' : 'POST']);
      return;
    }
    const decoded = decodedSegment(segment);
    if (decoded === null) {
      exchange.respond(400, 'Invalid URL: its percent-escapes are no UTF-8', CONTENT_TYPE_TEXT);
      return;
    }
    if (endpoint.label.startsWith(SUBMISSIONS_ROOT) && !this.#o.queue.isReady) {
      exchange.respond(503, formatErrorText('the queue is starting or stopping'), CONTENT_TYPE_JSON);
      return;
    }
    try {
      endpoint.route(exchange, decoded);
    } catch (error) {
      this.#producers.refuse(exchange, error);
    }
  }

  /** Answers a request that must not reach any route. */
  forbid(exchange: HttpExchange, refusal: string): void {
    this.#begin(exchange);
    exchange.respond(403, refusal, CONTENT_TYPE_TEXT);
  }

  /** Every request counts, whatever becomes of it. */
  #begin(exchange: HttpExchange): ReturnType<Router['match']> {
    const { method, path } = exchange;
    const { http } = this.#o.metrics;
    const match = this.#router.match(path);
    exchange.onEnded = http.begin(method, match?.endpoint.label ?? http.unknownPath(path));
    return match;
  }

  #ping(exchange: HttpExchange): void {
    if (this.#o.queue.isHealthy) exchange.respond(200, 'pong', CONTENT_TYPE_TEXT);
    else exchange.respond(503, 'unhealthy', CONTENT_TYPE_TEXT);
  }

  #metrics(exchange: HttpExchange): void {
    this.#o.metrics.text().then(
      (text) => exchange.respond(200, text, CONTENT_TYPE_TEXT),
      (error: unknown) => {
        this.#o.logger.error({ err: error }, 'metrics cannot be told');
        exchange.respond(500, formatErrorText('metrics cannot be told'), CONTENT_TYPE_JSON);
      },
    );
  }
}

/** A proper upgrade never gets here. */
function noUpgrade(exchange: HttpExchange): void {
  const problem = upgradeProblem((name) => exchange.header(name));
  exchange.respond(400, problem ?? 'an upgrade to a WebSocket was expected', CONTENT_TYPE_TEXT);
}

/** Where consumers connect. */
export const CONSUMER_PATH = '/consumer';

function decodedSegment(segment: string): string | null {
  if (!segment.includes('%')) return segment;
  try {
    return decodeURIComponent(segment);
  } catch {
    return null;
  }
}
