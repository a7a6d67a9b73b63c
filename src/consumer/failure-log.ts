import { LogBudget } from '../system/log/log-budget.ts';
import { clipped, type Logger } from '../system/log/logger.ts';
import type { Clock, Timer } from '../system/time/clock.ts';

/** Where something failed. */
export interface FailurePlace {
  readonly submissionId: string;
  readonly chunkIndex: number;
}

/** What was counted since the last summary. */
interface Counted {
  /** Chunks that had been completed before. */
  readonly completedBefore: number;
  chunks: number;
  operations: number;
  readonly submissions: Set<string>;
  latest: FailurePlace;
  error: string;
}

/** Failures that are logged one by one: so many at once, and one more each minute. */
const BUDGET = { burst: 5, perSecond: 1 / 60 };
const SUMMARY_EVERY_MS = 60_000;
/** Submissions that are told apart. */
const SUBMISSIONS_MAX = 1_000;
const ERROR_LOGGED_MAX = 2_000;

/**
 * Failures, for the log of an operator: the first ones as they come, and while there are more, once a minute how many
 * chunks and operations failed, how many chunks were completed beside them, and the latest error with its place.
 */
export class FailureLog {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #completed: () => number;
  readonly #budget: LogBudget;
  #counted: Counted | null = null;
  #timer: Timer | null = null;

  /** @param completed how many chunks have been completed so far */
  constructor(clock: Clock, logger: Logger, completed: () => number) {
    this.#clock = clock;
    this.#logger = logger;
    this.#completed = completed;
    this.#budget = new LogBudget(clock, BUDGET);
  }

  chunkFailed(place: FailurePlace, error: string): void {
    if (this.#mayLog()) this.#logger.warn({ ...fieldsOf(place), error }, 'a chunk failed');
    else this.#count(place, error).chunks++;
  }

  /** Operations of a chunk that failed, and whose errors are among its results: as the caller wants it, so this is no warning. */
  operationsFailed(place: FailurePlace, operations: number, error: string): void {
    if (this.#mayLog()) this.#logger.info({ ...fieldsOf(place), operations, error }, 'operations failed');
    else this.#count(place, error).operations += operations;
  }

  /** Logs what was counted: nothing more is to come for now. */
  flush(): void {
    this.#timer?.cancel();
    const counted = this.#counted;
    this.#counted = null;
    if (counted === null) return;
    const { chunks, operations, submissions, latest, error } = counted;
    const fields = {
      chunksFailed: chunks,
      ...(operations === 0 ? {} : { operationsFailed: operations }),
      chunksCompleted: this.#completed() - counted.completedBefore,
      submissions: submissions.size,
      ...fieldsOf(latest),
      error: clipped(error, ERROR_LOGGED_MAX),
    };
    const message = 'more chunks or operations failed, of which this is the latest';
    if (chunks > 0) this.#logger.warn(fields, message);
    else this.#logger.info(fields, message);
  }

  #mayLog(): boolean {
    return this.#counted === null && this.#budget.take() !== null;
  }

  #count(place: FailurePlace, error: string): Counted {
    if (this.#counted === null) {
      const none = {
        completedBefore: this.#completed(),
        chunks: 0,
        operations: 0,
        submissions: new Set<string>(),
      };
      this.#counted = { ...none, latest: place, error };
      this.#timer = this.#clock.after(SUMMARY_EVERY_MS, () => this.flush(), { unref: true });
    }
    const counted = this.#counted;
    // Not the callback's context itself, which holds the input.
    counted.latest = { submissionId: place.submissionId, chunkIndex: place.chunkIndex };
    counted.error = error;
    if (counted.submissions.size < SUBMISSIONS_MAX) counted.submissions.add(place.submissionId);
    return counted;
  }
}

function fieldsOf({ submissionId, chunkIndex }: FailurePlace) {
  return { submission: submissionId, chunk: chunkIndex };
}
