import { SourceChangedError } from '../../../model/errors.ts';
import type { ChunkIndex } from '../../../model/ids.ts';
import type { BoundedStore } from '../../../objects/bounded-store.ts';
import { ObjectStoreError } from '../../../objects/errors.ts';
import { chunkKey } from '../../../objects/keys.ts';
import { decompressChunk, isCompressedChunk } from '../../../protocol/chunk/compression.ts';
import type { UploadGuard } from '../upload.ts';
import { type DigestBlock, digestOf, keptSize, sameBytes } from './digest-block.ts';
import type { RunDigests } from './digests.ts';
import type { StoredChunks } from './stored-chunks.ts';

export interface RunGuardOptions {
  readonly store: BoundedStore;
  readonly name: string;
  readonly digests: RunDigests;
  /** What is in the object store; null for a submission that is on the queue: then all of it must be. */
  readonly stored: StoredChunks | null;
  /** Of a submission that is on the queue. */
  readonly chunksTotal: number | null;
}

type Comparison = 'there' | 'missing' | 'differs';

interface Chunk {
  readonly index: ChunkIndex;
  readonly content: Uint8Array;
  readonly digest: Uint8Array;
  readonly signal: AbortSignal;
}

/**
 * Compares the chunks of a source with those that an earlier producer of the same run has uploaded, and lets only those
 * be put that are missing. None is put before all in front of it were found to be the same: chunks of a changed
 * source must not get among the others.
 */
export class RunGuard implements UploadGuard {
  readonly #o: RunGuardOptions;
  #chunksTotal: number | null;
  /** All chunks so far are missing or the same. */
  #checked: Promise<void> = Promise.resolve();

  constructor(options: RunGuardOptions) {
    this.#o = options;
    this.#chunksTotal = options.chunksTotal;
  }

  async chunk(
    index: ChunkIndex,
    content: Uint8Array,
    put: () => Promise<number>,
    signal: AbortSignal,
  ): Promise<void> {
    const { digests } = this.#o;
    // Now: a store may transfer the content.
    const digest = digestOf(content);
    const checking = this.#check({ index, content, digest, signal }, this.#checked);
    this.#checked = checking.then(() => {});
    this.#checked.catch(() => {});
    const { block, isThere } = await checking;
    if (!isThere) {
      block.own.set(index, digest);
      digests.add(block, index, { digest, sizeBytes: await put() });
    }
    await digests.pass(block, signal);
  }

  /** After the last chunk: the digests of all are written. @throws SourceChangedError if there were more of them before */
  async finish(count: number, signal: AbortSignal): Promise<void> {
    const { name, stored, digests } = this.#o;
    const next = (await digests.block(count, signal)).firstKnownFrom(count);
    const before = Math.max(this.#chunksTotal ?? 0, (stored?.inputMax ?? -1) + 1, (next ?? -1) + 1);
    if (before <= count) {
      await digests.save(signal);
      if (stored !== null) await digests.expectUndisputed(signal);
      return;
    }
    throw new SourceChangedError(
      name,
      count,
      `it ended before chunk ${count}; there were ${before} chunks or more`,
    );
  }

  /** After a failure, when nothing is under way any more. */
  giveUp(signal: AbortSignal): Promise<void> {
    return this.#o.digests.giveUp(signal);
  }

  async #check(chunk: Chunk, before: Promise<void>): Promise<{ block: DigestBlock; isThere: boolean }> {
    const { name, digests } = this.#o;
    const { index, signal } = chunk;
    const block = await digests.block(index, signal);
    this.#chunksTotal ??= block.submitted?.chunksTotal ?? null;
    const isBeyond = this.#chunksTotal !== null && index >= this.#chunksTotal;
    const found = isBeyond ? 'differs' : await this.#compare(chunk, block);
    // The first difference is the one to report.
    await before;
    if (found !== 'differs') return { block, isThere: found === 'there' };
    const what = isBeyond ? `there were ${index} chunks, and it has more` : `chunk ${index} differs`;
    throw new SourceChangedError(name, index, what);
  }

  #compare(chunk: Chunk, block: DigestBlock): Comparison | Promise<Comparison> {
    const { stored } = this.#o;
    const known = block.get(chunk.index);
    if (known !== null && !sameBytes(known.digest, chunk.digest)) return 'differs';
    if (stored === null) return known === null ? this.#compareContent(chunk, block) : 'there';
    const bytes = stored.inputBytes(chunk.index);
    if (bytes === null) return 'missing';
    if (known === null) return this.#compareContent(chunk, block);
    // A power failure may have shortened what was written.
    return keptSize(bytes) === known.sizeBytes ? 'there' : 'missing';
  }

  /** Of a chunk whose digest was not written yet when its producer died. */
  async #compareContent(chunk: Chunk, block: DigestBlock): Promise<Comparison> {
    const { store, name, stored, digests } = this.#o;
    const { index, content, digest, signal } = chunk;
    const there = await store.get(chunkKey(name, index, 'in'), { signal }).catch((error: unknown) => {
      if (!(error instanceof ObjectStoreError) || error.code !== 'OBJECT_NOT_FOUND') throw error;
      if (stored !== null) return null;
      const why = `the chunks of run ${JSON.stringify(name)} were removed (cleanup, delete(), opsqueue gc), so that the source cannot be compared with them: give this run another name`;
      throw error.with({ message: `${error.message}; ${why}` });
    });
    if (there === null) return 'missing';
    const unpacked = await unpack(there);
    if (unpacked !== null && sameBytes(unpacked, content)) {
      digests.add(block, index, { digest, sizeBytes: there.length });
      return 'there';
    }
    const isTorn = unpacked === null || isBeginning(unpacked, content);
    return stored !== null && isTorn ? 'missing' : 'differs';
  }
}

/** null: it is damaged. */
async function unpack(content: Uint8Array): Promise<Uint8Array | null> {
  if (!isCompressedChunk(content)) return content;
  return decompressChunk(content).catch(() => null);
}

/** Whether it is what a power failure leaves of a file: the beginning, and perhaps zeros after that. */
function isBeginning(bytes: Uint8Array, of: Uint8Array): boolean {
  let length = Math.min(bytes.length, of.length);
  if (bytes.length > of.length) return false;
  while (length > 0 && bytes[length - 1] === 0) length--;
  return sameBytes(bytes.subarray(0, length), of.subarray(0, length));
}
