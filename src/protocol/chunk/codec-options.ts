import { show } from '../../model/check.ts';
import { IncorrectUsageError } from '../../model/errors.ts';
import { unknownOption } from '../../model/option-names.ts';

/**
 * How operations (or results) become the bytes of a chunk, and back. Producer and consumers must use the same one.
 * `encode` may return the same buffer, or a part of it, each time; what `decode` throws fails the chunk with its message.
 */
export interface OperationCodec {
  encode(operations: readonly unknown[]): Uint8Array;
  decode(content: Uint8Array): unknown[];
}

/** How a codec reads what JavaScript has several types for. */
export interface ReadingOptions {
  /**
   * What maps are read as: `'object'` (default), as long as all keys are texts, or `'map'`: always a Map, which keeps the
   * order of keys such as `'2'` and `'1'`.
   */
  readonly maps: 'object' | 'map';
  /**
   * What dates are read as: `'date'` (default), a Date, which has milliseconds and no offset; `'text'`, the text of it, in
   * ISO 8601; or `'tag'`, a CborTag of the text or of the seconds, which is written again as it was read.
   */
  readonly dates: 'date' | 'text' | 'tag';
  /**
   * `'number'` (default): integers up to 2^53 - 1 are numbers, and a number is written as an integer where it is one.
   * `'bigint'`: integers are bigints and numbers are doubles, both ways, as int and float in Python.
   */
  readonly integers: 'number' | 'bigint';
}

/** A codec by name, with options: plain data, so that the threads of a module's callback can have it. */
export interface NamedCodec {
  readonly name: 'cbor' | 'json';
  readonly maps?: ReadingOptions['maps'] | undefined;
  /** `'cbor'` only: JSON has no dates. */
  readonly dates?: ReadingOptions['dates'] | undefined;
  readonly integers?: ReadingOptions['integers'] | undefined;
}

const CHOICES: { readonly [Name in keyof ReadingOptions]: readonly ReadingOptions[Name][] } = {
  maps: ['object', 'map'],
  dates: ['date', 'text', 'tag'],
  integers: ['number', 'bigint'],
};

const CBOR_OPTIONS = Object.keys(CHOICES);
const JSON_OPTIONS = CBOR_OPTIONS.filter((name) => name !== 'dates');

/**
 * The named codec that a value is; null if it is none.
 *
 * @throws IncorrectUsageError that names an option which the codec does not have, and the nearest one that it has; or a
 *   value that its option cannot have
 */
export function namedCodecOf(value: unknown): 'cbor' | 'json' | NamedCodec | null {
  if (value === 'cbor' || value === 'json') return value;
  if (typeof value !== 'object' || value === null || !('name' in value) || 'encode' in value) return null;
  if (value.name !== 'cbor' && value.name !== 'json') return null;
  const names = value.name === 'json' ? JSON_OPTIONS : CBOR_OPTIONS;
  for (const [option, chosen] of Object.entries(value)) {
    if (option === 'name' || chosen === undefined) continue;
    if (!names.includes(option)) throw new IncorrectUsageError(`codec: ${unknownOption(option, names)}`);
    const choices: readonly unknown[] = CHOICES[option as keyof ReadingOptions];
    if (!choices.includes(chosen)) {
      throw new IncorrectUsageError(
        `codec: ${option} must be one of ${choices.join(', ')}, got ${show(chosen)}`,
      );
    }
  }
  return value as NamedCodec;
}

export function readingOf({
  maps = 'object',
  dates = 'date',
  integers = 'number',
}: Omit<NamedCodec, 'name'>): ReadingOptions {
  return { maps, dates, integers };
}
