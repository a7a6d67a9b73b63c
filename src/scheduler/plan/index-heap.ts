import type { ChunkIndex } from '../../model/ids.ts';

/** Chunk indexes, the lowest first out. A binary heap. */
export class IndexHeap {
  readonly #heap: ChunkIndex[] = [];

  get size(): number {
    return this.#heap.length;
  }

  /** The lowest index; undefined if empty. */
  get lowest(): ChunkIndex | undefined {
    return this.#heap[0];
  }

  push(index: ChunkIndex): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(index);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (heap[parent]! <= index) break;
      heap[at] = heap[parent]!;
      at = parent;
    }
    heap[at] = index;
  }

  /** Those of the indexes that are below the bound; they ascend. */
  pushAscending(indexes: Iterable<ChunkIndex>, below: ChunkIndex): void {
    // Without anything in front of them they are a heap as they come.
    const isEmpty = this.#heap.length === 0;
    for (const index of indexes) {
      if (index >= below) return;
      if (isEmpty) this.#heap.push(index);
      else this.push(index);
    }
  }

  /** Takes out the lowest index. */
  pop(): ChunkIndex | undefined {
    const heap = this.#heap;
    const lowest = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return lowest;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1]! < heap[child]!) child++;
      if (heap[child]! >= last) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = last;
    return lowest;
  }

  /** In no particular order. */
  [Symbol.iterator](): IterableIterator<ChunkIndex> {
    return this.#heap[Symbol.iterator]();
  }
}
