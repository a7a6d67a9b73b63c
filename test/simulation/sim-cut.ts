import { StoreError } from '../../src/store/errors.ts';
import { type Random, randomInt } from '../../src/system/random.ts';
import type { SimClock } from './sim-clock.ts';

/** The connection of one process to its database. While it is cut, requests get lost, or their answers. */
export class SimCut {
  readonly #clock: SimClock;
  readonly #random: Random;
  #untilMs = 0;
  #lost: 'requests' | 'answers' = 'requests';

  constructor(clock: SimClock, random: Random) {
    this.#clock = clock;
    this.#random = random;
  }

  get isOn(): boolean {
    return this.#clock.elapsedMs < this.#untilMs;
  }

  cut(forMs: number): void {
    this.#untilMs = this.#clock.elapsedMs + forMs;
    this.#lost = this.#random.next() < 0.7 ? 'requests' : 'answers';
  }

  mend(): void {
    this.#untilMs = 0;
  }

  /** What is under way arrives once the connection is mended, or never; the process waits for that, or gives up before. */
  async through<T>(run: () => Promise<T>): Promise<T> {
    const luck = this.#random.next();
    const mended = new Promise<void>((resolve) => {
      this.#clock.at(this.#untilMs + randomInt(this.#random, 200), resolve);
    });
    const arrives = this.#lost === 'answers' ? run() : luck < 0.4 ? null : mended.then(run);
    // Nobody may be waiting for it.
    arrives?.catch(() => {});
    if (arrives === null || luck < 0.7)
      throw new StoreError('transient', 'simulated: the database does not answer');
    await mended;
    return arrives;
  }
}
