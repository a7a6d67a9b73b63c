/** Entries of a part before the next one begins: a hash table of as many grows in a fraction of a millisecond. */
const PART_SIZE = 8_192;

interface Part<V> {
  /** No key of this part is lower, none of those before it as high. Means nothing in the first part. */
  low: bigint;
  /** Of all keys since it was empty. */
  highest: bigint;
  /** Whether `entries` are in the order of their keys. */
  isAscending: boolean;
  readonly entries: Map<bigint, V>;
  /** Stays when the part goes: that is how an iterator that stands in it goes on. */
  next: Part<V> | null;
}

/**
 * A map with bigints as keys, in ascending order, for numbers of entries at which one hash table would hold up the event
 * loop: when a `Map` grows beyond 131 072 entries it moves all of them, for 15 ms and more. Here as many small tables
 * follow one another. It is made for keys that come in nearly ascending order, such as ids; others cost a sort now and then.
 */
export class SortedMap<V> {
  readonly #partSize: number;
  #first: Part<V> = newPart(0n);
  /** Null while there is only the first one, of which there are many thousands. */
  #parts: Part<V>[] | null = null;
  #size = 0;

  /** `partSize` is for tests. */
  constructor(partSize = PART_SIZE) {
    this.#partSize = partSize;
  }

  get size(): number {
    return this.#size;
  }

  has(key: bigint): boolean {
    return this.#partOf(key).entries.has(key);
  }

  get(key: bigint): V | undefined {
    return this.#partOf(key).entries.get(key);
  }

  set(key: bigint, value: V): void {
    let part = this.#partOf(key);
    if (part.next === null && part.entries.size >= this.#partSize && key > part.highest) {
      part = this.#insertAfter(part, key);
    }
    const { entries } = part;
    const sizeBefore = entries.size;
    entries.set(key, value);
    if (entries.size === sizeBefore) return;
    this.#size++;
    if (sizeBefore === 0) part.isAscending = true;
    else if (key < part.highest) part.isAscending = false;
    if (sizeBefore === 0 || key > part.highest) part.highest = key;
    if (entries.size > 2 * this.#partSize) this.#split(part);
  }

  delete(key: bigint): boolean {
    const part = this.#partOf(key);
    if (!part.entries.delete(key)) return false;
    this.#size--;
    if (part.entries.size === 0 && part.next !== null) this.#remove(part, part.next);
    return true;
  }

  /**
   * In the order of the keys. Entries may come and go meanwhile: those that are there all the time are found once, those
   * that come are perhaps found.
   */
  *values(): Generator<V, void> {
    let last: bigint | null = null;
    for (let part: Part<V> | null = this.#first; part !== null; part = part.next) {
      for (const [key, value] of part.isAscending ? part.entries : sorted(part.entries)) {
        // Found before, in a part that was split since.
        if (last !== null && key <= last) continue;
        last = key;
        yield value;
      }
    }
  }

  /** The same from the highest key down. Entries that go before they are come to are not found. */
  *descending(): Generator<V, void> {
    let below: bigint | null = null;
    for (;;) {
      const part: Part<V> = below === null ? (this.#parts?.at(-1) ?? this.#first) : this.#partOf(below - 1n);
      const { low } = part;
      const isFirst = part === this.#first;
      const keys = [...part.entries.keys()];
      if (!part.isAscending) keys.sort((a, b) => (a < b ? -1 : 1));
      for (const key of keys.reverse()) {
        if (below !== null && key >= below) continue;
        below = key;
        // It may be in another part by now.
        const value = this.get(key);
        if (value !== undefined) yield value;
      }
      if (isFirst) return;
      below = low;
    }
  }

  #partOf(key: bigint): Part<V> {
    const parts = this.#parts;
    if (parts === null) return this.#first;
    return parts[indexOf(parts, key)]!;
  }

  #insertAfter(part: Part<V>, low: bigint): Part<V> {
    const added = newPart<V>(low);
    added.next = part.next;
    part.next = added;
    this.#parts ??= [this.#first];
    this.#parts.splice(this.#parts.indexOf(part) + 1, 0, added);
    return added;
  }

  /** Not the last one. */
  #remove(part: Part<V>, next: Part<V>): void {
    const parts = this.#parts!;
    const at = parts.indexOf(part);
    if (at === 0) this.#first = next;
    else parts[at - 1]!.next = next;
    if (parts.length === 2) this.#parts = null;
    else parts.splice(at, 1);
  }

  /** The upper half gets a part of its own. */
  #split(part: Part<V>): void {
    const upper = sorted(part.entries).slice(this.#partSize);
    const added = this.#insertAfter(part, upper[0]![0]);
    for (const [key, value] of upper) {
      part.entries.delete(key);
      added.entries.set(key, value);
    }
    added.highest = upper.at(-1)![0];
  }
}

function newPart<V>(low: bigint): Part<V> {
  return { low, highest: low, isAscending: true, entries: new Map(), next: null };
}

/** Of the last part that does not begin above `key`. */
function indexOf(parts: readonly Part<unknown>[], key: bigint): number {
  let at = 0;
  for (let end = parts.length; end - at > 1; ) {
    const middle = (at + end) >>> 1;
    if (parts[middle]!.low <= key) at = middle;
    else end = middle;
  }
  return at;
}

function sorted<V>(entries: ReadonlyMap<bigint, V>): (readonly [bigint, V])[] {
  return [...entries].sort(([a], [b]) => (a < b ? -1 : 1));
}
