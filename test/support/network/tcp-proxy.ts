import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What a network does to one connection. Nothing given: it passes everything on. */
export interface LinkFault {
  /** Everything arrives so much later, in milliseconds. */
  readonly delayMs?: number;
  /**
   * After so many bytes (both ways together; in the middle of a frame, a header, a packet) the link ends: in good order,
   * with a reset, or in that nothing arrives any more although nobody hangs up.
   */
  readonly cut?: { readonly afterBytes: number; readonly how: 'end' | 'reset' | 'swallow' };
}

/** What the decision may depend on: the first bytes that the client sent. */
export type LinkDecision = (firstBytes: Buffer) => LinkFault;

/** What can happen to all links at once; in the last two, nobody hangs up: nothing arrives any more, or no answer. */
export type Break = 'end' | 'reset' | 'swallow' | 'swallow answers';

interface Link {
  readonly client: Socket;
  readonly upstream: Socket;
  isCut: boolean;
  isMute: boolean;
}

/** A TCP proxy that plays a bad network, byte by byte and for whatever protocol. */
export class TcpProxy implements AsyncDisposable {
  /** Links that were cut so far, by how. */
  readonly cuts = { end: 0, reset: 0, swallow: 0 };
  links = 0;
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #open = new Set<Link>();
  #upstreamPort: number;
  #isDead = false;

  private constructor(server: Server, upstreamPort: number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    this.#upstreamPort = upstreamPort;
  }

  /** `port` 0: any. */
  static async start(upstreamPort: number, decide: LinkDecision = () => ({}), port = 0): Promise<TcpProxy> {
    const server = createServer();
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new TcpProxy(server, upstreamPort);
    server.on('connection', (client) => {
      proxy.#keep(client);
      client.once('data', (first: Buffer) => {
        client.pause();
        // As behind a firewall that drops packets: the connection is there, and nothing ever comes.
        if (proxy.#isDead) return;
        const upstream = proxy.#keep(connect(proxy.#upstreamPort, '127.0.0.1'));
        proxy.#join(client, upstream, decide(first), first);
      });
    });
    return proxy;
  }

  /** Where links lead from now on. */
  set upstreamPort(port: number) {
    this.#upstreamPort = port;
  }

  /** Whether further links get no answer. */
  set isDead(isDead: boolean) {
    this.#isDead = isDead;
  }

  /** Breaks every link that there is. */
  breakAll(how: Break): void {
    for (const link of this.#open) {
      if (how === 'swallow answers') link.isMute = true;
      else this.#cut(link, how);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(client: Socket, upstream: Socket, { delayMs, cut }: LinkFault, first: Buffer): void {
    this.links++;
    const link = { client, upstream, isCut: false, isMute: false };
    this.#open.add(link);
    let bytesLeft = cut?.afterBytes ?? Infinity;
    const pass = (to: Socket, piece: Buffer) => {
      if (link.isCut || (link.isMute && to === client) || to.destroyed || to.writableEnded) return;
      to.write(piece.subarray(0, bytesLeft));
      bytesLeft -= piece.length;
      if (bytesLeft <= 0 && cut !== undefined) this.#cut(link, cut.how);
    };
    const later = (run: () => void) => {
      if (delayMs === undefined) run();
      else setTimeout(run, delayMs).unref();
    };
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('data', (piece: Buffer) => later(() => pass(to, piece)));
      from.on('end', () => later(() => link.isCut || to.end()));
      // After the last bytes; whoever is gone takes the other one along.
      from.on('close', () => {
        this.#open.delete(link);
        later(() => link.isCut || (to.writableEnded ? undefined : to.destroySoon()));
      });
    }
    later(() => pass(upstream, first));
    client.resume();
  }

  #cut(link: Link, how: Exclude<Break, 'swallow answers'>): void {
    link.isCut = true;
    this.cuts[how]++;
    if (how === 'swallow') return;
    for (const socket of [link.client, link.upstream]) {
      if (how === 'reset') reset(socket);
      else socket.end();
    }
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    // That a peer goes away is what these tests are about; `close` follows.
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    return socket;
  }
}

/**
 * Not a connection that is being ended already: libuv refuses to reset that, Node.js then never closes its handle, and
 * the process spins at its end.
 */
function reset(socket: Socket): void {
  if (socket.writableEnded || socket.destroyed) socket.destroy();
  else socket.resetAndDestroy();
}
