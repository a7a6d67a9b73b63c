import http from 'node:http';
import https from 'node:https';
import { type Proxies, proxiesOfProgram } from './proxies.ts';
import { TunnelAgent } from './proxy-tunnel.ts';
import { checkQueueTls, type QueueTls, type QueueTlsOptions } from './queue-tls.ts';
import type { QueueUrl } from './queue-url.ts';

/** How connections reach the queue, besides its URL. Plain data: it crosses threads. */
export interface QueueRoute {
  readonly tls: QueueTls;
  /** null: none is to be asked. */
  readonly proxies: Proxies | null;
}

/** With nothing but the URL. */
export const DIRECT_ROUTE: QueueRoute = { tls: {}, proxies: null };

/** The route for a client with these options, with the proxies that the program heeds at this moment. */
export function queueRoute(queue: Pick<QueueUrl, 'secure' | 'text'>, options: QueueTlsOptions): QueueRoute {
  return { tls: checkQueueTls(options, queue), proxies: proxiesOfProgram() };
}

/** For requests. */
export function requestAgent(
  { secure }: Pick<QueueUrl, 'secure'>,
  { tls, proxies }: QueueRoute,
  options: http.AgentOptions,
): http.Agent {
  const proxied = proxies === null ? options : { ...options, proxyEnv: proxies };
  return secure ? new https.Agent({ ...proxied, ...tls }) : new http.Agent(proxied);
}

/** For WebSockets. */
export function webSocketAgent(queue: QueueUrl, route: QueueRoute): http.Agent {
  if (queue.secure || route.proxies === null) return requestAgent(queue, route, {});
  return new TunnelAgent(route.proxies);
}
