import type { FrameConnection } from '../../../src/net/connection.ts';
import { decodeServerMessage } from '../../../src/protocol/consumer/codec.ts';
import type { ServerMessage } from '../../../src/protocol/consumer/types.ts';

/** What a session did to its connection, in order. */
export type Sent =
  | { readonly kind: 'message'; readonly message: ServerMessage; readonly bytes: Uint8Array }
  | { readonly kind: 'ping' | 'pong'; readonly payload: string }
  | { readonly kind: 'close'; readonly code: number; readonly reason: string }
  | { readonly kind: 'terminate' };

/** A connection without a network. */
export class FakeConnection implements FrameConnection {
  readonly sent: Sent[] = [];
  bufferedBytes = 0;
  isPaused = false;

  send(bytes: Uint8Array): void {
    this.sent.push({ kind: 'message', message: decodeServerMessage(bytes), bytes });
  }

  ping(payload: Uint8Array): void {
    this.sent.push({ kind: 'ping', payload: Buffer.from(payload).toString('hex') });
  }

  pong(payload: Uint8Array): void {
    this.sent.push({ kind: 'pong', payload: Buffer.from(payload).toString('hex') });
  }

  close(code: number, reason: string): void {
    this.sent.push({ kind: 'close', code, reason });
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  terminate(): void {
    this.sent.push({ kind: 'terminate' });
  }

  /** The messages among what was sent, and forgets everything. */
  takeMessages(): ServerMessage[] {
    return this.take().flatMap((sent) => (sent.kind === 'message' ? [sent.message] : []));
  }

  take(): Sent[] {
    return this.sent.splice(0);
  }

  /** In words, for comparisons: `init`, `reserved`, `ping`, `close 1007`, ... */
  takeKinds(): string[] {
    return this.take().map((sent) => {
      if (sent.kind === 'message') return sent.message.kind;
      return sent.kind === 'close' ? `close ${sent.code}` : sent.kind;
    });
  }
}
