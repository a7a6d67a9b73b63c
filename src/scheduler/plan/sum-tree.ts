import { Slots, type Slotted } from './slots.ts';

const FANOUT_BITS = 4;
const FANOUT = 1 << FANOUT_BITS;

/**
 * Draws one of many by weight. Sixteen children per node: few levels, each of them one or two cache lines, which is
 * what counts when hundreds of thousands are in it.
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

  /** Whether the sum has changed, as for `update`. */
  add(item: T): boolean {
    if (!this.#slots.add(item)) this.#grow();
    return this.#setWeight(item.slot, this.#weigh(item));
  }

  /** Whether the sum has changed, or nobody is left: a rebuild may have weighed those who are about to go as 0. */
  remove(item: T): boolean {
    const { slot } = item;
    if (this.#slots.remove(item)) return this.#setWeight(slot, 0) || this.size === 0;
    this.#rebuild();
    return true;
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

  /** More leaves, all empty: nobody has to be weighed for that. */
  #grow(): void {
    const levels = this.#levels;
    let width = this.#slots.capacity;
    for (let depth = 0; ; depth++) {
      if (depth === levels.length) levels.push([levels[depth - 1]!.reduce((sum, weight) => sum + weight)]);
      const level = levels[depth]!;
      while (level.length < width) level.push(0);
      if (width === 1) return;
      width = Math.ceil(width / FANOUT);
    }
  }

  #rebuild(): void {
    const { items, capacity } = this.#slots;
    const leaves = new Array<number>(capacity).fill(0);
    for (let slot = 0; slot < items.length; slot++) {
      const item = items[slot];
      if (item !== undefined) leaves[slot] = this.#weigh(item);
    }
    this.#levels = [leaves];
    for (let below = leaves; below.length > 1; ) {
      const sums = new Array<number>(Math.ceil(below.length / FANOUT)).fill(0);
      for (let node = 0; node < below.length; node++) sums[node >>> FANOUT_BITS]! += below[node]!;
      this.#levels.push(sums);
      below = sums;
    }
  }
}
