import type { ChunkIndex } from '../../../model/ids.ts';
import type { BoundedStore } from '../../../objects/bounded-store.ts';
import { inputIndexOf, isOutputName, submissionFolder } from '../../../objects/keys.ts';
import { BLOCK_CHUNKS, keptSize } from './digest-block.ts';

/** Which chunks of a submission are in the object store: four bytes of memory for each. */
export class StoredChunks {
  /** Sizes of inputs plus one; 0 = not there. */
  readonly #pages = new Map<number, Uint32Array>();
  #inputMax: ChunkIndex = -1;
  #outputs = 0;

  static async list(store: BoundedStore, prefix: string, signal: AbortSignal): Promise<StoredChunks> {
    const chunks = new StoredChunks();
    const folder = submissionFolder(prefix);
    for await (const page of store.list(folder, { signal })) {
      for (const { key, sizeBytes } of page) chunks.#add(key.slice(folder.length + 1), sizeBytes);
    }
    return chunks;
  }

  /** How many have an output. */
  get outputs(): number {
    return this.#outputs;
  }

  /** The highest that has an input; -1: none. */
  get inputMax(): ChunkIndex {
    return this.#inputMax;
  }

  /** Of the input as it is stored; null if it is not. */
  inputBytes(index: ChunkIndex): number | null {
    const kept = this.#pages.get(Math.floor(index / BLOCK_CHUNKS))?.[index % BLOCK_CHUNKS] ?? 0;
    return kept === 0 ? null : kept - 1;
  }

  #add(name: string, sizeBytes: number): void {
    if (isOutputName(name)) this.#outputs++;
    const index = inputIndexOf(name);
    if (index === null) return;
    const number = Math.floor(index / BLOCK_CHUNKS);
    let page = this.#pages.get(number);
    if (page === undefined) {
      page = new Uint32Array(BLOCK_CHUNKS);
      this.#pages.set(number, page);
    }
    page[index % BLOCK_CHUNKS] = keptSize(sizeBytes) + 1;
    this.#inputMax = Math.max(this.#inputMax, index);
  }
}
