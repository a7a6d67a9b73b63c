import { CONTENT_TYPE_JSON, CONTENT_TYPE_TEXT } from '../../net/http/exchange.ts';
import type { HttpHandler } from '../../net/http/server.ts';
import { formatErrorText } from '../../protocol/producer/requests.ts';

/**
 * Answers while the port is open and the queue is not: before it is open, and once it stops.
 *
 * @param reason such as `the queue is starting`
 */
export function unavailableHandler(reason: string): HttpHandler {
  return {
    request(exchange) {
      if (exchange.path === '/ping') exchange.respond(503, 'unhealthy', CONTENT_TYPE_TEXT);
      else exchange.respond(503, formatErrorText(reason), CONTENT_TYPE_JSON);
    },
    isUpgrade: () => false,
    upgrade: (_request, socket) => void socket.destroy(),
  };
}
