import type { ChunkId } from '../../../model/ids.ts';
import type { Nonce } from '../../../protocol/consumer/types.ts';
import type { Verdict } from '../../run/verdict.ts';
import type { QueueLink } from '../reservations.ts';
import type { Dialect, DialectParts } from './dialect.ts';

/** Our queue: there is a message for everything. */
export class OwnDialect implements Dialect {
  readonly takesBack = true;
  readonly #link: QueueLink;

  constructor({ link }: DialectParts) {
    this.#link = link;
  }

  giveBack(chunks: readonly ChunkId[]): void {
    this.#link.send({ kind: 'release', chunks });
  }

  withdraw(nonce: Nonce): void {
    this.#link.send({ kind: 'cancel_reserve', reserveNonce: nonce });
  }

  fail(chunk: ChunkId, failure: string, verdict: Verdict | null): void {
    this.#link.send({ kind: 'fail', chunk, failure, ...verdict });
  }

  /** It gives the chunk to others meanwhile. */
  answerExpiry(): boolean {
    return false;
  }

  afterResult(): void {}
  ended(): void {}
}
