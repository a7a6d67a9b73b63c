/**
 * Where chunk bodies lie. One implementation per URL scheme; test/conformance/object-store.ts runs against every one.
 * Keys are paths relative to the store's base path, already checked and encoded by `chunkKey` of keys.ts.
 * What fails throws ObjectStoreError (or the reason of the aborted signal).
 */
export interface ObjectStore {
  /** The URL as given, without credentials: for logs and errors. */
  readonly url: string;
  /** Writes a whole object; overwrites. When it resolves, every reader sees all of it; before, none of it. */
  put(key: string, body: Uint8Array, options?: ObjectCallOptions): Promise<void>;
  /**
   * Reads a whole object; OBJECT_NOT_FOUND if there is none. The caller owns the returned bytes, which are alone in
   * their ArrayBuffer: it can be transferred to another thread.
   */
  get(key: string, options?: ObjectCallOptions): Promise<Uint8Array>;
  /** Removes objects; those that are missing already are fine. */
  delete(keys: readonly string[], options?: ObjectCallOptions): Promise<void>;
  /** Objects below a folder (`''` = all of the base path), in no particular order. */
  list(folder: string, options?: ObjectCallOptions): AsyncIterable<ObjectInfo>;
  /** Names directly below a folder that have objects below them (submission prefixes). */
  listFolders(folder: string, options?: ObjectCallOptions): AsyncIterable<string>;
  close(): Promise<void>;
}

export interface ObjectCallOptions {
  readonly signal?: AbortSignal;
}

export interface ObjectInfo {
  /** As given to `put`. */
  readonly key: string;
  readonly sizeBytes: number;
  readonly modifiedMs: number;
}

/** Plain data (strings, numbers, booleans): it crosses threads. Which names each scheme takes: docs/object-stores.md. */
export type ObjectStoreOptions = Readonly<Record<string, string | number | boolean>>;
