import type { StandardSchema } from '../../contract/standard-schema.ts';
import { validate } from '../../contract/validation.ts';
import { isThenable } from '../../model/kinds.ts';
import { ChunkUnencodableError } from '../../protocol/chunk/errors.ts';
import { orAborted } from '../../system/async/abort-signals.ts';
import { EventLoopShare } from '../../system/event-loop/share.ts';
import type { Clock } from '../../system/time/clock.ts';
import { type ClientCodec, checkContent } from '../checks.ts';
import { type OpenSource, returnQuietly } from './source.ts';

/**
 * Takes the content of the next chunk; returns a promise when the one after has to wait. Borrowed content may change as
 * soon as the next element of the source is asked for.
 */
export type ChunkSink = (content: Uint8Array, isBorrowed: boolean) => Promise<void> | undefined;

/** How operations become chunks. */
export interface Cut {
  readonly chunkSizeOps: number;
  readonly codec: ClientCodec;
  /** What an operation must be. */
  readonly schema: StandardSchema | null;
}

export interface Chunking {
  readonly source: OpenSource<unknown>;
  readonly cut: Cut;
  readonly sink: ChunkSink;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Cuts a source of operations into chunks, encodes each and hands it on. An array or another sync iterable costs no
 * promise per operation, but for promises: each is awaited, as `for await` does. Returns how many operations there were.
 * When it ends early (the sink throws, the signal fires) the source's iterator is closed.
 */
export async function chunkOperations({
  source: opened,
  cut,
  sink,
  clock,
  signal,
}: Chunking): Promise<number> {
  const { chunkSizeOps, codec, schema } = cut;
  const share = new EventLoopShare(clock);
  let total = 0;
  const send = (operations: readonly unknown[]) => {
    signal.throwIfAborted();
    const content = codec.isRaw
      ? checkContent(`chunk ${total} of the source`, operations[0])
      : checkContent('what codec.encode returns', encoded(codec, operations, total));
    total += operations.length;
    return sink(content, !codec.isBuiltIn);
  };
  const emit = (operations: readonly unknown[]) => {
    if (schema === null) return send(operations);
    const valid = validate({ what: 'operation', schema, values: operations, firstIndex: total });
    return isThenable(valid) ? orAborted(valid, signal).then(() => send(operations)) : send(operations);
  };
  const source = opened.read();
  if (source.kind === 'array') {
    const { items } = source;
    for (let at = 0; at < items.length; at += chunkSizeOps) {
      const part = at === 0 && items.length <= chunkSizeOps ? items : items.slice(at, at + chunkSizeOps);
      const wait = emit(part.some(isThenable) ? await awaitAll(part, signal) : part);
      if (wait !== undefined) await wait;
      const turn = share.due();
      if (turn !== null) await turn;
    }
    return total;
  }
  const batch = new Batch(chunkSizeOps);
  if (source.kind === 'sync') {
    for (const operation of source.items) {
      if (!batch.add(isThenable(operation) ? await awaited(operation, signal) : operation)) continue;
      const wait = emit(batch.take());
      if (wait !== undefined) await wait;
      const turn = share.due();
      if (turn !== null) await turn;
    }
  } else {
    await eachOf(source.iterator, signal, (operation) =>
      batch.add(operation) ? emit(batch.take()) : undefined,
    );
  }
  if (batch.length > 0) await emit(batch.take());
  return total;
}

/** An error names the position in the source, of which the caller knows more than of its chunks. */
function encoded(codec: ClientCodec, operations: readonly unknown[], firstIndex: number): Uint8Array {
  try {
    return codec.encode(operations);
  } catch (error) {
    if (!(error instanceof ChunkUnencodableError) || firstIndex === 0) throw error;
    const path = error.path.replace(/^\[(\d+)\]/, (_, index: string) => `[${firstIndex + Number(index)}]`);
    throw new ChunkUnencodableError(path, error.why, error);
  }
}

/** The operations, those that are promises awaited one after the other. */
async function awaitAll(part: readonly unknown[], signal: AbortSignal): Promise<unknown[]> {
  const operations: unknown[] = [];
  for (const each of part) operations.push(isThenable(each) ? await awaited(each, signal) : each);
  return operations;
}

/** It may never settle, which must not hold up the signal. */
function awaited(promise: PromiseLike<unknown>, signal: AbortSignal): Promise<unknown> {
  return orAborted(Promise.resolve(promise), signal);
}

/** Operations of the chunk that is being filled. */
class Batch {
  readonly #size: number;
  #items: unknown[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  get length(): number {
    return this.#items.length;
  }

  /** True when the chunk is full. */
  add(item: unknown): boolean {
    return this.#items.push(item) === this.#size;
  }

  take(): readonly unknown[] {
    const items = this.#items;
    this.#items = [];
    return items;
  }
}

/** Reads an async source to its end. A source that hangs cannot hold up the signal. */
async function eachOf<T>(
  iterator: AsyncIterator<T>,
  signal: AbortSignal,
  each: (item: T) => Promise<void> | undefined,
): Promise<void> {
  let closing: Promise<void> | null = null;
  const close = () => {
    closing ??= returnQuietly(iterator);
    return closing;
  };
  const pump = async () => {
    for (;;) {
      const next = await iterator.next();
      if (next.done) return;
      if (signal.aborted) return;
      try {
        const wait = each(next.value);
        if (wait !== undefined) await wait;
      } catch (error) {
        await close();
        throw error;
      }
    }
  };
  try {
    signal.throwIfAborted();
    await orAborted(pump(), signal);
  } catch (error) {
    // A generator that hangs would never return: it is not waited for.
    if (signal.aborted) void close();
    throw error;
  }
}
