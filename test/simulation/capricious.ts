import { type Random, seededRandom } from '../../src/system/random.ts';
import { RARE_PLACES, type RarePlace } from '../../src/system/rare-places.ts';

/** How often which place said yes, of all runs of this process. */
export const timesOfPlaces = new Map<RarePlace, number>(RARE_PLACES.map((place) => [place, 0]));

const PLACES_SHARE = 0.25;
const TIMES_SHARE = 0.25;

/** In each run a quarter of the rare places is enabled, and says yes a quarter of the time. */
export class Caprices {
  readonly #enabled: ReadonlySet<RarePlace>;
  readonly #random: Random;
  /** From now on nothing rare happens. */
  isOver = false;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.#enabled = new Set(RARE_PLACES.filter(() => this.#random.next() < PLACES_SHARE));
  }

  /** The numbers of `random`, with the rare things of this run. */
  over(random: Random): Random {
    return {
      next: () => random.next(),
      rarely: (place) => {
        if (this.isOver || !this.#enabled.has(place) || this.#random.next() >= TIMES_SHARE) return false;
        timesOfPlaces.set(place, timesOfPlaces.get(place)! + 1);
        return true;
      },
    };
  }
}
