import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Semaphore } from '../../system/async/semaphore.ts';

export interface BodyLimits {
  /** The largest body. */
  readonly bytesMax: number;
  /** Bytes that all bodies which are being read may take together. */
  readonly room: Semaphore;
}

export interface HttpBodyEvents {
  done(body: Uint8Array): void;
  tooLarge(): void;
  /** Too much is being read at the moment. */
  noRoom(): void;
}

export interface HttpBodyReader {
  /** What still comes is read and dropped, within bounds, so that the peer sees the answer instead of a reset. */
  discardRest(): void;
}

const EMPTY = new Uint8Array(0);
/** Of a refused body, so much is read and dropped before the connection is cut. */
const DISCARD_BYTES_MAX = 64 * 1024 * 1024;
/** The first buffer: what a peer announces and does not send takes no memory. */
const FIRST_BUFFER_BYTES = 64 * 1024;

/** Reads a request body into one buffer that grows with it (a body in one piece is not copied at all). */
export function readHttpBody(
  request: IncomingMessage,
  response: ServerResponse,
  { bytesMax, room }: BodyLimits,
  events: HttpBodyEvents,
): HttpBodyReader {
  const announced = announcedBytes(request);
  let buffer: Buffer | null = null;
  let filled = 0;
  let taken = 0;
  let isDiscarding = false;
  let discarded = 0;

  const letGo = () => {
    buffer = null;
    room.give(taken);
    taken = 0;
  };
  const discardRest = () => {
    isDiscarding = true;
    letGo();
  };
  const refuse = (tell: () => void) => {
    discardRest();
    tell();
  };
  /** A buffer of that size, with what there is; null if there is no room for it. */
  const grown = (bytes: number): Buffer | null => {
    if (!room.tryTake(bytes - taken)) return null;
    taken = bytes;
    const larger = Buffer.allocUnsafeSlow(bytes);
    if (buffer !== null) larger.set(buffer.subarray(0, filled));
    return larger;
  };
  const take = (piece: Buffer) => {
    if (isDiscarding) {
      discarded += piece.length;
      if (discarded > DISCARD_BYTES_MAX) request.destroy();
      return;
    }
    const needed = filled + piece.length;
    if (needed > bytesMax) return refuse(events.tooLarge);
    if (buffer === null && piece.length === announced) {
      buffer = piece;
      filled = needed;
      return;
    }
    if (buffer === null || needed > buffer.length) {
      const wanted = Math.max(needed, buffer === null ? FIRST_BUFFER_BYTES : buffer.length * 2);
      buffer = grown(Math.max(needed, Math.min(wanted, announced ?? bytesMax)));
      if (buffer === null) return refuse(events.noRoom);
    }
    buffer.set(piece, filled);
    filled = needed;
  };

  request.on('data', take);
  request.on('end', () => {
    if (isDiscarding) return;
    const body = buffer === null ? EMPTY : filled === buffer.length ? buffer : buffer.subarray(0, filled);
    try {
      events.done(body);
    } finally {
      letGo();
    }
  });
  request.on('close', letGo);
  if (announced !== null && announced > bytesMax) refuse(events.tooLarge);
  else if (request.headers.expect !== undefined) response.writeContinue();
  return { discardRest };
}

function announcedBytes(request: IncomingMessage): number | null {
  const text = request.headers['content-length'];
  return text === undefined ? null : Number(text);
}
