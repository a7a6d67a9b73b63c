import http from 'node:http';
import https from 'node:https';
import type { Duplex } from 'node:stream';
import type { Clock, Timer } from '../../system/time/clock.ts';
import type { ConnectionOptions } from './http/transport.ts';

/** Node's agents for the SDKs that take one. */
export interface Agents {
  readonly http: http.Agent;
  readonly https: https.Agent;
}

export function makeAgents(connection: ConnectionOptions, clock: Clock): Agents {
  const common = { keepAlive: true, maxSockets: connection.connectionsMax, timeout: connection.idleMs };
  const { proxyUrl } = connection;
  const agents = {
    http: new http.Agent({
      ...common,
      ...(proxyUrl === undefined ? {} : { proxyEnv: { HTTP_PROXY: proxyUrl } }),
    }),
    https: new https.Agent({
      ...common,
      rejectUnauthorized: !connection.allowInvalidCertificates,
      ...(proxyUrl === undefined ? {} : { proxyEnv: { HTTPS_PROXY: proxyUrl } }),
    }),
  };
  limitConnecting(agents.http, 'connect', connection.connectTimeoutMs, clock);
  limitConnecting(agents.https, 'secureConnect', connection.connectTimeoutMs, clock);
  return agents;
}

/** Not every SDK limits the time in which a connection must be made; left alone it is the kernel's two minutes. */
function limitConnecting(agent: http.Agent, connected: string, timeoutMs: number, clock: Clock): void {
  const create = agent.createConnection.bind(agent);
  agent.createConnection = (options, callback) => {
    let timer: Timer | null = null;
    const socket: Duplex | null | undefined = create(options, callback);
    if (socket) {
      timer = clock.after(timeoutMs, () => {
        socket.destroy(
          Object.assign(new Error(`no connection within ${timeoutMs} ms`), { code: 'ETIMEDOUT' }),
        );
      });
      const settled = () => timer?.cancel();
      socket.once(connected, settled).once('close', settled);
    }
    return socket;
  };
}
