import { type Random, seededRandom } from '../../src/system/random.ts';
import { RARE_PLACES, type RarePlace } from '../../src/system/rare-places.ts';

/** How often which place said yes, of all runs of this process. */
export const timesOfPlaces = new Map<RarePlace, number>(RARE_PLACES.map((place) => [place, 0]));

const PLACES_SHARE = 0.25;

/** In each run a quarter of the rare places is enabled; each says yes as often as its luck has it, a third of the time on average. */
export class Caprices {
  /** How often those that are enabled say yes, 0 to 1. */
  readonly #shares: ReadonlyMap<RarePlace, number>;
  readonly #random: Random;
  /** From now on nothing rare happens. */
  isOver = false;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    const enabled = RARE_PLACES.filter(() => this.#random.next() < PLACES_SHARE);
    this.#shares = new Map(enabled.map((place) => [place, this.#random.next() ** 2]));
  }

  /** Whether it may say yes in this run. */
  enables(place: RarePlace): boolean {
    return this.#shares.has(place);
  }

  /** The numbers of `random`, with the rare things of this run. */
  over(random: Random): Random {
    return {
      next: () => random.next(),
      rarely: (place) => {
        const share = this.#shares.get(place);
        if (this.isOver || share === undefined || this.#random.next() >= share) return false;
        timesOfPlaces.set(place, timesOfPlaces.get(place)! + 1);
        return true;
      },
    };
  }
}
