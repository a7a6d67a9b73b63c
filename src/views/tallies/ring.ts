/** The last so many of what is numbered from 1. */
export class Ring<T> {
  readonly #capacity: number;
  readonly #items: T[] = [];
  #lastSeq = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Of the last one; 0 if there was none yet. */
  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Of the oldest that is kept; above `lastSeq` if there is none. */
  get firstSeq(): number {
    return this.#lastSeq - this.#items.length + 1;
  }

  get size(): number {
    return this.#items.length;
  }

  /** Returns what made room. */
  push(item: T): T | undefined {
    const at = this.#lastSeq % this.#capacity;
    const gone = this.#items[at];
    this.#items[at] = item;
    this.#lastSeq++;
    return gone;
  }

  /** undefined: it is forgotten, or yet to come. */
  at(seq: number): T | undefined {
    if (seq < this.firstSeq || seq > this.#lastSeq) return undefined;
    return this.#items[(seq - 1) % this.#capacity];
  }
}
