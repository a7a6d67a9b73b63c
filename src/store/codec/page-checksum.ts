import { crc32 } from 'node:zlib';
import type { SubmissionId } from '../../model/ids.ts';

/** The checksum of a page covers its place as well, so that a page that belongs elsewhere is noticed. */
export class PageChecksum {
  readonly #place = new DataView(new ArrayBuffer(16));

  /** @param content null for a full page */
  of(id: SubmissionId, page: number, content: Uint8Array | null): number {
    this.#place.setBigUint64(0, id, true);
    this.#place.setBigUint64(8, BigInt(page), true);
    const ofPlace = crc32(this.#place);
    return content === null ? ofPlace : crc32(content, ofPlace);
  }
}
