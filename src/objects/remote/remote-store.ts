import { linkedSignal } from '../../system/async/abort-signals.ts';
import { ObjectStoreError } from '../errors.ts';
import type { ObjectCallOptions, ObjectInfo, ObjectStore } from '../object-store.ts';
import type { ObjectBackend } from './backend.ts';

/** Batches of a deletion that run at once. */
const DELETIONS_AT_ONCE = 4;

/** An ObjectStore on a backend: keys become names below the base path, lists become pages, deletions batches. */
export class RemoteStore implements ObjectStore {
  readonly url: string;
  readonly #backend: ObjectBackend;
  readonly #root: string;
  readonly #pageMax: number;
  /** Ends the calls that are under way when the store is closed. */
  readonly #open = new AbortController();
  #closing: Promise<void> | null = null;

  /** @param baseName the base path as it stands in front of every name; `''` for none */
  constructor(url: string, baseName: string, backend: ObjectBackend, pageMax = 1_000) {
    this.url = url;
    this.#backend = backend;
    this.#pageMax = pageMax;
    this.#root = baseName === '' ? '' : `${baseName}/`;
  }

  put(key: string, body: Uint8Array, options?: ObjectCallOptions): Promise<void> {
    return this.#call(key, options, (signal) => this.#backend.put(this.#root + key, body, signal));
  }

  get(key: string, options?: ObjectCallOptions): Promise<Uint8Array> {
    return this.#call(key, options, (signal) => this.#backend.get(this.#root + key, signal));
  }

  async delete(keys: readonly string[], options?: ObjectCallOptions): Promise<void> {
    const batches: (readonly string[])[] = [];
    for (let i = 0; i < keys.length; i += this.#backend.deleteMax) {
      batches.push(keys.slice(i, i + this.#backend.deleteMax));
    }
    const queue = batches.values();
    await Promise.all(
      Array.from({ length: Math.min(DELETIONS_AT_ONCE, batches.length) }, async () => {
        for (const batch of queue) {
          await this.#call(batch[0] ?? '', options, (signal) =>
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
    if (this.#closing === null) {
      this.#open.abort();
      this.#closing = this.#backend.close();
    }
    return this.#closing;
  }

  async *#pages(folder: string, folders: boolean, options: ObjectCallOptions | undefined) {
    const start = this.#root + (folder === '' ? '' : `${folder}/`);
    let token: unknown;
    do {
      const query = { start, folders, pageMax: this.#pageMax, token };
      const page = await this.#call(folder, options, (signal) => this.#backend.list(query, signal));
      yield page;
      token = page.token;
    } while (token !== undefined);
  }

  /**
   * Runs a call with a signal that ends it when its caller aborts or the store is closed. Errors of backends name the
   * whole name; those of a store name the key that its caller gave.
   */
  async #call<T>(
    key: string,
    options: ObjectCallOptions | undefined,
    run: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    if (this.#closing !== null) throw this.#closedError(key);
    try {
      const given = options?.signal;
      if (given === undefined) return await run(this.#open.signal);
      given.throwIfAborted();
      using both = linkedSignal(given, this.#open.signal);
      return await run(both.signal);
    } catch (error) {
      if (error === this.#open.signal.reason) throw this.#closedError(key);
      if (!(error instanceof ObjectStoreError) || error.key === key) throw error;
      throw error.with({ key: this.#keyOf(error.key, key), message: `${error.message} [${this.url}]` });
    }
  }

  #closedError(key: string): ObjectStoreError {
    return new ObjectStoreError('OBJECT_FAILED', key, `object ${key}: the store ${this.url} is closed`);
  }

  #keyOf(name: string, fallback: string): string {
    return name.startsWith(this.#root) ? name.slice(this.#root.length) : fallback;
  }
}
