import { className, isError, isPromise, isThenable, isUint8Array } from '../../model/kinds.ts';
import { OpError } from '../../model/op-error.ts';
import { messageOf } from '../../model/thrown.ts';
import type { OperationCodec } from '../../protocol/chunk/codec-options.ts';
import { ChunkUnencodableError } from '../../protocol/chunk/errors.ts';
import type { ChunkCallback, ChunkContext, OpCallback, RawChunkCallback } from '../types.ts';

/**
 * Makes the bytes of a result from the bytes of an input; synchronously where the callback is. The bytes are the
 * library's own, alone in their buffer: they are moved to another thread, while the callback may use its own again.
 */
export type Processor = (input: Uint8Array, context: ChunkContext) => Uint8Array | Promise<Uint8Array>;

/** One operation failed; the callback's error is the cause. */
export class OpFailedError extends Error {
  constructor(index: number, total: number, cause: unknown) {
    // Otherwise the cause has a text of its own.
    const what = cause === undefined || cause === null ? `: the callback threw ${cause}` : '';
    super(`operation ${index} (of ${total} in the chunk) failed${what}`, { cause });
    this.name = 'OpFailedError';
    // The callback's own stack says it all.
    this.stack = `${this.name}: ${this.message}`;
  }
}

/** The chunk's content, its operations or its results are not what they have to be. */
export class ChunkShapeError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ChunkShapeError';
    this.stack = `${this.name}: ${this.message}`;
  }
}

/** The results are nothing that the codec has a form for. They would be the same next time, so there is none. */
export class ResultsUnencodableError extends ChunkShapeError {
  /** The reason may ask for another try: a codec of the user's knows better. */
  readonly code: 'NON_RETRYABLE' | null;

  constructor(message: string, cause: unknown) {
    super(message, { cause });
    this.name = 'ResultsUnencodableError';
    this.code = verdictOf(cause) === null ? 'NON_RETRYABLE' : null;
  }
}

export function rawProcessor(callback: RawChunkCallback): Processor {
  const finish = (output: unknown): Uint8Array => {
    if (isUint8Array(output)) return copyOf(output);
    throw new ChunkShapeError(`the callback returned ${describe(output)} instead of a Uint8Array`);
  };
  return (input, context) => {
    const output = callback(input, context);
    return isThenable(output) ? Promise.resolve(output).then(finish) : finish(output);
  };
}

/** The codec, with a result of its own for each call: one of the user's may answer the same buffer again and again. */
export function copyingCodec(codec: OperationCodec): OperationCodec {
  return {
    encode(operations) {
      const bytes: unknown = codec.encode(operations);
      if (isUint8Array(bytes)) return copyOf(bytes);
      throw new ChunkShapeError(`the codec answered ${describe(bytes)} instead of a Uint8Array`);
    },
    decode: (content) => codec.decode(content),
  };
}

export function chunkProcessor(callback: ChunkCallback, codec: OperationCodec): Processor {
  return (input, context) => {
    const ops = decode(codec, input, context);
    // The callback may do with its array what it likes.
    const total = ops.length;
    const finish = (results: unknown) => {
      const all = toArray(results, total);
      if (isPromise(all)) return all.then((values) => encode(codec, values, context, false));
      return encode(codec, all, context, false);
    };
    const output = callback(ops, context);
    return isThenable(output) ? Promise.resolve(output).then(finish) : finish(output);
  };
}

export function opProcessor(
  callback: OpCallback,
  codec: OperationCodec,
  onOpError: 'fail-chunk' | 'record',
): Processor {
  const isRecording = onOpError === 'record';
  return (input, context) => {
    const ops = decode(codec, input, context);
    const results = runOps(callback, ops, context, isRecording);
    if (isPromise(results)) return results.then((all) => encode(codec, all, context, isRecording));
    return encode(codec, results, context, isRecording);
  };
}

/** Synchronous as long as the callback is: no promise per operation. */
function runOps(
  callback: OpCallback,
  ops: readonly unknown[],
  context: ChunkContext,
  isRecording: boolean,
): unknown[] | Promise<unknown[]> {
  const total = ops.length;
  const results: unknown[] = new Array(total);
  for (let index = 0; index < total; index++) {
    try {
      const result = callback(ops[index], context);
      if (isThenable(result)) return runOpsAsync(callback, ops, context, isRecording, results, index, result);
      results[index] = result;
    } catch (error) {
      results[index] = failed(error, index, total, isRecording);
    }
  }
  return results;
}

async function runOpsAsync(
  callback: OpCallback,
  ops: readonly unknown[],
  context: ChunkContext,
  isRecording: boolean,
  results: unknown[],
  from: number,
  first: PromiseLike<unknown>,
): Promise<unknown[]> {
  const total = ops.length;
  for (let index = from; index < total; index++) {
    try {
      const result = index === from ? first : callback(ops[index], context);
      results[index] = isThenable(result) ? await result : result;
    } catch (error) {
      results[index] = failed(error, index, total, isRecording);
    }
    // What nobody wants is not worth the rest of the chunk.
    if (context.signal.aborted) throw context.signal.reason;
  }
  return results;
}

/** The error's place in the results, or the error thrown. */
function failed(error: unknown, index: number, total: number, isRecording: boolean): OpError {
  if (!isRecording || verdictOf(error) !== null) throw new OpFailedError(index, total, error);
  return OpError.from(error);
}

export interface Verdict {
  readonly retryable: boolean;
  readonly delayMs: number;
}

/** What a callback's error says about further tries; null if it says nothing. */
export function verdictOf(error: unknown): Verdict | null {
  try {
    return verdictOfError(error);
  } catch {
    // Anything can be thrown, also what does not let itself be looked at: that says nothing.
    return null;
  }
}

function verdictOfError(error: unknown): Verdict | null {
  // By code: the callback may have another copy of this package, or run in another thread.
  for (let each = error, depth = 0; isError(each) && depth < 8; each = each.cause, depth++) {
    const code: unknown = Reflect.get(each, 'code');
    if (code === 'NON_RETRYABLE') return { retryable: false, delayMs: 0 };
    const delayMs: unknown = Reflect.get(each, 'delayMs');
    if (code === 'RETRY_LATER' && typeof delayMs === 'number') return { retryable: true, delayMs };
  }
  return null;
}

function decode(codec: OperationCodec, input: Uint8Array, context: ChunkContext): unknown[] {
  let ops: unknown;
  try {
    ops = codec.decode(input);
  } catch (error) {
    throw new ChunkShapeError(
      `the input of ${nameOf(context)} (${input.length} bytes) could not be decoded (truncated, or another codec?): ${messageOf(error)}`,
      { cause: error },
    );
  }
  if (Array.isArray(ops)) return ops;
  throw new ChunkShapeError(
    `the input of ${nameOf(context)} is ${describe(ops)} instead of an array of operations`,
  );
}

function encode(
  codec: OperationCodec,
  results: unknown[],
  context: ChunkContext,
  mayHoldErrors: boolean,
): Uint8Array {
  const values = mayHoldErrors
    ? results.map((result) => (result instanceof OpError ? result.toWire() : result))
    : results;
  try {
    return codec.encode(values);
  } catch (error) {
    if (mayHoldErrors) {
      const encoded = encodeRest(codec, values);
      if (encoded !== null) return encoded;
    }
    throw new ResultsUnencodableError(
      `the results of ${nameOf(context)} cannot be encoded: ${messageOf(error)}`,
      error,
    );
  }
}

/** With an OpError in the place of each result that cannot be encoded; null if it is not these. */
function encodeRest(codec: OperationCodec, values: readonly unknown[]): Uint8Array | null {
  const encodable = values.map((value, index) => {
    try {
      codec.encode([value]);
      return value;
    } catch (error) {
      return OpError.from(inPlace(error, index)).toWire();
    }
  });
  try {
    return codec.encode(encodable);
  } catch {
    return null;
  }
}

/** What was wrong with the only value of a list, in the words for one of many. */
function inPlace(error: unknown, index: number): unknown {
  if (!(error instanceof ChunkUnencodableError)) return error;
  return new ChunkUnencodableError(error.path.replace('[0]', `[${index}]`), error.why, error);
}

/** Not `slice`, which is a view where the bytes are a Buffer. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}

/** As many results as there are operations; those that are promises are awaited, as `for await` does. */
function toArray(results: unknown, expected: number): unknown[] | Promise<unknown[]> {
  if (typeof results !== 'object' || results === null || !(Symbol.iterator in results)) {
    throw new ChunkShapeError(`the callback returned ${describe(results)} instead of ${expected} results`);
  }
  if (!Array.isArray(results)) return collect(results as Iterable<unknown>, expected);
  const hasPromises = results.some(isThenable);
  // All at once, or a rejection would count as unhandled while an earlier one is awaited.
  const settling = hasPromises ? results.map(heeded) : results;
  if (results.length !== expected) throw wrongNumber(String(results.length), expected);
  return hasPromises ? awaitAll(settling) : results;
}

/** A promise whose rejection is somebody's business, for sure. */
function heeded(result: unknown): unknown {
  if (!isThenable(result)) return result;
  const promise = Promise.resolve(result);
  promise.catch(() => {});
  return promise;
}

async function awaitAll(results: readonly unknown[]): Promise<unknown[]> {
  const values: unknown[] = [];
  for (const result of results) values.push(await settled(result, values.length, results.length));
  return values;
}

async function settled(result: unknown, index: number, total: number): Promise<unknown> {
  try {
    return await result;
  } catch (error) {
    throw new OpFailedError(index, total, error);
  }
}

function collect(results: Iterable<unknown>, expected: number): unknown[] | Promise<unknown[]> {
  const array: unknown[] = [];
  const iterator = results[Symbol.iterator]();
  for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
    if (isThenable(next.value)) return collectAwaiting(iterator, next.value, array, expected);
    take(iterator, next.value, array, expected);
  }
  return complete(array, expected);
}

/** Goes on once there was a promise; each is awaited before the next result is asked for. */
async function collectAwaiting(
  iterator: Iterator<unknown>,
  first: unknown,
  array: unknown[],
  expected: number,
): Promise<unknown[]> {
  let next: IteratorResult<unknown> = { done: false, value: first };
  for (; next.done !== true; next = iterator.next()) {
    const promise = heeded(next.value);
    let value: unknown;
    try {
      value = array.length < expected ? await settled(promise, array.length, expected) : undefined;
    } catch (error) {
      closeQuietly(iterator);
      throw error;
    }
    take(iterator, value, array, expected);
  }
  return complete(array, expected);
}

function take(iterator: Iterator<unknown>, value: unknown, array: unknown[], expected: number): void {
  // It may never end.
  if (array.length === expected) {
    closeQuietly(iterator);
    throw wrongNumber(`more than ${expected}`, expected);
  }
  array.push(value);
}

function complete(array: unknown[], expected: number): unknown[] {
  if (array.length < expected) throw wrongNumber(String(array.length), expected);
  return array;
}

/** What is wrong is known already. */
function closeQuietly(iterator: Iterator<unknown>): void {
  try {
    iterator.return?.();
  } catch {}
}

function wrongNumber(number: string, expected: number): ChunkShapeError {
  return new ChunkShapeError(`the callback returned ${number} results for ${expected} operations`);
}

/** The object's key below the store's URL, or what comes closest to it. */
function nameOf({ submission, submissionId, chunkIndex }: ChunkContext): string {
  if (submission.prefix === null) return `chunk ${chunkIndex} of submission ${submissionId}`;
  return `chunk ${submission.prefix}/${chunkIndex}-in.bin`;
}

function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value !== 'object') return `a ${typeof value}`;
  const name = className(value);
  return name === null ? 'an object' : `a value of ${name}`;
}
