import { className, isThenable } from '../../model/kinds.ts';
import { OpFailedError, verdictOf } from './verdict.ts';

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

/** As many results as there are operations; those that are promises are awaited, as `for await` does. */
export function resultsOfCallback(results: unknown, expected: number): unknown[] | Promise<unknown[]> {
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

/** A value that a callback or a codec returned, in words. */
export function describe(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (typeof value !== 'object') return `a ${typeof value}`;
  const name = className(value);
  return name === null ? 'an object' : `a value of ${name}`;
}
