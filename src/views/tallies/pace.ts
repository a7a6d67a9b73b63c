import type { QueueTally } from './tallies.ts';

/** What is counted by the second. */
export type Counts = Pick<QueueTally, 'inserted' | 'done' | 'setBack'>;

const SECONDS = 60;
const FIGURES = 3;
const PLACES = { inserted: 0, done: 1, setBack: 2 } as const;

/**
 * What happened in a queue in each of the last 60 seconds, and since when it stands still. Every queue has one, and there may be
 * thousands: it takes a kilobyte while something happens, next to nothing once nothing has for a minute, and 0.1 µs a second.
 */
export class Pace {
  readonly #begunAtSecond: number;
  #second: number;
  readonly #counted = { inserted: 0, done: 0, setBack: 0 };
  #bySecond: Float32Array | null = null;
  /** When something was counted last. */
  #movedAtSecond = Number.NEGATIVE_INFINITY;
  #standsSinceSecond: number | null = null;

  /** @param second as of which nothing is counted yet, in seconds since the start */
  constructor(second: number) {
    this.#begunAtSecond = second;
    this.#second = second;
  }

  /** For how many seconds chunks were in flight and none of them was done. */
  get standsForSeconds(): number {
    return this.#standsSinceSecond === null ? 0 : this.#second - this.#standsSinceSecond;
  }

  /**
   * Returns how many more there are than at the call before, which are spread evenly over the seconds since then.
   *
   * @param second in seconds since the start; never lower than before
   */
  count({ inserted, done, setBack }: Counts, second: number, reserved: number): Counts {
    const counted = this.#counted;
    const more = {
      inserted: inserted - counted.inserted,
      done: done - counted.done,
      setBack: setBack - counted.setBack,
    };
    Object.assign(counted, { inserted, done, setBack });
    this.#add(more, second);
    this.#second = second;
    if (reserved === 0 || more.done > 0) this.#standsSinceSecond = null;
    else this.#standsSinceSecond ??= second;
    return more;
  }

  /** Per second, over the last so many, 60 at most, or as many as there were; null: there was none. */
  mean(of: keyof Counts, seconds: number): number | null {
    const known = this.#known(seconds);
    return known <= 0 ? null : this.sum(of, seconds) / known;
  }

  /** How many in the last so many seconds, 60 at most. */
  sum(of: keyof Counts, seconds: number): number {
    const bySecond = this.#bySecond;
    if (bySecond === null) return 0;
    let sum = 0;
    for (let i = 0; i < this.#known(seconds); i++) {
      sum += bySecond[placeOf(this.#second - i) + PLACES[of]]!;
    }
    return sum;
  }

  #known(seconds: number): number {
    return Math.min(seconds, SECONDS, this.#second - this.#begunAtSecond);
  }

  #add({ inserted, done, setBack }: Counts, second: number): void {
    if (inserted + done + setBack > 0) this.#movedAtSecond = second;
    else if (second - this.#movedAtSecond >= SECONDS) this.#bySecond = null;
    if (second === this.#begunAtSecond) return;
    if (this.#movedAtSecond === second) this.#bySecond ??= new Float32Array(SECONDS * FIGURES);
    const bySecond = this.#bySecond;
    if (bySecond === null) return;
    // Twice in a second: it is added to what was counted in it already.
    const passed = Math.max(1, second - this.#second);
    for (let at = second - Math.min(passed, SECONDS) + 1; at <= second; at++) {
      const place = placeOf(at);
      if (at > this.#second) bySecond.fill(0, place, place + FIGURES);
      bySecond[place + PLACES.inserted]! += inserted / passed;
      bySecond[place + PLACES.done]! += done / passed;
      bySecond[place + PLACES.setBack]! += setBack / passed;
    }
  }
}

function placeOf(second: number): number {
  return (second % SECONDS) * FIGURES;
}
