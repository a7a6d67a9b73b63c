import type { SubmissionId } from '../../model/ids.ts';
import type { StrategicMetadata } from '../../model/submission.ts';
import { bounded } from '../../model/thrown.ts';
import { FAILURES_KEPT_MAX, type FailureCause } from '../../protocol/api/failures.ts';
import { Ring } from './ring.ts';

/** A try that came to nothing. */
export interface FailedTry {
  /** Unix milliseconds. */
  readonly atMs: number;
  readonly submissionId: SubmissionId;
  readonly queue: string;
  readonly prefix: string | null;
  /** Of the submission, as it was then. */
  readonly metadata: StrategicMetadata;
  readonly chunkIndex: number;
  readonly connId: string;
  readonly cause: FailureCause;
  readonly isFatal: boolean;
  readonly tookMs: number;
  readonly text: string;
}

const CHARS_MAX = 8_192;
/** Of a failure when those that are kept have this many characters already. */
const GIST_CHARS_MAX = 512;
const CHARS_TOTAL = 3_000_000;

/** The last failures, their texts bounded each and together. */
export class Failures {
  readonly ring = new Ring<FailedTry>(FAILURES_KEPT_MAX);
  #chars = 0;

  /** When the oldest of them was, if others have been forgotten; null: all are kept. */
  get cutAtMs(): number | null {
    const { firstSeq } = this.ring;
    return firstSeq === 1 ? null : (this.ring.at(firstSeq)?.atMs ?? null);
  }

  add(failure: FailedTry): void {
    const text = bounded(failure.text, this.#chars < CHARS_TOTAL ? CHARS_MAX : GIST_CHARS_MAX);
    const gone = this.ring.push({ ...failure, text });
    this.#chars += text.length - (gone?.text.length ?? 0);
  }
}
