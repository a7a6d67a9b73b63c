import { isUtf8 } from 'node:buffer';
import { ProtocolError } from '../../model/errors.ts';

/** How deep values may nest in fields that nobody knows. */
const SKIP_DEPTH_MAX = 128;

const MAJOR_UINT = 0;
const MAJOR_NEGATIVE = 1;
const MAJOR_BYTES = 2;
const MAJOR_TEXT = 3;
const MAJOR_ARRAY = 4;
const MAJOR_MAP = 5;
const MAJOR_TAG = 6;
const MAJOR_SIMPLE = 7;
const MAJOR_NAMES = [
  'an unsigned integer',
  'a negative integer',
  'a byte string',
  'a text',
  'an array',
  'a map',
  'a tag',
  'a simple value or a float',
] as const;

const BREAK = 0xff;
const NULL = 0xf6;
const UNDEFINED = 0xf7;
const TWO_POW_32 = 0x1_0000_0000;
/** An array of bytes of open length begins with so much, and doubles. */
const OPEN_ARRAY_FIRST_BYTES = 64;
/** Pieces of a string up to this length are copied by a loop, which costs less than a call into native code. */
const SHORT_PIECE_BYTES = 32;

/**
 * Reads CBOR of the consumer protocol from one message, without making objects or strings of what it only
 * compares. Every method takes the name of the field it reads, for the {@link ProtocolError} it throws.
 *
 * It takes what the reference takes: integers in any width, tags in front of any value, maps and arrays of
 * indefinite length, byte strings and texts in pieces, anything after the message. Nothing is allocated from a
 * claimed length before that many bytes are known to be there.
 */
export class CborReader {
  readonly #bytes: Buffer;
  #position = 0;
  // The argument of the head read last, as two 32-bit halves, and whether its length was left open.
  #high = 0;
  #low = 0;
  #indefinite = false;

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.isBuffer(bytes)
      ? bytes
      : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get position(): number {
    return this.#position;
  }

  /** An error of what was read, for the caller to throw. */
  error(field: string, what: string): ProtocolError {
    return new ProtocolError(field, `${field}: ${what}`);
  }

  /** Takes a null (or undefined), if one is next. */
  tryNull(): boolean {
    const byte = this.#bytes[this.#position];
    if (byte !== NULL && byte !== UNDEFINED) return false;
    this.#position++;
    return true;
  }

  boolean(field: string): boolean {
    const start = this.#position;
    const major = this.#head(field);
    if (major !== MAJOR_SIMPLE || (this.#low !== 20 && this.#low !== 21) || this.#position !== start + 1) {
      throw this.#unexpected(field, 'true or false', major);
    }
    return this.#low === 21;
  }

  /** An unsigned integer up to 2^64 - 1; what is beyond 2^53 - 1 is clamped to that. */
  uintClamped(field: string): number {
    this.#uintHead(field);
    return Math.min(this.#argument(), Number.MAX_SAFE_INTEGER);
  }

  /** An unsigned integer up to `max` (at most 2^53 - 1, the default). */
  uint(field: string, max: number = Number.MAX_SAFE_INTEGER): number {
    this.#uintHead(field);
    const value = this.#argument();
    if (value > max)
      throw new ProtocolError(field, `${field} is ${this.#bigArgument()}, at most ${max} is possible`);
    return value;
  }

  /** An unsigned integer up to 2^64 - 1: a number where that is exact. */
  uintLossless(field: string): number | bigint {
    this.#uintHead(field);
    return this.#high < 0x20_0000 ? this.#argument() : this.#bigArgument();
  }

  /** An unsigned integer up to 2^63 - 1. */
  uint63(field: string): bigint {
    this.#uintHead(field);
    if (this.#high >= 0x8000_0000) {
      throw new ProtocolError(field, `${field} is ${this.#bigArgument()}, at most 2^63 - 1 is possible`);
    }
    return this.#bigArgument();
  }

  /** A signed 64-bit integer. */
  int64(field: string): bigint {
    const major = this.#head(field);
    if (major > MAJOR_NEGATIVE) throw this.#unexpected(field, 'an integer', major);
    const argument = this.#bigArgument();
    const value = major === MAJOR_UINT ? argument : -1n - argument;
    if (this.#high >= 0x8000_0000)
      throw new ProtocolError(field, `${field} is ${value}, which is not a signed 64-bit integer`);
    return value;
  }

  text(field: string): string {
    const major = this.#head(field);
    if (major !== MAJOR_TEXT) throw this.#unexpected(field, 'a text', major);
    if (this.#indefinite) return this.#utf8(Buffer.from(this.#pieces(MAJOR_TEXT, field).buffer), field);
    const end = this.#contentEnd(field);
    const start = this.#position;
    this.#position = end;
    return this.#utf8(this.#bytes.subarray(start, end), field);
  }

  /** Bytes, copied: an array of integers 0..255, or a byte string. */
  byteContent(field: string): Uint8Array {
    const major = this.#head(field);
    if (major === MAJOR_BYTES) {
      if (this.#indefinite) return this.#pieces(MAJOR_BYTES, field);
      const end = this.#contentEnd(field);
      const content = new Uint8Array(this.#bytes.subarray(this.#position, end));
      this.#position = end;
      return content;
    }
    if (major !== MAJOR_ARRAY) throw this.#unexpected(field, 'bytes', major);
    return this.#indefinite ? this.#integersUntilBreak(field) : this.#integers(field);
  }

  /** Starts a map: how many entries are left, Infinity if that was left open. */
  openMap(field: string): number {
    const major = this.#head(field);
    if (major !== MAJOR_MAP) throw this.#unexpected(field, 'a map', major);
    return this.#indefinite ? Infinity : this.#argument();
  }

  /** Starts an array: how many elements are left, Infinity if that was left open. */
  openArray(field: string): number {
    const major = this.#head(field);
    if (major !== MAJOR_ARRAY) throw this.#unexpected(field, 'an array', major);
    return this.#indefinite ? Infinity : this.#argument();
  }

  /** Whether another entry follows in a map or array of which `left` are left; takes the end of an open one. */
  more(left: number): boolean {
    if (left !== Infinity) return left > 0;
    if (this.#bytes[this.#position] !== BREAK) return true;
    this.#position++;
    return false;
  }

  /** A key of a map: its position in `names`, or -1 if it is none of them. */
  key(names: readonly Uint8Array[], field: string): number {
    const major = this.#head(field);
    if ((major !== MAJOR_TEXT && major !== MAJOR_BYTES) || this.#indefinite) {
      throw new ProtocolError(field, `${field} has a key that is not text in one piece`);
    }
    const start = this.#position;
    const end = this.#contentEnd(field);
    this.#position = end;
    return this.#nameAt(names, start, end);
  }

  /**
   * An enum variant, which is its name, or a map of one entry from its name to its value: the position in
   * `names`, or -1. `variantHasValue` tells which it was.
   */
  tryVariant(names: readonly Uint8Array[], field: string): number {
    let major = this.#head(field);
    this.#variantHasValue = major === MAJOR_MAP;
    if (major === MAJOR_MAP) {
      if (this.#indefinite || this.#argument() !== 1) {
        throw new ProtocolError(
          field,
          `${field} is a map of ${this.#lengthName()} entries, one was expected`,
        );
      }
      major = this.#head(field);
    }
    if (major !== MAJOR_TEXT || this.#indefinite) throw this.#unexpected(field, 'a name', major);
    const start = this.#position;
    const end = this.#contentEnd(field);
    this.#position = end;
    this.#variantStart = start;
    return this.#nameAt(names, start, end);
  }

  /** Likewise, where every variant is known. */
  variant(names: readonly Uint8Array[], field: string): number {
    const found = this.tryVariant(names, field);
    if (found < 0) throw new ProtocolError(field, `${field} is the unknown ${this.unknownVariant}`);
    return found;
  }

  /** The name of the variant read last, for messages. */
  get unknownVariant(): string {
    return this.#shown(this.#variantStart, this.#position);
  }

  /** Likewise for enums of which every variant has a value. */
  variantWithValue(names: readonly Uint8Array[], field: string): number {
    const found = this.variant(names, field);
    if (!this.#variantHasValue) throw this.error(field, 'a map of one entry was expected, not only a name');
    return found;
  }

  #variantHasValue = false;
  #variantStart = 0;

  /** Whether the variant read last came as a map, so that its value follows. */
  get variantHasValue(): boolean {
    return this.#variantHasValue;
  }

  /** Passes over a value of any shape. */
  skip(field: string, depth = 0): void {
    if (depth > SKIP_DEPTH_MAX)
      throw new ProtocolError(field, `${field} nests deeper than ${SKIP_DEPTH_MAX}`);
    const major = this.#head(field);
    if (major === MAJOR_BYTES || major === MAJOR_TEXT) {
      if (this.#indefinite) this.#skipPieces(major, field);
      else this.#position = this.#contentEnd(field);
    } else if (major === MAJOR_ARRAY || major === MAJOR_MAP) {
      const perEntry = major === MAJOR_MAP ? 2 : 1;
      const entries = this.#indefinite ? Infinity : this.#argument();
      for (let left = entries; this.more(left); left--) {
        for (let i = 0; i < perEntry; i++) this.skip(field, depth + 1);
      }
    } else if (this.#indefinite) {
      throw new ProtocolError(field, `${field} ends where a value was expected`);
    }
  }

  /** Whether the same bytes as from `start` to `end`, already read, come next; takes them if so. */
  tryRepeat(start: number, end: number): boolean {
    const position = this.#position;
    const after = position + end - start;
    const bytes = this.#bytes;
    if (after > bytes.length || bytes.compare(bytes, start, end, position, after) !== 0) return false;
    this.#position = after;
    return true;
  }

  #uintHead(field: string): void {
    const major = this.#head(field);
    if (major !== MAJOR_UINT) throw this.#unexpected(field, 'an unsigned integer', major);
  }

  #argument(): number {
    return this.#high * TWO_POW_32 + this.#low;
  }

  #bigArgument(): bigint {
    return this.#high === 0 ? BigInt(this.#low) : (BigInt(this.#high) << 32n) | BigInt(this.#low);
  }

  /** Reads a head, past any tags; the major type. */
  #head(field: string): number {
    const bytes = this.#bytes;
    for (;;) {
      const initial = bytes[this.#position];
      if (initial === undefined) throw truncated(field);
      const info = initial & 0x1f;
      const major = initial >>> 5;
      this.#position++;
      this.#indefinite = false;
      if (info < 24) {
        this.#high = 0;
        this.#low = info;
      } else {
        this.#longArgument(info, major, field);
      }
      if (major !== MAJOR_TAG) return major;
    }
  }

  #longArgument(info: number, major: number, field: string): void {
    const bytes = this.#bytes;
    const position = this.#position;
    this.#high = 0;
    this.#low = 0;
    if (info === 31) {
      if (major <= MAJOR_NEGATIVE || major === MAJOR_TAG) {
        throw new ProtocolError(field, `${field} is not well-formed CBOR`);
      }
      this.#indefinite = true;
      return;
    }
    if (info > 27) throw new ProtocolError(field, `${field} is not well-formed CBOR`);
    const size = 1 << (info - 24);
    if (position + size > bytes.length) throw truncated(field);
    if (info === 24) this.#low = bytes[position]!;
    else if (info === 25) this.#low = (bytes[position]! << 8) | bytes[position + 1]!;
    else if (info === 26) this.#low = get32(bytes, position);
    else {
      this.#high = get32(bytes, position);
      this.#low = get32(bytes, position + 4);
    }
    this.#position = position + size;
  }

  /** Where a string of the length read last ends. */
  #contentEnd(field: string): number {
    const end = this.#position + this.#argument();
    if (end > this.#bytes.length) throw truncated(field);
    return end;
  }

  #integers(field: string): Uint8Array {
    const length = this.#argument();
    const bytes = this.#bytes;
    // Each element takes a byte at least, so a claimed length beyond the message is not believed.
    if (length > bytes.length - this.#position) throw truncated(field);
    const content = new Uint8Array(length);
    let position = this.#position;
    for (let i = 0; i < length; i++) {
      let byte = bytes[position]!;
      // What is not in its shortest form, and the last byte of the message, take the long way.
      if (byte === 0x18 && position + 1 < bytes.length) {
        byte = bytes[position + 1]!;
        position += 2;
      } else if (byte < 24) {
        position++;
      } else {
        this.#position = position;
        byte = this.#integer(field);
        position = this.#position;
      }
      content[i] = byte;
    }
    this.#position = position;
    return content;
  }

  #integersUntilBreak(field: string): Uint8Array {
    let content = new Uint8Array(OPEN_ARRAY_FIRST_BYTES);
    let length = 0;
    while (this.more(Infinity)) {
      const byte = this.#integer(field);
      if (length === content.length) {
        const larger = new Uint8Array(length * 2);
        larger.set(content);
        content = larger;
      }
      content[length++] = byte;
    }
    return content.slice(0, length);
  }

  #integer(field: string): number {
    this.#uintHead(field);
    if (this.#argument() > 255) {
      throw new ProtocolError(field, `${field} has the element ${this.#bigArgument()}, which is not a byte`);
    }
    return this.#low;
  }

  /**
   * The pieces of a string of open length, put together. They are read twice instead of remembered: there may be as
   * many as the message has bytes, each of them empty.
   */
  #pieces(major: number, field: string): Uint8Array<ArrayBuffer> {
    const first = this.#position;
    const content = new Uint8Array(this.#skipPieces(major, field));
    this.#position = first;
    let length = 0;
    while (this.more(Infinity)) {
      this.#head(field);
      const end = this.#contentEnd(field);
      if (end - this.#position > SHORT_PIECE_BYTES) {
        length += this.#bytes.copy(content, length, this.#position, end);
      } else {
        for (let at = this.#position; at < end; at++) content[length++] = this.#bytes[at]!;
      }
      this.#position = end;
    }
    return content;
  }

  /** Passes over the pieces of a string of open length; how many bytes they have together. */
  #skipPieces(major: number, field: string): number {
    let length = 0;
    while (this.more(Infinity)) {
      const found = this.#head(field);
      if (found !== major || this.#indefinite) throw this.#unexpected(field, 'a piece of a string', found);
      const end = this.#contentEnd(field);
      length += end - this.#position;
      this.#position = end;
    }
    return length;
  }

  #utf8(content: Buffer, field: string): string {
    if (!isUtf8(content)) throw new ProtocolError(field, `${field} is not valid UTF-8`);
    return content.toString('utf8');
  }

  #nameAt(names: readonly Uint8Array[], start: number, end: number): number {
    const bytes = this.#bytes;
    const length = end - start;
    for (let candidate = 0; candidate < names.length; candidate++) {
      const name = names[candidate]!;
      if (name.length !== length) continue;
      let i = 0;
      while (i < length && name[i] === bytes[start + i]) i++;
      if (i === length) return candidate;
    }
    return -1;
  }

  #lengthName(): string {
    return this.#indefinite ? 'an open number of' : String(this.#argument());
  }

  #shown(start: number, end: number): string {
    return JSON.stringify(this.#bytes.toString('utf8', start, Math.min(end, start + 60)));
  }

  #unexpected(field: string, wanted: string, major: number): ProtocolError {
    const found = this.#indefinite && major === MAJOR_SIMPLE ? 'an end' : MAJOR_NAMES[major]!;
    return new ProtocolError(field, `${field} is ${found}, ${wanted} was expected`);
  }
}

function truncated(field: string): ProtocolError {
  return new ProtocolError(field, `the message is cut short in ${field}`);
}

function get32(bytes: Uint8Array, position: number): number {
  return (
    ((bytes[position]! << 24) |
      (bytes[position + 1]! << 16) |
      (bytes[position + 2]! << 8) |
      bytes[position + 3]!) >>>
    0
  );
}
