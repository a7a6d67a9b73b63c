import type { SubmissionRecord } from '../../model/submission.ts';
import {
  type PreparedSubmission,
  prepareSubmission,
  type ReservedItem,
} from '../../protocol/consumer/codec.ts';
import type { HandedOutChunk } from '../../scheduler/types.ts';
import { LogBudget } from '../../system/log/log-budget.ts';
import type { Clock } from '../../system/time/clock.ts';

/** Consumers whose sickness is logged. */
const SICK_BUDGET = { burst: 20, perSecond: 0.2 };

/** What all sessions have in common. */
export class SharedBySessions {
  /** Half a fleet may be sick, well and sick again all night. */
  readonly sickBudget: LogBudget;
  readonly #prepared = new WeakMap<SubmissionRecord, PreparedSubmission>();

  constructor(clock: Clock) {
    this.sickBudget = new LogBudget(clock, SICK_BUDGET);
  }

  /**
   * A chunk as it stands in an answer.
   *
   * @param chunksDone of its submission, on disk
   */
  item(
    { submission, chunkIndex, retries }: HandedOutChunk,
    chunksDone: number,
    inputContent: Uint8Array | null,
  ): ReservedItem {
    return {
      submission: this.prepared(submission.record),
      chunksDone,
      chunkIndex,
      retries,
      inputContent,
    };
  }

  /** A submission's half of each item, encoded once. */
  prepared(record: SubmissionRecord): PreparedSubmission {
    let prepared = this.#prepared.get(record);
    if (prepared === undefined) {
      prepared = prepareSubmission(record);
      this.#prepared.set(record, prepared);
    }
    return prepared;
  }
}
