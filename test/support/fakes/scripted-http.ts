import http from 'node:http';
import type { Socket } from 'node:net';
import { freePort } from '../network/free-port.ts';

/** A request as it came. */
export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** What to do with it: answer, cut the connection, cut it in the middle of the answer, or never answer. */
export type Reply =
  | {
      readonly status: number;
      readonly body?: string | Uint8Array;
      readonly headers?: Record<string, string>;
    }
  | 'cut'
  | 'truncate'
  | 'hang';

export interface ScriptedHttp extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly seen: readonly SeenRequest[];
  /** Connections that are open. */
  readonly connections: number;
  /** Cuts the connection in the place of the next answer; the request is carried out. */
  cutNext(): void;
  /** Closes the port and every connection; `listen` opens the same port again. */
  stop(): Promise<void>;
  listen(): Promise<void>;
}

/** An HTTP server that does what `reply` says. */
export async function scriptedHttp(
  reply: (request: SeenRequest, number: number) => Reply | Promise<Reply>,
): Promise<ScriptedHttp> {
  const seen: SeenRequest[] = [];
  const sockets = new Set<Socket>();
  const port = await freePort();
  let cutsNext = false;
  const handle = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    let body = '';
    for await (const piece of request) body += piece;
    const { method = '', url: path = '', headers } = request;
    const one = { method, path, headers, body };
    seen.push(one);
    const wanted = await reply(one, seen.length);
    const what = cutsNext ? 'cut' : wanted;
    cutsNext = false;
    if (what === 'hang') return;
    if (what === 'cut') return void request.socket.destroy();
    if (what === 'truncate') {
      response.writeHead(200, { 'content-length': 100 });
      response.write('12345');
      return void setImmediate(() => request.socket.destroy());
    }
    response.writeHead(what.status, { 'content-type': 'application/json', ...what.headers });
    response.end(what.body ?? '');
  };
  const server = http.createServer((request, response) => {
    handle(request, response).catch(() => request.socket.destroy());
  });
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const listen = () =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
  const stop = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      for (const socket of sockets) socket.destroy();
    });
  await listen();
  return {
    url: `127.0.0.1:${port}`,
    port,
    seen,
    get connections() {
      return sockets.size;
    },
    cutNext() {
      cutsNext = true;
    },
    stop,
    listen,
    [Symbol.asyncDispose]: stop,
  };
}
