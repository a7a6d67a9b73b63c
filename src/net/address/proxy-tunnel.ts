import http from 'node:http';
import type { Duplex } from 'node:stream';
import type { Proxies } from './proxies.ts';

type Created = (error: Error | null, socket: Duplex) => void;

/** How long a proxy may be silent while it connects, in milliseconds; then the WebSocket's own limits hold. */
const TUNNEL_MS_MAX = 10_000;

/**
 * Connections to hosts without TLS that go through a proxy's tunnel (CONNECT) where Node.js would ask a proxy: what it
 * does by itself, a GET of the whole URL, is not for WebSockets (RFC 6455, 4.1), and few proxies pass on an upgrade.
 */
export class TunnelAgent extends http.Agent {
  readonly #proxies: Proxies;
  /** Its connections lead to the proxy. */
  readonly #toProxy: http.Agent;

  constructor(proxies: Proxies) {
    super();
    this.#proxies = proxies;
    this.#toProxy = new http.Agent({ proxyEnv: proxies });
  }

  override createConnection(options: http.ClientRequestArgs, created?: Created): Duplex | null | undefined {
    const { host, port } = options;
    const use = proxyUse(this.#proxies, options);
    if (use === null || created === undefined) return super.createConnection(options, created);
    const authority = `${host?.includes(':') ? `[${host}]` : host}:${port}`;
    const authorization = use.authorization === null ? {} : { 'proxy-authorization': use.authorization };
    const request = http.request({
      createConnection: () => this.#toProxy.createConnection({ host, port }),
      method: 'CONNECT',
      path: authority,
      headers: { host: authority, ...authorization },
      timeout: TUNNEL_MS_MAX,
    });
    const fail = (why: string, cause?: Error) =>
      created(
        new Error(`no connection to ${authority} through the proxy: ${why}`, { cause }),
        request.socket!,
      );
    request.on('timeout', () => request.destroy(new Error(`no answer within ${TUNNEL_MS_MAX} ms`)));
    request.on('error', (error) => fail(error.message, error));
    request.on('connect', ({ statusCode = 0, statusMessage = '' }, socket, head) => {
      if (statusCode >= 200 && statusCode < 300) {
        socket.unshift(head);
        return created(null, socket);
      }
      socket.destroy();
      fail(`HTTP status ${statusCode} ${statusMessage}`.trimEnd());
    });
    request.end();
    return undefined;
  }
}

/** Makes no connections: its requests are only looked at. */
class NoConnections extends http.Agent {
  override createConnection(): undefined {
    return undefined;
  }
}

/**
 * What Node.js makes of a request for that host, by its own rules for `NO_PROXY`: null if it goes straight there. The path
 * of a request that a proxy gets is a whole URL.
 */
function proxyUse(
  proxies: Proxies,
  { host, port }: http.ClientRequestArgs,
): { readonly authorization: string | null } | null {
  const agent = new NoConnections({ proxyEnv: proxies });
  const request = http.request({ agent, host, port, path: '/' });
  request.on('error', () => {});
  request.destroy();
  if (request.path === '/') return null;
  const authorization = request.getHeader('proxy-authorization');
  return { authorization: authorization === undefined ? null : String(authorization) };
}
