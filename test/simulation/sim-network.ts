import type { FrameConnection, FrameListener } from '../../src/net/connection.ts';
import { type Random, randomInt } from '../../src/system/random.ts';
import type { SimClock } from './sim-clock.ts';

type Packet =
  | { readonly kind: 'message'; readonly bytes: Uint8Array }
  | { readonly kind: 'ping' | 'pong'; readonly payload: Uint8Array }
  | { readonly kind: 'close' };

export interface SimEnd extends FrameConnection {
  /** Who hears what arrives at this end. Packets that came before wait for it. */
  listen(listener: FrameListener): void;
}

/** How bad the links are. All in simulated milliseconds. */
export interface SimNetworkOptions {
  readonly delayMsMax: number;
}

/**
 * One connection: two ends and, in each direction, packets that arrive in order, late, or - once it is cut - never.
 * A packet that was under way when the link broke is lost as a whole: half a frame is no frame.
 */
export class SimLink {
  readonly server: SimEnd;
  readonly client: SimEnd;
  readonly #clock: SimClock;
  readonly #random: Random;
  readonly #delayMsMax: number;
  #cut = false;
  #listeners: { server: FrameListener | null; client: FrameListener | null } = { server: null, client: null };
  #queues: { server: Packet[]; client: Packet[] } = { server: [], client: [] };
  #lastDueMs = { server: 0, client: 0 };
  #closed = { server: false, client: false };
  /** That end reads nothing at the moment. */
  #unread = { server: false, client: false };
  /** Since when the server reads again what comes; Infinity while it does not. */
  serverReadsSinceMs = 0;
  /** Packets are swallowed without a word: a cut cable, which only heartbeats notice. */
  blackHole = false;
  /** What arrived while the link is paused; null while it is not. */
  #paused: (() => void)[] | null = null;

  constructor(clock: SimClock, random: Random, options: SimNetworkOptions) {
    this.#clock = clock;
    this.#random = random;
    this.#delayMsMax = options.delayMsMax;
    this.server = this.#end('server', 'client');
    this.client = this.#end('client', 'server');
  }

  get isCut(): boolean {
    return this.#cut;
  }

  /** A reset: both ends hear of it, at moments of their own; what is under way is lost. */
  cut(): void {
    if (this.#cut) return;
    this.#cut = true;
    for (const side of ['server', 'client'] as const) {
      this.#clock.at(this.#clock.elapsedMs + randomInt(this.#random, this.#delayMsMax + 1), () =>
        this.#tellClosed(side, false),
      );
    }
  }

  /** Nothing arrives until `resume`; then everything does, in order. Heartbeats may have given up meanwhile. */
  pause(): void {
    this.#paused ??= [];
  }

  resume(): void {
    const waiting = this.#paused ?? [];
    this.#paused = null;
    for (const deliver of waiting) deliver();
  }

  #end(self: 'server' | 'client', other: 'server' | 'client'): SimEnd {
    const send = (packet: Packet) => this.#send(other, packet);
    return {
      send: (bytes) => send({ kind: 'message', bytes: bytes.slice() }),
      ping: (payload) => send({ kind: 'ping', payload: payload.slice() }),
      pong: (payload) => send({ kind: 'pong', payload: payload.slice() }),
      close: () => {
        send({ kind: 'close' });
        this.#closed[self] = true;
      },
      terminate: () => {
        this.#closed[self] = true;
        this.cut();
      },
      pause: () => {
        this.#unread[self] = true;
        if (self === 'server') this.serverReadsSinceMs = Number.POSITIVE_INFINITY;
      },
      resume: () => {
        this.#unread[self] = false;
        if (self === 'server') this.serverReadsSinceMs = this.#clock.elapsedMs;
        this.#deliverWaiting(self);
      },
      bufferedBytes: 0,
      listen: (listener) => {
        this.#listeners[self] = listener;
        this.#deliverWaiting(self);
      },
    };
  }

  #send(to: 'server' | 'client', packet: Packet): void {
    const from = to === 'server' ? 'client' : 'server';
    if (this.#cut || this.#closed[from]) return;
    const due = Math.max(
      this.#lastDueMs[to],
      this.#clock.elapsedMs + randomInt(this.#random, this.#delayMsMax + 1),
    );
    this.#lastDueMs[to] = due;
    const deliver = () => {
      if (this.#paused !== null) this.#paused.push(deliver);
      else if (!this.#cut && !this.blackHole) this.#deliver(to, packet);
    };
    this.#clock.at(due, deliver);
  }

  #deliverWaiting(to: 'server' | 'client'): void {
    const waiting = this.#queues[to];
    this.#queues[to] = [];
    for (const packet of waiting) this.#deliver(to, packet);
  }

  #deliver(to: 'server' | 'client', packet: Packet): void {
    const listener = this.#listeners[to];
    if (this.#closed[to]) return;
    if (listener === null || this.#unread[to]) {
      this.#queues[to].push(packet);
      return;
    }
    if (packet.kind === 'close') {
      this.#tellClosed(to, true);
      return;
    }
    listener.alive();
    if (packet.kind === 'message') listener.message(packet.bytes);
    else if (packet.kind === 'ping') this[to].pong(packet.payload);
  }

  #tellClosed(side: 'server' | 'client', orderly: boolean): void {
    const listener = this.#listeners[side];
    this.#closed[side] = true;
    this.#listeners[side] = null;
    listener?.closed(orderly);
  }
}
