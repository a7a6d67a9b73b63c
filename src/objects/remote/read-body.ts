import type { Readable } from 'node:stream';
import { ObjectStoreError } from '../errors.ts';
import { truncated } from './failures.ts';

/** Objects above this are refused: an array buffer cannot hold them, and no chunk is meant to be so large. */
const OBJECT_BYTES_MAX = 2 ** 32;

/** Puts the parts of a body into one buffer: each byte is copied once where the length is known, twice where not. */
export class BodyCollector {
  readonly #name: string;
  #length: number | null = null;
  #body = new Uint8Array(0);
  readonly #parts: Uint8Array[] = [];
  #received = 0;

  /** @param name of the object, for errors */
  constructor(name: string) {
    this.#name = name;
  }

  get received(): number {
    return this.#received;
  }

  /** @param length what `Content-Length` said; null if it said nothing */
  begin(length: number | null): void {
    if (length !== null && length > OBJECT_BYTES_MAX) {
      throw tooLarge(this.#name, `${length} bytes are too many`);
    }
    this.#length = length;
    // Not cleared first: it is handed out only when all of it has come.
    if (length !== null) this.#body = new Uint8Array(Buffer.allocUnsafeSlow(length).buffer, 0, length);
  }

  add(part: Uint8Array): void {
    const received = this.#received + part.length;
    if (this.#length === null) {
      if (received > OBJECT_BYTES_MAX) throw tooLarge(this.#name, 'it does not end');
      this.#parts.push(part);
    } else if (received > this.#length) {
      throw truncated(this.#name, 'get', `more than the ${this.#length} bytes that were announced`);
    } else {
      this.#body.set(part, this.#received);
    }
    this.#received = received;
  }

  end(): Uint8Array {
    if (this.#length !== null) {
      if (this.#received === this.#length) return this.#body;
      throw truncated(this.#name, 'get', `only ${this.#received} of ${this.#length} bytes came`);
    }
    const body = new Uint8Array(this.#received);
    let at = 0;
    for (const part of this.#parts) {
      body.set(part, at);
      at += part.length;
    }
    return body;
  }
}

/** No other try makes it smaller. */
function tooLarge(name: string, why: string): ObjectStoreError {
  return new ObjectStoreError('OBJECT_FAILED', name, `object ${name}: get: ${why}`);
}

/** Reads a stream to its end, into one buffer of its own. */
export function readBody(
  stream: Readable,
  length: number | null,
  signal: AbortSignal,
  name: string,
): Promise<Uint8Array> {
  return new Promise((resolve, reject) => {
    const collector = new BodyCollector(name);
    const onAbort = () => fail(signal.reason);
    const fail = (error: unknown) => {
      signal.removeEventListener('abort', onAbort);
      // The stream stays without a listener for what its destruction may still say.
      stream.on('error', () => {});
      stream.destroy();
      reject(error);
    };
    const guard = (run: () => void) => {
      try {
        run();
      } catch (error) {
        fail(error);
      }
    };
    if (signal.aborted) return fail(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    guard(() => collector.begin(length));
    stream.on('data', (part: Uint8Array) => guard(() => collector.add(part)));
    stream.on('end', () =>
      guard(() => {
        const body = collector.end();
        signal.removeEventListener('abort', onAbort);
        resolve(body);
      }),
    );
    stream.on('error', fail);
    stream.on('close', () => {
      if (!stream.readableEnded)
        fail(truncated(name, 'get', `the connection broke after ${collector.received} bytes`));
    });
  });
}

/** A `Content-Length` header as a number; null if it is missing or no number. */
export function contentLength(header: unknown): number | null {
  const text = Array.isArray(header) ? header[0] : header;
  return typeof text === 'string' && /^[0-9]{1,15}$/.test(text) ? Number(text) : null;
}
