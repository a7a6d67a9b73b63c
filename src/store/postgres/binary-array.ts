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
  for (const [index, field] of [1, 1, OIDS[type], cells.length, 1].entries()) view.setInt32(index * 4, field);
  let at = HEADER_BYTES;
  for (const cell of cells) {
    const from = at + LENGTH_BYTES;
    if (cell === null) {
      view.setInt32(at, NULL_LENGTH);
      at = from;
      continue;
    }
    const length = bytesOf(type, cell);
    view.setInt32(at, length);
    at = from + length;
    if (typeof cell === 'string') array.write(cell, from);
    else if (typeof cell === 'object') array.set(cell, from);
    else if (type === 'bigint') view.setBigInt64(from, BigInt(cell));
    else if (type === 'integer') view.setInt32(from, Number(cell));
    else view.setFloat64(from, Number(cell));
  }
  return array;
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
