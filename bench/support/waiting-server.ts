/** A service that answers each request after some milliseconds. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';

const answerMs = Number(process.argv[2]);
const server = createServer((_, response) => void setTimeout(() => response.end('done'), answerMs));
server.listen(0, '127.0.0.1', () => process.send?.((server.address() as AddressInfo).port));
process.once('message', () => {
  server.closeAllConnections();
  server.close();
  process.disconnect?.();
});
