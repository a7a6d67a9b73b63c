/** Something that takes a slot in a tree; `slot` is the tree's own. */
export interface Slotted {
  slot: number;
}

/** Below this a tree is not worth making smaller. */
const CAPACITY_KEPT = 16;

/** Who sits on which leaf of a tree of `capacity` leaves. */
export class Slots<T extends Slotted> {
  /** The tree has to be built anew whenever it changes. */
  capacity = 1;
  size = 0;
  readonly items: (T | undefined)[] = [];
  readonly #free: number[] = [];

  /** Gives the item a slot; false if the capacity had to grow for it. */
  add(item: T): boolean {
    this.size++;
    const free = this.#free.pop();
    item.slot = free ?? this.items.length;
    if (free === undefined) this.items.push(item);
    else this.items[free] = item;
    if (item.slot < this.capacity) return true;
    this.capacity *= 2;
    return false;
  }

  /** Frees the item's slot; false if everybody moved together, so that what was large once does not stay large. */
  remove(item: T): boolean {
    const { slot } = item;
    if (this.items[slot] !== item) throw new RangeError('not in this tree');
    this.items[slot] = undefined;
    item.slot = -1;
    this.size--;
    if (this.capacity <= CAPACITY_KEPT || this.size >= this.capacity / 8) {
      this.#free.push(slot);
      return true;
    }
    this.#compact();
    return false;
  }

  *[Symbol.iterator](): Generator<T> {
    for (const item of this.items) if (item !== undefined) yield item;
  }

  #compact(): void {
    const kept = [...this];
    this.#free.length = 0;
    this.items.length = 0;
    for (const item of kept) {
      item.slot = this.items.length;
      this.items.push(item);
    }
    while (this.capacity > CAPACITY_KEPT && this.capacity >= 4 * kept.length) this.capacity /= 2;
  }
}
