/** Bytes that any head (major type and argument) takes at most. */
export const HEAD_BYTES_MAX = 9;

const TEXT_ENCODER = new TextEncoder();

/**
 * Writes CBOR as the consumer protocol wants it: definite lengths, shortest integers, no tags. The caller
 * says beforehand how many bytes it needs at most, so that nothing grows and nothing is checked while writing.
 */
export class CborWriter {
  readonly #bytes: Buffer;
  #position = 0;

  /** @param bytesMax the most that will be written; {@link byteContentSize} and {@link textSizeMax} help to tell */
  constructor(bytesMax: number) {
    this.#bytes = Buffer.allocUnsafe(bytesMax);
  }

  /** What was written. Shares the writer's memory. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#position);
  }

  get position(): number {
    return this.#position;
  }

  /** Bytes that are CBOR already. */
  raw(source: Uint8Array): void {
    this.rawRange(source, 0, source.length);
  }

  rawRange(source: Uint8Array, start: number, end: number): void {
    const bytes = this.#bytes;
    let position = this.#position;
    // Below some dozens of bytes a loop is faster than the call of a built-in.
    if (end - start <= 48) {
      for (let i = start; i < end; i++) bytes[position++] = source[i]!;
    } else {
      bytes.set(start === 0 && end === source.length ? source : source.subarray(start, end), position);
      position += end - start;
    }
    this.#position = position;
  }

  uint(value: number): void {
    this.#head(0, value);
  }

  array(length: number): void {
    this.#head(0x80, length);
  }

  map(length: number): void {
    this.#head(0xa0, length);
  }

  null(): void {
    this.#bytes[this.#position++] = 0xf6;
  }

  boolean(value: boolean): void {
    this.#bytes[this.#position++] = value ? 0xf5 : 0xf4;
  }

  /** An integer from -2^64 to 2^64 - 1. */
  int(value: number | bigint): void {
    if (typeof value === 'number') {
      if (value >= 0) this.#head(0, value);
      else this.#head(0x20, -1 - value);
    } else if (value >= 0n) this.#bigHead(0, value);
    else this.#bigHead(0x20, -1n - value);
  }

  text(value: string): void {
    const length = value.length;
    if (length < 24) {
      // Short and nearly always ASCII: written directly, and taken back should it be something else.
      const bytes = this.#bytes;
      const start = this.#position;
      bytes[start] = 0x60 + length;
      let i = 0;
      for (; i < length; i++) {
        const code = value.charCodeAt(i);
        if (code > 0x7f) break;
        bytes[start + 1 + i] = code;
      }
      if (i === length) {
        this.#position = start + 1 + length;
        return;
      }
    }
    this.#head(0x60, Buffer.byteLength(value));
    this.#position += this.#bytes.write(value, this.#position, 'utf8');
  }

  /** Bytes as the reference sends them (an array of integers), or as a byte string. */
  byteContent(content: Uint8Array | null, asByteString: boolean): void {
    if (content === null) {
      this.null();
      return;
    }
    const length = content.length;
    if (asByteString) {
      this.#head(0x40, length);
      this.#bytes.set(content, this.#position);
      this.#position += length;
      return;
    }
    this.#head(0x80, length);
    const bytes = this.#bytes;
    let position = this.#position;
    for (let i = 0; i < length; i++) {
      const value = content[i]!;
      if (value >= 24) bytes[position++] = 0x18;
      bytes[position++] = value;
    }
    this.#position = position;
  }

  #head(major: number, argument: number): void {
    const bytes = this.#bytes;
    let position = this.#position;
    if (argument < 24) {
      bytes[position++] = major | argument;
    } else if (argument < 0x100) {
      bytes[position++] = major | 24;
      bytes[position++] = argument;
    } else if (argument < 0x1_0000) {
      bytes[position++] = major | 25;
      bytes[position++] = argument >>> 8;
      bytes[position++] = argument;
    } else if (argument < 0x1_0000_0000) {
      bytes[position] = major | 26;
      position = put32(bytes, position + 1, argument);
    } else {
      bytes[position] = major | 27;
      position = put32(bytes, position + 1, Math.floor(argument / 0x1_0000_0000));
      position = put32(bytes, position, argument % 0x1_0000_0000);
    }
    this.#position = position;
  }

  #bigHead(major: number, argument: bigint): void {
    if (argument <= 0xffff_ffffn) {
      this.#head(major, Number(argument));
      return;
    }
    const bytes = this.#bytes;
    bytes[this.#position] = major | 27;
    const position = put32(bytes, this.#position + 1, Number(argument >> 32n));
    this.#position = put32(bytes, position, Number(argument & 0xffff_ffffn));
  }
}

function put32(bytes: Uint8Array, position: number, value: number): number {
  bytes[position] = value >>> 24;
  bytes[position + 1] = value >>> 16;
  bytes[position + 2] = value >>> 8;
  bytes[position + 3] = value;
  return position + 4;
}

/** The most bytes that a text takes. */
export function textSizeMax(value: string): number {
  return HEAD_BYTES_MAX + 3 * value.length;
}

/** The bytes that {@link CborWriter.byteContent} takes, rounded up by a head. */
export function byteContentSize(content: Uint8Array | null, asByteString: boolean): number {
  if (content === null) return 1;
  const length = content.length;
  let size = HEAD_BYTES_MAX + length;
  if (asByteString) return size;
  for (let i = 0; i < length; i++) size += content[i]! >= 24 ? 1 : 0;
  return size;
}

/** A constant run of CBOR: texts are texts, `{ map: n }` and `{ array: n }` are heads. */
export function encodedRun(...parts: readonly (string | { map: number } | { array: number })[]): Uint8Array {
  const writer = new CborWriter(1024);
  for (const part of parts) {
    if (typeof part === 'string') writer.text(part);
    else if ('map' in part) writer.map(part.map);
    else writer.array(part.array);
  }
  return writer.finish().slice();
}

/** The UTF-8 bytes of names that a reader compares with. */
export function encodedNames(...names: readonly string[]): readonly Uint8Array[] {
  return names.map((name) => TEXT_ENCODER.encode(name));
}
