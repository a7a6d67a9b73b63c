import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';

/** The result for one file; `error` instead of the rest for one that could not be read. */
export type Checksum =
  | { readonly path: string; readonly size: number; readonly sha256: string; readonly gzipSize: number }
  | { readonly path: string; readonly error: string };

/** The operation: one pass over the file, in constant memory. */
export async function checksum(path: string): Promise<Checksum> {
  const hash = createHash('sha256');
  let [size, gzipSize] = [0, 0];
  try {
    await pipeline(
      createReadStream(path),
      async function* (parts: AsyncIterable<Buffer>) {
        for await (const part of parts) {
          hash.update(part);
          size += part.length;
          yield part;
        }
      },
      createGzip(),
      async (parts: AsyncIterable<Buffer>) => {
        for await (const part of parts) gzipSize += part.length;
      },
    );
  } catch (error) {
    return { path, error: error instanceof Error ? error.message : String(error) };
  }
  return { path, size, sha256: hash.digest('hex'), gzipSize };
}
