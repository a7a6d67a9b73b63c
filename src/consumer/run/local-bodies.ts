import { Semaphore } from '../../system/async/semaphore.ts';
import { type ChunkBodies, NoObjectStoreError } from '../content/bodies.ts';
import type { Handle, HeldChunk, RunDemand, TransferTimes } from '../thread/protocol.ts';
import type { ChunkJob } from './job.ts';

/** Bodies that are read and written on the calling thread, because the transport thread cannot: of a bounded size together. */
export class LocalBodies {
  /** null: the transport thread does it, or the consumer has no object store. */
  readonly #bodies: ChunkBodies | null;
  readonly #demand: RunDemand;
  readonly #bytes: Semaphore;
  readonly #held = new Map<Handle, number>();

  constructor(bodies: ChunkBodies | null, demand: RunDemand) {
    this.#bodies = bodies;
    this.#demand = demand;
    this.#bytes = new Semaphore(demand.memoryBytesMax);
  }

  /** Whether the result of a chunk is written here. */
  areWritten(prefix: string | null): prefix is string {
    return this.#bodies !== null && prefix !== null;
  }

  /** The chunk with its input. */
  async read({ held, signal }: ChunkJob): Promise<HeldChunk> {
    const { handle, chunk, submission } = held;
    if (this.#bodies === null || submission.prefix === null) throw new NoObjectStoreError();
    // How much room it takes is known only when it is read.
    await this.#bytes.take(0);
    const address = { prefix: submission.prefix, chunkIndex: chunk.chunkIndex };
    const { content, times } = await this.#bodies.read(address, signal);
    this.#hold(handle, content.length);
    return { ...held, input: content, download: times };
  }

  write({ held, signal }: ChunkJob, prefix: string, output: Uint8Array): Promise<TransferTimes> {
    if (this.#bodies === null) return Promise.reject(new NoObjectStoreError());
    this.#hold(held.handle, output.length);
    const address = { prefix, chunkIndex: held.chunk.chunkIndex };
    return this.#bodies.write(address, output, this.#demand.compression, signal);
  }

  /** The chunk takes no room any more. */
  leave(handle: Handle): void {
    const bytes = this.#held.get(handle) ?? 0;
    this.#held.delete(handle);
    // Also where it took none: it may have been let in before another one.
    this.#bytes.give(bytes);
  }

  #hold(handle: Handle, bytes: number): void {
    this.#bytes.add(bytes - (this.#held.get(handle) ?? 0));
    this.#held.set(handle, bytes);
  }
}
