import { promisify } from 'node:util';
import { constants, zstdCompress, zstdCompressSync, zstdDecompress, zstdDecompressSync } from 'node:zlib';

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
 * @throws an Error of zlib if it is truncated, damaged, or unpacks to more than `unpackedBytesMax`
 */
export async function decompressChunk(
  content: Uint8Array,
  unpackedBytesMax = UNPACKED_BYTES_MAX_DEFAULT,
): Promise<Uint8Array> {
  const packed = content.subarray(MARK.length);
  const options = { maxOutputLength: unpackedBytesMax };
  return packed.length > HERE_BYTES_MAX / 4
    ? decompress(packed, options)
    : zstdDecompressSync(packed, options);
}
