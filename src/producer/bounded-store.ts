import { ObjectStoreError } from '../objects/errors.ts';
import type { ObjectCallOptions, ObjectInfo, ObjectStore } from '../objects/object-store.ts';
import { linkedSignal, orAborted } from '../system/async/abort-signals.ts';
import { type Clock, endsWithin } from '../system/time/clock.ts';

/**
 * An object store whose calls end with their signal, or after `transferMsMax`, whatever becomes of them: one inside of a
 * system call, on a disk that hangs, heeds no signal and never ends.
 */
export class BoundedStore implements ObjectStore {
  readonly url: string;
  readonly #inner: ObjectStore;
  readonly #clock: Clock;
  readonly #transferMsMax: number;
  /** Calls that may still do something. */
  readonly #underWay = new Set<Promise<unknown>>();

  constructor(inner: ObjectStore, clock: Clock, transferMsMax: number) {
    this.url = inner.url;
    this.#inner = inner;
    this.#clock = clock;
    this.#transferMsMax = transferMsMax;
  }

  put(key: string, body: Uint8Array, options?: ObjectCallOptions): Promise<void> {
    return this.#bounded(key, options, (signal) => this.#inner.put(key, body, { signal }));
  }

  get(key: string, options?: ObjectCallOptions): Promise<Uint8Array> {
    return this.#bounded(key, options, (signal) => this.#inner.get(key, { signal }));
  }

  delete(keys: readonly string[], options?: ObjectCallOptions): Promise<void> {
    return this.#bounded(keys[0] ?? '', options, (signal) => this.#inner.delete(keys, { signal }));
  }

  list(folder: string, options?: ObjectCallOptions): AsyncIterable<ObjectInfo> {
    return this.#inner.list(folder, options);
  }

  listFolders(folder: string, options?: ObjectCallOptions): AsyncIterable<string> {
    return this.#inner.listFolders(folder, options);
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  /** Whether all calls that were given up come to their end within that time. */
  settles(withinMs: number): Promise<boolean> {
    return endsWithin(this.#clock, withinMs, Promise.all(this.#underWay));
  }

  async #bounded<T>(
    key: string,
    options: ObjectCallOptions | undefined,
    call: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    using linked = linkedSignal(options?.signal);
    linked.signal.throwIfAborted();
    const tooLong = () => {
      const text = `it took longer than ${this.#transferMsMax} ms (transferMsMax)`;
      linked.abort(new ObjectStoreError('OBJECT_UNREACHABLE', key, text));
    };
    const timer = this.#clock.after(this.#transferMsMax, tooLong);
    const work = call(linked.signal);
    const over = work.then(
      () => {},
      () => {},
    );
    this.#underWay.add(over);
    void over.then(() => this.#underWay.delete(over));
    try {
      return await orAborted(work, linked.signal);
    } finally {
      timer.cancel();
    }
  }
}
