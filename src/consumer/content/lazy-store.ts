import type {
  ObjectCallOptions,
  ObjectInfo,
  ObjectStore,
  ObjectStoreOptions,
} from '../../objects/object-store.ts';
import { openObjectStore } from '../../objects/open.ts';
import type { Clock } from '../../system/time/clock.ts';

/**
 * The object store of a URL, opened with the first call: a constructor cannot wait for what it loads. Only for transfers on
 * the calling thread: of `memory:`, and in a bundle, whose transport thread has no packages, of stores behind a network.
 */
export class LazyStore implements ObjectStore {
  readonly url: string;
  readonly #open: () => Promise<ObjectStore>;
  #store: Promise<ObjectStore> | null = null;

  constructor(url: string, options: ObjectStoreOptions, clock: Clock) {
    this.url = url;
    this.#open = () => openObjectStore(url, options, { clock });
  }

  async put(key: string, body: Uint8Array, options?: ObjectCallOptions): Promise<void> {
    await (await this.#opened()).put(key, body, options);
  }

  async get(key: string, options?: ObjectCallOptions): Promise<Uint8Array> {
    return (await this.#opened()).get(key, options);
  }

  async delete(keys: readonly string[], options?: ObjectCallOptions): Promise<void> {
    await (await this.#opened()).delete(keys, options);
  }

  async *list(folder: string, options?: ObjectCallOptions): AsyncIterable<ObjectInfo> {
    yield* (await this.#opened()).list(folder, options);
  }

  async *listFolders(folder: string, options?: ObjectCallOptions): AsyncIterable<string> {
    yield* (await this.#opened()).listFolders(folder, options);
  }

  async close(): Promise<void> {
    const store = await this.#store?.catch(() => null);
    await store?.close();
  }

  #opened(): Promise<ObjectStore> {
    this.#store ??= this.#open();
    return this.#store;
  }
}
