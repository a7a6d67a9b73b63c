/** Something that a {@link PlacedHeap} can hold; `place` is the heap's own. */
export interface Placed {
  place: number;
}

/**
 * What comes before all others is at hand; anything can be moved or taken out, because every item knows its place.
 * A binary heap.
 */
export class PlacedHeap<T extends Placed> {
  readonly #heap: T[] = [];
  readonly #isBefore: (a: T, b: T) => boolean;

  constructor(isBefore: (a: T, b: T) => boolean) {
    this.#isBefore = isBefore;
  }

  get size(): number {
    return this.#heap.length;
  }

  get first(): T | undefined {
    return this.#heap[0];
  }

  add(item: T): void {
    this.#heap.push(item);
    this.#rise(this.#heap.length - 1, item);
  }

  remove(item: T): void {
    const at = item.place;
    if (this.#heap[at] !== item) throw new RangeError('not in this heap');
    const last = this.#heap.pop()!;
    if (last !== item) this.#moveTo(at, last);
    item.place = -1;
  }

  /** The item comes earlier or later than it did. */
  update(item: T): void {
    this.#moveTo(item.place, item);
  }

  /** In no particular order. */
  [Symbol.iterator](): IterableIterator<T> {
    return this.#heap[Symbol.iterator]();
  }

  #moveTo(at: number, item: T): void {
    if (at > 0 && this.#isBefore(item, this.#heap[(at - 1) >> 1]!)) this.#rise(at, item);
    else this.#sink(at, item);
  }

  #rise(from: number, item: T): void {
    const heap = this.#heap;
    let at = from;
    while (at > 0) {
      const parent = heap[(at - 1) >> 1]!;
      if (!this.#isBefore(item, parent)) break;
      heap[at] = parent;
      parent.place = at;
      at = (at - 1) >> 1;
    }
    heap[at] = item;
    item.place = at;
  }

  #sink(from: number, item: T): void {
    const heap = this.#heap;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.#isBefore(heap[child + 1]!, heap[child]!)) child++;
      const below = heap[child]!;
      if (!this.#isBefore(below, item)) break;
      heap[at] = below;
      below.place = at;
      at = child;
    }
    heap[at] = item;
    item.place = at;
  }
}
