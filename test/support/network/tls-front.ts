import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls';
import { TLS_CERTIFICATE, TLS_KEY } from './tls-certificate.ts';

/** A proxy with TLS in front of a queue, that passes all bytes on. */
export class TlsFront implements AsyncDisposable {
  /** Handshakes that were completed. */
  connections = 0;
  readonly #server: ReturnType<typeof createServer>;
  readonly #sockets = new Set<TLSSocket>();

  private constructor(queuePort: number, options: TlsOptions) {
    this.#server = createServer({ cert: TLS_CERTIFICATE, key: TLS_KEY, ...options }, (socket) => {
      this.connections++;
      this.#sockets.add(socket);
      const queue = connect(queuePort, '127.0.0.1');
      socket.pipe(queue).pipe(socket);
      for (const [one, other] of [
        [socket, queue],
        [queue, socket],
      ] as const) {
        one.on('error', () => other.destroy());
        one.on('close', () => other.destroy());
      }
      socket.on('close', () => this.#sockets.delete(socket));
    });
  }

  static async start(queuePort: number, options: TlsOptions = {}): Promise<TlsFront> {
    const front = new TlsFront(queuePort, options);
    front.#server.listen(0, '127.0.0.1');
    await once(front.#server, 'listening');
    return front;
  }

  get url(): string {
    return `https://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}
