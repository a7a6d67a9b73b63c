import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** The CBOR text `extend` in the features of `Init`, and one as long that no client knows. */
const ANNOUNCED = Buffer.from('\x66extend', 'latin1');
const UNKNOWN = Buffer.from('\x66absent', 'latin1');

/** A queue as it was before it could extend reservations: a proxy before a real one that hides the announcement. */
export async function withoutExtensions(upstreamPort: number): Promise<AsyncDisposable & { port: number }> {
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    const upstream = connect(upstreamPort, '127.0.0.1');
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (bytes: Buffer) => {
        const at = from === upstream ? bytes.indexOf(ANNOUNCED) : -1;
        if (at >= 0) UNKNOWN.copy(bytes, at);
        to.write(bytes);
      });
      from.on('end', () => to.end());
      from.on('error', () => to.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}
