import { ObjectStoreError } from '../errors.ts';
import type { ObjectCallOptions, ObjectInfo, ObjectStore } from '../object-store.ts';
import type { ObjectBackend } from './backend.ts';

/** Never aborts: for calls without a signal. */
const NEVER = new AbortController().signal;
/** Batches of a deletion that run at once. */
const DELETIONS_AT_ONCE = 4;

/** An ObjectStore on a backend: keys become names below the base path, lists become pages, deletions batches. */
export class RemoteStore implements ObjectStore {
  readonly url: string;
  readonly #backend: ObjectBackend;
  readonly #root: string;
  readonly #pageMax: number;
  #closing: Promise<void> | null = null;

  /** @param baseName the base path as it stands in front of every name; `''` for none */
  constructor(url: string, baseName: string, backend: ObjectBackend, pageMax = 1_000) {
    this.url = url;
    this.#backend = backend;
    this.#pageMax = pageMax;
    this.#root = baseName === '' ? '' : `${baseName}/`;
  }

  put(key: string, body: Uint8Array, options?: ObjectCallOptions): Promise<void> {
    return this.#call(key, () => this.#backend.put(this.#root + key, body, options?.signal ?? NEVER));
  }

  get(key: string, options?: ObjectCallOptions): Promise<Uint8Array> {
    return this.#call(key, () => this.#backend.get(this.#root + key, options?.signal ?? NEVER));
  }

  async delete(keys: readonly string[], options?: ObjectCallOptions): Promise<void> {
    const batches: (readonly string[])[] = [];
    for (let i = 0; i < keys.length; i += this.#backend.deleteMax) {
      batches.push(keys.slice(i, i + this.#backend.deleteMax));
    }
    const queue = batches.values();
    const signal = options?.signal ?? NEVER;
    await Promise.all(
      Array.from({ length: Math.min(DELETIONS_AT_ONCE, batches.length) }, async () => {
        for (const batch of queue) {
          await this.#call(batch[0] ?? '', () =>
            this.#backend.delete(
              batch.map((key) => this.#root + key),
              signal,
            ),
          );
        }
      }),
    );
  }

  async *list(folder: string, options?: ObjectCallOptions): AsyncGenerator<ObjectInfo> {
    for await (const page of this.#pages(folder, false, options)) {
      for (const object of page.objects) yield { ...object, key: object.key.slice(this.#root.length) };
    }
  }

  async *listFolders(folder: string, options?: ObjectCallOptions): AsyncGenerator<string> {
    for await (const page of this.#pages(folder, true, options)) yield* page.folders;
  }

  close(): Promise<void> {
    this.#closing ??= this.#backend.close();
    return this.#closing;
  }

  async *#pages(folder: string, folders: boolean, options: ObjectCallOptions | undefined) {
    const start = this.#root + (folder === '' ? '' : `${folder}/`);
    let token: unknown;
    do {
      const query = { start, folders, pageMax: this.#pageMax, token };
      const page = await this.#call(folder, () => this.#backend.list(query, options?.signal ?? NEVER));
      yield page;
      token = page.token;
    } while (token !== undefined);
  }

  /** Errors of backends name the whole name; those of a store name the key that its caller gave. */
  async #call<T>(key: string, run: () => Promise<T>): Promise<T> {
    if (this.#closing !== null) {
      throw new ObjectStoreError('OBJECT_FAILED', key, `object ${key}: the store ${this.url} is closed`);
    }
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof ObjectStoreError) || error.key === key) throw error;
      throw new ObjectStoreError(error.code, this.#keyOf(error.key, key), `${error.message} [${this.url}]`, {
        cause: error.cause ?? error,
        ...(error.status === null ? {} : { status: error.status }),
      });
    }
  }

  #keyOf(name: string, fallback: string): string {
    return name.startsWith(this.#root) ? name.slice(this.#root.length) : fallback;
  }
}
