import { isUtf8 } from 'node:buffer';
import { META_VALUE_MAX, META_VALUE_MIN } from '../../model/limits.ts';
import { JsonShapeError, JsonSyntaxError } from './errors.ts';
import {
  excerpt,
  isDigit,
  isInteger,
  MINUS,
  NO_NUMBER,
  numberEnd,
  shown,
  shownNumber,
  skipSpace,
  ZERO,
} from './scan.ts';

/** How deep values may nest in fields that nobody knows. */
const SKIP_DEPTH_MAX = 128;
/** Digits that a number holds exactly whatever they are. */
const EXACT_DIGITS = 15;
/** An integer of more digits is beyond 64 bits, so that nobody needs its value. */
const INTEGER_DIGITS_MAX = 20;

const CONSTANTS = [
  ['NaN', Number.NaN],
  ['Infinity', Infinity],
  ['-Infinity', -Infinity],
] as const;

const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * Reads JSON by pulling the values that a caller expects, in one pass and without a tree: integers exactly,
 * whatever their size, and arrays of bytes without an object for each. Every method takes the name of the field it
 * reads, for its errors: {@link JsonSyntaxError} where the text is no JSON, {@link JsonShapeError} where it is
 * another JSON than was expected. As in the reference, the first fault of the text decides which.
 */
export class JsonReader {
  readonly #bytes: Buffer;
  readonly #takesHalves: boolean;
  #position = 0;
  /** Where the number read last begins; it ends at the position. */
  #numberStart = 0;

  /** @param takesHalves halves of surrogate pairs are read as they are; else they are no JSON, as in the reference */
  constructor(body: Uint8Array | string, takesHalves = false) {
    this.#takesHalves = takesHalves;
    this.#bytes =
      typeof body === 'string'
        ? Buffer.from(body, 'utf8')
        : Buffer.from(body.buffer, body.byteOffset, body.byteLength);
    if (typeof body !== 'string' && !isUtf8(body)) throw new JsonSyntaxError('', 'it is not valid UTF-8');
  }

  /** Nothing but white space may follow. */
  end(): void {
    const byte = this.#peek();
    if (byte !== undefined) throw this.#syntax('', 'something follows after its end');
  }

  tryNull(field: string): boolean {
    if (this.#peek() !== 0x6e) return false;
    this.#literal('null', field);
    return true;
  }

  /** What comes next, without taking it. */
  next(field: string): 'object' | 'array' | 'text' | 'other' {
    const byte = this.#peek();
    if (byte === undefined) throw this.#syntax(field, 'it ends where a value was expected');
    return byte === OPEN_BRACE
      ? 'object'
      : byte === OPEN_BRACKET
        ? 'array'
        : byte === QUOTE
          ? 'text'
          : 'other';
  }

  boolean(field: string): boolean {
    const byte = this.#peek();
    if (byte === 0x74) {
      this.#literal('true', field);
      return true;
    }
    if (byte !== 0x66) throw this.#unexpected(field, 'true or false');
    this.#literal('false', field);
    return false;
  }

  text(field: string): string {
    if (this.#peek() !== QUOTE) throw this.#unexpected(field, 'a text');
    const raw = this.#string(field);
    if (!this.#takesHalves && !raw.isWellFormed())
      throw this.#syntax(field, 'a text has half of a surrogate pair');
    return raw;
  }

  /** An unsigned integer up to `max`, 2^53 - 1 at most. */
  uint(field: string, max: number = Number.MAX_SAFE_INTEGER): number {
    const value = this.#integer(field);
    if (value < 0 || value > max)
      throw new JsonShapeError(field, `${this.#shownNumber()} is not between 0 and ${max}`);
    return Number(value);
  }

  /** An unsigned integer up to 2^63 - 1. */
  uint63(field: string): bigint {
    const value = this.#integer(field);
    if (value < 0 || value > META_VALUE_MAX)
      throw new JsonShapeError(field, `${this.#shownNumber()} is not between 0 and 2^63 - 1`);
    return BigInt(value);
  }

  int64(field: string): bigint {
    const value = this.#integer(field);
    if (value < META_VALUE_MIN || value > META_VALUE_MAX)
      throw new JsonShapeError(field, `${this.#shownNumber()} is not a signed 64-bit integer`);
    return BigInt(value);
  }

  /** Any number; an integer that a double cannot hold is a bigint, whatever its size. */
  number(field: string, isBigint = false): number | bigint {
    const isWhole = this.#skipNumber(field);
    const literal = this.#bytes.toString('latin1', this.#numberStart, this.#position);
    const value = Number(literal);
    if (!isWhole) return value;
    return Number.isSafeInteger(value) && !isBigint ? value : BigInt(literal);
  }

  /** An array of integers 0..255. */
  byteContent(field: string): Uint8Array {
    if (this.#peek() !== OPEN_BRACKET) throw this.#unexpected(field, 'an array of bytes');
    this.#position++;
    const close = this.#bytes.indexOf(CLOSE_BRACKET, this.#position);
    if (close < 0) throw this.#syntax(field, 'an array is not closed');
    // An element takes two bytes with its comma, so that this is enough, and bounded by what was received.
    const content = new Uint8Array((close - this.#position + 2) >>> 1);
    let length = this.#plainBytes(content);
    // What is left: the last element, and everything if there are other spaces.
    if (length === 0 && this.#take(CLOSE_BRACKET)) return content.slice(0, 0);
    for (;;) {
      content[length] = this.uint(field, 255);
      length++;
      if (this.#take(CLOSE_BRACKET)) return content.slice(0, length);
      if (!this.#take(COMMA)) throw this.#syntax(field, 'an array has no comma between its elements');
    }
  }

  /** Takes elements of the plainest form, digits and a comma and at most one space, as long as they come; how many. */
  #plainBytes(content: Uint8Array): number {
    const bytes = this.#bytes;
    let position = this.#position;
    let length = 0;
    for (;;) {
      let end = position + 1;
      let value = bytes[position]! - ZERO;
      let digit = bytes[end]! - ZERO;
      if (!(value >= 0 && value <= 9)) break;
      if (digit >= 0 && digit <= 9) {
        // A leading zero is no number.
        value = value === 0 ? 256 : value * 10 + digit;
        digit = bytes[++end]! - ZERO;
        if (digit >= 0 && digit <= 9) {
          value = value * 10 + digit;
          end++;
        }
      }
      if (value > 255 || bytes[end] !== COMMA) break;
      content[length++] = value;
      position = bytes[end + 1] === 0x20 ? end + 2 : end + 1;
    }
    this.#position = position;
    return length;
  }

  /** Calls `element` for each element, which must read it. */
  array(field: string, element: (index: number) => void): void {
    if (this.#peek() !== OPEN_BRACKET) throw this.#unexpected(field, 'an array');
    this.#position++;
    if (this.#take(CLOSE_BRACKET)) return;
    for (let index = 0; ; index++) {
      element(index);
      if (this.#take(CLOSE_BRACKET)) return;
      if (!this.#take(COMMA)) throw this.#syntax(field, 'an array has no comma between its elements');
    }
  }

  /** Calls `value` for each key, which must read the value. A key may come again. */
  object(field: string, value: (key: string) => void): void {
    if (this.#peek() !== OPEN_BRACE) throw this.#unexpected(field, 'an object');
    this.#position++;
    if (this.#take(CLOSE_BRACE)) return;
    for (;;) {
      if (this.#peek() !== QUOTE) throw this.#syntax(field, 'a key was expected');
      const key = this.text(field);
      if (!this.#take(COLON)) throw this.#syntax(field, 'a colon was expected after a key');
      value(key);
      if (this.#take(CLOSE_BRACE)) return;
      if (!this.#take(COMMA)) throw this.#syntax(field, 'an object has no comma between its fields');
    }
  }

  /**
   * A struct of these fields: an object in any order, unknown fields left out and none given twice; or, as the
   * reference takes it, an array of the first `arrayLength` of them in this order.
   *
   * @param read reads the value of a field
   * @returns which fields came
   */
  struct<Field extends string>(
    field: string,
    fields: readonly Field[],
    read: (name: Field, path: string) => void,
    arrayLength: number = fields.length,
  ): ReadonlySet<Field> {
    const seen = new Set<Field>();
    if (this.next(field) === 'array') {
      this.array(field, (index) => {
        const name = fields[index];
        if (name === undefined || index >= arrayLength) {
          throw new JsonShapeError(field, `an array of more than ${arrayLength} elements`);
        }
        seen.add(name);
        read(name, fieldPath(field, name));
      });
      if (seen.size < arrayLength)
        throw new JsonShapeError(field, `an array of less than ${arrayLength} elements`);
      return seen;
    }
    this.object(field, (key) => {
      const name = fields.find((known) => known === key);
      if (name === undefined) {
        this.skip(fieldPath(field, key));
        return;
      }
      if (seen.has(name)) throw new JsonShapeError(fieldPath(field, name), 'it is given twice');
      seen.add(name);
      read(name, fieldPath(field, name));
    });
    return seen;
  }

  /** An enum variant with a value: an object of one key. Returns what `read` makes of it. */
  variant<Name extends string, T>(
    field: string,
    names: readonly Name[],
    read: (name: Name, path: string) => T,
  ): T {
    let found: { readonly value: T } | null = null;
    this.object(field, (key) => {
      const name = names.find((known) => known === key);
      if (found !== null || name === undefined) {
        throw new JsonShapeError(
          field,
          `an object with one of ${names.join(', ')} was expected, not ${shown(key)}`,
        );
      }
      found = { value: read(name, fieldPath(field, name)) };
    });
    const { value } = (found as { readonly value: T } | null) ?? { value: null };
    if (found === null)
      throw new JsonShapeError(field, `an object with one of ${names.join(', ')} was expected`);
    return value as T;
  }

  /** Passes over a value of any shape. */
  skip(field: string, depth = 0): void {
    if (depth > SKIP_DEPTH_MAX) throw this.#syntax(field, `it nests deeper than ${SKIP_DEPTH_MAX}`);
    switch (this.next(field)) {
      case 'object':
        this.object(field, () => this.skip(field, depth + 1));
        break;
      case 'array':
        this.array(field, () => this.skip(field, depth + 1));
        break;
      case 'text':
        this.#string(field);
        break;
      default:
        if (this.#tryWord(field) === undefined) this.#skipNumber(field);
    }
  }

  /** NaN, Infinity or -Infinity, which Python writes although JSON has none; else undefined. */
  tryConstant(): number | undefined {
    this.#peek();
    for (const [word, value] of CONSTANTS) {
      const end = this.#position + word.length;
      if (this.#bytes.toString('latin1', this.#position, end) !== word) continue;
      this.#position = end;
      return value;
    }
    return undefined;
  }

  /** A null, boolean or number. */
  scalar(field: string, isBigint = false): null | boolean | number | bigint {
    const word = this.#tryWord(field);
    return word === undefined ? this.number(field, isBigint) : word;
  }

  #tryWord(field: string): null | boolean | undefined {
    const byte = this.#peek();
    if (byte === 0x74 || byte === 0x66) return this.boolean(field);
    return this.tryNull(field) ? null : undefined;
  }

  #peek(): number | undefined {
    this.#position = skipSpace(this.#bytes, this.#position);
    return this.#bytes[this.#position];
  }

  #take(byte: number): boolean {
    if (this.#peek() !== byte) return false;
    this.#position++;
    return true;
  }

  #literal(word: string, field: string): void {
    const end = this.#position + word.length;
    if (this.#bytes.toString('latin1', this.#position, end) !== word)
      throw this.#syntax(field, 'a value was expected');
    this.#position = end;
  }

  /** An integer: exactly, or infinite where it is beyond 64 bits for sure. */
  #integer(field: string): number | bigint {
    const isWhole = this.#skipNumber(field);
    const bytes = this.#bytes;
    const start = this.#numberStart;
    const length = this.#position - start;
    const isNegative = bytes[start] === MINUS;
    // As in the reference: neither 1.0 nor 1e3 is an integer, nor is -0.
    if (!isWhole || (isNegative && bytes[start + 1] === ZERO))
      throw new JsonShapeError(field, `${this.#shownNumber()} is not an integer`);
    // To make a value of millions of digits takes seconds.
    if (length > INTEGER_DIGITS_MAX + (isNegative ? 1 : 0)) return isNegative ? -Infinity : Infinity;
    const literal = bytes.toString('latin1', start, this.#position);
    return length <= EXACT_DIGITS ? Number(literal) : BigInt(literal);
  }

  /** Passes over a number; whether it is written as an integer. */
  #skipNumber(field: string): boolean {
    const bytes = this.#bytes;
    const first = this.#peek();
    if (first !== MINUS && !isDigit(first)) throw this.#unexpected(field, 'a number');
    const start = this.#position;
    const end = numberEnd(bytes, start);
    if (end === NO_NUMBER) throw this.#syntax(field, `${shown(shownNumber(bytes, start))} is not a number`);
    this.#numberStart = start;
    this.#position = end;
    return isInteger(bytes, start, end);
  }

  /** The number read last, for errors. */
  #shownNumber(): string {
    return excerpt(shownNumber(this.#bytes, this.#numberStart));
  }

  /** A string, at whose opening quote the reader stands. */
  #string(field: string): string {
    const bytes = this.#bytes;
    const start = this.#position + 1;
    let escaped = false;
    let end = start;
    for (; bytes[end] !== QUOTE; end++) {
      const byte = bytes[end];
      if (byte === undefined) throw this.#syntax(field, 'a text is not closed');
      if (byte < 0x20) throw this.#syntax(field, 'a text has a control character that is not escaped');
      if (byte === BACKSLASH) {
        escaped = true;
        end++;
      }
    }
    this.#position = end + 1;
    const raw = bytes.toString('utf8', start, end);
    if (!escaped) return raw;
    try {
      return JSON.parse(`"${raw}"`) as string;
    } catch {
      throw this.#syntax(field, 'a text has an unknown escape');
    }
  }

  /** Another value than was expected, or none at all. */
  #unexpected(field: string, wanted: string): JsonSyntaxError | JsonShapeError {
    const start = this.#position;
    switch (this.next(field)) {
      case 'object':
        return new JsonShapeError(field, `an object, ${wanted} was expected`);
      case 'array':
        return new JsonShapeError(field, `an array, ${wanted} was expected`);
      case 'text':
        return new JsonShapeError(field, `the text ${shown(this.#string(field))}, ${wanted} was expected`);
      default:
        break;
    }
    const byte = this.#bytes[start];
    const word = byte === 0x6e || byte === 0x74 || byte === 0x66;
    if (!word && byte !== MINUS && !isDigit(byte)) return this.#syntax(field, 'a value was expected');
    const found = this.#tryWord(field);
    if (found !== undefined) return new JsonShapeError(field, `${found}, ${wanted} was expected`);
    this.#skipNumber(field);
    return new JsonShapeError(field, `${this.#shownNumber()}, ${wanted} was expected`);
  }

  #syntax(field: string, what: string): JsonSyntaxError {
    return new JsonSyntaxError(field, `${what} (byte ${this.#position + 1} of ${this.#bytes.length})`);
  }
}

/** The path of a field of a struct, for errors. */
export function fieldPath(struct: string, field: string): string {
  const name = excerpt(field);
  return struct === '' ? name : `${struct}.${name}`;
}
