import { type Act, type PausedBy, withAct } from '../../model/control.ts';
import { ChangeRefusedError, SubmissionEndedError, SubmissionNotFoundError } from '../../model/errors.ts';
import type { SubmissionId } from '../../model/ids.ts';
import type { VerbTarget } from '../../model/verbs.ts';
import type { Store, StoredSubmission } from '../../store/store.ts';
import type { Clock } from '../../system/time/clock.ts';
import type { Endings } from '../endings.ts';
import { QueueUnavailableError } from '../errors.ts';
import type { QueueEvents } from '../events.ts';
import type { Journal } from '../journal/journal.ts';
import type { NamedQueue } from '../named-queue.ts';
import type { NamedQueues } from '../named-queues.ts';
import type { Retention } from '../retention.ts';
import type { Shards } from '../shard/shards.ts';

export interface RetriesOptions {
  readonly store: Store;
  readonly clock: Clock;
  readonly shards: Shards;
  readonly queues: NamedQueues;
  readonly events: QueueEvents;
  readonly endings: Endings;
  readonly retention: Retention;
  /** The queue cannot go on. */
  giveUp(error: unknown): void;
}

/** A submission that may be retried. `queue`: those of other queues are unknown; null = of any queue. */
export interface RetryTarget {
  readonly id: SubmissionId;
  readonly queue: string | null;
}

/** What came of a retry. */
export interface RetryOutcome {
  /** How many chunks are to be done that were not before; 0 if nothing has failed. */
  readonly chunks: number;
  /** Of the submission itself: nothing of it is handed out while there is one. */
  readonly pauses: readonly PausedBy[];
  /** In which queue it is. */
  readonly queue: string;
}

/** Ended submissions that are asked of the store at once. */
const PAGE = 500;
/** Open ones that are looked at in one turn of the event loop. */
const LOOKS = 1_000;
const FAILED_STATES = ['failed', 'completed_with_failures'] as const;

/**
 * Goes on with what has failed: chunks that were set aside, or a submission that failed. What was done stays done, and
 * tries begin anew. Acknowledged after the commit.
 */
export class Retries {
  readonly #o: RetriesOptions;
  /** Ended submissions that are being opened again. */
  readonly #reopening = new Map<SubmissionId, Promise<RetryOutcome>>();

  constructor(options: RetriesOptions) {
    this.#o = options;
  }

  /**
   * Submissions with something that failed, as of now, ended or not. Without a queue, those of all queues, whether they
   * are in use or not.
   *
   * @throws ChangeRefusedError for a filter by state
   */
  async matching(filter: Extract<VerbTarget, { kind: string }>): Promise<RetryTarget[]> {
    if (filter.kind !== 'matching') throw new ChangeRefusedError('submissions can be retried, nothing else');
    const { metadata, state, queue: name } = filter;
    if (state !== 'open') {
      throw new ChangeRefusedError('filter.state: a retry is for whatever has failed, in any state');
    }
    const carriesAll = ({ record, control }: StoredSubmission) => {
      const pairs = control.strategicMetadata ?? record.strategicMetadata;
      return [...metadata].every(([key, value]) => pairs.get(key) === value);
    };
    const targets: RetryTarget[] = [];
    for (const queue of this.#o.queues) {
      if (name !== null && queue.name !== name) continue;
      let looks = 0;
      for (const { record, failed } of queue.scheduler.matching(metadata)) {
        if (++looks % LOOKS === 0) await new Promise<void>((resolve) => this.#o.clock.soon(resolve));
        if (failed !== null) targets.push({ id: record.id, queue: queue.name });
      }
    }
    for (const endState of FAILED_STATES) {
      for (const queue of name === null ? await this.#queuesOfEnded(endState) : [name]) {
        for await (const stored of this.#ended(queue, endState)) {
          if (carriesAll(stored)) targets.push({ id: stored.record.id, queue });
        }
      }
    }
    return targets;
  }

  /**
   * @param act null = tells what would happen, and changes nothing
   * @throws SubmissionNotFoundError, SubmissionEndedError for one that was cancelled, QueueUnavailableError,
   *   TooManyQueuesError
   */
  async retry({ id, queue: name }: RetryTarget, act: Act | null): Promise<RetryOutcome> {
    const { queues, endings } = this.#o;
    if (name !== null) this.#checkHealth(name);
    for (const queue of queues) {
      const submission = queue.scheduler.get(id);
      if (submission === undefined || (name !== null && queue.name !== name)) continue;
      this.#checkHealth(queue.name);
      if (submission.state === 'open') return this.#retryOpen(queue, id, act);
      await endings.committed(id);
    }
    const stored = await this.#o.store.findById(id);
    if (stored === null) throw new SubmissionNotFoundError(id);
    const { queue } = stored.record;
    if (name !== null && queue !== name) throw new SubmissionNotFoundError(id, queue);
    this.#checkHealth(queue);
    if (act === null) return this.#told(stored, chunksToRetry(stored));
    let reopened = this.#reopening.get(id);
    if (reopened === undefined) {
      reopened = this.#reopen(stored.record.queue, id, act).finally(() => this.#reopening.delete(id));
      this.#reopening.set(id, reopened);
    }
    return reopened;
  }

  /** Of those that are open here. */
  async #queuesOfEnded(state: (typeof FAILED_STATES)[number]): Promise<string[]> {
    const { store, shards } = this.#o;
    return (await store.endedQueues(state)).filter((queue) => shards.find(queue) !== undefined);
  }

  #checkHealth(queue: string): void {
    if (this.#o.shards.of(queue).isHealthy) return;
    throw new QueueUnavailableError('the store takes nothing at the moment');
  }

  async *#ended(queue: string, state: (typeof FAILED_STATES)[number]): AsyncGenerator<StoredSubmission> {
    for (let before: SubmissionId | undefined; ; ) {
      const page = await this.#o.store.ended({ queue, state, before, limit: PAGE });
      yield* page;
      before = page.at(-1)?.record.id;
      if (page.length < PAGE) return;
    }
  }

  async #retryOpen(queue: NamedQueue, id: SubmissionId, act: Act | null): Promise<RetryOutcome> {
    const { clock, events } = this.#o;
    const { journal } = queue.shard;
    const submission = queue.scheduler.get(id)!;
    const failed = submission.failed?.count ?? 0;
    const { record, control } = submission;
    // Another retry, by which nothing has failed any more, may not be on disk yet.
    if (act !== null && failed === 0) await committed(journal);
    if (act === null || failed === 0) return this.#told({ record, control }, failed);
    const nowMs = clock.monotonicMs();
    const chunks = queue.scheduler.retry(id, nowMs) ?? 0;
    queue.dispatcher.run(nowMs);
    const next = withAct(control, act);
    journal.add({ kind: 'control', id, control: next });
    queue.control(id, next);
    events.publish({ kind: 'submission_changed', submission, act }, nowMs);
    await committed(journal);
    return this.#told({ record, control }, chunks);
  }

  async #reopen(name: string, id: SubmissionId, act: Act): Promise<RetryOutcome> {
    const { queues, retention } = this.#o;
    const queue = queues.enter(name);
    queue.insertsPending++;
    try {
      const letGo = await retention.keep(id);
      try {
        return await this.#reopenKept(queue, id, act);
      } finally {
        letGo();
      }
    } finally {
      queue.insertsPending--;
      queues.changed(queue);
    }
  }

  /** From here on nobody forgets it. */
  async #reopenKept(queue: NamedQueue, id: SubmissionId, act: Act): Promise<RetryOutcome> {
    const { store, events, clock } = this.#o;
    const { journal } = queue.shard;
    const [stored, done] = await Promise.all([store.findById(id), store.chunksDone(id)]);
    if (stored === null || done === null) throw new SubmissionNotFoundError(id);
    const chunks = chunksToRetry(stored);
    // Another call may have been faster.
    if (chunks === 0 || queue.scheduler.get(id) !== undefined) return this.#told(stored, 0);
    const { record, control: before } = stored;
    // With a deadline that has passed, it would be cancelled at once.
    const isLate = before.deadlineMs !== null && before.deadlineMs <= clock.nowMs();
    const control = withAct(isLate ? { ...before, deadlineMs: null } : before, act);
    // A restart in between would find the deadline that has passed.
    journal.add({ kind: 'retry', id }, { kind: 'control', id, control });
    await committed(journal);
    try {
      queue.insert(record, control, { done, tries: new Map() });
      events.publish({ kind: 'submission_retried', record, act }, clock.monotonicMs());
    } catch (error) {
      this.#o.giveUp(error);
    }
    return this.#told(stored, chunks);
  }

  #told({ record, control }: Pick<StoredSubmission, 'record' | 'control'>, chunks: number): RetryOutcome {
    return { chunks, pauses: control.pauses, queue: record.queue };
  }
}

async function committed(journal: Journal): Promise<void> {
  try {
    await journal.committed();
  } catch (cause) {
    throw new QueueUnavailableError('the queue stops before the retry is on disk', { cause });
  }
}

/** @throws SubmissionEndedError for one that was cancelled */
function chunksToRetry({ record, end, chunksDone }: StoredSubmission): number {
  // The store knows it as open for a moment before the scheduler does: nothing of it can have failed.
  if (end === null) return 0;
  if (end.state === 'cancelled') throw new SubmissionEndedError(record.id, end.state);
  return record.chunksTotal - chunksDone;
}
