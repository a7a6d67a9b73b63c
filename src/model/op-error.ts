import { isError, isMap } from './kinds.ts';
import { bounded, messageOf, traceOf } from './thrown.ts';

/** The only key of the map that stands for an {@link OpError} in a chunk of results. */
export const OP_ERROR_KEY = '$opsqueue_error';

/**
 * The result of an operation that failed, where the consumer runs with `onOpError: 'record'`: the other operations
 * of the chunk keep their results, and the producer's iterator yields this one in its place.
 *
 * In a chunk it is the map `{"$opsqueue_error": {"message": text, "stack": text or null}}`, in CBOR and in JSON; of a
 * text longer than 16 384 characters, beginning and end.
 */
export class OpError {
  readonly message: string;
  /** The stack trace on the consumer, if it told one. */
  readonly stack: string | null;

  constructor(message: string, stack: string | null = null) {
    this.message = message;
    this.stack = stack;
  }

  /** From whatever a callback threw. */
  static from(thrown: unknown): OpError {
    return new OpError(bounded(messageOf(thrown)), stackOf(thrown));
  }

  /** The plain value that a codec encodes. */
  toWire(): { readonly [OP_ERROR_KEY]: { readonly message: string; readonly stack: string | null } } {
    const stack = this.stack === null ? null : bounded(this.stack);
    return { [OP_ERROR_KEY]: { message: bounded(this.message), stack } };
  }

  /** The decoded value of a result: an OpError where it stands for one, else null. */
  static fromWire(value: unknown): OpError | null {
    if (typeof value !== 'object' || value === null) return null;
    const inner = soleField(value, OP_ERROR_KEY);
    if (typeof inner !== 'object' || inner === null) return null;
    const message = field(inner, 'message');
    const stack = field(inner, 'stack');
    if (typeof message !== 'string') return null;
    return new OpError(message, typeof stack === 'string' ? stack : null);
  }
}

function stackOf(thrown: unknown): string | null {
  try {
    return isError(thrown) ? traceOf(thrown) : null;
  } catch {
    // Whatever was thrown, it does not want to be looked at.
    return null;
  }
}

function soleField(value: object, key: string): unknown {
  if (isMap(value)) return value.size === 1 ? value.get(key) : undefined;
  if (!Object.hasOwn(value, key) || Object.keys(value).length !== 1) return undefined;
  return Reflect.get(value, key);
}

function field(value: object, key: string): unknown {
  if (isMap(value)) return value.get(key);
  return Object.hasOwn(value, key) ? Reflect.get(value, key) : undefined;
}
