import { Slots, type Slotted } from './slots.ts';

/** Says who wins, and with what chance where nobody does. */
export interface Rules<T> {
  /** The lowest one wins. */
  readonly first: (item: T) => number;
  /** The lowest one wins among those whose `first` is equal. */
  readonly second: (item: T) => number;
  /** Negative if `a` wins; asked if both are equal; 0 if they tie. null: they tie always. */
  readonly third: ((a: T, b: T) => number) | null;
  /** How likely one of those that tie is drawn: a whole number above 0. null: none is ever drawn. */
  readonly weigh: ((item: T) => number) | null;
}

const FANOUT_BITS = 2;
const FANOUT = 1 << FANOUT_BITS;

/** A node is so many numbers of its level, with its weight, where that matters, as the last one. */
const WINNER = 0;
const FIRST = 1;
const SECOND = 2;
const WEIGHT = 3;
const NOBODY = -1;
const NOBODYS_KEY = Number.POSITIVE_INFINITY;

/**
 * A knock-out tree: its leaves are the contestants, every inner node knows the best one of its children, and,
 * where they tie, the weight of all that tie below it. So it is a heap and a sum tree in one: the best one is at
 * hand in O(1), one of the best can be drawn by weight in O(log n), and a change is settled in O(log n) along
 * one path, which ends early where nothing changes.
 *
 * The nodes carry the keys of their winners, because looking them up in the contestants, which are all over the
 * memory, took most of the time. Several contestants may have changed before the first of them is settled: unlike
 * a heap's, the order is restored as soon as each of them was settled, in whatever sequence.
 *
 * The tree grows and shrinks leaf by leaf, never as a whole: its levels are lists of their own. A plan has a tree for each of
 * thousands of groups: hence one list per level, and four children per node, which makes few levels.
 */
export class Tournament<T extends Slotted> {
  readonly #rules: Rules<T>;
  readonly #slots = new Slots<T>();
  /** Numbers of a node. */
  readonly #size: number;
  /** From the leaves, where slot s is node s, to the root, which is alone. */
  readonly #levels: number[][];

  constructor(rules: Rules<T>) {
    this.#rules = rules;
    this.#size = rules.weigh === null ? WEIGHT : WEIGHT + 1;
    this.#levels = [this.#newLevel()];
  }

  get size(): number {
    return this.#slots.size;
  }

  /** The best one, or one of the best; undefined if empty. */
  get best(): T | undefined {
    return this.#slots.items[this.#root[WINNER]!];
  }

  /** The weight of all that tie with the best one. */
  get weight(): number {
    return this.#rules.weigh === null ? 0 : this.#root[WEIGHT]!;
  }

  /** False if the best one and the weight are what they were, as for `remove` and `update`. */
  add(item: T): boolean {
    this.#slots.add(item);
    if (item.slot >= this.#lengthOf(this.#levels[0]!)) this.#grow();
    return this.#settle(item.slot);
  }

  remove(item: T): boolean {
    const { slot } = item;
    this.#slots.remove(item);
    let isChanged = this.#settle(slot);
    for (let excess = this.#slots.excess; excess > 0; excess--) {
      const moved = this.#slots.dropLast();
      if (moved !== undefined) {
        // It is at its old place no more before it is at its new one.
        if (this.#settle(this.#slots.length)) isChanged = true;
        if (this.#settle(moved.slot)) isChanged = true;
      }
      this.#shrink();
    }
    return isChanged;
  }

  /** A contestant's rank or weight has changed. */
  update(item: T): boolean {
    return this.#settle(item.slot);
  }

  /**
   * One of the best, by weight.
   *
   * @param point in [0, weight)
   * @returns the one drawn, and how far into its own weight the point was
   */
  draw(point: number): { readonly item: T; readonly rest: number } | undefined {
    const levels = this.#levels;
    const size = this.#size;
    let rest = point;
    let node = 0;
    for (let depth = levels.length - 2; depth >= 0; depth--) {
      const level = levels[depth]!;
      const end = this.#endOfChildren(level, node);
      // The last of those that tie, unless the point is in one before.
      let drawn = this.#bestChild(level, node);
      for (let child = drawn + size, best = drawn; child < end; child += size) {
        if (rest < this.#weightOf(level, drawn)) break;
        if (this.#verdict(level, best, child) !== 0) continue;
        rest -= this.#weightOf(level, drawn);
        drawn = child;
      }
      node = drawn / size;
    }
    const item = this.#slots.items[node];
    return item === undefined ? undefined : { item, rest };
  }

  [Symbol.iterator](): Generator<T> {
    return this.#slots[Symbol.iterator]();
  }

  get #root(): number[] {
    return this.#levels[this.#levels.length - 1]!;
  }

  #lengthOf(level: readonly number[]): number {
    return level.length / this.#size;
  }

  #weightOf(level: readonly number[], at: number): number {
    return this.#size === WEIGHT ? Number.POSITIVE_INFINITY : level[at + WEIGHT]!;
  }

  /** Between two nodes of a level, by where they begin. Negative: the first one wins. Nobody loses against anybody. */
  #verdict(level: readonly number[], one: number, other: number): number {
    const a = level[one + FIRST]!;
    const b = level[other + FIRST]!;
    if (a !== b) return a < b ? -1 : 1;
    const c = level[one + SECOND]!;
    const d = level[other + SECOND]!;
    if (c !== d) return c < d ? -1 : 1;
    const { third } = this.#rules;
    if (third === null || a === NOBODYS_KEY) return 0;
    const { items } = this.#slots;
    return third(items[level[one]!]!, items[level[other]!]!);
  }

  /** Where in a level the children of a node of the next one end. */
  #endOfChildren(below: readonly number[], node: number): number {
    return Math.min((node + 1) * FANOUT * this.#size, below.length);
  }

  /** The first of those that win. */
  #bestChild(below: readonly number[], node: number): number {
    const size = this.#size;
    const end = this.#endOfChildren(below, node);
    let best = node * FANOUT * size;
    for (let child = best + size; child < end; child += size) {
      if (this.#verdict(below, best, child) > 0) best = child;
    }
    return best;
  }

  #settle(slot: number): boolean {
    const levels = this.#levels;
    this.#setLeaf(slot);
    let node = slot;
    for (let depth = 1; depth < levels.length; depth++) {
      node >>>= FANOUT_BITS;
      if (!this.#play(levels[depth - 1]!, levels[depth]!, node, slot)) return false;
    }
    return true;
  }

  #setLeaf(slot: number): void {
    const item = this.#slots.items[slot];
    const { first, second, weigh } = this.#rules;
    const leaves = this.#levels[0]!;
    const at = slot * this.#size;
    leaves[at + WINNER] = item === undefined ? NOBODY : slot;
    leaves[at + FIRST] = item === undefined ? NOBODYS_KEY : first(item);
    leaves[at + SECOND] = item === undefined ? NOBODYS_KEY : second(item);
    if (weigh !== null) leaves[at + WEIGHT] = item === undefined ? 0 : weigh(item);
  }

  /** Lets the children of a node play; false if it ends as before, with somebody else than `slot` on top. */
  #play(below: readonly number[], level: number[], node: number, slot: number): boolean {
    const size = this.#size;
    const end = this.#endOfChildren(below, node);
    const isWeighted = size > WEIGHT;
    let best = node * FANOUT * size;
    let weight = isWeighted ? below[best + WEIGHT]! : 0;
    for (let child = best + size; child < end; child += size) {
      const verdict = this.#verdict(below, best, child);
      if (verdict > 0) best = child;
      if (isWeighted && verdict >= 0) weight = below[child + WEIGHT]! + (verdict === 0 ? weight : 0);
    }
    const at = node * size;
    const winner = below[best]!;
    let isSame = winner === level[at] && winner !== slot;
    if (!isSame) {
      level[at] = winner;
      level[at + FIRST] = below[best + FIRST]!;
      level[at + SECOND] = below[best + SECOND]!;
    }
    if (isWeighted) {
      if (weight !== level[at + WEIGHT]) isSame = false;
      level[at + WEIGHT] = weight;
    }
    return !isSame;
  }

  /** With one node, of nobody. */
  #newLevel(): number[] {
    return this.#size === WEIGHT ? [NOBODY, NOBODYS_KEY, NOBODYS_KEY] : [NOBODY, NOBODYS_KEY, NOBODYS_KEY, 0];
  }

  /** One leaf more, and what it needs above it. */
  #grow(): void {
    const levels = this.#levels;
    for (let depth = 0; ; depth++) {
      const level = levels[depth]!;
      level.push(NOBODY, NOBODYS_KEY, NOBODYS_KEY);
      if (this.#size > WEIGHT) level.push(0);
      const above = levels[depth + 1];
      if (above === undefined) {
        const root = this.#newLevel();
        levels.push(root);
        this.#play(level, root, 0, NOBODY);
        return;
      }
      if (level.length <= FANOUT * above.length) return;
    }
  }

  /** Drops the leaves beyond the slots, which are empty, and what is above them. */
  #shrink(): void {
    const levels = this.#levels;
    for (let depth = 0, length = this.#slots.length; depth < levels.length; depth++) {
      const level = levels[depth]!;
      level.length = Math.max(Math.min(length, this.#lengthOf(level)), 1) * this.#size;
      if (level.length === this.#size) levels.length = depth + 1;
      length = Math.ceil(this.#lengthOf(level) / FANOUT);
    }
  }
}
