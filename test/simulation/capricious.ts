import { type Random, randomInt, seededRandom } from '../../src/system/random.ts';
import type { Clock } from '../../src/system/time/clock.ts';
import { RARE_PLACES, type RarePlace } from './rare-places.ts';

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

  /** Whether something rare is to happen at this place now. */
  rarely(place: RarePlace): boolean {
    const share = this.#shares.get(place);
    if (this.isOver || share === undefined || this.#random.next() >= share) return false;
    timesOfPlaces.set(place, timesOfPlaces.get(place)! + 1);
    return true;
  }

  /** An integer in [0, below), for how rare it is. */
  int(below: number): number {
    return randomInt(this.#random, below);
  }
}

/**
 * A clock whose timers fire early, whose `soon` comes late, and which is set back or ahead for a moment.
 *
 * @param isWallSteady its wall clock is neither: of a machine that is suspended no other one tells how long that was
 */
export function capriciousClock(clock: Clock, caprices: Caprices, isWallSteady: boolean): Clock {
  return {
    monotonicMs: () => clock.monotonicMs(),
    nowMs() {
      if (isWallSteady) return clock.nowMs();
      if (caprices.rarely('clock: it steps back')) return clock.nowMs() - 3_600_000;
      return clock.nowMs() + (caprices.rarely('clock: it leaps ahead') ? 5_000 : 0);
    },
    after(delayMs, run, options) {
      const isEarly = delayMs > 0 && caprices.rarely('clock: a timer fires early');
      return clock.after(isEarly ? caprices.int(delayMs) : delayMs, run, options);
    },
    soon(run) {
      if (caprices.rarely('clock: what is due soon comes late')) clock.after(caprices.int(200), run);
      else clock.soon(run);
    },
  };
}
