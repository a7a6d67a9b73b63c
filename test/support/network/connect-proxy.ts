import { once } from 'node:events';
import { createServer, request as forward, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';

/** An HTTP proxy as companies have them: tunnels for CONNECT, and it fetches whole URLs; upgrades it does not pass on. */
export class ConnectProxy implements AsyncDisposable {
  /** What was asked for: `CONNECT host:port`, `GET http://...`. */
  asked: readonly string[] = [];
  /** The proxy-authorization of each. */
  readonly authorizations: (string | undefined)[] = [];
  /** Answers all requests with this status instead. */
  refusal: number | null = null;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor() {
    this.#server = createServer((incoming, response) => {
      this.#note(incoming.method, incoming.url, incoming.headers['proxy-authorization']);
      if (this.refusal !== null) {
        response.writeHead(this.refusal).end('refused by the proxy');
        return;
      }
      const { method, headers } = incoming;
      const outgoing = forward(incoming.url ?? '', { method, headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 0, answer.headers);
        answer.pipe(response);
      });
      outgoing.on('error', () => response.writeHead(502).end());
      incoming.pipe(outgoing);
    });
    this.#server.on('connection', (socket: Socket) => this.#keep(socket));
    this.#server.on('connect', (incoming, client: Socket) => {
      this.#note(incoming.method, incoming.url, incoming.headers['proxy-authorization']);
      if (this.refusal !== null) {
        client.end(`HTTP/1.1 ${this.refusal} Refused\r\n\r\n`);
        return;
      }
      const [, host = '', port = ''] = /^(.*):(\d+)$/.exec(incoming.url ?? '') ?? [];
      const upstream = this.#keep(connect(Number(port), host));
      upstream.once('connect', () => {
        client.write('HTTP/1.1 200 Connection established\r\n\r\n');
        client.pipe(upstream).pipe(client);
      });
      upstream.on('close', () => client.destroy());
      client.on('close', () => upstream.destroy());
    });
  }

  static async start(): Promise<ConnectProxy> {
    const proxy = new ConnectProxy();
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get authority(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #note(method = '', url = '', authorization: string | undefined): void {
    this.asked = [...this.asked, `${method} ${url}`];
    this.authorizations.push(authorization);
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    return socket;
  }
}
