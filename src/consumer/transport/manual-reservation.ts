import type { Strategy } from '../../model/strategy.ts';
import type { Nonce } from '../../protocol/consumer/types.ts';
import type { Held } from './held.ts';

/** A call of `reserveChunks` that waits. */
export class ManualReservation {
  readonly request: number;
  readonly max: number;
  readonly strategy: Strategy;
  /** Of the reservation that is outstanding. */
  nonce: Nonce | null = null;
  /** The queue has answered; what it gave is being downloaded. */
  isAnswered = false;
  readonly chunks = new Set<Held>();

  constructor(request: number, max: number, strategy: Strategy) {
    this.request = request;
    this.max = max;
    this.strategy = strategy;
  }
}
