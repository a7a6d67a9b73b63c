import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { RetryPolicy } from '../../model/retry.ts';
import { VERSION } from '../../model/version.ts';
import type { FrameConnection, FrameListener } from '../../net/connection.ts';
import type { AnsweringRight } from '../../net/http/answering.ts';
import type { BodyLimits } from '../../net/http/body.ts';
import { CONTENT_TYPE_JSON, CONTENT_TYPE_TEXT, type HttpExchange } from '../../net/http/exchange.ts';
import { RequestHead } from '../../net/http/head.ts';
import type { HttpHandler } from '../../net/http/server.ts';
import type { WebSocketServer } from '../../net/websocket/server.ts';
import { NOW_HEADER, SERVER_HEADER, serverText } from '../../protocol/api/lists.ts';
import { FORWARDED_HEADER } from '../../protocol/node.ts';
import { formatErrorText } from '../../protocol/producer/requests.ts';
import { QueueUnavailableError, TooManyQueuesError } from '../../queue/errors.ts';
import type { Queue } from '../../queue/queue.ts';
import { InvariantError } from '../../scheduler/invariant.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { Views } from '../../views/views.ts';
import type { Across } from '../across/across.ts';
import { wasForwarded } from '../across/forwarding.ts';
import type { Metrics } from '../metrics/metrics.ts';
import { pageRoutes } from '../page/page-routes.ts';
import type { Admission, Admitted } from './admission.ts';
import { respondAnnounced, respondError } from './answers.ts';
import { refuseByProblems } from './api/problem.ts';
import { apiRoutes } from './api/routes.ts';
import { ENDPOINTS, type EndpointName, isOfApi } from './endpoints.ts';
import { isOfNode, type NodeView, nodeRoutes } from './node-routes.ts';
import { type Route, submissionRoutes, type Target } from './submissions.ts';
import { respondElsewhere } from './unavailable.ts';

export interface QueueHandlerOptions {
  readonly queue: Queue;
  readonly views: Views;
  readonly metrics: Metrics;
  readonly node: NodeView;
  readonly logger: Logger;
  readonly clock: Clock;
  readonly admission: Admission;
  /** To answer what is asked of that queue; null: it is not open here. */
  rightFor(queue: string): AnsweringRight | null;
  /** To answer what is asked of no queue in particular. */
  readonly rightOfAny: AnsweringRight;
  /** What is done about other nodes; null: there are none, ever. */
  readonly across: Across | null;
  /** What is done with connections that have just come; without one, or while it is undefined, they stay here. */
  readonly passing?: Pick<HttpHandler, 'connection'> | undefined;
  readonly bodies: BodyLimits;
  readonly holdStatusPollsMs: number;
  readonly retryDefault: RetryPolicy | null;
  /** What people call the queue; may be empty. */
  readonly name: string;
  readonly webSockets: WebSocketServer;
  /** A consumer has connected. */
  openSession(request: IncomingMessage, connection: FrameConnection, queue: string): FrameListener;
}

/** As old clients know it: `v` and a semantic version. */
export const VERSION_INFO = `v${VERSION}`;

const NO_BODY = new Uint8Array(0);
const NOT_THIS_NODE = 'this is another node than the one that was asked';

/** What is done with requests while the queue is open. */
export class QueueHandler implements HttpHandler {
  readonly #o: QueueHandlerOptions;
  readonly #routes: Readonly<Record<Exclude<EndpointName, 'consumer'>, Route>>;
  readonly #announced: () => readonly string[];

  constructor(options: QueueHandlerOptions) {
    this.#o = options;
    const { queue, metrics, clock } = options;
    const server = serverText(options.name, VERSION);
    this.#announced = () => [NOW_HEADER, String(clock.nowMs()), SERVER_HEADER, server];
    this.#routes = {
      ping(exchange, target) {
        if (queue.shardFor(target.queue)?.isHealthy === true)
          exchange.respond(200, 'pong', CONTENT_TYPE_TEXT);
        else exchange.respond(503, 'unhealthy', CONTENT_TYPE_TEXT);
      },
      version: (exchange) => exchange.respond(200, VERSION_INFO, CONTENT_TYPE_TEXT),
      // Where clients of ours ask what the queue can do before they ask for anything else.
      producerVersion: (exchange) => respondAnnounced(exchange, 200, VERSION_INFO, CONTENT_TYPE_TEXT),
      metrics: async (exchange) => exchange.respond(200, await metrics.text(), CONTENT_TYPE_TEXT),
      ...pageRoutes(options.name),
      ...nodeRoutes(options.node),
      ...submissionRoutes(options),
      ...apiRoutes(options),
    };
  }

  get connection(): HttpHandler['connection'] {
    return this.#o.passing?.connection;
  }

  request(exchange: HttpExchange): void {
    const { admission } = this.#o;
    const decision = admission.admit(exchange);
    if (isOfApi(admission.queuePath(exchange).path)) {
      refuseByProblems(exchange);
      // Of the server that was asked, not of the one that it asks.
      if (!wasForwarded(exchange)) exchange.announced = this.#announced;
    }
    const { http } = this.#o.metrics;
    // Every request counts, whatever becomes of it.
    exchange.onEnded = http.begin(exchange.method, decision.label ?? http.unknownPath(exchange.path));
    if (decision.kind === 'refused') {
      const { status, text, headers } = decision;
      respondAnnounced(exchange, status, text, text === '' ? null : CONTENT_TYPE_TEXT, headers);
      return;
    }
    const { across } = this.#o;
    if (across?.isAstray(exchange) === true) respondElsewhere(exchange, NOT_THIS_NODE);
    else if (this.#begin(exchange, decision)) return;
    else if (across === null) respondElsewhere(exchange, this.#o.node.whyNobody(decision.queue));
    else {
      void across.forwarding.request(exchange, decision.queue, () => {
        if (!this.#begin(exchange, decision))
          respondElsewhere(exchange, this.#o.node.whyNobody(decision.queue));
      });
    }
  }

  /** false: it is for a queue that is not open here. */
  #begin(exchange: HttpExchange, decision: Admitted): boolean {
    const { name, endpoint } = decision;
    if (!isOfNode(name)) {
      const right = isOfQueue(decision) ? this.#o.rightFor(decision.queue) : this.#o.rightOfAny;
      if (right === null) return false;
      exchange.onlyBy(right);
    }
    if (name === 'consumer') {
      const isFull = !this.#o.queue.hasRoomFor(decision.queue);
      if (isFull) respondError(exchange, new TooManyQueuesError(decision.queue));
      else exchange.respond(400, 'an upgrade to a WebSocket was expected', CONTENT_TYPE_TEXT);
    } else if (endpoint.body === undefined) void this.#run(name, exchange, decision, NO_BODY);
    else exchange.readBody(this.#o.bodies, (body) => void this.#run(name, exchange, decision, body));
    return true;
  }

  /** One that is not admitted is answered as a plain request. */
  isUpgrade(head: RequestHead): boolean {
    const decision = this.#o.admission.admit(head);
    if (decision.kind !== 'admitted' || decision.endpoint.isUpgrade !== true) return false;
    const right = this.#o.rightFor(decision.queue);
    if (right === null) return this.#o.across !== null && head.header(FORWARDED_HEADER) === undefined;
    return right.isOn() && this.#o.queue.hasRoomFor(decision.queue);
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { across, metrics } = this.#o;
    const { queue } = this.#o.admission.queuePath(new RequestHead(request));
    const right = this.#o.rightFor(queue);
    if (right === null && across !== null) {
      void across.upgrade(request, socket as Socket, head, queue);
      return;
    }
    metrics.http.begin('GET', ENDPOINTS.consumer.path)(101);
    try {
      const open = (connection: FrameConnection) => this.#o.openSession(request, connection, queue);
      this.#o.webSockets.accept(request, socket, head, open, right?.isOn);
    } catch (error) {
      socket.destroy();
      // It was lost in this very moment.
      if (!(error instanceof QueueUnavailableError)) this.#o.queue.giveUp(error);
    }
  }

  async #run(
    name: Exclude<EndpointName, 'consumer'>,
    exchange: HttpExchange,
    target: Target,
    body: Uint8Array,
  ): Promise<void> {
    try {
      await this.#routes[name](exchange, target, body);
    } catch (error) {
      if (respondError(exchange, error)) return;
      if (error instanceof InvariantError) this.#o.queue.giveUp(error);
      this.#o.logger.error({ err: error, path: exchange.path }, 'a request failed');
      const text = formatErrorText('the queue failed to answer; its log says why');
      respondAnnounced(exchange, 500, text, CONTENT_TYPE_JSON);
    }
  }
}

/** Whether a request is about the queue that its path names, or the unnamed one where it names none. */
function isOfQueue({ name, endpoint, queue }: Admitted): boolean {
  const { role } = endpoint;
  if (role === 'producer' || role === 'consumer' || name === 'ping') return true;
  return queue !== '' && name !== 'metrics' && name !== 'version';
}
