import type { Strategy } from '../model/strategy.ts';
import type { DropReason, Sick } from '../scheduler/effects.ts';
import type {
  ConsumerHandle,
  HandedOutChunk,
  OpenSubmission,
  ReservationRequest,
} from '../scheduler/types.ts';

/** What happens to the chunks of one consumer goes to it. It may call the queue. */
export interface ConsumerPeer {
  /** What is known of it, for those who look on. */
  readonly facts: ConsumerFacts;
  /** A reservation is answered, with at least one chunk. */
  reserved(request: ReservationRequest, chunks: readonly HandedOutChunk[]): void;
  expired(submission: OpenSubmission, chunkIndex: number): void;
  dropped(submission: OpenSubmission, chunkIndex: number, reason: DropReason): void;
  /** Its last chunks all failed while others completed theirs: it gets the next one after a pause. */
  sick(told: Pick<Sick<ConsumerPeer>, 'failuresInRow' | 'pauseMs'>): void;
  recovered(): void;
  /** One of these threw: the peer is lost, and nothing else. */
  failed(error: unknown): void;
}

export interface ConsumerFacts {
  readonly connId: string;
  readonly address: string | null;
  /** Name and version; null if it does not say. */
  readonly client: string | null;
  /** Since when it is connected, on the monotonic clock. */
  readonly sinceMs: number;
  /** When something came of it last, on the monotonic clock. */
  readonly heardMs: number;
  /** The one that it used last. */
  readonly strategy: Strategy | null;
  /** It gets nothing for now: it holds too much, or is not read because outputs come too fast. */
  readonly isFull: boolean;
}

export type ConnectedConsumer = ConsumerHandle<ConsumerPeer>;
