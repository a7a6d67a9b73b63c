import type { ChunkId } from '../../src/model/ids.ts';
import { Strategy } from '../../src/model/strategy.ts';
import type { FrameListener } from '../../src/net/connection.ts';
import { decodeServerMessage, encodeClientMessage } from '../../src/protocol/consumer/codec.ts';
import type { ClientMessage } from '../../src/protocol/consumer/types.ts';
import { type Random, randomInt } from '../../src/system/random.ts';
import type { SimClock } from './sim-clock.ts';
import type { SimEnd, SimLink } from './sim-network.ts';
import { outputOf } from './work.ts';

const STRATEGIES: readonly Strategy[] = [
  Strategy.oldest(),
  Strategy.newest(),
  Strategy.random(),
  Strategy.preferDistinct('customer', Strategy.oldest()),
  Strategy.preferDistinct('shop', Strategy.preferDistinct('customer', Strategy.random())),
  Strategy.priority('customer', Strategy.newest()),
  Strategy.orElse(Strategy.selectOnly('customer', [4, 6]), Strategy.preferDistinct('customer')),
];

/** What comes of these depends on what is there: who is to do all the work does not use them. */
const SELECTING: readonly Strategy[] = [
  Strategy.selectOnly('shop', [1], Strategy.oldest()),
  Strategy.selectOnly('shop', [0], Strategy.oldest()),
  Strategy.selectOnly('customer', [3, 5], Strategy.preferDistinct('shop')),
  Strategy.selectOnly('customer', [4], Strategy.selectOnly('shop', [0, 7], Strategy.random())),
  Strategy.selectExcept('customer', [3, 4], Strategy.priority('shop', Strategy.oldest())),
  Strategy.selectExcept('shop', [0], Strategy.random()),
];

/** In a run with licences nobody has more than these of each in flight. */
export const LICENCES_MAX = 2;

type Unnumbered<T> = T extends ClientMessage ? Omit<T, 'nonce'> : never;

export interface SimConsumerOptions {
  readonly clock: SimClock;
  readonly random: Random;
  readonly name: string;
  /** It announced what our own client announces. */
  readonly modern: boolean;
  /** It keeps to {@link LICENCES_MAX}, as everybody does in such a run. */
  readonly licensed: boolean;
  /** The queues that there are. */
  readonly queues: readonly string[];
  /** The one that it works for; now and then it goes to another one. */
  readonly home: string;
  /** A new connection; null while there is no server. */
  dial(consumer: SimConsumer): SimLink | null;
}

/** A consumer that reserves, completes, fails, hangs, vanishes and comes back, as its luck has it. */
export class SimConsumer implements FrameListener {
  readonly modern: boolean;
  #isDiligent = false;
  /** Fails whatever it gets. */
  broken = false;
  /** It asks for nothing more, and does what it has. */
  idle = false;
  /** From now on it works for its own queue. */
  isHome = false;
  /** The queue that it works for now. */
  queue: string;
  readonly #o: SimConsumerOptions;
  #link: SimLink | null = null;
  #end: SimEnd | null = null;
  #nonce = 0;
  #attempts = 0;
  #heardMs = 0;

  constructor(options: SimConsumerOptions) {
    this.#o = options;
    this.modern = options.modern;
    this.queue = options.home;
    this.#soon(() => this.#connect(), 50);
    this.#soon(() => this.#watch(), 1_000);
  }

  /** From now on it does all the work that there is. */
  set diligent(isDiligent: boolean) {
    this.#isDiligent = isDiligent;
    // What it waits for may never come.
    if (isDiligent) this.#reserve();
  }

  get home(): string {
    return this.#o.home;
  }

  get link(): SimLink | null {
    return this.#link;
  }

  alive(): void {
    this.#heardMs = this.#o.clock.elapsedMs;
  }

  message(bytes: Uint8Array): void {
    const message = decodeServerMessage(bytes);
    switch (message.kind) {
      case 'init':
        for (let i = randomInt(this.#o.random, 2); i >= 0; i--) this.#reserve();
        break;
      case 'reserved':
        for (const { chunk, inputContent } of message.chunks) this.#work(chunk, inputContent);
        this.#soon(() => this.#reserve(), 20);
        break;
      case 'expired':
        if (!this.modern) this.#send({ kind: 'fail', chunk: message.chunk, failure: 'Reservation expired' });
        break;
      case 'reserve_refused':
        throw new Error('no reservation is to be refused here');
      case 'dropped':
        break;
    }
  }

  closed(): void {
    this.#end = null;
    this.#link = null;
    this.#soon(() => this.#connect(), 300);
  }

  #connect(): void {
    if (this.#end !== null) return;
    const { queues, home, random } = this.#o;
    const isAway = queues.length > 1 && !this.isHome && random.next() < 0.2;
    this.queue = isAway ? queues[randomInt(random, queues.length)]! : home;
    const link = this.#o.dial(this);
    if (link === null) {
      this.#soon(() => this.#connect(), 300);
      return;
    }
    this.#link = link;
    this.#end = link.client;
    this.#nonce = 0;
    this.#heardMs = this.#o.clock.elapsedMs;
    link.client.listen(this);
  }

  /** The client's side of the heartbeats: silence means that the server is gone. */
  #watch(): void {
    const link = this.#link;
    if (link !== null && this.#o.clock.elapsedMs - this.#heardMs > 5_000) link.client.terminate();
    this.#soon(() => this.#watch(), 1_000);
  }

  #reserve(): void {
    if (this.idle) return;
    const { random } = this.#o;
    const choice = this.#isDiligent ? STRATEGIES : [...STRATEGIES, ...SELECTING];
    const inner = choice[randomInt(random, choice.length)]!;
    const strategy = this.#o.licensed ? Strategy.maxSimultaneous('licence', LICENCES_MAX, inner) : inner;
    this.#send({ kind: 'reserve', max: 1 + randomInt(random, 4), strategy });
    // Its answer, empty perhaps, is what makes it reserve again.
    if (this.modern && random.next() < 0.05) {
      this.#send({ kind: 'cancel_reserve', reserveNonce: this.#nonce - 1 });
    }
  }

  #work(chunk: ChunkId, input: Uint8Array | null): void {
    const luck = this.#isDiligent ? 0 : this.#o.random.next();
    const attempt = `${this.#o.name}.${this.#attempts++}`;
    const outputContent = input === null ? null : outputOf(input, attempt);
    const complete = () => this.#send({ kind: 'complete', chunk, outputContent });
    if (this.broken) this.#soon(() => this.#send({ kind: 'fail', chunk, failure: 'broken' }), 20);
    else if (luck < 0.75) this.#soon(complete, 200);
    else if (luck < (input === null ? 0.77 : 0.83) && this.modern) {
      this.#soon(() => this.#send({ kind: 'fail', chunk, failure: 'never again', retryable: false }), 200);
    } else if (luck < 0.85) this.#soon(() => this.#send({ kind: 'fail', chunk, failure: 'no luck' }), 200);
    else if (luck < 0.88) {
      // Said twice: a network may repeat what a client repeats.
      this.#soon(complete, 200);
      this.#soon(complete, 400);
    } else if (luck < 0.92) this.#soon(() => this.#giveBack(chunk), 200);
    else if (luck < 0.94) this.#soon(() => this.#link?.cut(), 200);
    else if (luck < 0.955) this.#soon(() => this.#leave(), 200);
    else if (luck < 0.985 && this.modern) this.#takeLong(chunk, complete);
    // And the rest hangs: the reservation expires.
  }

  /** It works on for longer than a reservation lasts, and says so; perhaps too late. */
  #takeLong(chunk: ChunkId, complete: () => void): void {
    if (this.#o.random.next() < 0.25) this.#soon(complete, 3_000);
    else {
      this.#soon(() => {
        this.#send({ kind: 'extend', chunks: [chunk] });
        this.#takeLong(chunk, complete);
      }, 3_000);
    }
  }

  #giveBack(chunk: ChunkId): void {
    if (this.modern) this.#send({ kind: 'release', chunks: [chunk] });
    else this.#send({ kind: 'fail', chunk, failure: 'Requester disappeared' });
  }

  #leave(): void {
    this.#end?.close(1000, '');
    this.#end = null;
    this.#link = null;
    this.#soon(() => this.#connect(), 300);
  }

  #send(message: Unnumbered<ClientMessage>): void {
    if (this.#end === null) return;
    this.#end.send(encodeClientMessage({ ...message, nonce: this.#nonce++ } as ClientMessage));
  }

  #soon(run: () => void, delayMsMax: number): void {
    const { clock, random } = this.#o;
    clock.at(clock.elapsedMs + 1 + randomInt(random, delayMsMax), run);
  }
}
