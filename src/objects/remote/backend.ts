import type { ObjectInfo } from '../object-store.ts';

/**
 * One try of each call against a remote store. Names are whole names, base path included. What fails throws
 * ObjectStoreError, `retryable` where another try may succeed; trying again and limiting the time is what
 * {@link withRetries} adds, keys and pages what {@link RemoteStore} adds.
 */
export interface ObjectBackend {
  /** Names per call of `delete`. */
  readonly deleteMax: number;
  put(name: string, body: Uint8Array, signal: AbortSignal): Promise<void>;
  get(name: string, signal: AbortSignal): Promise<Uint8Array>;
  /** Missing objects are fine. */
  delete(names: readonly string[], signal: AbortSignal): Promise<void>;
  list(query: ListQuery, signal: AbortSignal): Promise<ListPage>;
  close(): Promise<void>;
}

export interface ListQuery {
  /** What the names begin with: `''` or a folder with its slash. */
  readonly start: string;
  /** Whether to list the folders directly below instead of the objects. */
  readonly folders: boolean;
  /** Objects or folders of one page at most, where pages have an end. */
  readonly pageMax: number;
  /** What the page before said. */
  readonly token: unknown;
}

export interface ListPage {
  /** Keys are whole names. Empty if folders were asked for. */
  readonly objects: readonly ObjectInfo[];
  /** Names relative to `start`, without slash. */
  readonly folders: readonly string[];
  /** Undefined: this was the last page. */
  readonly token: unknown;
}
