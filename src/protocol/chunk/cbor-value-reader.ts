import { isUtf8 } from 'node:buffer';
import { isErrorNamed, isMap, isUint8Array } from '../../model/kinds.ts';
import {
  CborTag,
  TAG_BIGNUM,
  TAG_DATE_SECONDS,
  TAG_DATE_TEXT,
  TAG_MAP,
  TAG_NEGATIVE_BIGNUM,
  TAG_SELF_DESCRIBED,
  TAG_SET,
  TAG_UINT8_ARRAY,
  VALUE_DEPTH_MAX,
} from './cbor-value.ts';
import type { ReadingOptions } from './codec-options.ts';
import { ChunkUndecodableError } from './errors.ts';

const BREAK = 0xff;
const INDEFINITE = -1;
/** Arrays up to this claimed length are allocated at once, longer ones grow as their elements come. */
const PREALLOCATED_MAX = 1024;
/** The last second of a minute that has one more. */
const LEAP_SECOND = /^(?<before>[^T]+T\d\d:\d\d:)60(?=[.Z+-])/;
/** Texts up to this length are read by a loop, which costs less than a call into native code. */
const LOOPED_TEXT_MAX = 16;

/**
 * Reads any CBOR that Python's cbor2 writes: integers as numbers where these are exact and as bigints beyond, byte
 * strings as Uint8Arrays (copied), maps as objects where all keys are texts and as Maps otherwise, sets and dates
 * by their tags, and what JavaScript has nothing for as {@link CborTag}.
 */
export class CborValueReader {
  readonly #bytes: Buffer;
  readonly #view: DataView;
  readonly #options: ReadingOptions;
  /** Of the options; it is asked for each integer. */
  readonly #hasBigints: boolean;
  #position = 0;

  constructor(bytes: Uint8Array, options: ReadingOptions) {
    this.#options = options;
    this.#hasBigints = options.integers === 'bigint';
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** The one value of the chunk. @throws ChunkUndecodableError */
  decode(): unknown {
    try {
      const value = this.#value(0);
      const rest = this.#bytes.length - this.#position;
      if (rest > 0) throw new ChunkUndecodableError(`${rest} bytes follow after its end`);
      return value;
    } catch (error) {
      // Reading beyond the end of a DataView; checked there and not for each value.
      if (isErrorNamed(error, 'RangeError'))
        throw new ChunkUndecodableError('it is cut short', { cause: error });
      throw error;
    }
  }

  #value(depth: number): unknown {
    const initial = this.#view.getUint8(this.#position++);
    const major = initial >>> 5;
    const info = initial & 0x1f;
    if (major === 7) return this.#simple(info);
    if (info === 31) return this.#indefinite(major, depth);
    if (this.#hasBigints && major <= 1) return BigInt(this.#integer(major, info));
    if (info === 27 && major <= 1) return this.#longInteger(major);
    const argument = info < 24 ? info : this.#argument(info);
    switch (major) {
      case 0:
        return argument;
      case 1:
        return -1 - argument;
      case 2:
        return this.#byteString(argument);
      case 3:
        return this.#text(argument);
      case 4:
        return this.#array(argument, depth);
      case 5:
        return this.#map(argument, depth);
      default:
        return this.#tagged(argument, depth);
    }
  }

  #argument(info: number): number {
    const position = this.#position;
    switch (info) {
      case 24:
        this.#position += 1;
        return this.#view.getUint8(position);
      case 25:
        this.#position += 2;
        return this.#view.getUint16(position);
      case 26:
        this.#position += 4;
        return this.#view.getUint32(position);
      case 27:
        this.#position += 8;
        return this.#view.getUint32(position) * 0x1_0000_0000 + this.#view.getUint32(position + 4);
      default:
        throw new ChunkUndecodableError(`byte ${position} is not CBOR`);
    }
  }

  #integer(major: number, info: number): number | bigint {
    if (info === 27) return this.#longInteger(major);
    const argument = info < 24 ? info : this.#argument(info);
    return major === 0 ? argument : -1 - argument;
  }

  #longInteger(major: number): number | bigint {
    const position = this.#position;
    this.#position += 8;
    const high = this.#view.getUint32(position);
    if (high < 0x20_0000) {
      const value = high * 0x1_0000_0000 + this.#view.getUint32(position + 4);
      // -2^53 is the first that a number does not hold for sure.
      if (major === 0) return value;
      if (value < Number.MAX_SAFE_INTEGER) return -1 - value;
    }
    const value = this.#view.getBigUint64(position);
    return major === 0 ? value : -1n - value;
  }

  #simple(info: number): unknown {
    const position = this.#position;
    switch (info) {
      case 20:
        return false;
      case 21:
        return true;
      case 22:
        return null;
      case 23:
        return undefined;
      case 25:
        this.#position += 2;
        return halfFloat(this.#view.getUint16(position));
      case 26:
        this.#position += 4;
        return this.#view.getFloat32(position);
      case 27:
        this.#position += 8;
        return this.#view.getFloat64(position);
      case 31:
        throw new ChunkUndecodableError(`an end where a value was expected, at byte ${position - 1}`);
      default:
        throw new ChunkUndecodableError(`an unknown simple value at byte ${position - 1}`);
    }
  }

  #indefinite(major: number, depth: number): unknown {
    switch (major) {
      case 2:
        return new Uint8Array(Buffer.concat(this.#pieces(2)));
      case 3:
        return this.#pieces(3)
          .map((piece) => this.#utf8(piece))
          .join('');
      case 4:
        return this.#array(INDEFINITE, depth);
      case 5:
        return this.#map(INDEFINITE, depth);
      default:
        throw new ChunkUndecodableError(`byte ${this.#position - 1} is not CBOR`);
    }
  }

  #pieces(major: number): Buffer[] {
    const pieces: Buffer[] = [];
    while (!this.#takeBreak()) {
      const initial = this.#view.getUint8(this.#position++);
      const info = initial & 0x1f;
      if (initial >>> 5 !== major || info === 31) {
        throw new ChunkUndecodableError(`no piece of a string at byte ${this.#position - 1}`);
      }
      pieces.push(this.#take(info < 24 ? info : this.#argument(info)));
    }
    return pieces;
  }

  #byteString(length: number): Uint8Array {
    return new Uint8Array(this.#take(length));
  }

  #text(length: number): string {
    if (length <= LOOPED_TEXT_MAX) {
      const text = this.#asciiText(length);
      if (text !== null) return text;
    }
    return this.#utf8(this.#take(length));
  }

  /** A short text, if it turns out to be ASCII. */
  #asciiText(length: number): string | null {
    const bytes = this.#bytes;
    const start = this.#position;
    let text = '';
    for (let i = start; i < start + length; i++) {
      const byte = bytes[i];
      if (byte === undefined || byte > 0x7f) return null;
      text += String.fromCharCode(byte);
    }
    this.#position = start + length;
    return text;
  }

  #utf8(content: Buffer): string {
    const text = content.toString('utf8');
    // Only a replacement character can mean that something was replaced.
    if (text.includes('\ufffd') && !isUtf8(content))
      throw new ChunkUndecodableError('a text is not valid UTF-8');
    return text;
  }

  #take(length: number): Buffer {
    const start = this.#position;
    const end = start + length;
    if (end > this.#bytes.length) throw new ChunkUndecodableError('it is cut short');
    this.#position = end;
    return this.#bytes.subarray(start, end);
  }

  #array(length: number, depth: number): unknown[] {
    checkDepth(depth);
    if (length === INDEFINITE) {
      const values: unknown[] = [];
      while (!this.#takeBreak()) values.push(this.#value(depth + 1));
      return values;
    }
    if (length > PREALLOCATED_MAX) {
      const values: unknown[] = [];
      for (let i = 0; i < length; i++) values.push(this.#value(depth + 1));
      return values;
    }
    const values = new Array<unknown>(length);
    for (let i = 0; i < length; i++) values[i] = this.#value(depth + 1);
    return values;
  }

  /** An object, as long as all keys are texts. */
  #map(length: number, depth: number): object {
    checkDepth(depth);
    if (this.#options.maps === 'map') return this.#entries(new Map(), 0, length, depth);
    const record: Record<string, unknown> = {};
    for (let i = 0; length === INDEFINITE ? !this.#takeBreak() : i < length; i++) {
      const key = this.#value(depth + 1);
      if (typeof key !== 'string') return this.#mapGoingOn(record, key, i, length, depth);
      const value = this.#value(depth + 1);
      if (key === '__proto__') {
        // Assigned, it would change the prototype.
        Object.defineProperty(record, key, { value, writable: true, enumerable: true, configurable: true });
      } else record[key] = value;
    }
    return record;
  }

  /** The rest of a map of which `read` entries had texts as keys, and the next one has not. */
  #mapGoingOn(
    before: Record<string, unknown>,
    firstKey: unknown,
    read: number,
    length: number,
    depth: number,
  ): Map<unknown, unknown> {
    const map = new Map<unknown, unknown>(Object.entries(before));
    map.set(firstKey, this.#value(depth + 1));
    return this.#entries(map, read + 1, length, depth);
  }

  #entries(map: Map<unknown, unknown>, read: number, length: number, depth: number): Map<unknown, unknown> {
    for (let i = read; length === INDEFINITE ? !this.#takeBreak() : i < length; i++) {
      const key = this.#value(depth + 1);
      map.set(key, this.#value(depth + 1));
    }
    return map;
  }

  #tagged(tag: number, depth: number): unknown {
    checkDepth(depth);
    const value = this.#value(depth + 1);
    switch (tag) {
      case TAG_SELF_DESCRIBED:
        return value;
      case TAG_DATE_TEXT:
        if (typeof value !== 'string') return undecodable('a date that is not text');
        return this.#options.dates === 'date' ? dateOf(value) : this.#exactDate(tag, value);
      case TAG_DATE_SECONDS:
        if (typeof value !== 'number' && typeof value !== 'bigint')
          return undecodable('a date that is not a number');
        return this.#options.dates === 'date'
          ? dateOf(Math.round(Number(value) * 1000))
          : this.#exactDate(tag, value);
      case TAG_BIGNUM:
        return bignum(value);
      case TAG_NEGATIVE_BIGNUM:
        return -1n - bignum(value);
      case TAG_SET:
        return Array.isArray(value) ? new Set(value) : undecodable('a set that is not an array');
      case TAG_MAP:
        return isMap(value) ? value : new Map(Object.entries(Object(value)));
      case TAG_UINT8_ARRAY:
        return value;
      default:
        return new CborTag(tag, value);
    }
  }

  #exactDate(tag: number, value: string | number | bigint): unknown {
    if (this.#options.dates === 'tag') return new CborTag(tag, value);
    return typeof value === 'string' ? value : isoText(Number(value));
  }

  #takeBreak(): boolean {
    if (this.#view.getUint8(this.#position) !== BREAK) return false;
    this.#position++;
    return true;
  }
}

function checkDepth(depth: number): void {
  if (depth >= VALUE_DEPTH_MAX) throw new ChunkUndecodableError(`it nests deeper than ${VALUE_DEPTH_MAX}`);
}

function undecodable(what: string): never {
  throw new ChunkUndecodableError(what);
}

/** A leap second as its successor, which has the same number in POSIX time. */
function dateOf(time: string | number): Date {
  const isLeap = typeof time === 'string' && LEAP_SECOND.test(time);
  const date = isLeap
    ? new Date(new Date(time.replace(LEAP_SECOND, '$<before>59')).getTime() + 1000)
    : new Date(time);
  return Number.isNaN(date.getTime()) ? undecodable(`the date ${JSON.stringify(time)}`) : date;
}

/** Seconds since 1970 as text, to the microsecond, which is what Python has. */
function isoText(seconds: number): string {
  const micros = Math.round(seconds * 1_000_000);
  const ms = Math.floor(micros / 1000);
  const rest = micros - ms * 1000;
  const text = dateOf(ms).toISOString();
  return rest === 0 ? text : text.replace('Z', `${String(rest).padStart(3, '0')}Z`);
}

function bignum(value: unknown): bigint {
  if (!isUint8Array(value)) return undecodable('a big integer that is not a byte string');
  return value.length === 0 ? 0n : BigInt(`0x${Buffer.from(value).toString('hex')}`);
}

function halfFloat(bits: number): number {
  const exponent = (bits >>> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
