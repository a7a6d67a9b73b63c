/** Contents beyond this many bytes are rendered apart from the text around them. */
const INLINE_BYTES_MAX = 64;

/**
 * Writes JSON: numbers of any size exactly, and bytes as arrays of integers without a string for each. The
 * caller writes the punctuation.
 */
export class JsonWriter {
  readonly #pieces: Uint8Array[] = [];
  #text = '';

  /** Text that is JSON already, of ASCII and other characters. */
  raw(json: string): this {
    this.#text += json;
    return this;
  }

  text(value: string): this {
    this.#text += JSON.stringify(value);
    return this;
  }

  textOrNull(value: string | null): this {
    this.#text += JSON.stringify(value);
    return this;
  }

  integer(value: number | bigint): this {
    this.#text += value;
    return this;
  }

  /** An array of integers, or null. */
  byteContent(content: Uint8Array | null): this {
    if (content === null) this.#text += 'null';
    else if (content.length <= INLINE_BYTES_MAX) this.#text += `[${content.join(',')}]`;
    else {
      this.#text += '[';
      this.#flush();
      this.#pieces.push(renderedBytes(content));
      this.#text = ']';
    }
    return this;
  }

  /** Elements with commas between them. */
  list<T>(items: Iterable<T>, item: (value: T) => void): this {
    let first = true;
    for (const value of items) {
      if (!first) this.#text += ',';
      first = false;
      item(value);
    }
    return this;
  }

  finish(): Uint8Array {
    if (this.#pieces.length === 0) return Buffer.from(this.#text, 'utf8');
    this.#flush();
    return Buffer.concat(this.#pieces);
  }

  #flush(): void {
    if (this.#text !== '') this.#pieces.push(Buffer.from(this.#text, 'utf8'));
    this.#text = '';
  }
}

/** How many bytes {@link JsonWriter.byteContent} makes of it. */
export function byteArraySize(content: Uint8Array): number {
  let size = content.length === 0 ? 2 : 1;
  for (const byte of content) size += byte >= 100 ? 4 : byte >= 10 ? 3 : 2;
  return size;
}

/** `1,20,255` */
function renderedBytes(content: Uint8Array): Uint8Array {
  const rendered = Buffer.allocUnsafe(content.length * 4);
  let position = 0;
  for (let i = 0; i < content.length; i++) {
    const value = content[i]!;
    if (value >= 100) {
      const hundreds = value >= 200 ? 2 : 1;
      rendered[position++] = 0x30 + hundreds;
      const rest = value - hundreds * 100;
      const tens = (rest * 205) >>> 11;
      rendered[position++] = 0x30 + tens;
      rendered[position++] = 0x30 + rest - tens * 10;
    } else {
      const tens = (value * 205) >>> 11;
      if (tens > 0) rendered[position++] = 0x30 + tens;
      rendered[position++] = 0x30 + value - tens * 10;
    }
    rendered[position++] = 0x2c;
  }
  return rendered.subarray(0, position - 1);
}
