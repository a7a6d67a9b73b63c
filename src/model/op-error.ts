import { isError, isMap } from './kinds.ts';
import { bounded, messageOf, traceOf } from './thrown.ts';

/** The only key of the map that stands for an {@link OpError} in a chunk of results. */
export const OP_ERROR_KEY = '$opsqueue_error';

/** Causes below an error; what lies deeper is left out. Their traces are in the stack of the error. */
const CAUSES_MAX = 8;
/** Longest message of a cause, in characters. */
const CAUSE_CHARS_MAX = 1_024;
/** Longest name and longest code, in characters. */
const NAME_CHARS_MAX = 200;

/** What an error has besides its message. */
export interface OpErrorDetails {
  /** The name of the error's class, such as `TypeError`. */
  readonly name?: string | null | undefined;
  /** The error's code, such as `ECONNREFUSED`. */
  readonly code?: string | number | null | undefined;
  /** The stack trace on the consumer, with those of the causes. */
  readonly stack?: string | null | undefined;
  readonly cause?: OpError | null | undefined;
}

/** A decoded or encoded OpError, in its map. */
interface OpErrorFields {
  readonly message: string;
  readonly stack?: string | null;
  readonly name?: string;
  readonly code?: string | number;
  readonly cause?: OpErrorFields;
}

/**
 * The result of an operation that failed, where the consumer runs with `onOpError: 'record'`: the other operations
 * of the chunk keep their results, and the producer's iterator yields this one in its place.
 *
 * In a chunk it is the map `{"$opsqueue_error": {"message": text, "stack": text or null}}`, in CBOR and in JSON, with
 * `name`, `code` and `cause` (such a map without a stack) where the error has them. It is bounded in size: of a message
 * or a stack longer than 16 384 characters, it has the beginning and the end.
 */
export class OpError {
  readonly message: string;
  /** The stack trace on the consumer, with those of the causes; null if there is none. */
  readonly stack: string | null;
  /** The name of the error's class, such as `TypeError`; null if what was thrown is not an Error. */
  readonly name: string | null;
  /** The error's code, such as `ECONNREFUSED`; null if it has none. */
  readonly code: string | number | null;
  /** What caused it, without a stack of its own; null if nothing did. */
  readonly cause: OpError | null;

  constructor(message: string, details: OpErrorDetails = {}) {
    this.message = message;
    this.stack = details.stack ?? null;
    this.name = details.name ?? null;
    this.code = details.code ?? null;
    this.cause = details.cause ?? null;
  }

  /** From anything that a callback threw. */
  static from(thrown: unknown): OpError {
    const { name, code, cause } = detailsOf(thrown, CAUSES_MAX);
    return new OpError(bounded(messageOf(thrown)), { name, code, cause, stack: stackOf(thrown) });
  }

  /** As of an Error: `TypeError: fetch failed`, and the message alone where there is no name. */
  toString(): string {
    return this.name === null ? this.message : `${this.name}: ${this.message}`;
  }

  /** The plain value that a codec encodes. */
  toWire(): { readonly [OP_ERROR_KEY]: OpErrorFields } {
    const stack = this.stack === null ? null : bounded(this.stack);
    return { [OP_ERROR_KEY]: { message: bounded(this.message), stack, ...moreFields(this, CAUSES_MAX) } };
  }

  /** The decoded value of a result: an OpError where it stands for one, else null. */
  static fromWire(value: unknown): OpError | null {
    if (typeof value !== 'object' || value === null) return null;
    return fromFields(soleField(value, OP_ERROR_KEY), CAUSES_MAX);
  }
}

function fromFields(fields: unknown, causesMax: number): OpError | null {
  if (typeof fields !== 'object' || fields === null) return null;
  const message = field(fields, 'message');
  if (typeof message !== 'string') return null;
  const stack = field(fields, 'stack');
  const name = field(fields, 'name');
  return new OpError(message, {
    stack: typeof stack === 'string' ? stack : null,
    name: typeof name === 'string' ? name : null,
    code: codeOf(field(fields, 'code')),
    cause: causesMax === 0 ? null : fromFields(field(fields, 'cause'), causesMax - 1),
  });
}

function moreFields({ name, code, cause }: OpError, causesMax: number): Omit<OpErrorFields, 'message'> {
  return {
    ...(name === null ? {} : { name: bounded(name, NAME_CHARS_MAX) }),
    ...(code === null ? {} : { code: typeof code === 'string' ? bounded(code, NAME_CHARS_MAX) : code }),
    ...(cause === null || causesMax === 0 ? {} : { cause: causeFields(cause, causesMax - 1) }),
  };
}

function causeFields(cause: OpError, causesMax: number): OpErrorFields {
  return { message: bounded(cause.message, CAUSE_CHARS_MAX), ...moreFields(cause, causesMax) };
}

/** Nothing of an error that cannot be inspected. */
function detailsOf(thrown: unknown, causesMax: number): Omit<OpErrorDetails, 'stack'> {
  try {
    if (!isError(thrown)) return {};
    const { name, cause } = thrown;
    return {
      name: typeof name === 'string' ? bounded(name, NAME_CHARS_MAX) : null,
      code: codeOf(Reflect.get(thrown, 'code')),
      cause: cause === undefined || cause === null || causesMax === 0 ? null : causeOf(cause, causesMax - 1),
    };
  } catch {
    return {};
  }
}

function causeOf(thrown: unknown, causesMax: number): OpError {
  return new OpError(bounded(messageOf(thrown), CAUSE_CHARS_MAX), detailsOf(thrown, causesMax));
}

/** A text or an integer, which both codecs keep as it is. */
function codeOf(value: unknown): string | number | null {
  if (typeof value === 'string') return bounded(value, NAME_CHARS_MAX);
  const number = typeof value === 'bigint' ? Number(value) : value;
  return Number.isSafeInteger(number) ? (number as number) : null;
}

function stackOf(thrown: unknown): string | null {
  try {
    return isError(thrown) ? traceOf(thrown) : null;
  } catch {
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
