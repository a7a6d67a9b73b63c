import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

const READY = 0x5a;
const IDLE = 0x49;

/** A connection to the server, and the client whose transaction it carries at the moment. */
interface Backend {
  readonly socket: Socket;
  client: Client | null;
}

interface Client {
  readonly socket: Socket;
  backend: Backend | null;
}

/**
 * Gives each transaction the connection that was free last, as PgBouncer does in transaction mode. Every client logs in
 * on a connection of its own, which then is one for all.
 */
export class TransactionPooler implements AsyncDisposable {
  readonly #server: Server;
  readonly #port: number;
  readonly #sockets = new Set<Socket>();
  readonly #free: Backend[] = [];

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.#port = port;
  }

  static async start(upstreamPort: number): Promise<TransactionPooler> {
    const server = createServer();
    const pooler = new TransactionPooler(server, upstreamPort);
    server.on('connection', (socket) => pooler.#serve(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return pooler;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #serve(socket: Socket): void {
    this.#keep(socket);
    const client: Client = { socket, backend: null };
    client.backend = this.#dial(client);
    socket.on('data', (bytes) => {
      client.backend ??= this.#free.pop() ?? null;
      if (client.backend === null) throw new Error('the pooler of the test has no connection left');
      client.backend.client = client;
      client.backend.socket.write(bytes);
    });
  }

  #dial(client: Client): Backend {
    const socket = this.#keep(connect(this.#port, '127.0.0.1'));
    const backend: Backend = { socket, client };
    let rest = Buffer.alloc(0);
    socket.on('data', (bytes: Buffer) => {
      backend.client?.socket.write(bytes);
      rest = Buffer.concat([rest, bytes]);
      while (rest.length >= 5 && rest.length > rest.readUInt32BE(1)) {
        const length = rest.readUInt32BE(1) + 1;
        if (rest[0] === READY && rest[5] === IDLE) this.#release(backend);
        rest = rest.subarray(length);
      }
    });
    socket.on('close', () => backend.client?.socket.destroy());
    return backend;
  }

  #release(backend: Backend): void {
    if (backend.client !== null) backend.client.backend = null;
    backend.client = null;
    this.#free.push(backend);
  }

  #keep(socket: Socket): Socket {
    this.#sockets.add(socket);
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    return socket;
  }
}
