import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';

/** Below those that systems give to whoever connects or asks for any port: nobody gets it by chance in between. */
const FIRST = 20_000;
const COUNT = 12_000;
const TRIES_MAX = 100;

/**
 * For what cannot be told to take any free port, and for a server that is to come back at its port, or to be missed there:
 * one that the system chose may be the other end of somebody's connection meanwhile.
 */
export async function freePort(): Promise<number> {
  for (let tries = 1; ; tries++) {
    const port = FIRST + randomInt(COUNT);
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch (error) {
      if (tries === TRIES_MAX) throw error;
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}
