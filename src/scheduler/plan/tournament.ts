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
 *
 * The tree grows and shrinks leaf by leaf, never as a whole: its levels are lists of their own.
 */
export class Tournament<T extends Slotted> {
  readonly #rules: Rules<T>;
  readonly #slots = new Slots<T>();
  /** From the leaves, where slot s is node s, to the root, which is alone. The children of node n are 2n and 2n + 1. */
  readonly #levels: Level[];

  constructor(rules: Rules<T>) {
    this.#rules = rules;
    this.#levels = [new Level(rules.weigh !== null)];
    this.#levels[0]!.push();
  }

  get size(): number {
    return this.#slots.size;
  }

  /** The best one, or one of the best; undefined if empty. */
  get best(): T | undefined {
    return this.#slots.items[this.#root.winners[0]!];
  }

  /** The weight of all that tie with the best one. */
  get weight(): number {
    return this.#root.weights === null ? 0 : this.#root.weights[0]!;
  }

  /** False if the best one and the weight are what they were, as for `remove` and `update`. */
  add(item: T): boolean {
    this.#slots.add(item);
    if (item.slot >= this.#levels[0]!.length) this.#grow();
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
    if (this.size === 0) return undefined;
    let rest = point;
    let node = 0;
    for (let depth = this.#levels.length - 2; depth >= 0; depth--) {
      const level = this.#levels[depth]!;
      node *= 2;
      const verdict = this.#verdict(level, node);
      if (verdict > 0) node++;
      else if (verdict === 0 && level.weights !== null && rest >= level.weights[node]!) {
        rest -= level.weights[node]!;
        node++;
      }
    }
    const item = this.#slots.items[node];
    return item === undefined ? undefined : { item, rest };
  }

  [Symbol.iterator](): Generator<T> {
    return this.#slots[Symbol.iterator]();
  }

  get #root(): Level {
    return this.#levels[this.#levels.length - 1]!;
  }

  /** Between a left child and its right neighbour. Negative: the left one wins. Nobody loses against anybody. */
  #verdict({ winners, firsts, seconds }: Level, left: number): number {
    const a = firsts[left]!;
    const b = firsts[left + 1]!;
    if (a !== b) return a < b ? -1 : 1;
    const c = seconds[left]!;
    const d = seconds[left + 1]!;
    if (c !== d) return c < d ? -1 : 1;
    const { third } = this.#rules;
    if (third === null || a === NOBODYS_KEY) return 0;
    const { items } = this.#slots;
    return third(items[winners[left]!]!, items[winners[left + 1]!]!);
  }

  #settle(slot: number): boolean {
    const levels = this.#levels;
    this.#setLeaf(slot);
    let node = slot;
    for (let depth = 1; depth < levels.length; depth++) {
      node >>>= 1;
      if (!this.#play(levels[depth - 1]!, levels[depth]!, node, slot)) return false;
    }
    return true;
  }

  #setLeaf(slot: number): void {
    const item = this.#slots.items[slot];
    const { winners, firsts, seconds, weights } = this.#levels[0]!;
    const { first, second, weigh } = this.#rules;
    winners[slot] = item === undefined ? NOBODY : slot;
    firsts[slot] = item === undefined ? NOBODYS_KEY : first(item);
    seconds[slot] = item === undefined ? NOBODYS_KEY : second(item);
    if (weights !== null) weights[slot] = item === undefined || weigh === null ? 0 : weigh(item);
  }

  /** Lets the two children of a node play; false if it ends as before, with somebody else than `slot` on top. */
  #play(below: Level, level: Level, node: number, slot: number): boolean {
    const left = 2 * node;
    const verdict = this.#verdict(below, left);
    const from = verdict <= 0 ? left : left + 1;
    const winner = below.winners[from]!;
    let isSame = winner === level.winners[node] && winner !== slot;
    if (!isSame) {
      level.winners[node] = winner;
      level.firsts[node] = below.firsts[from]!;
      level.seconds[node] = below.seconds[from]!;
    }
    const { weights } = below;
    if (weights !== null) {
      const weight = (verdict <= 0 ? weights[left]! : 0) + (verdict >= 0 ? weights[left + 1]! : 0);
      if (weight !== level.weights![node]) isSame = false;
      level.weights![node] = weight;
    }
    return !isSame;
  }

  /** One leaf more. Every node that is no root has a neighbour. */
  #grow(): void {
    const levels = this.#levels;
    for (let depth = 0; ; depth++) {
      const level = levels[depth]!;
      level.push();
      if (level.length > 2) level.push();
      if (depth + 1 < levels.length && 2 * levels[depth + 1]!.length >= level.length) return;
      if (depth + 1 === levels.length) {
        levels.push(new Level(this.#rules.weigh !== null));
        levels[depth + 1]!.push();
        this.#play(level, levels[depth + 1]!, 0, NOBODY);
        return;
      }
    }
  }

  /** Drops the leaves beyond the slots, which are empty, and what is above them. */
  #shrink(): void {
    const levels = this.#levels;
    for (let depth = 0, length = this.#slots.length; depth < levels.length; depth++) {
      const level = levels[depth]!;
      // An even number, but for the root.
      length += length & 1;
      while (level.length > Math.max(length, 2)) level.pop();
      length = level.length / 2;
      if (length > 1) continue;
      // The next one is the root.
      levels.length = depth + 2;
      while (this.#root.length > 1) this.#root.pop();
      return;
    }
  }
}

/** The nodes of a tree that are as far from the leaves. */
class Level {
  readonly winners: number[] = [];
  readonly firsts: number[] = [];
  readonly seconds: number[] = [];
  readonly weights: number[] | null;

  constructor(isWeighted: boolean) {
    this.weights = isWeighted ? [] : null;
  }

  get length(): number {
    return this.winners.length;
  }

  push(): void {
    this.winners.push(NOBODY);
    this.firsts.push(NOBODYS_KEY);
    this.seconds.push(NOBODYS_KEY);
    this.weights?.push(0);
  }

  pop(): void {
    this.winners.pop();
    this.firsts.pop();
    this.seconds.pop();
    this.weights?.pop();
  }
}
