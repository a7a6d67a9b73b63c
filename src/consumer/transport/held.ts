import type { ChunkId } from '../../model/ids.ts';
import type { SubmissionRecord } from '../../model/submission.ts';
import type { ReservedChunkMessage } from '../../protocol/consumer/types.ts';
import type { Handle, TransferTimes } from '../thread/protocol.ts';
import type { RunFeed } from './run-feed.ts';

/**
 * A chunk that this consumer has reserved.
 *
 *     fetching --downloaded--> ready --handed over--> handed --result--> sending --told the queue--> (gone)
 *
 * It is gone at once when it is given back, fails or is dropped. When it expires or the connection breaks, what was
 * not handed over is gone; a `handed` or `sending` one stays with `isOurs` false: its result still counts.
 */
export interface Held {
  readonly handle: Handle;
  readonly chunk: ChunkId;
  readonly key: string;
  readonly submission: SubmissionRecord;
  readonly retries: number;
  /** null: reserved one by one, by `reserveChunks`. */
  readonly feed: RunFeed<Held> | null;
  readonly reservedMs: number;
  /** When the queue was last told that it is still worked on; at first, when it was reserved. */
  extendedMs: number;
  /** When it was handed over; 0 before. */
  handedMs: number;
  readonly transfer: AbortController;
  state: 'fetching' | 'ready' | 'handed' | 'sending';
  /** Its body is being read or written; `transfer` ends that. */
  isTransferring: boolean;
  isOurs: boolean;
  /** Its reservation expired; until that is answered the queue does not give us the chunk again. */
  expiry: 'unanswered' | 'answered' | null;
  /** It was reserved once more after its expiry, while the callback was still busy with it. */
  renewal: ReservedChunkMessage | null;
  /** Bytes that count against the run's `memoryBytesMax`. */
  bytes: number;
  input: Uint8Array | null;
  download: TransferTimes | null;
}

export function chunkKeyOf(chunk: ChunkId): string {
  return `${chunk.submissionId}/${chunk.chunkIndex}`;
}
