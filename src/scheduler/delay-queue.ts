/** Something that waits for its time. */
export interface Delayed {
  readonly dueMs: number;
  /** Breaks ties: the lower one is due first. */
  readonly order: number;
  /** Where it sits in the queue; the queue's own. */
  position: number;
}

/**
 * What is due first comes out first; anything can be taken out before its time. A binary heap in which every
 * item knows its place, so that a cancelled submission leaves nothing behind that waits for hours.
 */
export class DelayQueue<T extends Delayed> {
  readonly #heap: T[] = [];

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
    const heap = this.#heap;
    const at = item.position;
    if (heap[at] !== item) throw new RangeError('not in this queue');
    const last = heap.pop()!;
    if (last === item) return;
    if (at > 0 && isBefore(last, heap[(at - 1) >> 1]!)) this.#rise(at, last);
    else this.#sink(at, last);
  }

  #rise(from: number, item: T): void {
    const heap = this.#heap;
    let at = from;
    while (at > 0) {
      const parent = heap[(at - 1) >> 1]!;
      if (!isBefore(item, parent)) break;
      heap[at] = parent;
      parent.position = at;
      at = (at - 1) >> 1;
    }
    heap[at] = item;
    item.position = at;
  }

  #sink(from: number, item: T): void {
    const heap = this.#heap;
    let at = from;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1]!, heap[child]!)) child++;
      if (!isBefore(heap[child]!, item)) break;
      heap[at] = heap[child]!;
      heap[at]!.position = at;
      at = child;
    }
    heap[at] = item;
    item.position = at;
  }
}

function isBefore(a: Delayed, b: Delayed): boolean {
  return a.dueMs < b.dueMs || (a.dueMs === b.dueMs && a.order < b.order);
}
