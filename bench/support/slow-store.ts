import { setTimeout as sleep } from 'node:timers/promises';
import type { ObjectStore } from '../../src/objects/object-store.ts';

/** The store, as if it were far away: every call takes so much longer. */
export function slowStore(store: ObjectStore, latencyMs: number): ObjectStore {
  return {
    url: store.url,
    async put(key, body, options) {
      await sleep(latencyMs);
      await store.put(key, body, options);
    },
    async get(key, options) {
      await sleep(latencyMs);
      return store.get(key, options);
    },
    async delete(keys, options) {
      await sleep(latencyMs);
      await store.delete(keys, options);
    },
    list: (folder, options) => store.list(folder, options),
    listFolders: (folder, options) => store.listFolders(folder, options),
    close: () => store.close(),
  };
}
