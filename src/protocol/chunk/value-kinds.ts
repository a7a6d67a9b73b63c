/** The one rule of all codecs for what JavaScript has besides plain data: docs/values.md. */

import { types } from 'node:util';
import { OpsqueueError } from '../../model/errors.ts';
import {
  className,
  isArrayBuffer,
  isBoxedPrimitive,
  isDate,
  isError,
  isErrorNamed,
  isMap,
  isPlainObject,
  isSet,
  isThenable,
  isUint8Array,
} from '../../model/kinds.ts';
import { messageOf } from '../../model/thrown.ts';
import { CborTag, VALUE_DEPTH_MAX } from './cbor-value.ts';
import { ChunkUnencodableError } from './errors.ts';

/** How an object is written. `unboxed`: as the value that {@link plainOf} makes of it. */
export type ValueKind =
  | 'array'
  | 'record'
  | 'bytes'
  | 'buffer'
  | 'map'
  | 'set'
  | 'date'
  | 'tag'
  | 'unboxed'
  | 'with-to-json';

/**
 * Any object but a plain one: what must be refused is refused, because nothing of it would arrive, or something else.
 *
 * @param asksToJson false for what a `toJSON` has returned: it is asked once, as `JSON.stringify` does
 * @throws ChunkUnencodableError
 */
export function kindOf(value: object, asksToJson: boolean): ValueKind {
  if (isUint8Array(value)) return 'bytes';
  if (isDate(value)) return 'date';
  if (value instanceof CborTag) return 'tag';
  if (asksToJson && 'toJSON' in value && typeof value.toJSON === 'function') {
    // That of our errors is for logs.
    return value instanceof OpsqueueError ? refuseError(value) : 'with-to-json';
  }
  if (Array.isArray(value)) return 'array';
  if (isMap(value)) return 'map';
  if (isSet(value)) return 'set';
  if (isArrayBuffer(value)) return 'buffer';
  if (ArrayBuffer.isView(value)) return refuse(`${nameOf(value)}; make it an array or a Uint8Array`);
  if (isBoxedPrimitive(value)) return types.isSymbolObject(value) ? refuse('a symbol') : 'unboxed';
  if (isPlainObject(value)) return 'record';
  if (types.isPromise(value) || isThenable(value)) return refuse('a promise; await it first');
  if (isError(value)) return refuseError(value);
  if (types.isRegExp(value)) return refuse('a RegExp; return its source');
  // As JSON.stringify would take it: its own enumerable properties.
  if (Object.keys(value).length > 0) return 'record';
  return refuse(`${nameOf(value)}, which has no properties of its own; give it a toJSON`);
}

function refuseError(value: object): never {
  return refuse(`an error (${nameOf(value)}); return its message, or throw it`);
}

/** What stands for a value of the kinds `unboxed` and `with-to-json`. */
export function plainOf(value: object, kind: 'unboxed' | 'with-to-json'): unknown {
  if (kind === 'unboxed') return value.valueOf();
  const toJson: unknown = Reflect.get(value, 'toJSON');
  return typeof toJson === 'function' ? Reflect.apply(toJson, value, ['']) : value;
}

/** The keys of a record that a `toJSON` has returned, perhaps itself. */
export function keysWithoutToJson(record: object): string[] {
  return Object.keys(record).filter((key) => key !== 'toJSON');
}

export function refuse(what: string): never {
  throw new ChunkUnencodableError('', what);
}

/** The same fault, seen from one level further out. */
export function within(step: string, error: unknown): unknown {
  if (error instanceof ChunkUnencodableError)
    return new ChunkUnencodableError(`${step}${error.path}`, error.why, error);
  // Not the value's fault: it is too large for one buffer.
  if (isErrorNamed(error, 'RangeError')) return error;
  // A getter or a toJSON that throws.
  return new ChunkUnencodableError(step, messageOf(error), { cause: error });
}

export function refuseDepth(): never {
  return refuse(`it nests deeper than ${VALUE_DEPTH_MAX}, or has a cycle`);
}

function nameOf(value: object): string {
  return `an instance of ${className(value) ?? 'a class without a name'}`;
}
