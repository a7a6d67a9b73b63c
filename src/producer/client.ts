import type { Contract } from '../contract/contract.ts';
import { checkInteger } from '../model/check.ts';
import { IncorrectUsageError } from '../model/errors.ts';
import type { SubmissionId } from '../model/ids.ts';
import type { EndState, SubmissionStatus } from '../model/submission.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { linkedSignal } from '../system/signals.ts';
import { checkEndState, checkId, checkOptions, checkPrefix, checkStrategicMetadata } from './checks.ts';
import { ClientContext } from './context.ts';
import * as names from './option-names.ts';
import type {
  CallOptions,
  DecodeOptions,
  DirectChunksOptions,
  DirectOptions,
  DoneChunk,
  InsertChunksOptions,
  InsertOptions,
  ProducerClientOptions,
  Progress,
  RawResultChunk,
  ResultChunk,
  RunChunksOptions,
  RunDirectOptions,
  RunOptions,
  SubmissionOptions,
  TransferOptions,
  WatchOptions,
} from './options.ts';
import { type EndedStatus, statusOf, waitForEnd } from './results/completion.ts';
import { progressOf } from './results/progress-stream.ts';
import { insertedOf, throwIfBroken } from './results/read.ts';
import type { ItemIterator, Results } from './results/results.ts';
import { deleteChunks } from './submit/delete-chunks.ts';
import type { Source } from './submit/source.ts';
import { Submitter } from './submitter.ts';

type Unordered = { readonly results: 'unordered' };
type Ordered = { readonly results?: 'when-complete' | 'as-completed' | undefined };

/**
 * Sends large collections of operations (submissions) through a queue and reads their results.
 *
 * - Nothing happens before the first `next` of the results of a `run...` or `stream...` call, except that the source's
 *   iterator is taken: sources that flow by themselves (readline, events) lose nothing. Wrong use throws at the call.
 * - A source is read to its end, or its iterator is returned; what it throws ends the call.
 * - Every call takes a `signal`; it rejects with the signal's reason. A submission whose upload is aborted, or whose
 *   source throws, is not submitted, and what was uploaded of it is removed.
 * - While the queue cannot be reached, a call waits for it for `retryForMs`, then throws QueueUnreachableError.
 * - A client that has nothing to do does not keep the process alive.
 */
export class ProducerClient<Op = unknown, Result = unknown> implements AsyncDisposable {
  readonly #context: ClientContext;
  readonly #submitter: Submitter;

  /**
   * @param url of the queue: `host` (port 3999), `host:port`, `http://...` or `https://...`
   * @param contract what producers and consumers agree on, made by `defineContract`; or where the chunks go and no more: a
   *   URL (`file:///folder/`, `memory:///name`, `s3://bucket/path`, ...), an ObjectStore of your own (which the client does
   *   not close), or null, if only direct submissions are made
   * @throws IncorrectUsageError at once for a URL or an option that makes no sense
   */
  constructor(
    url: string | URL,
    contract: Contract<Op, Result, unknown, never> | string | URL | ObjectStore | null,
    options: ProducerClientOptions = {},
  ) {
    this.#context = new ClientContext(url, contract, checkOptions(options, names.CLIENT));
    this.#submitter = new Submitter(this.#context);
  }

  /**
   * Submits operations, waits and gives out their results: in the order of the operations, or chunk by chunk with
   * `results: 'unordered'`. Where consumers run with `onOpError: 'record'`, an OpError stands in the place of a
   * result: say so in `Result`.
   *
   * The results throw SubmissionFailedError, SubmissionCancelledError, SubmissionForgottenError (read too slowly),
   * ChunkContentError, ObjectStoreError, QueueUnreachableError, and whatever the source throws.
   */
  runSubmission<Item = Result>(
    operations: Source<Op>,
    options: RunOptions & Unordered,
  ): Results<ResultChunk<Item>>;
  runSubmission<Item = Result>(operations: Source<Op>, options: RunOptions & Ordered): Results<Item>;
  runSubmission<Item = Result>(
    operations: Source<Op>,
    options: RunOptions,
  ): Results<Item> | Results<ResultChunk<Item>>;
  runSubmission(operations: Source<Op>, options: RunOptions): Results<unknown> {
    return this.#submitter.run(operations, checkOptions(options, names.RUN));
  }

  /** The same for chunks that are encoded already, and results that are not decoded. */
  runSubmissionChunks(
    chunks: Source<Uint8Array>,
    options: RunChunksOptions & Unordered,
  ): Results<RawResultChunk>;
  runSubmissionChunks(chunks: Source<Uint8Array>, options?: RunChunksOptions & Ordered): Results<Uint8Array>;
  runSubmissionChunks(
    chunks: Source<Uint8Array>,
    options?: RunChunksOptions,
  ): Results<Uint8Array> | Results<RawResultChunk>;
  runSubmissionChunks(
    chunks: Source<Uint8Array>,
    options: RunChunksOptions = {},
  ): Results<Uint8Array> | Results<RawResultChunk> {
    return this.#submitter.runChunks(chunks, checkOptions(options, names.RUN_CHUNKS));
  }

  /** Submits small work without an object store (the queue keeps it) and gives out the results, see {@link runSubmission}. */
  runSubmissionDirect<Item = Result>(
    operations: Source<Op>,
    options: RunDirectOptions & Unordered,
  ): Results<ResultChunk<Item>>;
  runSubmissionDirect<Item = Result>(
    operations: Source<Op>,
    options: RunDirectOptions & Ordered,
  ): Results<Item>;
  runSubmissionDirect<Item = Result>(
    operations: Source<Op>,
    options: RunDirectOptions,
  ): Results<Item> | Results<ResultChunk<Item>>;
  runSubmissionDirect(operations: Source<Op>, options: RunDirectOptions): Results<unknown> {
    return this.#submitter.runDirect(operations, checkOptions(options, names.RUN_DIRECT));
  }

  /** Submits operations; resolves with the id when the queue has committed the submission. */
  async insertSubmission(operations: Source<Op>, options: InsertOptions): Promise<SubmissionId> {
    return this.#submitter.insert(operations, checkOptions(options, names.INSERT));
  }

  /** Submits chunks that are encoded already. */
  async insertSubmissionChunks(
    chunks: Source<Uint8Array>,
    options: InsertChunksOptions = {},
  ): Promise<SubmissionId> {
    return this.#submitter.insertChunks(chunks, checkOptions(options, names.INSERT_CHUNKS));
  }

  /**
   * Submits small work without an object store: the queue itself keeps it. All of it travels in one request, which
   * the queue limits (32 MiB; a byte of a chunk takes up to four). Read the results with
   * {@link streamCompletedSubmission}.
   */
  async insertSubmissionDirect(operations: Source<Op>, options: DirectOptions): Promise<SubmissionId> {
    return this.#submitter.insertDirect(operations, checkOptions(options, names.DIRECT));
  }

  /** The same for chunks that are encoded already. */
  async insertSubmissionDirectChunks(
    chunks: Source<Uint8Array>,
    options: DirectChunksOptions = {},
  ): Promise<SubmissionId> {
    return this.#submitter.insertDirectChunks(chunks, checkOptions(options, names.DIRECT_CHUNKS));
  }

  /** Waits until a submission is completed and gives out its results in order. Throws as {@link runSubmission} does, and SubmissionNotFoundError. */
  streamCompletedSubmission<Item = Result>(
    id: SubmissionId,
    options?: DecodeOptions & WatchOptions,
  ): Results<Item>;
  streamCompletedSubmission(id: SubmissionId, options: DecodeOptions & WatchOptions = {}): Results<unknown> {
    return this.#submitter.stream(checkId(id), checkOptions(options, names.STREAM));
  }

  /** The same without decoding. */
  streamCompletedSubmissionChunks(
    id: SubmissionId,
    options: TransferOptions & WatchOptions = {},
  ): Results<Uint8Array> {
    return this.#submitter.streamChunks(checkId(id), checkOptions(options, names.STREAM_CHUNKS));
  }

  /** The results of a submission if it is completed, null if it is still in progress; does not wait. */
  tryStreamCompletedSubmission<Item = Result>(
    id: SubmissionId,
    options?: DecodeOptions,
  ): Promise<Results<Item> | null>;
  async tryStreamCompletedSubmission(
    id: SubmissionId,
    options: DecodeOptions = {},
  ): Promise<Results<unknown> | null> {
    const results = this.#submitter.stream(checkId(id), checkOptions(options, names.DECODE));
    return (await this.#isCompleted(id, options.signal)) ? results : null;
  }

  /** The same without decoding. */
  async tryStreamCompletedSubmissionChunks(
    id: SubmissionId,
    options: TransferOptions = {},
  ): Promise<Results<Uint8Array> | null> {
    const results = this.#submitter.streamChunks(checkId(id), checkOptions(options, names.TRANSFER));
    return (await this.#isCompleted(id, options.signal)) ? results : null;
  }

  /**
   * What is done of a submission by now, in whatever state it is: also what was done before it failed or was
   * cancelled. Does not wait. Throws SubmissionNotFoundError; SubmissionForgottenError for a reader who is too slow.
   */
  streamCompletedOperations<Item = Result>(
    id: SubmissionId,
    options?: DecodeOptions,
  ): Results<DoneChunk<Item>>;
  streamCompletedOperations(id: SubmissionId, options: DecodeOptions = {}): Results<DoneChunk<unknown>> {
    return this.#submitter.streamDone(checkId(id), checkOptions(options, names.DECODE));
  }

  /** The same without decoding. */
  streamCompletedChunks(id: SubmissionId, options: TransferOptions = {}): Results<RawResultChunk> {
    return this.#submitter.streamDoneChunks(checkId(id), checkOptions(options, names.TRANSFER));
  }

  /** Waits until a submission has ended, in whatever way: look at the `state`. Throws SubmissionNotFoundError. */
  async waitForCompletion(id: SubmissionId, options: CallOptions & WatchOptions = {}): Promise<EndedStatus> {
    const { api, clock, closing } = this.#context;
    const { onProgress, signal: caller } = checkOptions(options, names.WAIT);
    using linked = linkedSignal(closing, caller);
    const { signal } = linked;
    return await waitForEnd({ api, clock, id: checkId(id), signal, isKnown: false, onProgress });
  }

  /** How far a submission is, whenever that changes (at most five times a second), until it has ended. */
  progress(id: SubmissionId, options: CallOptions = {}): ItemIterator<Progress> {
    return progressOf(this.#context, checkId(id), checkOptions(options, names.CALL).signal);
  }

  /** The state of a submission; null if the queue does not know it. */
  async getSubmissionStatus(id: SubmissionId, options: CallOptions = {}): Promise<SubmissionStatus | null> {
    return this.#context.api.status(checkId(id), {}, checkOptions(options, names.CALL).signal);
  }

  /** Whether all chunks of a submission are done. Throws SubmissionNotFoundError. */
  async isCompleted(id: SubmissionId, options: CallOptions = {}): Promise<boolean> {
    const status = await this.#statusOf(checkId(id), checkOptions(options, names.CALL).signal);
    return status.state === 'completed';
  }

  /** Takes a submission off the queue. Throws SubmissionNotFoundError; SubmissionNotCancellableError if it has ended. */
  async cancelSubmission(id: SubmissionId, options: CallOptions = {}): Promise<void> {
    await this.#context.api.cancel(checkId(id), checkOptions(options, names.CALL).signal);
  }

  /** Submissions in progress. */
  async countSubmissions(options: CallOptions = {}): Promise<number> {
    return this.#context.api.count('in_progress', checkOptions(options, names.CALL).signal);
  }

  /** Completed submissions that the queue still remembers. */
  async countCompletedSubmissions(options: CallOptions = {}): Promise<number> {
    return this.#context.api.count('completed', checkOptions(options, names.CALL).signal);
  }

  /** The submission of a prefix (the folder of its chunks in the object store); null if there is none. */
  async lookupSubmissionIdByPrefix(prefix: string, options: CallOptions = {}): Promise<SubmissionId | null> {
    return this.#context.api.findByPrefix(checkPrefix(prefix), checkOptions(options, names.CALL).signal);
  }

  /** Submissions in progress that carry all of the pairs, ids ascending. Throws TooManyMatchingSubmissionsError. */
  async lookupSubmissionIdsByStrategicMetadata(
    strategicMetadata: NonNullable<SubmissionOptions['strategicMetadata']>,
    options: CallOptions = {},
  ): Promise<readonly SubmissionId[]> {
    return this.#context.api.findByMetadata(
      checkStrategicMetadata(strategicMetadata),
      checkOptions(options, names.CALL).signal,
    );
  }

  /**
   * Submissions that have ended in that state and that the queue still remembers (`--max-submission-age`), the newest
   * first; at most `limit` of them (default 100). Throws QueueUnsupportedError.
   */
  async lookupEndedSubmissionIds(
    state: EndState,
    options: CallOptions & { readonly limit?: number | undefined } = {},
  ): Promise<readonly SubmissionId[]> {
    const { limit = 100, signal } = checkOptions(options, names.LOOKUP);
    return this.#context.api.findEnded(checkEndState(state), checkInteger('limit', limit, 1), signal);
  }

  /** Which of the prefixes belong to submissions that the queue knows, in whatever state. Throws QueueUnsupportedError. */
  async knownPrefixes(prefixes: readonly string[], options: CallOptions = {}): Promise<readonly boolean[]> {
    return this.#context.api.known(prefixes.map(checkPrefix), checkOptions(options, names.CALL).signal);
  }

  /** What the queue says of its version, such as `v0.1.0`. */
  async serverVersion(options: CallOptions = {}): Promise<string> {
    return this.#context.api.version(checkOptions(options, names.CALL).signal);
  }

  /**
   * Removes all chunks of a submission that has ended from the object store. Those that are missing are fine; a direct
   * submission has none.
   *
   * @throws SubmissionNotFoundError; IncorrectUsageError if it is still in progress
   */
  async deleteSubmissionData(id: SubmissionId, options: CallOptions = {}): Promise<void> {
    const { api, closing } = this.#context;
    using linked = linkedSignal(closing, checkOptions(options, names.CALL).signal);
    const { signal } = linked;
    const status = await statusOf(api, checkId(id), false, signal);
    if (status.state === 'in_progress') {
      throw new IncorrectUsageError(`submission ${id} is in progress: cancel it before you delete its data`);
    }
    const { prefix, chunksTotal } = insertedOf(status);
    if (prefix === null) return;
    const store = await this.#context.store();
    await this.#context.work(deleteChunks(store, prefix, chunksTotal, ['in', 'out'], signal));
  }

  /** Ends all calls with ClientClosedError and lets go of everything. Submissions stay on the queue. Idempotent. */
  async close(): Promise<void> {
    await this.#context.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #isCompleted(id: SubmissionId, signal?: AbortSignal): Promise<boolean> {
    const status = await this.#statusOf(id, signal);
    throwIfBroken(status);
    return status.state === 'completed';
  }

  async #statusOf(id: SubmissionId, signal?: AbortSignal): Promise<SubmissionStatus> {
    const { api, closing } = this.#context;
    using linked = linkedSignal(closing, signal);
    return await statusOf(api, id, false, linked.signal);
  }
}
