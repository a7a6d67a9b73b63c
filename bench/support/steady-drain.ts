import { setTimeout as sleep } from 'node:timers/promises';
import { cborStrategy, RawConsumer } from './raw-consumer.ts';
import { type MeasuredServer, mainThreadCpuSeconds } from './server-process.ts';

const RESERVATION = 64;
const SETTLE_MS = 1_000;
/** Between two reservations of a drain with a pace. */
const TICK_MS = 5;

export interface SteadyDrainOptions {
  readonly connections: number;
  /** Reservations outstanding on each connection, where there is no pace. */
  readonly reservations: number;
  readonly strategy: string;
}

/** Of some seconds of a drain. */
export interface DrainFigures {
  /** Chunks per second. */
  readonly rate: number;
  /** Processor time of the queue's main thread for a chunk, in microseconds. */
  readonly cpuUs: number;
}

/** A drain that is under way for as long as somebody looks, on connections that stay. */
export class SteadyDrain {
  readonly #server: MeasuredServer;
  readonly #consumers: readonly RawConsumer[];
  readonly #strategy: Buffer;
  readonly #reservations: number;
  #done = 0;
  #outstanding = 0;
  #goesOn = false;
  #onIdle = () => {};

  private constructor(server: MeasuredServer, consumers: readonly RawConsumer[], o: SteadyDrainOptions) {
    this.#server = server;
    this.#consumers = consumers;
    this.#strategy = cborStrategy(o.strategy);
    this.#reservations = o.reservations;
    for (const consumer of consumers) {
      consumer.onChunks = (chunks) => {
        for (const chunk of chunks) consumer.complete(chunk);
        this.#done += chunks.length;
        this.#outstanding--;
        if (this.#goesOn) this.#reserve(consumer, RESERVATION);
        else if (this.#outstanding === 0) this.#onIdle();
      };
    }
  }

  static async connect(server: MeasuredServer, options: SteadyDrainOptions): Promise<SteadyDrain> {
    const consumers: RawConsumer[] = [];
    while (consumers.length < options.connections) {
      consumers.push(await RawConsumer.connect(server.host, server.port));
    }
    return new SteadyDrain(server, consumers, options);
  }

  /** As fast as it goes. */
  async fast(ms: number): Promise<DrainFigures> {
    this.#goesOn = true;
    for (const consumer of this.#consumers) {
      for (let i = 0; i < this.#reservations; i++) this.#reserve(consumer, RESERVATION);
    }
    const figures = await this.#measure(ms);
    this.#goesOn = false;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    return figures;
  }

  /** So many chunks per second. */
  async paced(perSecond: number, ms: number, meanwhile: () => Promise<void>): Promise<DrainFigures> {
    const each = Math.round((perSecond * TICK_MS) / 1000);
    let next = 0;
    const timer = setInterval(() => {
      this.#reserve(this.#consumers[next++ % this.#consumers.length]!, each);
    }, TICK_MS);
    const [figures] = await Promise.all([this.#measure(ms), meanwhile()]);
    clearInterval(timer);
    return figures;
  }

  close(): void {
    for (const consumer of this.#consumers) consumer.close();
  }

  #reserve(consumer: RawConsumer, max: number): void {
    this.#outstanding++;
    consumer.reserve(max, this.#strategy);
  }

  async #measure(ms: number): Promise<DrainFigures> {
    await sleep(SETTLE_MS);
    const pid = this.#server.pid!;
    const [done, cpu, began] = [this.#done, mainThreadCpuSeconds(pid), performance.now()];
    await sleep(ms);
    const chunks = this.#done - done;
    return {
      rate: chunks / ((performance.now() - began) / 1000),
      cpuUs: ((mainThreadCpuSeconds(pid) - cpu) * 1e6) / chunks,
    };
  }
}
