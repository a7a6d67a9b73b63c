import { SourceChangedError, SubmissionConflictError } from '../../../model/errors.ts';
import type { ChunkIndex } from '../../../model/ids.ts';
import type { BoundedStore } from '../../../objects/bounded-store.ts';
import { ObjectStoreError } from '../../../objects/errors.ts';
import { digestsKey, disputesKey } from '../../../objects/keys.ts';
import type { Clock } from '../../../system/time/clock.ts';
import { BLOCK_CHUNKS, type ChunkDigest, DigestBlock, type SubmittedRun, sameBytes } from './digest-block.ts';
import { type Disputes, decodeDisputes, encodeDisputes, moreDisputes, NO_DISPUTES } from './disputes.ts';

/**
 * Digests are written this often: what was uploaded since is read and compared by a producer that continues. At a
 * thousand chunks a second, that is a thousand reads.
 */
const SAVE_EVERY_MS = 1_000;
/** An upload that is being continued stays young for `opsqueue gc`, which spares what was written within an hour. */
const TOUCH_EVERY_MS = 600_000;

export interface RunDigestsOptions {
  readonly store: BoundedStore;
  readonly name: string;
  readonly chunkSizeOps: number;
  readonly clock: Clock;
}

/**
 * The digests of the chunks of a named run, in objects beside them. A few blocks are in memory: those of the chunks under
 * way, and those that are to be written.
 */
export class RunDigests {
  readonly #o: RunDigestsOptions;
  readonly #blocks = new Map<number, Promise<DigestBlock>>();
  readonly #dirty = new Set<DigestBlock>();
  #saveAtMs = Number.NEGATIVE_INFINITY;
  #touchAtMs: number;
  #saving: Promise<void> | null = null;
  /** As they were before the first block was loaded. */
  #disputes: Promise<Disputes> | null = null;

  constructor(options: RunDigestsOptions) {
    this.#o = options;
    this.#touchAtMs = options.clock.monotonicMs() + TOUCH_EVERY_MS;
  }

  /**
   * The block with the digest of a chunk.
   *
   * @throws SubmissionConflictError if the chunks have another size
   */
  block(index: ChunkIndex, signal: AbortSignal): Promise<DigestBlock> {
    const number = blockOf(index);
    let block = this.#blocks.get(number);
    if (block === undefined) {
      block = this.#load(number, signal);
      block.catch(() => this.#blocks.delete(number));
      this.#blocks.set(number, block);
    }
    return block;
  }

  /**
   * The upload has failed. Where it has put chunks over those of another producer with another source, nobody can say any more
   * which of them are there: that is noted for the other one, and their digests go.
   */
  async giveUp(signal: AbortSignal): Promise<void> {
    const cleared: DigestBlock[] = [];
    const disputed: ChunkIndex[] = [];
    for (const loading of this.#blocks.values()) {
      const block = await loading;
      const there = block.own.size === 0 ? null : await this.#read(block.number, signal);
      if (there === null) continue;
      const before = disputed.length;
      for (const [index, digest] of block.own) {
        const theirs = there.get(index);
        if (theirs === null || sameBytes(theirs.digest, digest)) continue;
        there.clear(index);
        disputed.push(index);
      }
      if (disputed.length > before) cleared.push(there);
    }
    if (disputed.length === 0) return;
    const { store, name } = this.#o;
    const disputes = moreDisputes(await this.#readDisputes(signal), disputed);
    // First: the other one may be writing digests at this moment, and what is cleared in them comes back.
    await store.put(disputesKey(name), encodeDisputes(disputes), { signal });
    for (const block of cleared) await this.#put(block, signal);
  }

  /** @throws SourceChangedError if another producer has put chunks among those of this upload */
  async expectUndisputed(signal: AbortSignal): Promise<void> {
    const before = await this.#disputesBefore(signal);
    if ((await this.#readDisputes(signal)).count !== before.count) throw this.#madeByTwo(null);
  }

  /** Notes what is in the store. */
  add(block: DigestBlock, index: ChunkIndex, chunk: ChunkDigest): void {
    block.set(index, chunk);
    this.#soil(block);
  }

  /** A chunk is done with; each one once. Writes what is due. */
  async pass(block: DigestBlock, signal: AbortSignal): Promise<void> {
    block.passed++;
    this.#letGo(block);
    const nowMs = this.#o.clock.monotonicMs();
    if (nowMs >= this.#touchAtMs) this.#soil(block);
    if (this.#dirty.size > 0 && nowMs >= this.#saveAtMs && this.#saving === null) await this.save(signal);
  }

  /** Writes all that is new. @throws SourceChangedError if another producer has uploaded other chunks meanwhile */
  async save(signal: AbortSignal): Promise<void> {
    while (this.#saving !== null) await this.#saving.catch(() => {});
    this.#saving = this.#save(signal);
    try {
      await this.#saving;
    } finally {
      this.#saving = null;
    }
  }

  /** Writes a block once more, if there is one, so that nobody takes the run for abandoned. */
  async touch(block: DigestBlock, signal: AbortSignal): Promise<void> {
    if (block.firstKnownFrom(0) !== null) await this.#write(block, signal);
  }

  async submitted(block: DigestBlock, run: SubmittedRun, signal: AbortSignal): Promise<void> {
    block.submitted = run;
    this.#soil(block);
    await this.save(signal);
  }

  #soil(block: DigestBlock): void {
    block.isDirty = true;
    this.#dirty.add(block);
  }

  #letGo(block: DigestBlock): void {
    if (block.passed === BLOCK_CHUNKS && !block.isDirty) this.#blocks.delete(block.number);
  }

  async #save(signal: AbortSignal): Promise<void> {
    for (const block of [...this.#dirty]) {
      this.#dirty.delete(block);
      await this.#write(block, signal);
      this.#letGo(block);
    }
    const nowMs = this.#o.clock.monotonicMs();
    this.#saveAtMs = nowMs + SAVE_EVERY_MS;
    this.#touchAtMs = nowMs + TOUCH_EVERY_MS;
  }

  async #write(block: DigestBlock, signal: AbortSignal): Promise<void> {
    block.isDirty = false;
    // Another producer of the same name may be at work.
    const there = await this.#read(block.number, signal);
    if (there !== null) {
      await this.expectUndisputed(signal);
      // Whose it is that came back, nobody knows; of what this upload has put itself, it still shows that there are two.
      for (const index of (await this.#disputesBefore(signal)).chunks) {
        if (blockOf(index) === block.number && block.get(index) === null) there.clear(index);
      }
      const differing = block.merge(there);
      if (differing !== null) throw this.#madeByTwo(differing);
    }
    await this.#put(block, signal);
  }

  async #put(block: DigestBlock, signal: AbortSignal): Promise<void> {
    await this.#o.store.put(digestsKey(this.#o.name, block.number), block.encode(), { signal });
  }

  #madeByTwo(chunkIndex: ChunkIndex | null): SourceChangedError {
    const which = chunkIndex === null ? 'chunks' : `chunk ${chunkIndex}`;
    const what = `another producer has uploaded other ${which} under this name at the same time`;
    return new SourceChangedError(this.#o.name, chunkIndex, what);
  }

  async #load(number: number, signal: AbortSignal): Promise<DigestBlock> {
    const { name, chunkSizeOps } = this.#o;
    const { chunks } = await this.#disputesBefore(signal);
    const block = await this.#read(number, signal);
    for (const index of chunks) if (blockOf(index) === number) block?.clear(index);
    if (block === null) return new DigestBlock(number, chunkSizeOps);
    if (block.chunkSizeOps === chunkSizeOps) return block;
    const sizes = `in chunks of ${block.chunkSizeOps} operations; now chunkSize is ${chunkSizeOps}`;
    throw new SubmissionConflictError('chunk_size', `run ${JSON.stringify(name)} was uploaded ${sizes}`);
  }

  async #read(number: number, signal: AbortSignal): Promise<DigestBlock | null> {
    const bytes = await this.#get(digestsKey(this.#o.name, number), signal);
    return bytes === null ? null : DigestBlock.decode(number, bytes);
  }

  #disputesBefore(signal: AbortSignal): Promise<Disputes> {
    this.#disputes ??= this.#readDisputes(signal).catch((error: unknown) => {
      this.#disputes = null;
      throw error;
    });
    return this.#disputes;
  }

  async #readDisputes(signal: AbortSignal): Promise<Disputes> {
    const bytes = await this.#get(disputesKey(this.#o.name), signal);
    if (bytes === null) return NO_DISPUTES;
    const disputes = decodeDisputes(bytes);
    if (disputes === null) throw this.#madeByTwo(null);
    return disputes;
  }

  /** null: it is not there. */
  async #get(key: string, signal: AbortSignal): Promise<Uint8Array | null> {
    try {
      return await this.#o.store.get(key, { signal });
    } catch (error) {
      if (error instanceof ObjectStoreError && error.code === 'OBJECT_NOT_FOUND') return null;
      throw error;
    }
  }
}

function blockOf(index: ChunkIndex): number {
  return Math.floor(index / BLOCK_CHUNKS);
}
