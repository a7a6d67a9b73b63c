import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import type { RetryPolicy } from '../../model/retry.ts';
import { VERSION } from '../../model/version.ts';
import type { FrameConnection, FrameListener } from '../../net/connection.ts';
import type { BodyLimits } from '../../net/http/body.ts';
import { CONTENT_TYPE_JSON, CONTENT_TYPE_TEXT, type HttpExchange } from '../../net/http/exchange.ts';
import type { RequestHead } from '../../net/http/head.ts';
import type { HttpHandler } from '../../net/http/server.ts';
import type { WebSocketServer } from '../../net/websocket/server.ts';
import { formatErrorText } from '../../protocol/producer/requests.ts';
import type { Queue } from '../../queue/queue.ts';
import { InvariantError } from '../../scheduler/invariant.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Metrics } from '../metrics/metrics.ts';
import type { Admission } from './admission.ts';
import { respondAnnounced, respondError } from './answers.ts';
import { ENDPOINTS, type EndpointName } from './endpoints.ts';
import { type Route, submissionRoutes } from './submissions.ts';

export interface QueueHandlerOptions {
  readonly queue: Queue;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly admission: Admission;
  readonly bodies: BodyLimits;
  readonly holdStatusPollsMs: number;
  readonly retryDefault: RetryPolicy | null;
  readonly webSockets: WebSocketServer;
  /** A consumer has connected. */
  openSession(request: IncomingMessage, connection: FrameConnection): FrameListener;
}

/** As old clients know it: `v` and a semantic version. */
export const VERSION_INFO = `v${VERSION}`;

const NO_BODY = new Uint8Array(0);

/** What is done with requests while the queue is open. */
export class QueueHandler implements HttpHandler {
  readonly #o: QueueHandlerOptions;
  readonly #routes: Readonly<Record<Exclude<EndpointName, 'consumer'>, Route>>;

  constructor(options: QueueHandlerOptions) {
    this.#o = options;
    const { queue, metrics } = options;
    this.#routes = {
      ping(exchange) {
        if (queue.isHealthy) exchange.respond(200, 'pong', CONTENT_TYPE_TEXT);
        else exchange.respond(503, 'unhealthy', CONTENT_TYPE_TEXT);
      },
      version: (exchange) => exchange.respond(200, VERSION_INFO, CONTENT_TYPE_TEXT),
      // Where clients of ours ask what the queue can do before they ask for anything else.
      producerVersion: (exchange) => respondAnnounced(exchange, 200, VERSION_INFO, CONTENT_TYPE_TEXT),
      metrics: async (exchange) => exchange.respond(200, await metrics.text(), CONTENT_TYPE_TEXT),
      ...submissionRoutes(options),
    };
  }

  request(exchange: HttpExchange): void {
    const decision = this.#o.admission.admit(exchange);
    const { http } = this.#o.metrics;
    // Every request counts, whatever becomes of it.
    exchange.onEnded = http.begin(exchange.method, decision.label ?? http.unknownPath(exchange.path));
    if (decision.kind === 'refused') {
      const { status, text, headers } = decision;
      exchange.respond(status, text, text === '' ? null : CONTENT_TYPE_TEXT, headers);
      return;
    }
    const { name, endpoint, segment } = decision;
    if (name === 'consumer') {
      exchange.respond(400, 'an upgrade to a WebSocket was expected', CONTENT_TYPE_TEXT);
    } else if (endpoint.body === undefined) void this.#run(name, exchange, segment, NO_BODY);
    else exchange.readBody(this.#o.bodies, (body) => void this.#run(name, exchange, segment, body));
  }

  /** One that is not admitted is answered as a plain request. */
  isUpgrade(head: RequestHead): boolean {
    const decision = this.#o.admission.admit(head);
    return decision.kind === 'admitted' && decision.endpoint.isUpgrade === true;
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.#o.metrics.http.begin('GET', ENDPOINTS.consumer.path)(101);
    try {
      this.#o.webSockets.accept(request, socket, head, (connection) =>
        this.#o.openSession(request, connection),
      );
    } catch (error) {
      socket.destroy();
      this.#o.queue.giveUp(error);
    }
  }

  async #run(
    name: Exclude<EndpointName, 'consumer'>,
    exchange: HttpExchange,
    segment: string,
    body: Uint8Array,
  ): Promise<void> {
    try {
      await this.#routes[name](exchange, segment, body);
    } catch (error) {
      if (respondError(exchange, error)) return;
      if (error instanceof InvariantError) this.#o.queue.giveUp(error);
      this.#o.logger.error({ err: error, path: exchange.path }, 'a request failed');
      const text = formatErrorText('the queue failed to answer; its log says why');
      respondAnnounced(exchange, 500, text, CONTENT_TYPE_JSON);
    }
  }
}
