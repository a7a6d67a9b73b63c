/** A table's page that is a leaf, in SQLite's file format. */
const LEAF = 0x0d;
const LEAF_HEADER_BYTES = 8;

/** The row of `shards` as far as it tells one state of a database from another. */
export interface ShardImage {
  readonly epoch: bigint;
  /** Another one with each start. */
  readonly holder: string;
  readonly lastSeq: bigint;
  /** Of the file when the row was written; null if an earlier version wrote it. */
  readonly schemaCookie: bigint | null;
}

/**
 * Reads the row from the image of the root page of `shards`, without SQLite
 * (https://sqlite.org/fileformat2.html, "B-tree Pages" and "Record Format").
 *
 * @returns null if the page is anything but a leaf with one row that looks like ours
 */
export function readShardImage(page: Buffer): ShardImage | null {
  try {
    if (page[0] !== LEAF || page.readUInt16BE(3) !== 1) return null;
    const reader = new RecordReader(page, page.readUInt16BE(LEAF_HEADER_BYTES));
    reader.varint(); // The payload's size.
    reader.varint(); // The rowid: shard.
    const headerEnd = reader.at;
    const end = headerEnd + Number(reader.varint());
    const types: number[] = [];
    while (reader.at < end) types.push(Number(reader.varint()));
    // shard (stored as the rowid), epoch, holder, last_seq, highest_id, schema_cookie
    const [, epoch, holder, lastSeq, , schemaCookie = null] = types.map((type) => reader.value(type));
    const isOurs =
      (types.length === 5 || types.length === 6) &&
      typeof epoch === 'bigint' &&
      typeof holder === 'string' &&
      typeof lastSeq === 'bigint' &&
      typeof schemaCookie !== 'string';
    return isOurs ? { epoch, holder, lastSeq, schemaCookie: schemaCookie || null } : null;
  } catch {
    // It ends too soon: not such a page.
    return null;
  }
}

class RecordReader {
  readonly #bytes: Buffer;
  at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.at = at;
  }

  varint(): bigint {
    let value = 0n;
    for (let length = 1; ; length++) {
      const byte = this.#bytes.readUInt8(this.at++);
      if (length === 9) return (value << 8n) | BigInt(byte);
      value = (value << 7n) | BigInt(byte & 0x7f);
      if (byte < 0x80) return value;
    }
  }

  /** An integer or a text; null for everything else. */
  value(type: number): bigint | string | null {
    if (type === 8 || type === 9) return BigInt(type - 8);
    const start = this.at;
    if (type >= 1 && type <= 6) {
      const length = type <= 4 ? type : 2 * type - 4;
      this.at += length;
      let value = BigInt(this.#bytes.readInt8(start));
      for (let i = 1; i < length; i++) value = (value << 8n) | BigInt(this.#bytes.readUInt8(start + i));
      return value;
    }
    this.at += bytesOf(type);
    if (this.at > this.#bytes.length) throw new RangeError('the record ends beyond its page');
    const isText = type >= 13 && type % 2 === 1;
    return isText ? this.#bytes.toString('utf8', start, this.at) : null;
  }
}

/** Of a value that is no integer: NULL, a double, a blob or a text. */
function bytesOf(type: number): number {
  if (type === 7) return 8;
  return type < 12 ? 0 : (type - 12 - (type % 2)) >> 1;
}
