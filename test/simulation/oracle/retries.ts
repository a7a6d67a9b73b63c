import type { SubmissionId } from '../../../src/model/ids.ts';

/**
 * Retries of submissions in progress, as one process makes them: they count from when they are asked for, their chunks in
 * flight go on, and their commits follow in the same order.
 */
export class RetriesInPlace {
  readonly #counts = new Map<SubmissionId, { made: number; committed: number }>();

  /** Gives its number among those of the submission. */
  made(id: SubmissionId): number {
    const counts = this.#counts.get(id) ?? { made: 0, committed: 0 };
    this.#counts.set(id, counts);
    return ++counts.made;
  }

  /** A retry of the submission is on disk. False if it is none in place: it opens what had ended. */
  committed(id: SubmissionId): boolean {
    const counts = this.#counts.get(id);
    if (counts === undefined || counts.committed === counts.made) return false;
    counts.committed++;
    return true;
  }

  isCommitted(id: SubmissionId, number: number): boolean {
    return (this.#counts.get(id)?.committed ?? 0) >= number;
  }

  /** What is set aside on disk may be in progress again. */
  isPending(id: SubmissionId): boolean {
    const counts = this.#counts.get(id);
    return counts !== undefined && counts.committed < counts.made;
  }
}
