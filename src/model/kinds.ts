/**
 * What a value is, whichever realm it comes from. Under Jest, under `vitest --pool=vmThreads` and in `node:vm` our code
 * and Node's own libraries have different globals, and `instanceof` one of them is false for an instance of the other.
 */
import { types } from 'node:util';

export const { isArrayBuffer, isBoxedPrimitive, isDate, isMap, isPromise, isSet, isUint8Array } = types;

export function isError(value: unknown): value is Error {
  // The second half is for errors without the slot of one: old classes, proxies.
  return types.isNativeError(value) || value instanceof Error;
}

/** Of an error of the engine or of Node.js: `RangeError` and the like. */
export function isErrorNamed(value: unknown, name: string): value is Error {
  return isError(value) && value.name === name;
}

export function isAggregateError(value: unknown): value is Error & { readonly errors: readonly unknown[] } {
  return isError(value) && 'errors' in value && Array.isArray(value.errors);
}

/** A promise, or what behaves like one. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

/** Some environments bring an AbortSignal of their own. */
export function isAbortSignal(value: unknown): value is AbortSignal {
  return (
    typeof value === 'object' &&
    value !== null &&
    'aborted' in value &&
    'addEventListener' in value &&
    typeof value.addEventListener === 'function'
  );
}

export function isUrl(value: unknown): value is URL {
  return (
    typeof value === 'object' && value !== null && Object.prototype.toString.call(value) === '[object URL]'
  );
}

/** An object literal, also one without a prototype. */
export function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype === Object.prototype || prototype === null) return true;
  // The Object.prototype of another realm.
  return (
    typeof prototype === 'object' &&
    Object.getPrototypeOf(prototype) === null &&
    Object.hasOwn(prototype, 'hasOwnProperty')
  );
}

/** The name of its class, for messages. Never throws. */
export function className(value: object): string | null {
  try {
    const name: unknown = value.constructor?.name;
    return typeof name === 'string' && name !== '' ? name.slice(0, 100) : null;
  } catch {
    return null;
  }
}
