import { checkChoice } from '../model/check.ts';
import {
  ChangeRefusedError,
  IncorrectUsageError,
  SubmissionEndedError,
  SubmissionNotCancellableError,
} from '../model/errors.ts';
import type { SubmissionId } from '../model/ids.ts';
import {
  detailsOf,
  type EndedSubmissionDetails,
  type FailedChunk,
  type SubmissionDetails,
} from '../model/submission.ts';
import type { Change, VerbAnswer } from '../model/verbs.ts';
import { userAtHost } from '../system/process/who.ts';
import { checkCause, checkChanges, verbRequest } from './changes.ts';
import { checkOptions } from './checks.ts';
import type { ClientContext } from './context.ts';
import * as names from './option-names.ts';
import type {
  CallOptions,
  ChangeOptions,
  ChunksOptions,
  DoneOptions,
  PauseOptions,
  Progress,
  ResultChunk,
  ResultsOptions,
  ResumeOptions,
  WorkChanges,
} from './options.ts';
import { statusOf, waitForEnd } from './results/completion.ts';
import { failedChunksOf } from './results/failed-chunks.ts';
import { progressOf } from './results/progress-stream.ts';
import {
  checkReading,
  insertedOf,
  type Reading,
  resultChunk,
  resultsOf,
  resultsOfChunk,
} from './results/read.ts';
import type { ItemIterator, Results } from './results/results.ts';
import { deleteSubmission } from './submit/delete-chunks.ts';
import type { Inserted } from './submit/insert.ts';

/**
 * A submission on the queue, made by this client or another: `submit` gives one, and `producer.submission(id)` the same again, in any
 * process and at any time until the queue forgets it.
 *
 * All calls throw SubmissionNotFoundError if the queue does not know it; SubmissionForgottenError if it knew it once.
 */
export class Submission<Result = unknown> {
  /** As text: it survives `JSON.stringify`, a log line and a file. */
  readonly id: string;
  readonly #context: ClientContext;
  readonly #id: SubmissionId;
  /** Where this client has inserted it. */
  readonly #inserted: Inserted | null;

  /** @internal */
  constructor(context: ClientContext, submission: Inserted | SubmissionId) {
    this.#context = context;
    this.#inserted = typeof submission === 'bigint' ? null : submission;
    this.#id = typeof submission === 'bigint' ? submission : submission.id;
    this.id = String(this.#id);
  }

  /**
   * The results, in the order of the operations. Nothing is asked of the queue before the first `next`. Where consumers run
   * with `onOpError: 'record'`, or the submission has `failureMode: 'collect'`, an OpError may stand in the place of a
   * result: say so in `Result`.
   *
   * They throw SubmissionFailedError, SubmissionCancelledError, SubmissionForgottenError (read too slowly),
   * ChunkContentError, ContractViolationError, ObjectStoreError and QueueUnreachableError.
   *
   * @example
   * ```ts
   * for await (const word of submission.results({ when: 'as-completed' })) console.log(word);
   * ```
   */
  results(options: ResultsOptions = {}): Results<Result> {
    const reading = checkReading(this.#context, checkOptions(options, names.RESULTS));
    return this.#read(reading, resultsOfChunk<Result>);
  }

  /**
   * The results chunk by chunk, each as soon as it is done, in any order; with `until: 'now'` those that are done by now,
   * also of a submission that failed or was cancelled. Throws as {@link results} does. A queue that does not report which
   * chunks are done (the original) gives all of them at the end.
   *
   * @example
   * ```ts
   * for await (const { operationIndex, results } of submission.chunks()) save(operationIndex, results);
   * ```
   */
  chunks(options: ChunksOptions = {}): Results<ResultChunk<Result>> {
    const { until, ...others } = checkOptions(options, names.CHUNKS);
    const isNow = checkChoice('until', until, ['end', 'now']) === 'now';
    const reading = checkReading(this.#context, others, isNow ? 'now' : 'any-order');
    return this.#read(reading, resultChunk<Result>);
  }

  /**
   * How far it is, whenever that changes (at most five times a second), until it has ended.
   *
   * @example
   * ```ts
   * for await (const { chunksDone, chunksTotal } of submission.progress()) console.log(chunksDone, chunksTotal);
   * ```
   */
  progress(options: CallOptions = {}): ItemIterator<Progress> {
    return progressOf(this.#context, this.#watch(), checkOptions(options, names.CALL).signal);
  }

  /**
   * Waits until it has ended, in whatever way: look at the `state`.
   *
   * @example
   * ```ts
   * const { state } = await submission.done();
   * ```
   */
  async done(options: DoneOptions = {}): Promise<EndedSubmissionDetails> {
    const { onProgress, signal } = checkOptions(options, names.DONE);
    return this.#context.call(signal, async (linked) =>
      detailsOf(await waitForEnd({ ...this.#watch(), signal: linked, onProgress })),
    );
  }

  /**
   * Its state and what it was submitted with; null if the queue does not know it. Does not wait.
   *
   * @example
   * ```ts
   * if ((await submission.details())?.state === 'completed') return submission.results();
   * ```
   */
  async details(options: CallOptions = {}): Promise<SubmissionDetails | null> {
    const { signal } = checkOptions(options, names.CALL);
    return this.#context.call(signal, async (linked) => {
      const status = await this.#context.api.status(this.#id, {}, linked);
      return status === null ? null : detailsOf(status);
    });
  }

  /**
   * Takes it off the queue; what is done by then can still be read.
   *
   * @throws SubmissionNotCancellableError if it has ended; QueueUnsupportedError for a `reason` or `by` that the queue cannot keep
   * @example
   * ```ts
   * await submission.cancel({ reason: 'wrong input' });
   * ```
   */
  async cancel(options: ChangeOptions = {}): Promise<void> {
    const { signal, reason, by } = checkOptions(options, names.CHANGE);
    const { api } = this.#context;
    if (reason === undefined && by === undefined) {
      return this.#context.call(signal, (linked) => api.cancel(this.#id, userAtHost(), linked));
    }
    try {
      await this.#change({ verb: 'cancel' }, options);
    } catch (error) {
      if (!(error instanceof SubmissionEndedError)) throw error;
      const status = await this.#context.call(signal, (linked) => api.status(this.#id, {}, linked));
      throw status === null ? error : new SubmissionNotCancellableError(status);
    }
  }

  /**
   * Hands out nothing more of it until it is resumed, also after a restart of the queue; what consumers hold goes on.
   *
   * @returns false if it is paused for that cause already
   * @throws SubmissionEndedError; QueueUnsupportedError
   * @example
   * ```ts
   * await submission.pause({ reason: 'the database is being migrated' });
   * ```
   */
  async pause(options: PauseOptions = {}): Promise<boolean> {
    const { cause } = checkOptions(options, names.PAUSE);
    return this.#change({ verb: 'pause', cause: checkCause(cause) }, options);
  }

  /**
   * Lifts a pause. It stays paused while there is one for another cause: `details()` has them as `pauses`.
   *
   * @returns false if it is not paused for that cause
   * @throws SubmissionEndedError; QueueUnsupportedError
   * @example
   * ```ts
   * await submission.resume();
   * ```
   */
  async resume(options: ResumeOptions = {}): Promise<boolean> {
    const { cause } = checkOptions(options, names.RESUME);
    return this.#change({ verb: 'resume', cause: cause === null ? null : checkCause(cause) }, options);
  }

  /**
   * Changes its strategic metadata, its deadline or its start.
   *
   * @returns false if all is so already
   * @throws SubmissionEndedError; DeadlinePassedError; QueueUnsupportedError
   * @example
   * ```ts
   * await submission.set({ strategicMetadata: { urgency: 9 }, deadline: null }, { reason: 'customer waits' });
   * ```
   */
  async set(changes: WorkChanges, options: ChangeOptions = {}): Promise<boolean> {
    return this.#change(checkChanges(changes), checkOptions(options, names.CHANGE));
  }

  /**
   * Goes on with what has failed: the chunks of a submission with `failureMode: 'collect'` that failed, in progress or ended, or
   * whatever was not done of one that failed. What was done stays done; all tries begin anew.
   *
   * @returns how many chunks are to be done again; 0 if nothing has failed
   * @throws SubmissionEndedError if it was cancelled; ChangeRefusedError if its chunks are not in the object store any more;
   *   QueueUnsupportedError
   * @example
   * ```ts
   * if ((await submission.done()).state === 'completed_with_failures') await submission.retryFailed();
   * ```
   */
  async retryFailed(options: ChangeOptions = {}): Promise<number> {
    const { signal } = checkOptions(options, names.CHANGE);
    await this.#context.call(signal, (linked) => this.#mustHaveChunks(linked));
    return (await this.#act({ verb: 'retry' }, options)).chunks ?? 0;
  }

  /**
   * The chunks that failed, by index, with the failure of their last try: those that are set aside, of a submission with
   * `failureMode: 'collect'`, in progress or ended; the one by which a submission failed. Any number of them in bounded memory.
   *
   * @throws QueueUnsupportedError
   * @example
   * ```ts
   * for await (const { chunkIndex, failure } of submission.failedChunks()) console.log(chunkIndex, failure);
   * ```
   */
  failedChunks(options: CallOptions = {}): ItemIterator<FailedChunk> {
    const { signal: caller } = checkOptions(options, names.CALL);
    return failedChunksOf(this.#context, (signal) => statusOf({ ...this.#watch(), signal }), caller);
  }

  /**
   * Removes all its chunks from the object store, once it has ended; the queue forgets the rest by itself. Those that are
   * missing are fine, and there are none if the queue keeps them.
   *
   * @throws IncorrectUsageError if it is still in progress
   * @example
   * ```ts
   * await submission.delete();
   * ```
   */
  async delete(options: CallOptions = {}): Promise<void> {
    const { signal } = checkOptions(options, names.CALL);
    return this.#context.call(signal, async (linked) => {
      const status = await statusOf({ ...this.#watch(), signal: linked });
      if (status.state === 'in_progress') {
        throw new IncorrectUsageError(
          `submission ${this.id} is in progress: cancel it before you delete its chunks`,
        );
      }
      const { prefix, chunksTotal } = status.record;
      if (prefix === null) return;
      const chunks = { prefix, chunks: chunksTotal, signal: linked };
      await deleteSubmission(this.#context.requireStore(), chunks);
    });
  }

  async #change(change: Change, options: ChangeOptions): Promise<boolean> {
    return (await this.#act(change, options)).done > 0;
  }

  async #act(change: Change, options: ChangeOptions): Promise<VerbAnswer> {
    const { signal, reason, by } = options;
    const { api } = this.#context;
    const target = { kind: 'submissions', ids: [this.#id], queue: api.queueName } as const;
    const request = verbRequest(change, target, { reason, by });
    return this.#context.call(signal, (linked) => api.act(request, linked));
  }

  /** The queue cannot see whether they have been removed since. A client without an object store cannot either. */
  async #mustHaveChunks(signal: AbortSignal): Promise<void> {
    const { api, store } = this.#context;
    const status = await api.status(this.#id, {}, signal);
    if (store === null || status === null || status.record.prefix === null) return;
    // Of any other nothing has failed, whatever has become of its chunks: the queue says so.
    if (!('failedChunk' in status) && !(status.state === 'in_progress' && status.chunksFailed > 0)) return;
    // Where it may not be listed, the consumers will tell.
    if (await store.has(status.record.prefix, { signal }).catch(() => true)) return;
    throw new ChangeRefusedError(
      `the chunks of submission ${this.id} are not in ${store.url} (any more): removed by cleanup, delete() or opsqueue gc; submit it again`,
    );
  }

  #read<Item>(reading: Reading, shape: Parameters<typeof resultsOf<Item>>[1]['shape']): Results<Item> {
    return resultsOf(this.#context, {
      reading,
      shape,
      span: 'stream_submission',
      source: null,
      submission: async (signal) =>
        this.#inserted ?? insertedOf(await statusOf({ ...this.#watch(), signal })),
    });
  }

  #watch() {
    const { api, clock } = this.#context;
    const inserted = this.#inserted;
    return {
      api,
      clock,
      id: this.#id,
      isKnown: inserted !== null,
      chunkSizeOps: inserted?.chunkSizeOps ?? null,
      opsTotal: inserted?.opsTotal ?? null,
    };
  }
}
