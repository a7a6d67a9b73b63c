import type { ChunkId } from '../../../model/ids.ts';
import type { Nonce } from '../../../protocol/consumer/types.ts';
import type { Verdict } from '../../run/verdict.ts';
import type { QueueLink, Reservations } from '../reservations.ts';
import type { Timers } from '../timers.ts';

/** The queue at the other end of one connection, where ours and the original's server want different things. */
export interface Dialect {
  /** Whether it takes single chunks back while others are worked on. */
  readonly takesBack: boolean;
  /** Gives chunks back, uncounted. */
  giveBack(chunks: readonly ChunkId[]): void;
  /** Takes back a reservation that is not answered yet. */
  withdraw(nonce: Nonce): void;
  /** Reports a failure; null: by the queue's rules. */
  fail(chunk: ChunkId, failure: string, verdict: Verdict | null): void;
  /** The reservation of a chunk expired that a callback works on. Answers whether it is answered now, not by how that ends. */
  answerExpiry(chunk: ChunkId): boolean;
  /** A chunk that was worked on is done with. */
  afterResult(): void;
  /** The connection is gone. */
  ended(): void;
}

/** What a dialect works with. */
export interface DialectParts {
  readonly link: QueueLink;
  readonly timers: Timers;
  readonly reservations: Reservations;
  /** Nothing is reserved, worked on or on its way to the queue. */
  readonly isIdle: () => boolean;
}
