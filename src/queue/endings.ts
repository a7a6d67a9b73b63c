import { type Cancellation, DEADLINE_CANCELLATION } from '../model/control.ts';
import type { SubmissionId } from '../model/ids.ts';
import { queueField } from '../model/queue-name.ts';
import type { FailedChunk, SubmissionEnd, SubmissionRecord, SubmissionStatus } from '../model/submission.ts';
import type { SubmissionEndCause } from '../scheduler/effects.ts';
import { invariant } from '../scheduler/invariant.ts';
import type { OpenSubmission } from '../scheduler/types.ts';
import type { Store } from '../store/store.ts';
import { LogBudget } from '../system/log/log-budget.ts';
import { clipped, type Logger } from '../system/log/logger.ts';
import { type Clock, sleep } from '../system/time/clock.ts';
import { QueueUnavailableError } from './errors.ts';
import type { QueueEvents } from './events.ts';
import type { InputCache } from './input-cache.ts';
import type { Journal } from './journal/journal.ts';
import type { NamedQueues } from './named-queues.ts';
import type { Reads } from './reads.ts';

export interface EndingsOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly journal: Journal;
  readonly queues: NamedQueues;
  readonly events: QueueEvents;
  readonly inputs: InputCache;
  readonly reads: Reads;
  /** The queue cannot go on. */
  giveUp(error: unknown): void;
}

/** What came of a cancellation. */
export type CancelResult =
  | { readonly kind: 'cancelled' }
  | { readonly kind: 'unknown' }
  /** It had ended already, or was about to. */
  | { readonly kind: 'ended'; readonly status: SubmissionStatus };

/** How often the input of a failed chunk is asked for when the store does not answer; then the end is told without. */
const INPUT_TRIES = 3;
const INPUT_RETRY_MS = 200;

/** Characters of a failure that go into the log. */
const FAILURE_LOGGED_MAX = 500;
/** Failed submissions that are logged. */
const FAILED_BUDGET = { burst: 20, perSecond: 1 };

/** Ends of submissions, whatever caused them: they are visible only once they are committed. */
export class Endings {
  readonly #o: EndingsOptions;
  /** Ends that are not committed yet. */
  readonly #pending = new Map<SubmissionId, Promise<void>>();

  readonly #failedBudget: LogBudget;

  constructor(options: EndingsOptions) {
    this.#o = options;
    this.#failedBudget = new LogBudget(options.clock, FAILED_BUDGET);
  }

  /** The submission is off the schedule. */
  ending(submission: OpenSubmission, cause: SubmissionEndCause): void {
    const { id } = submission.record;
    const committed = this.#end(submission, cause).finally(() => this.#pending.delete(id));
    this.#pending.set(id, committed);
    // A failure is reported to those who wait for it; there may be none.
    committed.catch(() => {});
  }

  /** Answered after the commit. Rejects with QueueUnavailableError if the queue stops before. */
  async cancel(queueName: string, id: SubmissionId, by?: Cancellation): Promise<CancelResult> {
    const { queues, clock, reads } = this.#o;
    const nowMs = clock.monotonicMs();
    const queue = queues.get(queueName);
    const outcome = queue?.scheduler.cancel(id, nowMs, by) ?? 'unknown';
    queue?.dispatcher.run(nowMs);
    if (outcome !== 'unknown') await this.#committed(id);
    if (outcome === 'ending') return { kind: 'cancelled' };
    const status = await reads.status(queueName, id);
    if (status === null) return { kind: 'unknown' };
    // The store knows it as open for a moment before the scheduler does.
    if (status.state === 'in_progress') throw new QueueUnavailableError('the submission is being inserted');
    return { kind: 'ended', status };
  }

  async #committed(id: SubmissionId): Promise<void> {
    try {
      await this.#pending.get(id);
    } catch (cause) {
      throw new QueueUnavailableError('the queue stops before the end of the submission is on disk', {
        cause,
      });
    }
  }

  async #end(submission: OpenSubmission, cause: SubmissionEndCause): Promise<void> {
    const { record, done } = submission;
    const { journal, clock } = this.#o;
    const endedAtMs = clock.nowMs();
    if (cause.state === 'failed') {
      const chunksDone = done.count;
      const failedChunk = await this.#failedChunk(submission, cause.chunkIndex, cause.failure);
      this.#add(submission, { state: 'failed', endedAtMs, chunksDone, failedChunk });
    } else if (cause.state === 'cancelled') {
      this.#add(submission, {
        state: 'cancelled',
        endedAtMs,
        chunksDone: done.count,
        by: cause.by,
        reason: cause.reason,
      });
    } else {
      this.#add(submission, { state: 'completed', endedAtMs });
    }
    await journal.committed();
    try {
      this.#forget(record);
      this.#o.inputs.forget(record.id);
      this.#log(submission, cause);
      const event = { kind: 'submission_ended', record, state: cause.state, chunksDone: done.count } as const;
      this.#o.events.publish(event, clock.monotonicMs());
    } catch (error) {
      this.#o.giveUp(error);
    }
  }

  #forget({ id, queue: name }: SubmissionRecord): void {
    const { queues } = this.#o;
    const queue = queues.get(name);
    invariant(queue !== undefined, 'a queue is there as long as a submission of it');
    queue.scheduler.forget(id);
    queues.changed(queue);
  }

  #add(submission: OpenSubmission, end: SubmissionEnd): void {
    this.#o.journal.add({ kind: 'end', id: submission.record.id, end });
  }

  async #failedChunk(submission: OpenSubmission, chunkIndex: number, failure: string): Promise<FailedChunk> {
    if (submission.record.prefix !== null) return { chunkIndex, failure, inputContent: null };
    const chunk = { submissionId: submission.record.id, chunkIndex };
    for (let tries = 1; ; tries++) {
      try {
        const [inputContent] = await this.#o.store.directContents('input', [chunk]);
        return { chunkIndex, failure, inputContent: inputContent ?? null };
      } catch (error) {
        if (tries === INPUT_TRIES) {
          this.#o.logger.error(
            { err: error, chunk: String(chunkIndex) },
            'the input of a failed chunk cannot be read',
          );
          return { chunkIndex, failure, inputContent: null };
        }
        await sleep(this.#o.clock, INPUT_RETRY_MS);
      }
    }
  }

  #log({ record, done }: OpenSubmission, cause: SubmissionEndCause): void {
    const { logger } = this.#o;
    const { id, queue, prefix, chunksTotal } = record;
    const fields = {
      submission: String(id),
      ...queueField(queue),
      prefix,
      chunksDone: done.count,
      chunksTotal,
    };
    if (cause.state === 'cancelled' && cause.reason === DEADLINE_CANCELLATION.reason) {
      logger.info(fields, 'submission cancelled by its deadline');
      return;
    }
    if (cause.state !== 'failed') {
      logger.debug(fields, `submission ${cause.state}`);
      return;
    }
    const failed = {
      ...fields,
      chunk: cause.chunkIndex,
      failure: clipped(cause.failure, FAILURE_LOGGED_MAX),
    };
    const skipped = this.#failedBudget.take();
    if (skipped === null) logger.debug(failed, 'submission failed');
    else logger.warn(skipped === 0 ? failed : { ...failed, failedUnlogged: skipped }, 'submission failed');
  }
}
