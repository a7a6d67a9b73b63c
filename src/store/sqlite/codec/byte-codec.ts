/** Writes values one after the other into a buffer that grows. Numbers are little-endian. */
export class ByteWriter {
  #buffer: Buffer<ArrayBuffer>;
  #view: DataView<ArrayBuffer>;
  #length = 0;

  constructor(bytesExpected: number) {
    // Not from the shared pool: the buffer is transferred to another thread.
    this.#buffer = Buffer.allocUnsafeSlow(Math.max(bytesExpected, 64));
    this.#view = new DataView(this.#buffer.buffer);
  }

  get length(): number {
    return this.#length;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#view.setUint8(this.#length, value);
    this.#length += 1;
  }

  /** A signed 64-bit integer. */
  int64(value: bigint): void {
    this.#reserve(8);
    this.#view.setBigInt64(this.#length, value, true);
    this.#length += 8;
  }

  /** Any number, exactly. */
  number(value: number): void {
    this.#reserve(8);
    this.#view.setFloat64(this.#length, value, true);
    this.#length += 8;
  }

  uint32(value: number): void {
    this.#reserve(4);
    this.#view.setUint32(this.#length, value, true);
    this.#length += 4;
  }

  text(value: string): void {
    // Three bytes for a UTF-16 code unit at most.
    this.#reserve(4 + value.length * 3);
    const written = this.#buffer.write(value, this.#length + 4, 'utf8');
    this.#view.setUint32(this.#length, written, true);
    this.#length += 4 + written;
  }

  textOrNull(value: string | null): void {
    this.byte(value === null ? 0 : 1);
    if (value !== null) this.text(value);
  }

  /** Without a length: the reader must know it. */
  raw(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#length);
    this.#length += value.length;
  }

  bytesOrNull(value: Uint8Array | null): void {
    this.byte(value === null ? 0 : 1);
    if (value === null) return;
    this.uint32(value.length);
    this.raw(value);
  }

  /** What was written; the writer must not be used after it. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#length);
  }

  #reserve(bytes: number): void {
    const wanted = this.#length + bytes;
    if (wanted <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafeSlow(Math.max(wanted, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
    this.#view = new DataView(grown.buffer);
  }
}

/** Reads what a {@link ByteWriter} wrote. Byte arrays are views of the buffer, not copies. */
export class ByteReader {
  readonly #buffer: Buffer;
  readonly #view: DataView;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get atEnd(): boolean {
    return this.#offset === this.#buffer.length;
  }

  byte(): number {
    return this.#view.getUint8(this.#offset++);
  }

  int64(): bigint {
    const value = this.#view.getBigInt64(this.#offset, true);
    this.#offset += 8;
    return value;
  }

  number(): number {
    const value = this.#view.getFloat64(this.#offset, true);
    this.#offset += 8;
    return value;
  }

  uint32(): number {
    const value = this.#view.getUint32(this.#offset, true);
    this.#offset += 4;
    return value;
  }

  text(): string {
    const length = this.uint32();
    const from = this.#offset;
    this.#offset += length;
    return this.#buffer.toString('utf8', from, this.#offset);
  }

  textOrNull(): string | null {
    return this.byte() === 0 ? null : this.text();
  }

  raw(length: number): Uint8Array {
    const from = this.#offset;
    this.#offset += length;
    // Not a Buffer: its `slice` would not copy.
    return new Uint8Array(this.#buffer.buffer, this.#buffer.byteOffset + from, length);
  }

  bytesOrNull(): Uint8Array | null {
    return this.byte() === 0 ? null : this.raw(this.uint32());
  }
}
