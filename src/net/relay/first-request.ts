import type { Socket } from 'node:net';
import type { Clock } from '../../system/time/clock.ts';

/** The first bytes of a connection, and what its first request asks for. */
export interface FirstRequest {
  readonly head: Buffer;
  /** Path and query; null for what is not a request. */
  readonly target: string | null;
}

/** Longer targets than this are cut off: what matters is how they begin. */
const LINE_BYTES_MAX = 2_048;
/** How long a connection may stay without its first request. */
const FIRST_REQUEST_MS = 120_000;

const SPACE = 0x20;

/**
 * Reads as much of a connection as is needed to know what it asks for first, and leaves it paused. null: it has ended, or
 * has not asked for anything for long.
 */
export function firstRequest(socket: Socket, clock: Clock): Promise<FirstRequest | null> {
  return new Promise((resolve) => {
    let head: Buffer = Buffer.alloc(0);
    const settle = (first: FirstRequest | null) => {
      timer.cancel();
      socket.off('data', onData).off('end', onEnd).off('close', onEnd);
      socket.pause();
      resolve(first);
    };
    const onData = (bytes: Buffer) => {
      head = head.length === 0 ? bytes : Buffer.concat([head, bytes]);
      const target = targetOf(head);
      if (target !== undefined) settle({ head, target });
    };
    const onEnd = () => {
      settle(null);
      socket.destroy();
    };
    const timer = clock.after(FIRST_REQUEST_MS, onEnd, { unref: true });
    socket.on('data', onData).once('end', onEnd).once('close', onEnd);
  });
}

/** undefined: there is not enough of it yet. */
function targetOf(bytes: Buffer): string | null | undefined {
  // Empty lines before a request are passed over (RFC 9112 2.2).
  let from = 0;
  while (bytes[from] === 0x0d || bytes[from] === 0x0a) from++;
  const begin = bytes.indexOf(SPACE, from) + 1;
  const isLong = bytes.length - from >= LINE_BYTES_MAX;
  const method = bytes.toString('latin1', from, begin === 0 ? bytes.length : begin - 1);
  if (!/^[A-Z-]{0,32}$/.test(method)) return null;
  if (begin === 0) return isLong ? null : undefined;
  const end = bytes.indexOf(SPACE, begin);
  if (end < 0 && !isLong && !bytes.includes(0x0a, begin)) return undefined;
  const target = bytes.toString('latin1', begin, end < 0 ? begin + LINE_BYTES_MAX : end);
  return target.replace(/^https?:\/\/[^/?#]*/i, '');
}
