import { isUint8Array } from '../../model/kinds.ts';
import {
  type CborTag,
  TAG_BIGNUM,
  TAG_DATE_SECONDS,
  TAG_NEGATIVE_BIGNUM,
  TAG_SET,
  VALUE_DEPTH_MAX,
} from './cbor-value.ts';
import { keysWithoutToJson, kindOf, plainOf, refuse, refuseDepth, within } from './value-kinds.ts';

const FIRST_BYTES = 4096;
/** A scratch buffer beyond this is not kept for the next chunk. */
const KEPT_BYTES_MAX = 1024 * 1024;
/** Texts up to this length are written by a loop, which costs less than a call into native code. */
const LOOPED_TEXT_MAX = 40;

const UINT64_MAX = (1n << 64n) - 1n;

/**
 * Writes any plain value as CBOR that Python's cbor2 reads as the corresponding value: safe integers as integers,
 * every other number as a double, bytes as byte strings, objects and Maps as maps, a Set and a Date with their tags.
 * Keeps its buffer from chunk to chunk.
 */
export class CborValueWriter {
  #bytes = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #view = new DataView(this.#bytes.buffer);
  readonly #isIntegral: boolean;
  #position = 0;

  /** @param isIntegral whether a number that is an integer is written as one */
  constructor(isIntegral: boolean) {
    this.#isIntegral = isIntegral;
  }

  /** @throws ChunkUnencodableError */
  encode(value: unknown): Uint8Array {
    this.#position = 0;
    this.#value(value, 0);
    const encoded = new Uint8Array(this.#bytes.subarray(0, this.#position));
    if (this.#bytes.length > KEPT_BYTES_MAX) this.#resize(FIRST_BYTES);
    return encoded;
  }

  #value(value: unknown, depth: number): void {
    if (this.#position + 10 > this.#bytes.length) this.#grow(10);
    switch (typeof value) {
      case 'string':
        this.#text(value);
        break;
      case 'number':
        this.#number(value);
        break;
      case 'object':
        if (value === null) this.#bytes[this.#position++] = 0xf6;
        else this.#object(value, depth);
        break;
      case 'boolean':
        this.#bytes[this.#position++] = value ? 0xf5 : 0xf4;
        break;
      case 'undefined':
        this.#bytes[this.#position++] = 0xf7;
        break;
      case 'bigint':
        this.#bigint(value);
        break;
      default:
        refuse(`a ${typeof value}`);
    }
  }

  #number(value: number): void {
    if (Number.isSafeInteger(value) && this.#isIntegral && !Object.is(value, -0)) {
      if (value >= 0) this.#head(0, value);
      else this.#head(0x20, -1 - value);
      return;
    }
    this.#bytes[this.#position] = 0xfb;
    this.#view.setFloat64(this.#position + 1, value);
    this.#position += 9;
  }

  #bigint(value: bigint): void {
    const argument = value < 0n ? -1n - value : value;
    const major = value < 0n ? 0x20 : 0;
    if (argument <= BigInt(Number.MAX_SAFE_INTEGER)) {
      this.#head(major, Number(argument));
    } else if (argument <= UINT64_MAX) {
      this.#bytes[this.#position] = major | 27;
      this.#view.setBigUint64(this.#position + 1, argument);
      this.#position += 9;
    } else {
      this.#head(0xc0, value < 0n ? TAG_NEGATIVE_BIGNUM : TAG_BIGNUM);
      const hex = argument.toString(16);
      this.#byteString(Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex'));
    }
  }

  #text(value: string): void {
    const length = value.length;
    if (this.#position + 9 + length * 3 > this.#bytes.length) this.#grow(9 + length * 3);
    if (length <= LOOPED_TEXT_MAX && this.#asciiText(value)) return;
    if (!value.isWellFormed()) refuse('a text with half of a surrogate pair');
    this.#head(0x60, Buffer.byteLength(value));
    this.#position += this.#bytes.write(value, this.#position, 'utf8');
  }

  /** Writes a short text, if it turns out to be ASCII. */
  #asciiText(value: string): boolean {
    const bytes = this.#bytes;
    const length = value.length;
    const start = this.#position + (length < 24 ? 1 : 2);
    for (let i = 0; i < length; i++) {
      const code = value.charCodeAt(i);
      if (code > 0x7f) return false;
      bytes[start + i] = code;
    }
    this.#head(0x60, length);
    this.#position += length;
    return true;
  }

  #object(value: object, depth: number): void {
    if (depth >= VALUE_DEPTH_MAX) refuseDepth();
    const prototype: unknown = Object.getPrototypeOf(value);
    // By far the most; what else there is takes longer to tell apart.
    if (prototype === Object.prototype && !hasToJson(value)) this.#record(value, Object.keys(value), depth);
    else if (prototype === Array.prototype && Array.isArray(value) && !hasToJson(value))
      this.#array(value, depth);
    else if (isUint8Array(value)) this.#byteString(value);
    else this.#special(value, depth, true);
  }

  #special(value: object, depth: number, asksToJson: boolean) {
    const kind = kindOf(value, asksToJson);
    switch (kind) {
      case 'array':
        return this.#array(value as readonly unknown[], depth);
      case 'record':
        return this.#record(value, asksToJson ? Object.keys(value) : keysWithoutToJson(value), depth);
      case 'bytes':
        return this.#byteString(value as Uint8Array);
      case 'buffer':
        return this.#byteString(new Uint8Array(value as ArrayBuffer));
      case 'map':
        return this.#map(value as ReadonlyMap<unknown, unknown>, depth);
      case 'set':
        this.#head(0xc0, TAG_SET);
        return this.#array([...(value as ReadonlySet<unknown>)], depth);
      case 'date':
        return this.#date(value as Date);
      case 'tag':
        return this.#tag(value as CborTag, depth);
      case 'unboxed':
        return this.#value(plainOf(value, kind), depth + 1);
      case 'with-to-json':
        return this.#plain(plainOf(value, kind), depth);
      default:
        return kind satisfies never;
    }
  }

  /** What a `toJSON` has returned. */
  #plain(value: unknown, depth: number): void {
    if (typeof value === 'object' && value !== null) this.#special(value, depth + 1, false);
    else this.#value(value, depth + 1);
  }

  #tag({ tag, value }: CborTag, depth: number): void {
    if (typeof tag === 'bigint') refuse(`the tag ${tag} is too large`);
    this.#head(0xc0, tag);
    this.#value(value, depth + 1);
  }

  #array(values: readonly unknown[], depth: number): void {
    this.#head(0x80, values.length);
    for (let i = 0; i < values.length; i++) {
      try {
        this.#value(values[i], depth + 1);
      } catch (error) {
        throw within(`[${i}]`, error);
      }
    }
  }

  #map(map: ReadonlyMap<unknown, unknown>, depth: number): void {
    this.#head(0xa0, map.size);
    for (const [key, value] of map) {
      try {
        this.#value(key, depth + 1);
        this.#value(value, depth + 1);
      } catch (error) {
        throw within(`.get(${typeof key === 'string' ? JSON.stringify(key) : typeof key})`, error);
      }
    }
  }

  /** An object: its own enumerable properties with names, as `JSON.stringify` would take them. */
  #record(record: object, keys: readonly string[], depth: number): void {
    this.#head(0xa0, keys.length);
    for (const key of keys) {
      this.#value(key, depth);
      try {
        this.#value(Reflect.get(record, key), depth + 1);
      } catch (error) {
        throw within(`.${key}`, error);
      }
    }
  }

  #date(date: Date): void {
    const ms = date.getTime();
    if (Number.isNaN(ms)) refuse('an invalid Date');
    this.#head(0xc0, TAG_DATE_SECONDS);
    this.#number(ms / 1000);
  }

  #byteString(content: Uint8Array): void {
    if (this.#position + 9 + content.length > this.#bytes.length) this.#grow(9 + content.length);
    this.#head(0x40, content.length);
    this.#bytes.set(content, this.#position);
    this.#position += content.length;
  }

  #head(major: number, argument: number): void {
    if (this.#position + 10 > this.#bytes.length) this.#grow(10);
    const bytes = this.#bytes;
    if (argument < 24) {
      bytes[this.#position++] = major | argument;
    } else if (argument < 0x100) {
      bytes[this.#position++] = major | 24;
      bytes[this.#position++] = argument;
    } else if (argument < 0x1_0000) {
      bytes[this.#position++] = major | 25;
      bytes[this.#position++] = argument >>> 8;
      bytes[this.#position++] = argument;
    } else if (argument < 0x1_0000_0000) {
      bytes[this.#position] = major | 26;
      this.#view.setUint32(this.#position + 1, argument);
      this.#position += 5;
    } else {
      bytes[this.#position] = major | 27;
      this.#view.setUint32(this.#position + 1, Math.floor(argument / 0x1_0000_0000));
      this.#view.setUint32(this.#position + 5, argument % 0x1_0000_0000);
      this.#position += 9;
    }
  }

  #grow(wanted: number): void {
    this.#resize(Math.max(this.#bytes.length * 2, this.#position + wanted));
  }

  #resize(size: number): void {
    const bytes = Buffer.allocUnsafeSlow(size);
    this.#bytes.copy(bytes, 0, 0, Math.min(this.#position, size));
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer);
  }
}

/** Also one that cannot be enumerated, or stands behind other properties: it is asked before any of these is looked at. */
function hasToJson(value: object): boolean {
  const { toJSON }: { readonly toJSON?: unknown } = value;
  return typeof toJSON === 'function';
}
