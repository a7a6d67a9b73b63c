import { isObject } from '../../model/check.ts';
import { messageOf } from '../../model/thrown.ts';
import { parseJson } from '../json/json.ts';
import { CborValueReader } from './cbor-value-reader.ts';
import { CborValueWriter } from './cbor-value-writer.ts';
import { type NamedCodec, type OperationCodec, type ReadingOptions, readingOf } from './codec-options.ts';
import { ChunkUndecodableError } from './errors.ts';
import { formatJson } from './json-values.ts';

export { CborTag } from './cbor-value.ts';
export { ChunkUndecodableError, ChunkUnencodableError } from './errors.ts';

/** A codec of ours. */
export interface ChunkCodec extends OperationCodec {
  /** For messages and logs. */
  readonly name: string;
}

/** What may be given as a codec, in words. */
export const CODEC_KINDS =
  "'cbor', 'json', one of these with options ({ name, maps, dates, integers }) or an object with encode and decode";

export function isCodec(value: unknown): value is OperationCodec {
  return isObject(value) && typeof value.encode === 'function' && typeof value.decode === 'function';
}

/**
 * The default: one CBOR array, as the reference's clients write and read it (Python's cbor2).
 *
 * - Integers are numbers where these are exact (up to 2^53 - 1), bigints beyond; a bigint that would fit a number
 *   comes back as one. Any other number is a double. So 1.0 comes back as the integer 1 in Python.
 * - Bytes are Uint8Arrays, dates Dates, sets Sets. Maps come back as plain objects if all keys are texts, else as
 *   Maps. `__proto__` is a key like any other. Values with other tags are CborTags.
 * - Objects are written with their own enumerable properties, whatever their class.
 *
 * `encode` throws {@link ChunkUnencodableError} (functions, symbols, cycles, nesting beyond 500, halves of surrogate
 * pairs), `decode` {@link ChunkUndecodableError} (no CBOR, cut short, trailing bytes, no array).
 */
export function cborChunkCodec(options: Omit<NamedCodec, 'name'> = {}): ChunkCodec {
  const reading = readingOf(options);
  const writer = new CborValueWriter(reading.integers === 'number');
  return {
    name: 'cbor',
    encode: (ops) => writer.encode(ops),
    decode: (bytes) => opsOf(new CborValueReader(bytes, reading).decode()),
  };
}

/**
 * One JSON array in UTF-8, as the reference's `json_as_bytes` writes and reads it. Integers beyond 2^53 - 1 are
 * bigints, in both directions, so that they come through exactly. What JSON has no form for is an error or left
 * out, as with `JSON.stringify`: `undefined`, NaN, Map, Set and Uint8Array do not come back as they were.
 */
export function jsonChunkCodec(options: Omit<NamedCodec, 'name'> = {}): ChunkCodec {
  const reading = readingOf(options);
  const isIntegral = reading.integers === 'number';
  return {
    name: 'json',
    encode: (ops) => new Uint8Array(Buffer.from(formatJson(ops, isIntegral), 'utf8')),
    decode: (bytes) => decodeJson(bytes, reading),
  };
}

/** The codec of the plain data that an option holds: it crosses threads. */
export function chunkCodecOf(options: 'cbor' | 'json' | NamedCodec): ChunkCodec {
  const { name, ...reading } = typeof options === 'string' ? { name: options } : options;
  return name === 'cbor' ? cborChunkCodec(reading) : jsonChunkCodec(reading);
}

function decodeJson(bytes: Uint8Array, options: ReadingOptions): unknown[] {
  try {
    return opsOf(parseJson(bytes, options));
  } catch (error) {
    if (error instanceof ChunkUndecodableError) throw error;
    throw new ChunkUndecodableError(messageOf(error), { cause: error });
  }
}

function opsOf(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  throw new ChunkUndecodableError('it is not an array of operations');
}
