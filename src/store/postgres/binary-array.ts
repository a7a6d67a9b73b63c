/** Arrays as PostgreSQL sends them itself: read there without being parsed, and bytes are not written out as hexadecimal text. */

export type ElementType = 'bigint' | 'integer' | 'double precision' | 'text' | 'bytea';
export type Cell = string | number | bigint | Uint8Array | null;

const OIDS = { bigint: 20, integer: 23, 'double precision': 701, text: 25, bytea: 17 } as const;
/** Number of dimensions, whether there are NULLs, the type; of the only dimension the length and the lowest index. */
const HEADER_BYTES = 20;
const LENGTH_BYTES = 4;
const NULL_LENGTH = -1;

/** @param cells values of that type: of a `text` strings, of a `bytea` bytes, else numbers and bigints */
export function binaryArray(type: ElementType, cells: readonly Cell[]): Buffer {
  const array = Buffer.allocUnsafe(HEADER_BYTES + sizeOf(type, cells));
  const view = new DataView(array.buffer, array.byteOffset, array.length);
  view.setInt32(0, 1);
  view.setInt32(4, 1);
  view.setInt32(8, OIDS[type]);
  view.setInt32(12, cells.length);
  view.setInt32(16, 1);
  let at = HEADER_BYTES;
  for (const cell of cells) {
    const from = at + LENGTH_BYTES;
    const length = cell === null ? NULL_LENGTH : bytesOf(type, cell);
    view.setInt32(at, length);
    at = cell === null ? from : from + length;
    if (typeof cell === 'bigint' && type === 'bigint') view.setBigInt64(from, cell);
    else if (typeof cell === 'string') array.write(cell, from);
    else if (typeof cell !== 'object') writeNumber(view, type, Number(cell), from);
    else if (cell !== null) array.set(cell, from);
  }
  return array;
}

function writeNumber(view: DataView, type: ElementType, number: number, at: number): void {
  if (type === 'double precision') view.setFloat64(at, number);
  else if (type === 'integer') view.setInt32(at, number);
  else {
    view.setInt32(at, Math.floor(number / 2 ** 32));
    view.setUint32(at + 4, number);
  }
}

function sizeOf(type: ElementType, cells: readonly Cell[]): number {
  let bytes = cells.length * LENGTH_BYTES;
  for (const cell of cells) if (cell !== null) bytes += bytesOf(type, cell);
  return bytes;
}

function bytesOf(type: ElementType, cell: Exclude<Cell, null>): number {
  if (typeof cell === 'string') return Buffer.byteLength(cell);
  if (typeof cell === 'object') return cell.length;
  return type === 'integer' ? 4 : 8;
}
