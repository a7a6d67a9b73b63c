/** Something that a {@link Tournament} can hold; `slot` is the tournament's own. */
export interface Contestant {
  slot: number;
}

/** Says who wins, and with what chance where nobody does. */
export interface Rules<T> {
  /** Negative: `a` is better; 0: they tie. */
  compare(a: T, b: T): number;
  /** How likely one of those that tie is drawn, above 0. Without it nobody weighs and nothing can be drawn. */
  readonly weigh: ((item: T) => number) | null;
}

const NOBODY = -1;
const CAPACITY_KEPT = 16;

/**
 * A knock-out tree: its leaves are the contestants, every inner node knows the better one of its two children, and,
 * where they tie, the weight of all that tie below it. So it is a heap and a sum tree in one: the best one is at
 * hand in O(1), one of the best can be drawn by weight in O(log n), and a change is settled in O(log n) along
 * one path, which ends early where nothing changes.
 *
 * Several contestants may have changed before the first of them is settled: unlike a heap's, the order is
 * restored as soon as each of them was settled, in whatever sequence.
 */
export class Tournament<T extends Contestant> {
  readonly #rules: Rules<T>;
  readonly #items: (T | undefined)[] = [];
  readonly #freeSlots: number[] = [];
  /** Nodes 1 (the root) to 2 * capacity - 1; the children of n are 2n and 2n + 1; slot s is the leaf capacity + s. */
  #winners: number[] = [NOBODY, NOBODY];
  #weights: number[];
  #capacity = 1;
  #size = 0;

  constructor(rules: Rules<T>) {
    this.#rules = rules;
    this.#weights = rules.weigh === null ? [] : [0, 0];
  }

  get size(): number {
    return this.#size;
  }

  /** The best one, or one of the best; undefined if empty. */
  get best(): T | undefined {
    return this.#items[this.#winners[1]!];
  }

  /** The weight of all that tie with the best one. */
  get weight(): number {
    return this.#weights[1] ?? 0;
  }

  /** Adds a contestant; false if the best one and the weight are what they were. */
  add(item: T): boolean {
    let slot = this.#freeSlots.pop();
    if (slot === undefined) {
      slot = this.#items.length;
      this.#items.push(undefined);
      if (slot === this.#capacity) this.#rebuild(2 * slot);
    }
    this.#items[slot] = item;
    item.slot = slot;
    this.#size++;
    return this.#settle(slot);
  }

  /** Takes a contestant out; false if the best one and the weight are what they were. */
  remove(item: T): boolean {
    const slot = item.slot;
    if (this.#items[slot] !== item) throw new RangeError('not in this tournament');
    this.#items[slot] = undefined;
    item.slot = NOBODY;
    this.#freeSlots.push(slot);
    this.#size--;
    if (this.#capacity > CAPACITY_KEPT && this.#size < this.#capacity / 8) {
      this.#compact();
      return true;
    }
    return this.#settle(slot);
  }

  /** A contestant's rank or weight has changed; false if the best one and the weight are what they were. */
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
    const capacity = this.#capacity;
    let rest = point;
    let node = 1;
    while (node < capacity) {
      node *= 2;
      const verdict = this.#verdict(this.#winners[node]!, this.#winners[node + 1]!);
      if (verdict > 0) node++;
      else if (verdict === 0 && rest >= this.#weights[node]!) {
        rest -= this.#weights[node]!;
        node++;
      }
    }
    const item = this.#items[node - capacity];
    return item === undefined ? undefined : { item, rest };
  }

  /** In no particular order. */
  *[Symbol.iterator](): Generator<T> {
    for (const item of this.#items) if (item !== undefined) yield item;
  }

  /** Negative: the left one wins; positive: the right one. Nobody loses against anybody. */
  #verdict(left: number, right: number): number {
    if (right === NOBODY) return -1;
    if (left === NOBODY) return 1;
    return this.#rules.compare(this.#items[left]!, this.#items[right]!);
  }

  #settle(slot: number): boolean {
    let node = this.#capacity + slot;
    this.#setLeaf(slot);
    for (node >>>= 1; node >= 1; node >>>= 1) {
      if (!this.#play(node, slot)) return false;
    }
    return true;
  }

  #setLeaf(slot: number): void {
    const item = this.#items[slot];
    this.#winners[this.#capacity + slot] = item === undefined ? NOBODY : slot;
    const { weigh } = this.#rules;
    if (weigh !== null) this.#weights[this.#capacity + slot] = item === undefined ? 0 : weigh(item);
  }

  /** Lets the two children of a node play; false if it ends as before, with somebody else than `slot` on top. */
  #play(node: number, slot: number): boolean {
    const winners = this.#winners;
    const left = winners[2 * node]!;
    const right = winners[2 * node + 1]!;
    const verdict = this.#verdict(left, right);
    const winner = verdict <= 0 ? left : right;
    let isSame = winner === winners[node] && winner !== slot;
    winners[node] = winner;
    if (this.#rules.weigh !== null) {
      const weights = this.#weights;
      const weight = (verdict <= 0 ? weights[2 * node]! : 0) + (verdict >= 0 ? weights[2 * node + 1]! : 0);
      if (weight !== weights[node]) isSame = false;
      weights[node] = weight;
    }
    return !isSame;
  }

  /** Moves everybody together, so that what was large once does not stay large. */
  #compact(): void {
    const items = [...this];
    this.#freeSlots.length = 0;
    this.#items.length = 0;
    let capacity = 1;
    while (capacity < 2 * items.length) capacity *= 2;
    for (const item of items) {
      item.slot = this.#items.length;
      this.#items.push(item);
    }
    this.#rebuild(capacity);
  }

  #rebuild(capacity: number): void {
    this.#capacity = capacity;
    this.#winners = new Array<number>(2 * capacity).fill(NOBODY);
    if (this.#rules.weigh !== null) this.#weights = new Array<number>(2 * capacity).fill(0);
    for (let slot = 0; slot < this.#items.length; slot++) this.#setLeaf(slot);
    for (let node = capacity - 1; node >= 1; node--) this.#play(node, NOBODY);
  }
}
