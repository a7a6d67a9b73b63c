/** Differences below this are the network's. */
const SKEW_MS_MIN = 1_000;
/** So many answers in a row have to contradict what is known: nodes differ, and single answers are slow. */
const DOUBTS_MAX = 8;

/** How far another clock is ahead of this one. */
export class Skew {
  aheadMs = 0;
  #isKnown = false;
  #doubts = 0;

  /**
   * @param aheadMs as one answer has it
   * @returns whether that changes what is known
   */
  learn(aheadMs: number): boolean {
    if (Math.abs(aheadMs - this.aheadMs) <= SKEW_MS_MIN) {
      this.#isKnown = true;
      this.#doubts = 0;
      return false;
    }
    if (this.#isKnown && ++this.#doubts < DOUBTS_MAX) return false;
    this.#isKnown = true;
    this.#doubts = 0;
    this.aheadMs = Math.abs(aheadMs) > SKEW_MS_MIN ? aheadMs : 0;
    return true;
  }
}
