import { Slots, type Slotted } from './slots.ts';

const FANOUT_BITS = 4;
const FANOUT = 1 << FANOUT_BITS;

/**
 * Draws one of many by weight. Sixteen children per node: few levels, each of them one or two cache lines, which is
 * what counts when hundreds of thousands are in it. It grows and shrinks leaf by leaf, never as a whole.
 */
export class SumTree<T extends Slotted> {
  readonly #weigh: (item: T) => number;
  readonly #slots = new Slots<T>();
  /** The leaves' weights, then the sums of each sixteen of them, and so on; the last one is the root alone. */
  #levels: number[][] = [[0]];

  /** Weights are whole numbers above 0. */
  constructor(weigh: (item: T) => number) {
    this.#weigh = weigh;
  }

  get size(): number {
    return this.#slots.size;
  }

  /** The sum of all weights. */
  get weight(): number {
    return this.#levels.at(-1)![0]!;
  }

  /** Any one; undefined if empty. */
  get best(): T | undefined {
    return this.draw(0)?.item;
  }

  /** Whether the sum has changed, as for `remove` and `update`. */
  add(item: T): boolean {
    this.#slots.add(item);
    if (item.slot >= this.#levels[0]!.length) this.#grow();
    return this.#setWeight(item.slot, this.#weigh(item));
  }

  remove(item: T): boolean {
    const { slot } = item;
    this.#slots.remove(item);
    const isChanged = this.#setWeight(slot, 0);
    for (let excess = this.#slots.excess; excess > 0; excess--) {
      const moved = this.#slots.dropLast();
      const last = this.#slots.length;
      if (moved !== undefined) {
        // As heavy as it is known to be: it may have changed, and wait for its update.
        this.#setWeight(moved.slot, this.#levels[0]![last]!);
        this.#setWeight(last, 0);
      }
      this.#shrink();
    }
    return isChanged;
  }

  update(item: T): boolean {
    return this.#setWeight(item.slot, this.#weigh(item));
  }

  /**
   * @param point in [0, weight)
   * @returns the item drawn, and how far into its own weight the point was
   */
  draw(point: number): { readonly item: T; readonly rest: number } | undefined {
    let rest = point;
    let node = 0;
    for (let depth = this.#levels.length - 2; depth >= 0; depth--) {
      const weights = this.#levels[depth]!;
      node <<= FANOUT_BITS;
      const end = Math.min(node + FANOUT, weights.length) - 1;
      while (node < end && rest >= weights[node]!) rest -= weights[node++]!;
    }
    const item = this.#slots.items[node];
    return item === undefined ? undefined : { item, rest };
  }

  [Symbol.iterator](): Generator<T> {
    return this.#slots[Symbol.iterator]();
  }

  #setWeight(slot: number, weight: number): boolean {
    const levels = this.#levels;
    const change = weight - levels[0]![slot]!;
    if (change === 0) return false;
    let node = slot;
    for (let depth = 0; depth < levels.length; depth++) {
      levels[depth]![node]! += change;
      node >>>= FANOUT_BITS;
    }
    return true;
  }

  /** One leaf more, and what it needs above it. */
  #grow(): void {
    const levels = this.#levels;
    for (let depth = 0; ; depth++) {
      const level = levels[depth]!;
      level.push(0);
      const above = levels[depth + 1];
      if (above === undefined) {
        if (level.length > 1) levels.push([level.reduce((sum, weight) => sum + weight)]);
        return;
      }
      if (level.length <= FANOUT * above.length) return;
    }
  }

  /** Drops the leaves beyond the slots, which weigh nothing, and what is above them. */
  #shrink(): void {
    const levels = this.#levels;
    for (let depth = 0, length = this.#slots.length; depth < levels.length; depth++) {
      const level = levels[depth]!;
      while (level.length > Math.max(length, 1)) level.pop();
      if (level.length === 1) levels.length = depth + 1;
      length = Math.ceil(level.length / FANOUT);
    }
  }
}
