import { type Cancellation, DEADLINE_CANCELLATION } from '../model/control.ts';
import type { SubmissionId } from '../model/ids.ts';
import { isPromise } from '../model/kinds.ts';
import { queueField } from '../model/queue-name.ts';
import type { FailedChunk, SubmissionEnd, SubmissionStatus } from '../model/submission.ts';
import type { SubmissionEndCause } from '../scheduler/effects.ts';
import { invariant } from '../scheduler/invariant.ts';
import type { OpenSubmission } from '../scheduler/types.ts';
import type { Store } from '../store/store.ts';
import { LogBudget } from '../system/log/log-budget.ts';
import { clipped, type Logger } from '../system/log/logger.ts';
import { type Clock, sleep } from '../system/time/clock.ts';
import { QueueUnavailableError } from './errors.ts';
import type { QueueEvents } from './events.ts';
import type { Journal } from './journal/journal.ts';
import type { NamedQueue } from './named-queue.ts';
import type { NamedQueues } from './named-queues.ts';
import type { Reads } from './reads.ts';

export interface EndingsOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly queues: NamedQueues;
  readonly events: QueueEvents;
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

/** How often the input or the failure of a failed chunk is asked for when the store does not answer; then the end is told without. */
const INPUT_TRIES = 3;
const INPUT_RETRY_MS = 200;
const UNREADABLE_FAILURE = '(its failure could not be read)';

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
  ending(queue: NamedQueue, submission: OpenSubmission, cause: SubmissionEndCause): void {
    const { id } = submission.record;
    const committed = this.#end(queue, submission, cause).finally(() => {
      if (this.#pending.get(id) === committed) this.#pending.delete(id);
    });
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
    if (outcome !== 'unknown') await this.committed(id);
    if (outcome === 'ending') return { kind: 'cancelled' };
    const status = await reads.status(queueName, id);
    if (status === null) return { kind: 'unknown' };
    // The store knows it as open for a moment before the scheduler does.
    if (status.state === 'in_progress') throw new QueueUnavailableError('the submission is being inserted');
    return { kind: 'ended', status };
  }

  /** The submission does not end, or its end is on disk. Rejects with QueueUnavailableError if the queue stops before. */
  async committed(id: SubmissionId): Promise<void> {
    try {
      await this.#pending.get(id);
    } catch (cause) {
      throw new QueueUnavailableError('the queue stops before the end of the submission is on disk', {
        cause,
      });
    }
  }

  async #end(queue: NamedQueue, submission: OpenSubmission, cause: SubmissionEndCause): Promise<void> {
    const { record, done } = submission;
    const { clock } = this.#o;
    const { journal, inputs } = queue.shard;
    const endOf = this.#endOf(journal, submission, cause, clock.nowMs());
    // At once where nothing has to be read: it joins the batch of the last chunk.
    const end = isPromise(endOf) ? await endOf : endOf;
    journal.add({ kind: 'end', id: record.id, end });
    await journal.committed();
    try {
      queue.scheduler.forget(record.id);
      this.#o.queues.changed(queue);
      inputs.forget(record.id);
      this.#log(submission, end);
      const event = { kind: 'submission_ended', record, submission, end, chunksDone: done.count } as const;
      this.#o.events.publish(event, clock.monotonicMs());
    } catch (error) {
      this.#o.giveUp(error);
    }
  }

  #endOf(
    journal: Journal,
    submission: OpenSubmission,
    cause: SubmissionEndCause,
    endedAtMs: number,
  ): SubmissionEnd | Promise<SubmissionEnd> {
    const chunksDone = submission.done.count;
    switch (cause.state) {
      case 'completed':
        return { state: 'completed', endedAtMs };
      case 'cancelled':
        return { state: 'cancelled', endedAtMs, chunksDone, by: cause.by, reason: cause.reason };
      case 'failed':
        return this.#failedChunk(submission, cause.chunkIndex, cause.failure).then((failedChunk) => ({
          state: 'failed',
          endedAtMs,
          chunksDone,
          failedChunk,
        }));
      case 'completed_with_failures':
        return this.#firstFailedChunk(journal, submission).then((failedChunk) => ({
          state: 'completed_with_failures',
          endedAtMs,
          chunksDone,
          failedChunk,
        }));
    }
  }

  async #failedChunk(submission: OpenSubmission, chunkIndex: number, failure: string): Promise<FailedChunk> {
    if (submission.record.prefix !== null) return { chunkIndex, failure, inputContent: null };
    const chunk = { submissionId: submission.record.id, chunkIndex };
    const inputs = await this.#read('input', chunkIndex, () =>
      this.#o.store.directContents('input', [chunk]),
    );
    return { chunkIndex, failure, inputContent: inputs?.[0] ?? null };
  }

  /** Of those that were set aside. Why they failed is only in the store: there may be millions. */
  async #firstFailedChunk(journal: Journal, submission: OpenSubmission): Promise<FailedChunk> {
    const { id } = submission.record;
    const [chunkIndex] = submission.failed ?? [];
    invariant(chunkIndex !== undefined, 'a submission completes with failures, and no chunk has failed');
    await journal.committed();
    const page = { id, from: chunkIndex, limit: 1 };
    const found = await this.#read('failure', chunkIndex, () => this.#o.store.failedChunks(page));
    return this.#failedChunk(submission, chunkIndex, found?.[0]?.failure ?? UNREADABLE_FAILURE);
  }

  /** null if the store does not answer. */
  async #read<T>(what: string, chunkIndex: number, read: () => Promise<T>): Promise<T | null> {
    for (let tries = 1; ; tries++) {
      try {
        return await read();
      } catch (error) {
        if (tries === INPUT_TRIES) {
          const fields = { err: error, chunk: String(chunkIndex) };
          this.#o.logger.error(fields, `the ${what} of a failed chunk cannot be read`);
          return null;
        }
        await sleep(this.#o.clock, INPUT_RETRY_MS);
      }
    }
  }

  #log({ record, done }: OpenSubmission, end: SubmissionEnd): void {
    const { logger } = this.#o;
    const { id, queue, prefix, chunksTotal } = record;
    const fields = {
      submission: String(id),
      ...queueField(queue),
      prefix,
      chunksDone: done.count,
      chunksTotal,
    };
    if (end.state === 'cancelled' && end.reason === DEADLINE_CANCELLATION.reason) {
      logger.info(fields, 'submission cancelled by its deadline');
      return;
    }
    if (!('failedChunk' in end)) {
      logger.debug(fields, `submission ${end.state}`);
      return;
    }
    const { chunkIndex, failure } = end.failedChunk;
    const failed = { ...fields, chunk: chunkIndex, failure: clipped(failure, FAILURE_LOGGED_MAX) };
    const text = end.state === 'failed' ? 'submission failed' : 'submission completed with failures';
    const skipped = this.#failedBudget.take();
    if (skipped === null) logger.debug(failed, text);
    else logger.warn(skipped === 0 ? failed : { ...failed, failedUnlogged: skipped }, text);
  }
}
