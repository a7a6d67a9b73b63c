import type { SubmissionInfo } from '../../model/submission.ts';
import type { ChunkContext, OpContext } from '../types.ts';

/** An operation in the callback: its context. */
export class OpJob implements OpContext {
  readonly operationIndex: number;
  readonly #chunk: ChunkContext;
  /** Made on demand: most callbacks never look at it. */
  #controller: AbortController | null = null;
  #interrupted: { readonly reason: unknown } | null = null;
  /** Listens to the chunk's signal. */
  #follow: (() => void) | null = null;

  constructor(chunk: ChunkContext, operationIndex: number) {
    this.#chunk = chunk;
    this.operationIndex = operationIndex;
  }

  get submission(): SubmissionInfo {
    return this.#chunk.submission;
  }

  get submissionId(): string {
    return this.#chunk.submissionId;
  }

  get chunkIndex(): number {
    return this.#chunk.chunkIndex;
  }

  get retries(): number {
    return this.#chunk.retries;
  }

  /** Fires with the chunk's, and when this operation alone is not wanted any more. */
  get signal(): AbortSignal {
    if (this.#controller === null) {
      this.#controller = new AbortController();
      const chunk = this.#chunk.signal;
      if (this.#interrupted !== null) this.#controller.abort(this.#interrupted.reason);
      else if (chunk.aborted) this.#controller.abort(chunk.reason);
      else {
        this.#follow = () => this.interrupt(chunk.reason);
        chunk.addEventListener('abort', this.#follow, { once: true });
      }
    }
    return this.#controller.signal;
  }

  /** Its result is not waited for any more: fires the signal. */
  interrupt(reason: unknown): void {
    if (this.#interrupted !== null) return;
    this.#interrupted = { reason };
    this.#controller?.abort(reason);
  }

  /** The callback has ended: the chunk may go on for long. */
  end(): void {
    if (this.#follow !== null) this.#chunk.signal.removeEventListener('abort', this.#follow);
  }
}
