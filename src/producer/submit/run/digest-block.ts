import { hash } from 'node:crypto';
import { isObject } from '../../../model/check.ts';
import type { ChunkIndex } from '../../../model/ids.ts';
import { isUint8Array } from '../../../model/kinds.ts';
import { decodeRecord, encodeRecord } from './stored-record.ts';

/** Chunks whose digests are in one object. */
export const BLOCK_CHUNKS = 4096;
/** Of SHA-256, whose first bytes are enough: nobody is to be deceived, only a difference noticed. */
const DIGEST_BYTES = 16;
/** A digest, and the size of the object in four bytes; all 0 = not known. */
const RECORD_BYTES = DIGEST_BYTES + 4;
/** Larger ones count as this: one more must fit four bytes, too. */
const SIZE_MAX = 2 ** 32 - 2;

/** What is known of a chunk that is in the object store. */
export interface ChunkDigest {
  readonly digest: Uint8Array;
  /** As it is stored, compressed or not. */
  readonly sizeBytes: number;
}

/** How a run was submitted: in its last block, once it was. */
export interface SubmittedRun {
  readonly id: string;
  readonly chunksTotal: number;
  /** Digest of the submission's metadata; null if it has none. */
  readonly metadata: Uint8Array | null;
}

/** The digest of what a chunk contains, before it is compressed. */
export function digestOf(content: Uint8Array): Uint8Array {
  return hash('sha256', content, 'buffer').subarray(0, DIGEST_BYTES);
}

export function sameBytes(a: Uint8Array | null, b: Uint8Array | null): boolean {
  return a === null || b === null ? a === b : Buffer.compare(a, b) === 0;
}

/** A size as it is kept. */
export function keptSize(bytes: number): number {
  return Math.min(bytes, SIZE_MAX);
}

/** The digests of {@link BLOCK_CHUNKS} chunks that follow each other: one object, kept beside the chunks. */
export class DigestBlock {
  readonly number: number;
  /** Operations per chunk. */
  readonly chunkSizeOps: number;
  submitted: SubmittedRun | null = null;
  /** Something in it is not in the store yet. */
  isDirty = false;
  /** Digests of chunks that this upload puts or has put, whoever's are in the store. */
  readonly own = new Map<ChunkIndex, Uint8Array>();
  /** Chunks of it that this upload is done with. */
  passed = 0;
  readonly #records = Buffer.alloc(BLOCK_CHUNKS * RECORD_BYTES);
  /** Records up to the last that is known. */
  #length = 0;

  constructor(number: number, chunkSizeOps: number) {
    this.number = number;
    this.chunkSizeOps = chunkSizeOps;
  }

  /** null: damaged, or of a version that is not known; then it counts as missing, and chunks are compared byte by byte. */
  static decode(number: number, bytes: Uint8Array): DigestBlock | null {
    const { chunkSize, records, submitted } = decodeRecord(bytes) ?? {};
    if (!Number.isSafeInteger(chunkSize) || !isUint8Array(records)) return null;
    if (records.length % RECORD_BYTES !== 0 || records.length > BLOCK_CHUNKS * RECORD_BYTES) return null;
    const block = new DigestBlock(number, Number(chunkSize));
    block.#records.set(records);
    block.#length = records.length / RECORD_BYTES;
    block.submitted = submittedOf(submitted);
    return block;
  }

  encode(): Uint8Array {
    const records = this.#records.subarray(0, this.#length * RECORD_BYTES);
    const { chunkSizeOps, submitted } = this;
    return encodeRecord({ chunkSize: chunkSizeOps, records, submitted });
  }

  /** null: not known. */
  get(index: ChunkIndex): ChunkDigest | null {
    const at = index % BLOCK_CHUNKS;
    const digest = this.#records.subarray(at * RECORD_BYTES, at * RECORD_BYTES + DIGEST_BYTES);
    if (at >= this.#length || digest.every((byte) => byte === 0)) return null;
    return { digest, sizeBytes: this.#records.readUInt32LE(at * RECORD_BYTES + DIGEST_BYTES) };
  }

  set(index: ChunkIndex, { digest, sizeBytes }: ChunkDigest): void {
    const at = index % BLOCK_CHUNKS;
    this.#records.set(digest, at * RECORD_BYTES);
    this.#records.writeUInt32LE(keptSize(sizeBytes), at * RECORD_BYTES + DIGEST_BYTES);
    this.#length = Math.max(this.#length, at + 1);
  }

  clear(index: ChunkIndex): void {
    const at = (index % BLOCK_CHUNKS) * RECORD_BYTES;
    this.#records.fill(0, at, at + RECORD_BYTES);
  }

  /** The first chunk from `index` on of which something is known; null if there is none. */
  firstKnownFrom(index: ChunkIndex): ChunkIndex | null {
    const first = this.number * BLOCK_CHUNKS;
    for (let each = Math.max(index, first); each < first + this.#length; each++) {
      if (this.get(each) !== null) return each;
    }
    return null;
  }

  /** Takes over what another one knows. Returns the first chunk of which they differ; null if there is none. */
  merge(other: DigestBlock): ChunkIndex | null {
    const first = this.number * BLOCK_CHUNKS;
    for (let index = first; index < first + other.#length; index++) {
      const theirs = other.get(index);
      if (theirs === null) continue;
      const mine = this.get(index);
      if (mine === null) this.set(index, theirs);
      else if (!sameBytes(mine.digest, theirs.digest)) return index;
    }
    this.submitted ??= other.submitted;
    return null;
  }
}

function submittedOf(value: unknown): SubmittedRun | null {
  if (!isObject(value)) return null;
  const { id, chunksTotal, metadata } = value;
  if (typeof id !== 'string' || !/^[0-9]{1,19}$/.test(id) || !Number.isSafeInteger(chunksTotal)) return null;
  return { id, chunksTotal: Number(chunksTotal), metadata: isUint8Array(metadata) ? metadata : null };
}
