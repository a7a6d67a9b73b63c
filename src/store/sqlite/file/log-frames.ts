import { closeSync, openSync, readSync, statSync } from 'node:fs';

const HEADER_BYTES = 32;
const FRAME_HEADER_BYTES = 24;
/** The lowest bit says the byte order of the checksums. */
const MAGIC = 0x377f0682;
const VERSION = 3_007_000;

/** What a write-ahead log holds as far as SQLite would use it: whole transactions with right checksums. */
export interface LogContents<T> {
  readonly pageBytes: number;
  /** What was found, in the order in which it was written. */
  readonly found: readonly Found<T>[];
}

/** What an image of a page in a log says. */
export interface Found<T> {
  readonly value: T;
  /** The number of its transaction in the log, from 0. */
  readonly transaction: number;
}

/** What is of interest in the image of a page; null if nothing is. */
type ReadImage<T> = (page: number, image: Buffer) => T | null;

/**
 * Reads a write-ahead log (https://sqlite.org/fileformat2.html, "WAL File Format") without SQLite, which would write.
 *
 * @returns null if there is no log, or none that SQLite would use anything of
 */
export function readLog<T>(path: string, read: ReadImage<T>): LogContents<T> | null {
  if (statSync(path, { throwIfNoEntry: false }) === undefined) return null;
  const file = openSync(path, 'r');
  try {
    const header = Buffer.alloc(HEADER_BYTES);
    if (readSync(file, header, 0, HEADER_BYTES, 0) < HEADER_BYTES) return null;
    const magic = header.readUInt32BE(0);
    if ((magic & ~1) >>> 0 !== MAGIC || header.readUInt32BE(4) !== VERSION) return null;
    const checksum = new Checksum((magic & 1) === 1);
    checksum.add(header, 0, 24);
    if (!checksum.equals(header, 24)) return null;
    return readFrames(file, header, checksum, read);
  } finally {
    closeSync(file);
  }
}

function readFrames<T>(
  file: number,
  header: Buffer,
  checksum: Checksum,
  read: ReadImage<T>,
): LogContents<T> | null {
  const pageBytes = header.readUInt32BE(8);
  const salts = header.subarray(16, 24);
  const frame = Buffer.alloc(FRAME_HEADER_BYTES + pageBytes);
  const found: Found<T>[] = [];
  let committed = 0;
  let transaction = 0;
  for (
    let at = HEADER_BYTES;
    readSync(file, frame, 0, frame.length, at) === frame.length;
    at += frame.length
  ) {
    if (!frame.subarray(8, 16).equals(salts)) break;
    checksum.add(frame, 0, 8);
    checksum.add(frame, FRAME_HEADER_BYTES, frame.length);
    if (!checksum.equals(frame, 16)) break;
    const value = read(frame.readUInt32BE(0), frame.subarray(FRAME_HEADER_BYTES));
    if (value !== null) found.push({ value, transaction });
    const endsTransaction = frame.readUInt32BE(4) !== 0;
    if (!endsTransaction) continue;
    committed = found.length;
    transaction++;
  }
  return transaction === 0 ? null : { pageBytes, found: found.slice(0, committed) };
}

/** The running checksum over header and frames. */
class Checksum {
  readonly #isBigEndian: boolean;
  #first = 0;
  #second = 0;

  constructor(isBigEndian: boolean) {
    this.#isBigEndian = isBigEndian;
  }

  add(bytes: Buffer, from: number, to: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const isLittleEndian = !this.#isBigEndian;
    let first = this.#first;
    let second = this.#second;
    for (let at = from; at < to; at += 8) {
      first = (first + view.getUint32(at, isLittleEndian) + second) | 0;
      second = (second + view.getUint32(at + 4, isLittleEndian) + first) | 0;
    }
    this.#first = first;
    this.#second = second;
  }

  equals(bytes: Buffer, at: number): boolean {
    return bytes.readUInt32BE(at) === this.#first >>> 0 && bytes.readUInt32BE(at + 4) === this.#second >>> 0;
  }
}
