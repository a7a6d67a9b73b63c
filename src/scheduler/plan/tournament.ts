import { Slots, type Slotted } from './slots.ts';

/** Says who wins, and with what chance where nobody does. */
export interface Rules<T> {
  /** The lowest one wins. */
  readonly first: (item: T) => number;
  /** The lowest one wins among those whose `first` is equal. */
  readonly second: (item: T) => number;
  /** Negative if `a` wins; asked if both are equal; 0 if they tie. null: they tie always. */
  readonly third: ((a: T, b: T) => number) | null;
  /** How likely one of those that tie is drawn: a whole number above 0. null: nobody is ever drawn. */
  readonly weigh: ((item: T) => number) | null;
}

const NOBODY = -1;
const NOBODYS_KEY = Number.POSITIVE_INFINITY;

/**
 * A knock-out tree: its leaves are the contestants, every inner node knows the better one of its two children, and,
 * where they tie, the weight of all that tie below it. So it is a heap and a sum tree in one: the best one is at
 * hand in O(1), one of the best can be drawn by weight in O(log n), and a change is settled in O(log n) along
 * one path, which ends early where nothing changes.
 *
 * The nodes carry the keys of their winners, because looking them up in the contestants, which are all over the
 * memory, took most of the time. Several contestants may have changed before the first of them is settled: unlike
 * a heap's, the order is restored as soon as each of them was settled, in whatever sequence.
 */
export class Tournament<T extends Slotted> {
  readonly #rules: Rules<T>;
  readonly #slots = new Slots<T>();
  /** Nodes 1 (the root) to 2 * capacity - 1; the children of n are 2n and 2n + 1; slot s is the leaf capacity + s. */
  #winners: number[] = [NOBODY, NOBODY];
  #firsts: number[] = [NOBODYS_KEY, NOBODYS_KEY];
  #seconds: number[] = [NOBODYS_KEY, NOBODYS_KEY];
  #weights: number[];

  constructor(rules: Rules<T>) {
    this.#rules = rules;
    this.#weights = rules.weigh === null ? [] : [0, 0];
  }

  get size(): number {
    return this.#slots.size;
  }

  /** The best one, or one of the best; undefined if empty. */
  get best(): T | undefined {
    return this.#slots.items[this.#winners[1]!];
  }

  /** The weight of all that tie with the best one. */
  get weight(): number {
    return this.#weights[1] ?? 0;
  }

  /** False if the best one and the weight are what they were, as for `remove` and `update`. */
  add(item: T): boolean {
    if (!this.#slots.add(item)) this.#grow();
    return this.#settle(item.slot);
  }

  remove(item: T): boolean {
    const { slot } = item;
    if (this.#slots.remove(item)) return this.#settle(slot);
    this.#rebuild();
    return true;
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
    const { capacity, items } = this.#slots;
    let rest = point;
    let node = 1;
    while (node < capacity) {
      node *= 2;
      const verdict = this.#verdict(node);
      if (verdict > 0) node++;
      else if (verdict === 0 && rest >= this.#weights[node]!) {
        rest -= this.#weights[node]!;
        node++;
      }
    }
    const item = items[node - capacity];
    return item === undefined ? undefined : { item, rest };
  }

  [Symbol.iterator](): Generator<T> {
    return this.#slots[Symbol.iterator]();
  }

  /** Between a left child and its right neighbour. Negative: the left one wins. Nobody loses against anybody. */
  #verdict(left: number): number {
    const firsts = this.#firsts;
    const a = firsts[left]!;
    const b = firsts[left + 1]!;
    if (a !== b) return a < b ? -1 : 1;
    const seconds = this.#seconds;
    const c = seconds[left]!;
    const d = seconds[left + 1]!;
    if (c !== d) return c < d ? -1 : 1;
    const { third } = this.#rules;
    if (third === null || a === NOBODYS_KEY) return 0;
    const { items } = this.#slots;
    return third(items[this.#winners[left]!]!, items[this.#winners[left + 1]!]!);
  }

  #settle(slot: number): boolean {
    this.#setLeaf(slot);
    for (let node = (this.#slots.capacity + slot) >>> 1; node >= 1; node >>>= 1) {
      if (!this.#play(node, slot)) return false;
    }
    return true;
  }

  #setLeaf(slot: number): void {
    const item = this.#slots.items[slot];
    const leaf = this.#slots.capacity + slot;
    const { first, second, weigh } = this.#rules;
    this.#winners[leaf] = item === undefined ? NOBODY : slot;
    this.#firsts[leaf] = item === undefined ? NOBODYS_KEY : first(item);
    this.#seconds[leaf] = item === undefined ? NOBODYS_KEY : second(item);
    if (weigh !== null) this.#weights[leaf] = item === undefined ? 0 : weigh(item);
  }

  /** Lets the two children of a node play; false if it ends as before, with somebody else than `slot` on top. */
  #play(node: number, slot: number): boolean {
    const left = 2 * node;
    const verdict = this.#verdict(left);
    const from = verdict <= 0 ? left : left + 1;
    const winner = this.#winners[from]!;
    let isSame = winner === this.#winners[node] && winner !== slot;
    if (!isSame) {
      this.#winners[node] = winner;
      this.#firsts[node] = this.#firsts[from]!;
      this.#seconds[node] = this.#seconds[from]!;
    }
    if (this.#rules.weigh !== null) {
      const weights = this.#weights;
      const weight = (verdict <= 0 ? weights[left]! : 0) + (verdict >= 0 ? weights[left + 1]! : 0);
      if (weight !== weights[node]) isSame = false;
      weights[node] = weight;
    }
    return !isSame;
  }

  /** As many leaves again, all empty, to the right: nobody has to play for that. */
  #grow(): void {
    this.#winners = doubled(this.#winners, NOBODY);
    this.#firsts = doubled(this.#firsts, NOBODYS_KEY);
    this.#seconds = doubled(this.#seconds, NOBODYS_KEY);
    if (this.#rules.weigh !== null) this.#weights = doubled(this.#weights, 0);
  }

  #rebuild(): void {
    const { capacity, items } = this.#slots;
    this.#winners = new Array<number>(2 * capacity).fill(NOBODY);
    this.#firsts = new Array<number>(2 * capacity).fill(NOBODYS_KEY);
    this.#seconds = new Array<number>(2 * capacity).fill(NOBODYS_KEY);
    if (this.#rules.weigh !== null) this.#weights = new Array<number>(2 * capacity).fill(0);
    for (let slot = 0; slot < items.length; slot++) this.#setLeaf(slot);
    for (let node = capacity - 1; node >= 1; node--) this.#play(node, NOBODY);
  }
}

/** The nodes of a tree that gets a new root: the old one is its left child, and wins. */
function doubled(nodes: readonly number[], empty: number): number[] {
  const grown = new Array<number>(2 * nodes.length).fill(empty);
  for (let width = 1; width < nodes.length; width *= 2) {
    for (let i = 0; i < width; i++) grown[2 * width + i] = nodes[width + i]!;
  }
  grown[1] = nodes[1]!;
  return grown;
}
