import { connect, type Socket } from 'node:net';
import { type Clock, endsWithin } from '../../system/time/clock.ts';
import { PassedConnection } from './passed.ts';

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
  readonly #open = new Map<PassedConnection, RelayKind>();
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
    const passed = new PassedConnection(socket, other, head);
    this.#open.set(passed, kind);
    void passed.ended.then(() => this.#open.delete(passed));
    if (cuts !== this.#cuts) passed.cut();
    return true;
  }

  /** What cuts those of the kind that are passed on at the moment, and none that come later; null: there are none. */
  cutter(kind: RelayKind): (() => void) | null {
    const open = [...this.#open].flatMap(([passed, each]) => (each === kind ? [passed] : []));
    if (open.length === 0) return null;
    return () => {
      for (const passed of open) passed.cut();
    };
  }

  /** Ends all in good order, and cuts those that have not ended then; at once what is being connected. Resolves when there are none. */
  async closeAll(graceMs: number): Promise<void> {
    this.#cuts++;
    const open = [...this.#open.keys()];
    for (const passed of open) passed.close();
    await endsWithin(this.#clock, graceMs, Promise.all(open.map(({ ended }) => ended)));
    for (const passed of open) passed.cut();
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
