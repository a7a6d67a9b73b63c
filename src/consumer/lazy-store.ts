import type {
  ObjectCallOptions,
  ObjectInfo,
  ObjectStore,
  ObjectStoreOptions,
} from '../objects/object-store.ts';
import { openObjectStore } from '../objects/open.ts';
import type { Clock } from '../system/clock.ts';

/** An object store that is opened with the first call, or one that the user opened (and closes). */
export class LazyStore implements ObjectStore {
  readonly url: string;
  readonly #open: () => Promise<ObjectStore>;
  readonly #isOwned: boolean;
  #store: Promise<ObjectStore> | null = null;

  constructor(store: string | ObjectStore, options: ObjectStoreOptions, clock: Clock) {
    this.#isOwned = typeof store === 'string';
    this.url = typeof store === 'string' ? store : store.url;
    this.#open =
      typeof store === 'string'
        ? () => openObjectStore(store, options, { clock })
        : () => Promise.resolve(store);
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
    if (this.#isOwned) await store?.close();
  }

  #opened(): Promise<ObjectStore> {
    this.#store ??= this.#open();
    return this.#store;
  }
}
