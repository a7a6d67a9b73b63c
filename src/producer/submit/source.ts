import { Readable } from 'node:stream';
import { isPromise, isThenable } from '../../model/kinds.ts';
import { linkedSignal } from '../../system/async/abort-signals.ts';

/** What operations or chunks come from. Promises among them are awaited, one after the other. */
export type Source<T> = Iterable<T | PromiseLike<T>> | AsyncIterable<T>;

/** A source as its reader gets it. */
export type SourceReading<T> =
  | { readonly kind: 'array'; readonly items: readonly (T | PromiseLike<T>)[] }
  | { readonly kind: 'sync'; readonly items: Iterable<T | PromiseLike<T>> }
  | { readonly kind: 'async'; readonly iterator: AsyncIterator<T> };

/**
 * A source whose iterator was taken, once. Some sources flow whether or not they are read: the lines that readline emits,
 * or the events of an emitter, before there is an iterator are lost, and an error then ends the process. So it is taken
 * in the call that the source is given to, before anything is awaited.
 */
export class OpenSource<T> {
  readonly #reading: SourceReading<T> | null;
  #isTaken = false;

  /** @param signal once it has fired the source is left alone: the call ends with the reason anyway */
  constructor(source: Source<T>, signal: AbortSignal | undefined) {
    if (Array.isArray(source)) heed(source);
    this.#reading = signal?.aborted ? null : open(source);
  }

  /** To be read now: the reader returns the iterator when it does not read to the end. */
  read(): SourceReading<T> {
    if (this.#isTaken || this.#reading === null) throw new Error('a source is read once, before the signal');
    this.#isTaken = true;
    return this.#reading;
  }

  /** Lets go of it, unless it was read. Idempotent. */
  discard(): void {
    if (this.#isTaken) return;
    this.#isTaken = true;
    const reading = this.#reading;
    if (reading === null) return;
    if (reading.kind === 'async') void returnQuietly(reading.iterator);
    else if (reading.kind === 'sync') void returnQuietly(reading.items[Symbol.iterator]());
  }
}

/** What ends the reading is reported, not what the source makes of it. */
export async function returnQuietly(iterator: Iterator<unknown> | AsyncIterator<unknown>): Promise<void> {
  try {
    await iterator.return?.();
  } catch {}
}

/** A promise that rejects before its turn ends the call when its turn comes, not the process. */
function heed(source: readonly unknown[]): void {
  for (const each of source) if (isThenable(each) && isPromise(each)) each.catch(() => {});
}

function open<T>(source: Source<T>): SourceReading<T> {
  if (Array.isArray(source)) return { kind: 'array', items: source };
  if (Symbol.iterator in source) {
    const iterator = source[Symbol.iterator]();
    return { kind: 'sync', items: { [Symbol.iterator]: () => iterator } };
  }
  const iterator = source[Symbol.asyncIterator]();
  return { kind: 'async', iterator: isStream(source) ? heard(source, iterator) : iterator };
}

/** The part of a readable stream, of Node's own or of the package of that name, that is needed here. */
type Stream = Pick<Readable, 'on' | 'off' | 'destroy'>;

function isStream(source: object): source is Stream {
  if (source instanceof Readable) return true;
  return 'readableFlowing' in source && ['on', 'off', 'destroy'].every((name) => name in source);
}

/**
 * The iterator of a stream does nothing before its first `next`: an error until then ends the process, although the
 * stream remembers it, and `return` leaves the file open.
 */
function heard<T>(stream: Stream, iterator: AsyncIterator<T>): AsyncIterator<T> {
  const ignore = () => {};
  stream.on('error', ignore);
  let isRead = false;
  return {
    next() {
      isRead = true;
      const next = iterator.next();
      stream.off('error', ignore);
      return next;
    },
    async return() {
      if (!isRead) stream.destroy();
      await iterator.return?.();
      return { done: true, value: undefined };
    },
  };
}

/**
 * Runs that have not been read yet. The source of each is let go of when its run is ended, its signal fires, the client
 * closes, or the run is collected as garbage; in the last two cases reading it was forgotten.
 */
export class UnreadRuns {
  readonly #closing: AbortSignal;
  readonly #onForgotten: () => void;
  readonly #dropped = new FinalizationRegistry((letGo: () => void) => letGo());

  /** @param onForgotten called for each run that was never read */
  constructor(closing: AbortSignal, onForgotten: () => void) {
    this.#closing = closing;
    this.#onForgotten = onForgotten;
  }

  /**
   * @param run nothing here keeps it alive
   * @returns call it when the run is read
   */
  watch(run: object, source: OpenSource<unknown>, caller: AbortSignal | undefined): () => void {
    const linked = linkedSignal(this.#closing, caller);
    if (linked.signal.aborted) source.discard();
    const letGo = () => {
      if (!caller?.aborted) this.#onForgotten();
      source.discard();
    };
    linked.signal.addEventListener('abort', letGo, { once: true });
    const token = {};
    this.#dropped.register(
      run,
      () => {
        linked[Symbol.dispose]();
        letGo();
      },
      token,
    );
    return () => {
      this.#dropped.unregister(token);
      linked[Symbol.dispose]();
    };
  }
}
