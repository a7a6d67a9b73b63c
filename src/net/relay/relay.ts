import { connect, type Socket } from 'node:net';
import type { Clock } from '../../system/time/clock.ts';

/** By which connections can be cut together. */
export type RelayKind = string | number;

export interface RelayAddress {
  readonly host: string;
  readonly port: number;
}

/** How long connecting to the other side may take. */
const CONNECT_MS_MAX = 1_000;
/** A link on which nothing comes is asked after so long whether the other side is still there. */
const KEEP_ALIVE_MS = 15_000;

/** Passes connections on to another place, byte by byte: whatever they say, and in both directions. */
export class Relay {
  readonly #clock: Clock;
  /** What ends each connection that is passed on, and of which kind it is. */
  readonly #open = new Map<() => void, RelayKind>();
  /** How often all were cut. */
  #cuts = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Connections that are passed on at the moment. */
  get size(): number {
    return this.#open.size;
  }

  /**
   * @param socket is paused
   * @param head what was read of it
   * @returns whether it is passed on; if not, it is as before
   */
  async pass(socket: Socket, head: Uint8Array, to: RelayAddress, kind: RelayKind): Promise<boolean> {
    const cuts = this.#cuts;
    const other = await this.#connect(to);
    if (other === null) return false;
    const cut = () => {
      this.#open.delete(cut);
      socket.destroy();
      other.destroy();
    };
    this.#open.set(cut, kind);
    for (const side of [socket, other]) side.once('close', cut).on('error', cut);
    if (socket.destroyed || cuts !== this.#cuts) {
      cut();
      return true;
    }
    socket.setNoDelay(true);
    other.write(head);
    socket.pipe(other);
    other.pipe(socket, { end: false });
    // Whoever closes its side of an HTTP connection has answered all that it will.
    other.once('end', () => socket.end(cut));
    return true;
  }

  /** What cuts those of the kind that are passed on at the moment, and none that come later; null: there are none. */
  cutter(kind: RelayKind): (() => void) | null {
    const open = [...this.#open].flatMap(([cut, each]) => (each === kind ? [cut] : []));
    if (open.length === 0) return null;
    return () => {
      for (const cut of open) cut();
    };
  }

  /** Those too that are being connected. */
  cutAll(): void {
    this.#cuts++;
    for (const cut of [...this.#open.keys()]) cut();
  }

  #connect({ host, port }: RelayAddress): Promise<Socket | null> {
    return new Promise((resolve) => {
      const other = connect({ host, port, noDelay: true, keepAlive: true, allowHalfOpen: true });
      other.setKeepAlive(true, KEEP_ALIVE_MS);
      const settle = (connected: boolean) => {
        timer.cancel();
        other.removeAllListeners();
        other.on('error', () => {});
        if (!connected) other.destroy();
        resolve(connected ? other : null);
      };
      const timer = this.#clock.after(CONNECT_MS_MAX, () => settle(false));
      other.once('connect', () => settle(true)).once('error', () => settle(false));
    });
  }
}
