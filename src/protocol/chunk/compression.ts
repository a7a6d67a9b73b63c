import { promisify } from 'node:util';
// As a whole: an older Node.js, which is to be told its age, would fail on names that it does not have.
import zlib from 'node:zlib';
import { isError } from '../../model/kinds.ts';
import { ChunkUndecodableError } from './errors.ts';

const { constants, zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync } = zlib;

/** Compressions of chunk contents. */
export type ChunkCompression = 'zstd';

/** A chunk that unpacks to more than this is refused, in bytes. */
export const UNPACKED_BYTES_MAX_DEFAULT = 1024 * 1024 * 1024;

/**
 * Marks a compressed chunk: a skippable frame of zstd with our name in it, followed by an ordinary zstd frame. So a
 * reader needs no setting, no encoding of operations can be taken for it, and `zstd -d` unpacks the file.
 */
const MARK = Uint8Array.from([0x50, 0x2a, 0x4d, 0x18, 8, 0, 0, 0, ...Buffer.from('opsqueue')]);

/** Up to here the way to another thread and back costs more than the work (0.4 ms instead of 0.03). */
const HERE_BYTES_MAX = 64 * 1024;
/** So much is unpacked here at most: a few bytes may stand for hundreds of megabytes. */
const UNPACKED_HERE_BYTES_MAX = 1024 * 1024;

const compress = promisify(zstdCompress);
const decompress = promisify(zstdDecompress);

/** The chunk, compressed, with its mark and a checksum. Works on a thread of libuv's pool, unless the chunk is small. */
export async function compressChunk(content: Uint8Array): Promise<Uint8Array> {
  const options = { params: { [constants.ZSTD_c_checksumFlag]: 1 } };
  const packed =
    content.length > HERE_BYTES_MAX ? await compress(content, options) : zstdCompressSync(content, options);
  const marked = new Uint8Array(MARK.length + packed.length);
  marked.set(MARK);
  marked.set(packed, MARK.length);
  return marked;
}

/** Whether {@link compressChunk} made it. */
export function isCompressedChunk(content: Uint8Array): boolean {
  return content.length > MARK.length && MARK.every((byte, at) => content[at] === byte);
}

/**
 * What was given to {@link compressChunk}.
 *
 * @throws ChunkUndecodableError if it is truncated, an Error of zlib if it is damaged or unpacks to more than
 *   `unpackedBytesMax`
 */
export async function decompressChunk(
  content: Uint8Array,
  unpackedBytesMax = UNPACKED_BYTES_MAX_DEFAULT,
): Promise<Uint8Array> {
  const packed = content.subarray(MARK.length);
  // Node.js 24 up to 24.18 at least unpacks what is there of a truncated frame, and says nothing.
  if (frameBytes(packed) !== packed.length) {
    throw new ChunkUndecodableError('the compressed chunk is not one whole zstd frame');
  }
  if (packed.length <= HERE_BYTES_MAX / 4) {
    try {
      return zstdDecompressSync(packed, {
        maxOutputLength: Math.min(unpackedBytesMax, UNPACKED_HERE_BYTES_MAX),
      });
    } catch (error) {
      if (!isTooLarge(error)) throw error;
    }
  }
  return decompress(packed, { maxOutputLength: unpackedBytesMax });
}

function isTooLarge(error: unknown): boolean {
  return isError(error) && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';
}

const FRAME_MAGIC = 0xfd2fb528;
const BLOCK_RLE = 1;

/** How long the zstd frame is by what its own headers say (RFC 8878, 3.1.1); NaN if it is cut off, or none. */
function frameBytes(packed: Uint8Array): number {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  if (packed.length < 6 || view.getUint32(0, true) !== FRAME_MAGIC) return Number.NaN;
  const descriptor = view.getUint8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const hasChecksum = (descriptor & 0x04) !== 0;
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const contentSizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  let at = 5 + (isSingleSegment ? 0 : 1) + dictionaryIdBytes + contentSizeBytes;
  for (let isLast = false; !isLast; ) {
    if (at + 3 > packed.length) return Number.NaN;
    const header = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    isLast = (header & 1) !== 0;
    at += 3 + (((header >> 1) & 3) === BLOCK_RLE ? 1 : header >> 3);
  }
  return at + (hasChecksum ? 4 : 0);
}
