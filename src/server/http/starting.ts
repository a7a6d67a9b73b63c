import { CONTENT_TYPE_JSON, CONTENT_TYPE_TEXT } from '../../net/http/exchange.ts';
import type { HttpHandler } from '../../net/http/server.ts';
import { formatErrorText } from '../../protocol/producer/requests.ts';

/** Answers while the port is open and the store is not. */
export const startingHandler: HttpHandler = {
  request(exchange) {
    if (exchange.path === '/ping') exchange.respond(503, 'unhealthy', CONTENT_TYPE_TEXT);
    else exchange.respond(503, formatErrorText('the queue is starting'), CONTENT_TYPE_JSON);
  },
  isUpgrade: () => false,
  upgrade: (_request, socket) => socket.destroy(),
};
