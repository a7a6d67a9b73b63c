import { linkedSignal, orAborted } from '../system/async/abort-signals.ts';
import { type Clock, endsWithin } from '../system/time/clock.ts';
import { ObjectStoreError } from './errors.ts';
import type { ObjectCallOptions, ObjectInfo, ObjectStore, ObjectStoreOptions } from './object-store.ts';
import { type ObjectStoreContext, openObjectStore, parseObjectStoreUrl } from './open.ts';

/** Objects that a listing hands on at a time: what a page of S3 has. */
const PAGE_OBJECTS = 1_000;

export interface BoundedStoreOptions {
  /** A URL, or an open store, which its user closes. */
  readonly store: string | ObjectStore;
  /** For a URL. */
  readonly options: ObjectStoreOptions;
  /** The longest that a call may take, in milliseconds. */
  readonly transferMsMax: number;
  readonly context: ObjectStoreContext & { readonly clock: Clock };
}

/**
 * The object store of a client. Its calls end with their signal, or after `transferMsMax`, whatever becomes of them: one
 * inside of a system call, on a disk that hangs, heeds no signal and never ends.
 *
 * It is opened by its first call, since a constructor cannot wait for what is loaded. After a failure the next call tries
 * again: a missing package may be installed, a folder mounted.
 */
export class BoundedStore {
  /** Without credentials. */
  readonly url: string;
  readonly #o: BoundedStoreOptions;
  #inner: Promise<ObjectStore> | null = null;
  /** Calls that may still do something. */
  readonly #underWay = new Set<Promise<unknown>>();

  /** @throws IncorrectUsageError for a URL that makes no sense */
  constructor(options: BoundedStoreOptions) {
    const { store } = options;
    this.url = typeof store === 'string' ? parseObjectStoreUrl(store).url : store.url;
    this.#o = options;
  }

  /** Does what the first call would do. */
  async open(): Promise<void> {
    await this.#opened();
  }

  put(key: string, body: Uint8Array, options: ObjectCallOptions): Promise<void> {
    return this.#bounded(key, options, (inner, signal) => inner.put(key, body, { signal }));
  }

  get(key: string, options: ObjectCallOptions): Promise<Uint8Array> {
    return this.#bounded(key, options, (inner, signal) => inner.get(key, { signal }));
  }

  delete(keys: readonly string[], options: ObjectCallOptions): Promise<void> {
    return this.#bounded(keys[0] ?? '', options, (inner, signal) => inner.delete(keys, { signal }));
  }

  /** Whether there is any object below a folder. */
  has(folder: string, options: ObjectCallOptions): Promise<boolean> {
    return this.#bounded(folder, options, async (inner, signal) => {
      for await (const _ of inner.list(folder, { signal })) return true;
      return false;
    });
  }

  /** Objects below a folder, some at a time, in no particular order. The limit of time is for each time. */
  async *list(folder: string, options: ObjectCallOptions): AsyncGenerator<readonly ObjectInfo[], void> {
    using ended = linkedSignal(options.signal);
    const objects = (await this.#opened()).list(folder, { signal: ended.signal })[Symbol.asyncIterator]();
    try {
      for (let isOver = false; !isOver; ) {
        const page: ObjectInfo[] = [];
        await this.#bounded(folder, options, async () => {
          while (page.length < PAGE_OBJECTS) {
            const next = await objects.next();
            isOver = next.done === true;
            if (next.done) return;
            page.push(next.value);
          }
        });
        yield page;
      }
    } finally {
      ended.abort(new Error('no more objects are wanted'));
    }
  }

  async close(): Promise<void> {
    if (typeof this.#o.store === 'string') await (await this.#inner?.catch(() => null))?.close();
  }

  /** Whether all calls that were given up come to their end within that time. */
  settles(withinMs: number): Promise<boolean> {
    return endsWithin(this.#o.context.clock, withinMs, Promise.all(this.#underWay));
  }

  #opened(): Promise<ObjectStore> {
    const { store, options, context } = this.#o;
    if (typeof store !== 'string') return Promise.resolve(store);
    this.#inner ??= openObjectStore(store, options, context).catch((error: unknown) => {
      this.#inner = null;
      throw error;
    });
    return this.#inner;
  }

  async #bounded<T>(
    key: string,
    options: ObjectCallOptions,
    call: (inner: ObjectStore, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const { transferMsMax, context } = this.#o;
    using linked = linkedSignal(options.signal);
    linked.signal.throwIfAborted();
    const timer = context.clock.after(transferMsMax, () => {
      const text = `object ${key}: it took longer than ${transferMsMax} ms (transferMsMax)`;
      linked.abort(new ObjectStoreError('OBJECT_UNREACHABLE', key, text, { retryable: true }));
    });
    const work = this.#opened().then((inner) => call(inner, linked.signal));
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
