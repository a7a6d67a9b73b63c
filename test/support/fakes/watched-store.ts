import type { ObjectCallOptions, ObjectStore } from '../../../src/objects/object-store.ts';

export interface StoreHooks {
  /** Called in front of each call; may wait, throw, or return what is read or written in its place. */
  readonly put?: (key: string, body: Uint8Array, signal?: AbortSignal) => Promise<Uint8Array | undefined>;
  readonly get?: (key: string, signal?: AbortSignal) => Promise<Uint8Array | undefined>;
}

/** An object store that counts what is under way, with hooks for faults. */
export interface WatchedStore extends ObjectStore {
  readonly running: number;
  readonly runningMax: number;
  readonly bytesRunningMax: number;
  readonly puts: readonly string[];
  readonly gets: readonly string[];
  /** Keys that are there now, sorted. */
  keys(): Promise<readonly string[]>;
}

export function watchedStore(inner: ObjectStore, hooks: StoreHooks = {}): WatchedStore {
  const puts: string[] = [];
  const gets: string[] = [];
  let running = 0;
  let runningMax = 0;
  let bytes = 0;
  let bytesRunningMax = 0;
  const during = async <T>(size: number, work: () => Promise<T>): Promise<T> => {
    runningMax = Math.max(runningMax, ++running);
    bytes += size;
    bytesRunningMax = Math.max(bytesRunningMax, bytes);
    try {
      return await work();
    } finally {
      running--;
      bytes -= size;
    }
  };
  return {
    url: inner.url,
    get running() {
      return running;
    },
    get runningMax() {
      return runningMax;
    },
    get bytesRunningMax() {
      return bytesRunningMax;
    },
    puts,
    gets,
    put: (key: string, body: Uint8Array, options?: ObjectCallOptions) =>
      during(body.length, async () => {
        puts.push(key);
        const changed = await hooks.put?.(key, body, options?.signal);
        return inner.put(key, changed ?? body, options);
      }),
    get: (key: string, options?: ObjectCallOptions) =>
      during(0, async () => {
        gets.push(key);
        return (await hooks.get?.(key, options?.signal)) ?? inner.get(key, options);
      }),
    delete: (keys, options) => inner.delete(keys, options),
    list: (folder, options) => inner.list(folder, options),
    listFolders: (folder, options) => inner.listFolders(folder, options),
    close: () => inner.close(),
    async keys() {
      const keys: string[] = [];
      for await (const { key } of inner.list('')) keys.push(key);
      return keys.sort();
    },
  };
}
