import type { ChunkIndex } from './ids.ts';

/** Chunks of one page of a {@link ChunkSet}. */
export const PAGE_CHUNKS = 4096;
/** Bytes of one page at most: the last one of a set may be short. */
export const PAGE_BYTES = PAGE_CHUNKS / 8;

const PAGE_MASK = PAGE_CHUNKS - 1;

interface Page {
  /** As many as the page has chunks for: the last page may be short, and most submissions have no other. */
  readonly words: Uint32Array;
  count: number;
}

/** Every chunk of the page is in the set. Shared, never written. */
const FULL = Symbol('full page');
type Slot = Page | typeof FULL | undefined;

/** Pages are kept in blocks of so many, so that a chunk far out costs no slots for all the pages before it. */
const BLOCK_BITS = 10;
const BLOCK_MASK = (1 << BLOCK_BITS) - 1;

/**
 * What a page of a ChunkSet holds: nothing, everything, or these bytes (bit i of byte j = chunk 8j + i), as many as the page has
 * chunks for, {@link PAGE_BYTES} at most. Missing ones are 0.
 */
export type PageContent = 'empty' | 'full' | Uint8Array;

/**
 * A set of chunk indexes below a fixed size: a paged bitmap, in which an empty page and a full page cost one
 * pointer. A submission of ten million chunks costs nothing until it is worked on and next to nothing again
 * when it is done.
 */
export class ChunkSet {
  readonly size: number;
  #blocks: (Slot[] | undefined)[] = [];
  #count = 0;

  constructor(size: number) {
    if (!Number.isSafeInteger(size) || size < 0) throw new RangeError(`size of a ChunkSet: ${size}`);
    this.size = size;
  }

  /** How many chunks are in the set. */
  get count(): number {
    return this.#count;
  }

  get isFull(): boolean {
    return this.#count === this.size;
  }

  /** Number of pages, the last one possibly short. */
  get pagesTotal(): number {
    return Math.ceil(this.size / PAGE_CHUNKS);
  }

  static pageOf(index: ChunkIndex): number {
    return Math.floor(index / PAGE_CHUNKS);
  }

  has(index: ChunkIndex): boolean {
    const slot = this.#slot(ChunkSet.pageOf(index));
    if (slot === undefined) return false;
    if (slot === FULL) return index < this.size;
    const bit = index & PAGE_MASK;
    return (slot.words[bit >>> 5]! & (1 << (bit & 31))) !== 0;
  }

  /** Puts a chunk in; false if it was there. */
  add(index: ChunkIndex): boolean {
    this.#assertInside(index);
    const pageIndex = ChunkSet.pageOf(index);
    let page = this.#slot(pageIndex);
    if (page === FULL) return false;
    if (page === undefined) {
      page = { words: new Uint32Array(wordsFor(this.#pageSize(pageIndex))), count: 0 };
      this.#setSlot(pageIndex, page);
    }
    const bit = index & PAGE_MASK;
    const mask = 1 << (bit & 31);
    const word = page.words[bit >>> 5]!;
    if ((word & mask) !== 0) return false;
    page.words[bit >>> 5] = word | mask;
    page.count++;
    this.#count++;
    if (page.count === this.#pageSize(pageIndex)) this.#setSlot(pageIndex, FULL);
    return true;
  }

  /** Takes a chunk out; false if it was not there. */
  delete(index: ChunkIndex): boolean {
    if (!this.has(index)) return false;
    const pageIndex = ChunkSet.pageOf(index);
    let page = this.#slot(pageIndex)!;
    if (page === FULL) {
      page = fullPage(this.#pageSize(pageIndex));
      this.#setSlot(pageIndex, page);
    }
    const bit = index & PAGE_MASK;
    page.words[bit >>> 5]! &= ~(1 << (bit & 31));
    page.count--;
    this.#count--;
    if (page.count === 0) this.#setSlot(pageIndex, undefined);
    return true;
  }

  /** The lowest index >= `from` that is not in the set; `size` if there is none. */
  nextMissing(from: ChunkIndex): ChunkIndex {
    let index = from;
    while (index < this.size) {
      const pageIndex = ChunkSet.pageOf(index);
      const page = this.#slot(pageIndex);
      if (page === undefined) return index;
      if (page !== FULL) {
        const found = firstZero(page.words, index & PAGE_MASK);
        if (found < PAGE_CHUNKS) return Math.min(pageIndex * PAGE_CHUNKS + found, this.size);
      }
      index = (pageIndex + 1) * PAGE_CHUNKS;
    }
    return this.size;
  }

  /** How many chunks from `from` on, and below `to`, are in the set. */
  countIn(from: ChunkIndex, to: ChunkIndex): number {
    let count = 0;
    for (let index = from; index < to; ) {
      const pageIndex = ChunkSet.pageOf(index);
      const pageEnd = Math.min(this.size, (pageIndex + 1) * PAGE_CHUNKS);
      const end = Math.min(to, pageEnd);
      const page = this.#slot(pageIndex);
      if (page === FULL) count += end - index;
      else if (page !== undefined) {
        const isWhole = end === pageEnd && index % PAGE_CHUNKS === 0;
        count += isWhole
          ? page.count
          : countBits(page.words, index & PAGE_MASK, end - pageIndex * PAGE_CHUNKS);
      }
      index = (pageIndex + 1) * PAGE_CHUNKS;
    }
    return count;
  }

  /** The content of a page, copied. */
  page(pageIndex: number): PageContent {
    const page = this.#slot(pageIndex);
    if (page === undefined) return 'empty';
    if (page === FULL) return 'full';
    const { words } = page;
    const bytes = new Uint8Array(bytesFor(this.#pageSize(pageIndex)));
    if (bytes.length > SMALL_BYTES) {
      // The words are little-endian on every platform that Node runs on.
      bytes.set(new Uint8Array(words.buffer, words.byteOffset, bytes.length));
    } else {
      for (let i = 0; i < bytes.length; i++) bytes[i] = words[i >>> 2]! >>> ((i & 3) << 3);
    }
    return bytes;
  }

  /** Replaces a page; `content` is copied. Bits beyond the size must be 0. */
  setPage(pageIndex: number, content: PageContent): void {
    const size = this.#pageSize(pageIndex);
    if (size <= 0) throw new RangeError(`page ${pageIndex} of a ChunkSet of ${this.size}`);
    const before = this.#slot(pageIndex);
    const countBefore = before === undefined ? 0 : before === FULL ? size : before.count;
    if (content === 'empty' || content === 'full') {
      this.#setSlot(pageIndex, content === 'full' ? FULL : undefined);
      this.#count += (content === 'full' ? size : 0) - countBefore;
      return;
    }
    if (content.length > PAGE_BYTES) throw new RangeError(`a page of ${content.length} bytes`);
    const words = new Uint32Array(wordsFor(size));
    for (let i = 0; i < content.length; i++) {
      const byte = content[i]!;
      const chunks = size - i * 8;
      if (chunks < 8 && (chunks <= 0 ? byte : byte >>> chunks) !== 0) {
        throw new RangeError(`page ${pageIndex} has chunks beyond the size ${this.size}`);
      }
      if (byte !== 0) words[i >>> 2]! |= byte << ((i & 3) << 3);
    }
    const count = popCount(words);
    this.#setSlot(pageIndex, count === 0 ? undefined : count === size ? FULL : { words, count });
    this.#count += count - countBefore;
  }

  /** The lowest page >= `from` with a chunk in the set; `pagesTotal` if there is none. */
  nextPage(from: number): number {
    for (let pageIndex = from; pageIndex < this.pagesTotal; pageIndex++) {
      const block = this.#blocks[pageIndex >>> BLOCK_BITS];
      if (block === undefined) pageIndex |= BLOCK_MASK;
      else if (block[pageIndex & BLOCK_MASK] !== undefined) return pageIndex;
    }
    return this.pagesTotal;
  }

  /** Every index in the set, ascending. */
  *[Symbol.iterator](): Generator<ChunkIndex> {
    for (
      let pageIndex = this.nextPage(0);
      pageIndex < this.pagesTotal;
      pageIndex = this.nextPage(pageIndex + 1)
    ) {
      const page = this.#slot(pageIndex)!;
      const base = pageIndex * PAGE_CHUNKS;
      const size = this.#pageSize(pageIndex);
      for (let bit = 0; bit < size; bit++) {
        if (page === FULL || (page.words[bit >>> 5]! & (1 << (bit & 31))) !== 0) yield base + bit;
      }
    }
  }

  #pageSize(pageIndex: number): number {
    return Math.min(PAGE_CHUNKS, this.size - pageIndex * PAGE_CHUNKS);
  }

  #slot(pageIndex: number): Slot {
    return this.#blocks[pageIndex >>> BLOCK_BITS]?.[pageIndex & BLOCK_MASK];
  }

  #setSlot(pageIndex: number, slot: Slot): void {
    const blockIndex = pageIndex >>> BLOCK_BITS;
    fillUpTo(this.#blocks, blockIndex + 1);
    const block = this.#blocks[blockIndex] ?? [];
    this.#blocks[blockIndex] = block;
    fillUpTo(block, pageIndex & BLOCK_MASK);
    block[pageIndex & BLOCK_MASK] = slot;
  }

  #assertInside(index: ChunkIndex): void {
    if (!(index >= 0 && index < this.size)) throw new RangeError(`chunk ${index} of ${this.size}`);
  }
}

/** One by one: a hole would turn the array into a slow dictionary. */
function fillUpTo(list: unknown[], length: number): void {
  while (list.length < length) list.push(undefined);
}

function wordsFor(chunks: number): number {
  return (chunks + 31) >>> 5;
}

/** V8 makes the buffer of so small an array when it is first asked for, which takes longer than to copy it one by one. */
const SMALL_BYTES = 64;

function bytesFor(chunks: number): number {
  return (chunks + 7) >>> 3;
}

function fullPage(size: number): Page {
  const words = new Uint32Array(wordsFor(size));
  words.fill(0xffff_ffff, 0, size >>> 5);
  if ((size & 31) !== 0) words[size >>> 5] = 2 ** (size & 31) - 1;
  return { words, count: size };
}

function firstZero(words: Uint32Array, from: number): number {
  let word = from >>> 5;
  let free = ~words[word]! & (-1 << (from & 31));
  while (free === 0) {
    if (++word >= words.length) return PAGE_CHUNKS;
    free = ~words[word]!;
  }
  return word * 32 + (31 - Math.clz32(free & -free));
}

function popCount(words: Uint32Array): number {
  let count = 0;
  for (const word of words) count += bitsOf(word);
  return count;
}

/** Of the bits from `from` on, and below `to`, as many as are set. */
function countBits(words: Uint32Array, from: number, to: number): number {
  const last = (to - 1) >>> 5;
  const tail = 0xffff_ffff >>> (31 - ((to - 1) & 31));
  let word = from >>> 5;
  let bits = words[word]! & (-1 << (from & 31));
  let count = 0;
  for (; word < last; bits = words[++word]!) count += bitsOf(bits);
  return count + bitsOf(bits & tail);
}

function bitsOf(bits: number): number {
  const pairs = bits - ((bits >>> 1) & 0x5555_5555);
  const fours = (pairs & 0x3333_3333) + ((pairs >>> 2) & 0x3333_3333);
  return Math.imul((fours + (fours >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
