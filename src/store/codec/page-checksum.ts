import { crc32 } from 'node:zlib';
import type { SubmissionId } from '../../model/ids.ts';

/** A call of the library takes longer than so few bytes do here. */
const SMALL_BYTES = 64;
const POLYNOMIAL = 0xedb8_8320;
const TABLE = Int32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ POLYNOMIAL;
  return crc;
});

/** The checksum of a page covers its place as well, so that a page that belongs elsewhere is noticed. */
export class PageChecksum {
  readonly #place = new DataView(new ArrayBuffer(16));
  readonly #placeBytes = new Uint8Array(this.#place.buffer);

  /** @param content null for a full page */
  of(id: SubmissionId, page: number, content: Uint8Array | null): number {
    this.#place.setBigInt64(0, id, true);
    this.#place.setUint32(8, page, true);
    const ofPlace = crcOf(this.#placeBytes, 0);
    if (content === null) return ofPlace;
    return content.length > SMALL_BYTES ? crc32(content, ofPlace) : crcOf(content, ofPlace);
  }
}

/** CRC-32, going on from what came before. */
function crcOf(bytes: Uint8Array, before: number): number {
  let crc = ~before;
  for (let i = 0; i < bytes.length; i++) crc = TABLE[(crc ^ bytes[i]!) & 0xff]! ^ (crc >>> 8);
  return ~crc >>> 0;
}
