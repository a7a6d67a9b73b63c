import { EventLoopShare } from '../system/event-loop/share.ts';
import type { Clock } from '../system/time/clock.ts';
import { ObjectStoreError } from './errors.ts';
import type { ObjectCallOptions, ObjectInfo, ObjectStore } from './object-store.ts';
import type { ObjectStoreLocation } from './url.ts';

interface MemoryObject {
  readonly bytes: Uint8Array;
  readonly modifiedMs: number;
}

/**
 * Where the objects of all `memory:` stores of this thread lie, by name. A client of the original has one to itself, which
 * is of little use: the other side of the queue could not read what it writes. So that producer and consumer of one
 * process meet even when they come from two copies of this package, it hangs on the global object, under a registered
 * symbol; the process's end is what empties it, `submission.delete()` what keeps it small.
 */
const SPACE = Symbol.for('opsqueue.memoryObjects');

/** `memory:`: for tests and for work that begins and ends in one process. */
export class MemoryObjectStore implements ObjectStore {
  readonly url: string;
  readonly #root: string;
  readonly #clock: Clock;
  readonly #objects: Map<string, MemoryObject>;
  readonly #share: EventLoopShare;

  constructor(location: ObjectStoreLocation, clock: Clock, objects: Map<string, MemoryObject> = space()) {
    this.url = location.url;
    this.#root = location.baseName === '' ? '' : `${location.baseName}/`;
    this.#clock = clock;
    this.#objects = objects;
    this.#share = new EventLoopShare(clock);
  }

  async put(key: string, body: Uint8Array, options?: ObjectCallOptions): Promise<void> {
    options?.signal?.throwIfAborted();
    const turn = this.#share.due();
    if (turn !== null) await turn;
    this.#objects.set(this.#root + key, { bytes: new Uint8Array(body), modifiedMs: this.#clock.nowMs() });
  }

  async get(key: string, options?: ObjectCallOptions): Promise<Uint8Array> {
    options?.signal?.throwIfAborted();
    const turn = this.#share.due();
    if (turn !== null) await turn;
    const object = this.#objects.get(this.#root + key);
    if (object === undefined) {
      throw new ObjectStoreError('OBJECT_NOT_FOUND', key, `object ${key}: there is none in ${this.url}`);
    }
    return new Uint8Array(object.bytes);
  }

  async delete(keys: readonly string[], options?: ObjectCallOptions): Promise<void> {
    options?.signal?.throwIfAborted();
    for (const key of keys) this.#objects.delete(this.#root + key);
  }

  async *list(folder: string, options?: ObjectCallOptions): AsyncGenerator<ObjectInfo> {
    const start = this.#root + (folder === '' ? '' : `${folder}/`);
    for (const [name, object] of this.#objects) {
      options?.signal?.throwIfAborted();
      if (!name.startsWith(start)) continue;
      yield {
        key: name.slice(this.#root.length),
        sizeBytes: object.bytes.length,
        modifiedMs: object.modifiedMs,
      };
    }
  }

  async *listFolders(folder: string, options?: ObjectCallOptions): AsyncGenerator<string> {
    const seen = new Set<string>();
    for await (const { key } of this.list(folder, options)) {
      const rest = folder === '' ? key : key.slice(folder.length + 1);
      const slash = rest.indexOf('/');
      const name = rest.slice(0, slash);
      if (slash === -1 || seen.has(name)) continue;
      seen.add(name);
      yield name;
    }
  }

  async close(): Promise<void> {}
}

function space(): Map<string, MemoryObject> {
  const holder: typeof globalThis & { [SPACE]?: Map<string, MemoryObject> } = globalThis;
  holder[SPACE] ??= new Map();
  return holder[SPACE];
}
