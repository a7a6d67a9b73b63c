import type { SubmissionId } from '../../model/ids.ts';
import type { SubmissionFacts } from '../../model/submission.ts';

const RECORDS_MAX = 256;

/**
 * Gives chunks of one submission the same record object: what is the same object within one message crosses the
 * threads once, and its metadata may be large.
 */
export class SubmissionCache {
  readonly #records = new Map<SubmissionId, SubmissionFacts>();

  shared(record: SubmissionFacts): SubmissionFacts {
    const known = this.#records.get(record.id);
    if (known !== undefined) return known;
    if (this.#records.size >= RECORDS_MAX) this.#records.clear();
    this.#records.set(record.id, record);
    return record;
  }
}
