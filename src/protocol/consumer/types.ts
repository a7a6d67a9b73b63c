import type { ChunkId } from '../../model/ids.ts';
import type { Strategy } from '../../model/strategy.ts';
import type { SubmissionFacts } from '../../model/submission.ts';

/** A nonce is echoed losslessly: a number where it is safe, a bigint beyond. */
export type Nonce = number | bigint;

/** Client to server: `{"nonce": n, "contents": ...}`. */
export type ClientMessage =
  | { readonly kind: 'reserve'; readonly nonce: Nonce; readonly max: number; readonly strategy: Strategy }
  | {
      readonly kind: 'complete';
      readonly nonce: Nonce;
      readonly chunk: ChunkId;
      readonly outputContent: Uint8Array | null;
    }
  | {
      readonly kind: 'fail';
      readonly nonce: Nonce;
      readonly chunk: ChunkId;
      readonly failure: string;
      /** Ours: extra field `retryable`, absent = true. */
      readonly retryable?: boolean;
      /** Ours: extra field `delay_ms`, absent = 0. */
      readonly delayMs?: number;
    }
  /** Ours, only to a server that announced `release`: gives chunks back uncounted. */
  | { readonly kind: 'release'; readonly nonce: Nonce; readonly chunks: readonly ChunkId[] }
  /** Ours, only to a server that announced `extend`: the chunks are still worked on, their reservations last longer. */
  | { readonly kind: 'extend'; readonly nonce: Nonce; readonly chunks: readonly ChunkId[] }
  /** Ours, only to a server that announced it: takes back a waiting reservation; answered by an empty Ok if it still waited. */
  | { readonly kind: 'cancel_reserve'; readonly nonce: Nonce; readonly reserveNonce: Nonce };

export interface InitMessage {
  readonly kind: 'init';
  readonly missableHeartbeatsMax: number;
  readonly heartbeatIntervalMs: number;
  readonly versionInfo: string;
  readonly connId: string;
  /** Ours: extra field `features`, absent from the reference. What the server understands beyond the reference. */
  readonly features: readonly string[];
  /** Ours: extra field `reservation_expiration_ms`, after which a reservation that is not extended expires. */
  readonly reservationExpirationMs?: number | undefined;
}

/** Server to client. */
export type ServerMessage =
  | InitMessage
  | { readonly kind: 'reserved'; readonly nonce: Nonce; readonly chunks: readonly ReservedChunkMessage[] }
  | { readonly kind: 'reserve_refused'; readonly nonce: Nonce; readonly reason: string | null }
  | { readonly kind: 'expired'; readonly chunk: ChunkId }
  /** Ours, only to a client that announced `dropped`: stop working on it, its result is not wanted. */
  | { readonly kind: 'dropped'; readonly chunk: ChunkId; readonly reason: string };

export interface ReservedChunkMessage {
  readonly chunk: ChunkId;
  /** The input of a `Direct` submission; null otherwise. */
  readonly inputContent: Uint8Array | null;
  readonly retries: number;
  readonly submission: SubmissionFacts;
  readonly chunksDone: number;
}
