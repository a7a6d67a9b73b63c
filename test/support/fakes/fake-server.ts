import { once } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface RunningFake {
  /** Without a slash at the end. */
  readonly origin: string;
  stop(): Promise<void>;
}

/** Listens on a free port of the loopback; on a given one to come back where something was before. */
export async function listening(server: Server, at = 0): Promise<RunningFake> {
  server.keepAliveTimeout = 60_000;
  server.listen(at, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    async stop() {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    },
  };
}

export async function readAll(request: IncomingMessage): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of request) parts.push(part);
  return Buffer.concat(parts);
}
