import type { Readable } from 'node:stream';
import { truncated } from './failures.ts';

/** Objects above this are refused: an array buffer cannot hold them, and no chunk is meant to be so large. */
const OBJECT_BYTES_MAX = 2 ** 32;

/**
 * Reads a body to its end, into one buffer of its own: each byte is copied once where the length is known, twice
 * where it is not.
 *
 * @param length what `Content-Length` said; null if it said nothing
 */
export function readBody(
  stream: Readable,
  length: number | null,
  signal: AbortSignal,
  name: string,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    if (length !== null && length > OBJECT_BYTES_MAX) {
      stream.destroy();
      return reject(truncated(name, 'get', `${length} bytes are too many`));
    }
    let body = new Uint8Array(length ?? 0);
    const parts: Uint8Array[] = [];
    let received = 0;

    const onAbort = () => finish(signal.reason);
    const finish = (error?: unknown) => {
      signal.removeEventListener('abort', onAbort);
      if (error === undefined) return resolve(body);
      // The stream stays without a listener for what its destruction may still say.
      stream.on('error', () => {});
      stream.destroy();
      reject(error);
    };
    if (signal.aborted) return finish(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });

    stream.on('data', (part: Uint8Array) => {
      if (length === null) {
        if (received + part.length > OBJECT_BYTES_MAX)
          return finish(truncated(name, 'get', 'it does not end'));
        parts.push(part);
      } else if (received + part.length > length) {
        return finish(truncated(name, 'get', `more than the ${length} bytes that were announced`));
      } else {
        body.set(part, received);
      }
      received += part.length;
    });
    stream.on('end', () => {
      if (length !== null && received < length) {
        return finish(truncated(name, 'get', `only ${received} of ${length} bytes came`));
      }
      if (length === null) {
        body = new Uint8Array(received);
        let at = 0;
        for (const part of parts) {
          body.set(part, at);
          at += part.length;
        }
      }
      finish();
    });
    stream.on('error', (error) => finish(error));
    stream.on('close', () => {
      if (!stream.readableEnded)
        finish(truncated(name, 'get', `the connection broke after ${received} bytes`));
    });
  });
}

/** A `Content-Length` header as a number; null if it is missing or no number. */
export function contentLength(header: unknown): number | null {
  const text = Array.isArray(header) ? header[0] : header;
  return typeof text === 'string' && /^[0-9]{1,15}$/.test(text) ? Number(text) : null;
}
