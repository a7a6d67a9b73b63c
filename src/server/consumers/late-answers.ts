import type { ChunkId } from '../../model/ids.ts';
import { encodeReserved } from '../../protocol/consumer/codec.ts';
import type { Nonce } from '../../protocol/consumer/types.ts';
import type { HandedOutChunk, ReservationRequest } from '../../scheduler/types.ts';
import type { Outbox } from './outbox.ts';
import { type AnswerContext, lateAnswer } from './reserved-answer.ts';

interface LateAnswer {
  readonly chunks: readonly HandedOutChunk[];
  /** The peer does not want it any more, but may get it all the same. */
  isTakenBack: boolean;
}

/** Answers of one connection that are reserved but not told yet: they wait for their inputs, or behind such. */
export class LateAnswers {
  readonly #context: AnswerContext;
  readonly #outbox: Outbox;
  readonly #answers = new Map<ReservationRequest, LateAnswer>();

  constructor(context: AnswerContext, outbox: Outbox) {
    this.#context = context;
    this.#outbox = outbox;
  }

  get size(): number {
    return this.#answers.size;
  }

  /** @param askAgain called if nothing that the request was to get is still held when its turn comes */
  add(request: ReservationRequest, chunks: readonly HandedOutChunk[], askAgain: () => void): void {
    const late = { chunks, isTakenBack: false };
    this.#answers.set(request, late);
    this.#outbox.sendLate(async () => {
      const answer = await lateAnswer(this.#context, request, chunks);
      this.#answers.delete(request);
      if (!this.#context.isOpen()) return null;
      if (answer !== null) return answer;
      if (late.isTakenBack) return encodeReserved(request.nonce, [], this.#context.encodeOptions);
      askAgain();
      return null;
    });
  }

  /** The peer takes a reservation back; it may be answered all the same. */
  takeBack(nonce: Nonce): void {
    for (const [request, late] of this.#answers) if (request.nonce === nonce) late.isTakenBack = true;
  }

  /** The peer has not heard of the chunk yet; what is not held any more by then is left out of its answer. */
  isUntold({ submissionId, chunkIndex }: ChunkId): boolean {
    for (const { chunks } of this.#answers.values()) {
      for (const chunk of chunks) {
        if (chunk.chunkIndex === chunkIndex && chunk.submission.record.id === submissionId) return true;
      }
    }
    return false;
  }

  /** The chunks that the peer has not heard of. */
  get untold(): readonly ChunkId[] {
    return [...this.#answers.values()].flatMap(({ chunks }) =>
      chunks.map(({ submission, chunkIndex }) => ({ submissionId: submission.record.id, chunkIndex })),
    );
  }

  clear(): void {
    this.#answers.clear();
  }
}
