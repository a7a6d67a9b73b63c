/** Something that takes a slot in a tree; `slot` is the tree's own. */
export interface Slotted {
  slot: number;
}

/** With fewer slots than this a tree is not worth making smaller. */
const SLOTS_KEPT = 16;
/** A tree with fewer items than one in so many slots gets smaller. */
const SPARSE = 8;

/**
 * Who sits on which leaf of a tree. The slots are those from 0 to `length`; some of them are free. With each item that
 * goes from a sparse tree its last slots go, so that what was large once does not stay large, and no item waits until
 * all others have moved.
 */
export class Slots<T extends Slotted> {
  size = 0;
  readonly items: (T | undefined)[] = [];
  /** Slots that were free when they were added here. */
  readonly #free: number[] = [];

  get length(): number {
    return this.items.length;
  }

  /** Gives the item a slot, which may be the first one beyond the others. */
  add(item: T): void {
    this.size++;
    this.#seat(item, this.#takeFree() ?? this.items.length);
  }

  /** Frees the item's slot. */
  remove(item: T): void {
    const { slot } = item;
    if (this.items[slot] !== item) throw new RangeError('not in this tree');
    this.items[slot] = undefined;
    item.slot = -1;
    this.size--;
    this.#free.push(slot);
  }

  /** How many slots are to be dropped now, by `dropLast`. */
  get excess(): number {
    const { length } = this.items;
    return length > SLOTS_KEPT && this.size * SPARSE < length ? Math.min(SPARSE, length - SLOTS_KEPT) : 0;
  }

  /** Drops the last slot. Its item, if it had one, takes another one, and is returned. */
  dropLast(): T | undefined {
    const item = this.items.pop();
    if (item !== undefined) this.#seat(item, this.#takeFree() ?? this.items.length);
    return item;
  }

  *[Symbol.iterator](): Generator<T> {
    for (const item of this.items) if (item !== undefined) yield item;
  }

  #seat(item: T, slot: number): void {
    item.slot = slot;
    if (slot === this.items.length) this.items.push(item);
    else this.items[slot] = item;
  }

  #takeFree(): number | undefined {
    let slot = this.#free.pop();
    // It has been dropped meanwhile, and perhaps come back.
    while (slot !== undefined && (slot >= this.items.length || this.items[slot] !== undefined)) {
      slot = this.#free.pop();
    }
    return slot;
  }
}
