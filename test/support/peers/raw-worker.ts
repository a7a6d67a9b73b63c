import { chunkKey } from '../../../src/objects/keys.ts';
import type { ObjectStore } from '../../../src/objects/object-store.ts';
import { cborChunkCodec } from '../../../src/protocol/chunk/codec.ts';
import { decompressChunk, isCompressedChunk } from '../../../src/protocol/chunk/compression.ts';
import type { ReservedChunkMessage } from '../../../src/protocol/consumer/types.ts';
import { ConsumerPeer } from './consumer-peer.ts';

const codec = cborChunkCodec();

/** A consumer in a few lines, without threads, for tests of the producer. An operation that throws fails its chunk. */
export class RawWorker implements AsyncDisposable {
  readonly #peer: ConsumerPeer;
  readonly #store: ObjectStore | null;
  readonly #operation: (op: unknown) => unknown;
  readonly #working: Promise<void>;

  private constructor(peer: ConsumerPeer, store: ObjectStore | null, operation: (op: unknown) => unknown) {
    this.#peer = peer;
    this.#store = store;
    this.#operation = operation;
    this.#working = this.#work();
  }

  static async start(
    port: number,
    store: ObjectStore | null,
    operation: (op: unknown) => unknown,
  ): Promise<RawWorker> {
    return new RawWorker(await ConsumerPeer.connect(port), store, operation);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#peer.cut();
    await this.#working;
  }

  async #work(): Promise<void> {
    while (this.#peer.closed === null) {
      const chunks = await this.#peer.reserved(16).catch(() => []);
      for (const chunk of chunks) await this.#one(chunk);
    }
  }

  async #one({ chunk, inputContent, submission }: ReservedChunkMessage): Promise<void> {
    try {
      const { prefix } = submission;
      if (prefix === null || this.#store === null) {
        this.#peer.complete(chunk, await this.#output(inputContent ?? new Uint8Array(0)));
        return;
      }
      const input = await this.#store.get(chunkKey(prefix, chunk.chunkIndex, 'in'));
      await this.#store.put(chunkKey(prefix, chunk.chunkIndex, 'out'), await this.#output(input));
      this.#peer.complete(chunk);
    } catch (error) {
      this.#peer.fail(chunk, error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
  }

  async #output(input: Uint8Array): Promise<Uint8Array> {
    const content = isCompressedChunk(input) ? await decompressChunk(input) : input;
    return codec.encode(codec.decode(content).map(this.#operation));
  }
}
