import type { ServerResponse } from 'node:http';
import type { Writable } from 'node:stream';
import type { Clock, Timer } from '../../system/time/clock.ts';

/** How long an answer is kept for its peer. */
export interface AnswerPace {
  readonly clock: Clock;
  /** A response of which the peer reads nothing for this time is given up, in milliseconds. */
  readonly answerStallMs: number;
}

/** A body leaves in pieces of this size, so that it shows whether the peer takes any of it. */
const PIECE_BYTES = 256 * 1024;

/** Sends the body of an answer and ends it. A peer that takes nothing of it for too long is cut, by `cut`. */
export function sendBody(
  to: Writable,
  body: string | Uint8Array,
  { clock, answerStallMs }: AnswerPace,
  cut: () => void,
): void {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  let sent = 0;
  let timer: Timer | null = null;
  const stopWaiting = () => {
    timer?.cancel();
    timer = null;
  };
  const awaitPeer = () => {
    timer = clock.after(answerStallMs, cut, { unref: true });
  };
  const goOn = () => {
    stopWaiting();
    while (bytes.length - sent > PIECE_BYTES) {
      const piece = bytes.subarray(sent, sent + PIECE_BYTES);
      sent += PIECE_BYTES;
      if (!to.write(piece)) {
        awaitPeer();
        return;
      }
    }
    to.off('drain', goOn);
    to.end(bytes.subarray(sent));
    // What is small is with the kernel already.
    if (to.writableLength > 0) awaitPeer();
  };
  to.on('drain', goOn);
  to.once('finish', stopWaiting);
  to.once('close', stopWaiting);
  goOn();
}

/**
 * Likewise for an answer that stands behind others on its connection: `node:http` has all of it at once, and stops
 * reading from a peer for which it has much. Its time begins when it is its turn.
 */
export function sendBodyInTurn(
  response: ServerResponse,
  body: string | Uint8Array,
  { clock, answerStallMs }: AnswerPace,
): void {
  let timer: Timer | null = null;
  const stopWaiting = () => timer?.cancel();
  response.once('socket', () => {
    timer = clock.after(answerStallMs, () => response.destroy(), { unref: true });
  });
  response.once('finish', stopWaiting);
  response.once('close', stopWaiting);
  response.end(body);
}
