import type { SubmissionId } from '../model/ids.ts';
import { queueField } from '../model/queue-name.ts';
import type { SubmissionStatus } from '../model/submission.ts';
import type { Store } from '../store/store.ts';
import type { Logger } from '../system/log/logger.ts';
import type { Clock } from '../system/time/clock.ts';
import type { Endings } from './endings.ts';
import { QueueUnavailableError } from './errors.ts';
import type { QueueEvents } from './events.ts';
import type { Journal } from './journal/journal.ts';
import type { NamedQueue } from './named-queue.ts';
import type { NamedQueues } from './named-queues.ts';
import type { Reads } from './reads.ts';
import type { Retention } from './retention.ts';

export interface RetriesOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly journal: Journal;
  readonly queues: NamedQueues;
  readonly events: QueueEvents;
  readonly reads: Reads;
  readonly endings: Endings;
  readonly retention: Retention;
  /** Whether the store takes something now. */
  isOpen(): boolean;
  /** The queue cannot go on. */
  giveUp(error: unknown): void;
}

/** What came of a retry. */
export type RetryResult =
  /** `chunks`: how many are to be done that were not before; 0 if nothing has failed. */
  | { readonly kind: 'retried'; readonly chunks: number }
  | { readonly kind: 'unknown' }
  /** It was cancelled: nothing of it goes on. */
  | { readonly kind: 'cancelled'; readonly status: SubmissionStatus };

/**
 * Goes on with what has failed: chunks that were set aside, or a submission that failed. What was done stays done, and
 * tries begin anew. Acknowledged after the commit.
 */
export class Retries {
  readonly #o: RetriesOptions;
  /** Ended submissions that are being opened again. */
  readonly #reopening = new Map<SubmissionId, Promise<RetryResult>>();

  constructor(options: RetriesOptions) {
    this.#o = options;
  }

  /** Rejects with QueueUnavailableError if the queue takes nothing, or stops before; TooManyQueuesError. */
  async retry(queueName: string, id: SubmissionId): Promise<RetryResult> {
    const { queues, clock, endings, journal, store } = this.#o;
    if (!this.#o.isOpen()) throw new QueueUnavailableError('the store takes nothing at the moment');
    const nowMs = clock.monotonicMs();
    const queue = queues.get(queueName);
    const chunks = queue?.scheduler.retry(id, nowMs) ?? null;
    queue?.dispatcher.run(nowMs);
    if (chunks !== null) {
      await this.#committed(journal.committed());
      return { kind: 'retried', chunks };
    }
    await endings.committed(id);
    if ((await store.findById(id))?.record.queue !== queueName) return { kind: 'unknown' };
    let reopened = this.#reopening.get(id);
    if (reopened === undefined) {
      reopened = this.#reopen(queueName, id).finally(() => this.#reopening.delete(id));
      this.#reopening.set(id, reopened);
    }
    return reopened;
  }

  async #reopen(queueName: string, id: SubmissionId): Promise<RetryResult> {
    const { queues, retention } = this.#o;
    const queue = queues.enter(queueName);
    queue.insertsPending++;
    const letGo = await retention.keep(id);
    try {
      return await this.#reopenKept(queue, id);
    } finally {
      letGo();
      queue.insertsPending--;
      queues.changed(queue);
    }
  }

  /** From here on nobody forgets it. */
  async #reopenKept(queue: NamedQueue, id: SubmissionId): Promise<RetryResult> {
    const { store, journal, reads, events, clock, logger } = this.#o;
    // Another call has been faster.
    if (queue.scheduler.get(id) !== undefined) return { kind: 'retried', chunks: 0 };
    const stored = await store.findById(id);
    const done = await store.chunksDone(id);
    if (stored === null || done === null) return { kind: 'unknown' };
    const { record, end, chunksDone, control: before } = stored;
    if (end === null) throw new QueueUnavailableError('the submission is being inserted');
    if (end.state === 'completed') return { kind: 'retried', chunks: 0 };
    if (end.state === 'cancelled') {
      const status = await reads.status(queue.name, id);
      return status === null ? { kind: 'unknown' } : { kind: 'cancelled', status };
    }
    // Or it would be cancelled at once.
    const isLate = before.deadlineMs !== null && before.deadlineMs <= clock.nowMs();
    const control = isLate ? { ...before, deadlineMs: null } : before;
    journal.add({ kind: 'retry', id });
    if (isLate) journal.add({ kind: 'control', id, control });
    await this.#committed(journal.committed());
    try {
      queue.insert(record, control, { done, tries: new Map() });
      events.publish({ kind: 'submission_retried', record }, clock.monotonicMs());
      logger.debug({ submission: String(id), ...queueField(record.queue), chunksDone }, 'submission retried');
    } catch (error) {
      this.#o.giveUp(error);
    }
    return { kind: 'retried', chunks: record.chunksTotal - chunksDone };
  }

  async #committed(committed: Promise<void>): Promise<void> {
    try {
      await committed;
    } catch (cause) {
      throw new QueueUnavailableError('the queue stops before the retry is on disk', { cause });
    }
  }
}
