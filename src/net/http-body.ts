import type { IncomingMessage, ServerResponse } from 'node:http';

export interface HttpBodyEvents {
  done(body: Uint8Array): void;
  tooLarge(): void;
}

export interface HttpBodyReader {
  /** What still comes is read and dropped, within bounds, so that the peer sees the answer instead of a reset. */
  discardRest(): void;
}

const EMPTY = new Uint8Array(0);
/** Of a refused body, so much is read and dropped before the connection is cut. */
const DISCARD_BYTES_MAX = 64 * 1024 * 1024;
/** The first buffer of a body of unknown length. */
const FIRST_BUFFER_BYTES = 16 * 1024;

/** Reads a request body into one buffer that is as large as the body (a body in one piece is not copied at all). */
export function readHttpBody(
  request: IncomingMessage,
  response: ServerResponse,
  bytesMax: number,
  events: HttpBodyEvents,
): HttpBodyReader {
  const announced = announcedBytes(request);
  let buffer: Buffer | null = null;
  let filled = 0;
  let isDiscarding = false;
  let discarded = 0;

  const discardRest = () => {
    isDiscarding = true;
    buffer = null;
  };
  const refuse = () => {
    discardRest();
    events.tooLarge();
  };
  const take = (piece: Buffer) => {
    if (isDiscarding) {
      discarded += piece.length;
      if (discarded > DISCARD_BYTES_MAX) request.destroy();
      return;
    }
    if (filled + piece.length > bytesMax) return refuse();
    if (buffer === null) {
      if (piece.length === announced) {
        buffer = piece;
        filled = piece.length;
        return;
      }
      buffer = Buffer.allocUnsafeSlow(announced ?? Math.max(FIRST_BUFFER_BYTES, piece.length));
    } else if (filled + piece.length > buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(buffer.length * 2, filled + piece.length));
      larger.set(buffer.subarray(0, filled));
      buffer = larger;
    }
    buffer.set(piece, filled);
    filled += piece.length;
  };

  request.on('data', take);
  request.on('end', () => {
    if (isDiscarding) return;
    events.done(buffer === null ? EMPTY : filled === buffer.length ? buffer : buffer.subarray(0, filled));
  });
  if (announced !== null && announced > bytesMax) refuse();
  else if (request.headers.expect !== undefined) response.writeContinue();
  return { discardRest };
}

function announcedBytes(request: IncomingMessage): number | null {
  const text = request.headers['content-length'];
  return text === undefined ? null : Number(text);
}
