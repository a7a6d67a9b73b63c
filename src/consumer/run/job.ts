import { OpsqueueError } from '../../model/errors.ts';
import { type SubmissionInfo, submissionInfoOf } from '../../model/submission.ts';
import type { HeldChunk } from '../thread/protocol.ts';
import type { ChunkContext } from '../types.ts';

/**
 * Why the result of a chunk is not wanted any more:
 *
 * - `submission_ended`: its submission was cancelled or failed
 * - `completed_elsewhere`: another consumer completed the chunk
 * - `operation_failed`: with `opConcurrency`, another operation of the chunk failed
 * - `abandoned`: the run was, by `close` or its signal
 */
export type ChunkDropReason = 'submission_ended' | 'completed_elsewhere' | 'operation_failed' | 'abandoned';

/** The result of a chunk is not wanted any more: the reason of the callback's signal. `reason` says why. */
export class ChunkDroppedError extends OpsqueueError {
  readonly reason: ChunkDropReason;

  constructor(reason: ChunkDropReason) {
    super('CHUNK_DROPPED', `the result of this chunk is not wanted any more: ${reason}`);
    this.reason = reason;
  }
}

/** A chunk on its way through the callback. It is the callback's context, too. */
export class ChunkJob implements ChunkContext {
  readonly held: HeldChunk;
  /** The transport still knows the handle. */
  isHeld = true;
  /** The callback was called. */
  hasBegun = false;
  #dropped: OpsqueueError | null = null;
  // Made on demand: most callbacks never look at these.
  #submission: SubmissionInfo | null = null;
  #controller: AbortController | null = null;

  constructor(held: HeldChunk) {
    this.held = held;
  }

  get submission(): SubmissionInfo {
    this.#submission ??= submissionInfoOf(this.held.submission);
    return this.#submission;
  }

  get submissionId(): string {
    return String(this.held.chunk.submissionId);
  }

  get chunkIndex(): number {
    return this.held.chunk.chunkIndex;
  }

  get retries(): number {
    return this.held.retries;
  }

  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      if (this.#dropped !== null) this.#controller.abort(this.#dropped);
    }
    return this.#controller.signal;
  }

  get isDropped(): boolean {
    return this.#dropped !== null;
  }

  drop(reason: ChunkDropReason): void {
    this.interrupt(new ChunkDroppedError(reason));
  }

  /** The result is not waited for any more: fires the signal with that reason, unless it has fired. */
  interrupt(reason: OpsqueueError): void {
    if (this.#dropped !== null) return;
    this.#dropped = reason;
    this.#controller?.abort(reason);
  }
}
