import type { Contract } from '../contract/contract.ts';
import { checkChoice, checkInteger, mustBe } from '../model/check.ts';
import type { OpError } from '../model/op-error.ts';
import type { QueuesInUse } from '../model/queue-info.ts';
import type { EndState, StrategicMetadata } from '../model/submission.ts';
import type { Change } from '../model/verbs.ts';
import type { ObjectStore } from '../objects/object-store.ts';
import { checkCause, checkChanges, checkWork, reportOf, verbRequest } from './changes.ts';
import {
  checkEndState,
  checkId,
  checkOptions,
  checkPrefix,
  checkSource,
  checkStrategicMetadata,
} from './checks.ts';
import { ClientContext } from './context.ts';
import * as names from './option-names.ts';
import type {
  CallOptions,
  ChangeOptions,
  ChangeReport,
  CollectingOptions,
  CountOptions,
  EndedSubmissionsOptions,
  ManyOptions,
  PauseOptions,
  ProducerClientOptions,
  ResumeOptions,
  RunSubmissionOptions,
  SubmitOptions,
  WorkChanges,
  WorkTarget,
} from './options.ts';
import { checkReading, resultsOf, resultsOfChunk } from './results/read.ts';
import type { Results } from './results/results.ts';
import { Submission } from './submission.ts';
import { checkInsert, type Inserted, insert } from './submit/insert.ts';
import { deleteUpload } from './submit/run/delete-upload.ts';
import { OpenSource, type Source } from './submit/source.ts';
import { SubmissionTracing } from './tracing.ts';

/**
 * Sends large collections of operations (submissions) through a queue and reads their results.
 *
 * - A source is read to its end, or its iterator is returned; what it throws ends the call. Its iterator is taken in the
 *   call: sources that flow by themselves (readline, events) lose nothing. Wrong use throws at the call.
 * - Every call takes a `signal`; it rejects with the signal's reason. A submission whose upload is aborted, or whose
 *   source throws, is not submitted, and what was uploaded of it is removed, unless it has a `name`.
 * - While the queue cannot be reached, a call waits for it for `retryForMs`, then throws QueueUnreachableError.
 * - A client that has nothing to do does not keep the process alive.
 *
 * @typeParam Op - what is submitted
 * @typeParam Result - what comes of each operation. Where consumers run with `onOpError: 'record'`: `... | OpError`
 * @example
 * ```ts
 * await using producer = new ProducerClient<string, string>('localhost:3999', 's3://bucket/words');
 * for await (const word of producer.runSubmission(['a', 'b'], { chunkSize: 1 })) console.log(word);
 * ```
 */
export class ProducerClient<Op = unknown, Result = unknown> implements AsyncDisposable {
  readonly #context: ClientContext;

  /**
   * @param url of the queue: `host` (port 3999), `host:port`, `http://...` or `https://...`; several addresses with commas between
   * @param contract what producers and consumers agree on, made by `defineContract`; or where the chunks go and no more: a
   *   URL (`file:///folder/`, `memory:///name`, `s3://bucket/path`, ...), an ObjectStore of your own (which the client does
   *   not close), or null, if the queue keeps the chunks of all submissions
   * @throws IncorrectUsageError at once for a URL or an option that makes no sense
   */
  constructor(
    url: string | URL,
    contract: Contract<Op, Result, unknown, never> | string | URL | ObjectStore | null,
    options: ProducerClientOptions = {},
  ) {
    this.#context = new ClientContext(url, contract, checkOptions(options, names.CLIENT));
  }

  /**
   * Submits operations; resolves when the queue has committed the submission, which goes on without this client from then
   * on.
   *
   * @throws ContractViolationError, ObjectStoreError, QueueUnreachableError, whatever the source throws: then nothing was
   *   submitted
   * @example
   * ```ts
   * const submission = await producer.submit(words, { chunkSize: 1_000 });
   * await writeFile('submission.id', submission.id);
   * for await (const word of submission.results()) console.log(word);
   * ```
   */
  submit(operations: Source<Op>, options: CollectingOptions): Promise<Submission<Result | OpError>>;
  submit(operations: Source<Op>, options: SubmitOptions): Promise<Submission<Result>>;
  async submit(operations: Source<Op>, options: SubmitOptions): Promise<Submission<Result | OpError>> {
    return new Submission<Result>(this.#context, await this.#submit(operations, options));
  }

  /**
   * Submits operations and gives out their results in the same order: `submit` and `results` in one, for a program that
   * stays until they are there. Nothing is submitted before the first `next`, so read it.
   *
   * The results throw as {@link submit} and {@link Submission.results} do.
   *
   * @example
   * ```ts
   * for await (const word of producer.runSubmission(words, { chunkSize: 1_000 })) console.log(word);
   * ```
   */
  runSubmission(
    operations: Source<Op>,
    options: RunSubmissionOptions & CollectingOptions,
  ): Results<Result | OpError>;
  runSubmission(operations: Source<Op>, options: RunSubmissionOptions): Results<Result>;
  runSubmission(operations: Source<Op>, options: RunSubmissionOptions): Results<Result | OpError> {
    const context = this.#context;
    const { signal: caller } = checkOptions(options, names.RUN);
    const cargo = checkInsert(context, options);
    const reading = checkReading(context, options);
    checkSource(operations);
    const source = new OpenSource(operations, caller);
    return resultsOf(context, {
      reading,
      shape: resultsOfChunk<Result>,
      span: 'run_submission',
      source,
      submission: async (signal, tracing) => {
        // Nobody could read what comes of it.
        if (cargo.in === 'queue') await context.api.require('direct_outputs', signal);
        return insert({ context, cargo, source, tracing, signal });
      },
    });
  }

  /**
   * {@link submit} for those who want the id and no more.
   *
   * @example
   * ```ts
   * const id = await producer.insertSubmission(words, { chunkSize: 1_000 });
   * ```
   */
  async insertSubmission(operations: Source<Op>, options: SubmitOptions): Promise<string> {
    return String((await this.#submit(operations, options)).id);
  }

  /**
   * A submission by its id, as `submit` gave it: to come back to what another process, or an earlier run, has submitted.
   * Asks the queue nothing yet.
   *
   * @param id as text, or as a bigint
   * @example
   * ```ts
   * const submission = producer.submission(await readFile('submission.id', 'utf8'));
   * for await (const word of submission.results()) console.log(word);
   * ```
   */
  submission(id: string | bigint): Submission<Result> {
    return new Submission<Result>(this.#context, checkId(id));
  }

  /**
   * The submission of a prefix (the folder of its chunks in the object store); null if there is none.
   *
   * @example
   * ```ts
   * const submission = await producer.submissionByPrefix('0190c4de-6f1c-7d20-8a3c-2f8d1c0a4b5e');
   * ```
   */
  async submissionByPrefix(prefix: string, options: CallOptions = {}): Promise<Submission<Result> | null> {
    const { signal } = checkOptions(options, names.CALL);
    checkPrefix(prefix);
    const id = await this.#context.call(signal, (linked) => this.#context.api.findByPrefix(prefix, linked));
    return id === null ? null : this.submission(id);
  }

  /**
   * Removes what is in the object store of a run with that `name` which the queue does not know: of an upload that was broken
   * off and that nobody is to continue, or of a submission that the queue has forgotten. The name is free again.
   *
   * @throws IncorrectUsageError if the queue knows it: use {@link submissionByPrefix} and `delete()`
   * @example
   * ```ts
   * await producer.deleteUpload('nightly-2026-01-05');
   * ```
   */
  async deleteUpload(name: string, options: CallOptions = {}): Promise<void> {
    const { signal } = checkOptions(options, names.CALL);
    checkPrefix(name, 'name');
    return this.#context.call(signal, (linked) => deleteUpload(this.#context, name, linked));
  }

  /**
   * Submissions in progress that carry all of the pairs, the oldest first; without pairs all in progress.
   *
   * @throws TooManyMatchingSubmissionsError
   * @example
   * ```ts
   * for (const submission of await producer.submissionsInProgress({ customer: 42 })) await submission.cancel();
   * ```
   */
  async submissionsInProgress(
    strategicMetadata: NonNullable<SubmitOptions['strategicMetadata']> = {},
    options: CallOptions = {},
  ): Promise<readonly Submission<Result>[]> {
    const { signal } = checkOptions(options, names.CALL);
    const pairs: StrategicMetadata = checkStrategicMetadata(strategicMetadata);
    const ids = await this.#context.call(signal, (linked) => this.#context.api.findByMetadata(pairs, linked));
    return ids.map((id) => this.submission(id));
  }

  /**
   * Submissions that have ended in that state and that the queue still remembers (`--max-submission-age`), the newest
   * first.
   *
   * @throws QueueUnsupportedError
   * @example
   * ```ts
   * const [latest] = await producer.endedSubmissions('failed', { limit: 1 });
   * ```
   */
  async endedSubmissions(
    state: EndState,
    options: EndedSubmissionsOptions = {},
  ): Promise<readonly Submission<Result>[]> {
    const { limit = 100, signal } = checkOptions(options, names.ENDED);
    const query = { state: checkEndState(state), limit: checkInteger('limit', limit, 1) };
    const ids = await this.#context.call(signal, (linked) => this.#context.api.findEnded(query, linked));
    return ids.map((id) => this.submission(id));
  }

  /**
   * The queues of the server that are in use, by name; the unnamed one, '', always. For operators: a client sees the
   * submissions of its own queue only.
   *
   * @throws QueueUnsupportedError
   * @example
   * ```ts
   * const { queues } = await producer.queues();
   * const forgotten = queues.filter((queue) => queue.chunksWaiting > 0 && queue.consumers === 0);
   * ```
   */
  async queues(options: CallOptions = {}): Promise<QueuesInUse> {
    const { signal } = checkOptions(options, names.CALL);
    return this.#context.call(signal, (linked) => this.#context.api.queues(linked));
  }

  /**
   * What `GET /api/v1/PATH` of the queue answers, as docs/openapi.json has it: for programs that look at what is going on.
   *
   * @param path such as `overview`, `submissions` or `submissions/7216308450426880`
   * @param query parameters; of a list several values
   * @throws IncorrectUsageError for a parameter that the queue refuses; SubmissionNotFoundError; QueueUnsupportedError
   * @example
   * ```ts
   * const failing = await producer.view('submissions', { state: 'failing', limit: 10 });
   * ```
   */
  async view(
    path: string,
    query: Readonly<Record<string, string | number | readonly string[]>> = {},
    options: CallOptions = {},
  ): Promise<unknown> {
    const { signal } = checkOptions(options, names.CALL);
    if (typeof path !== 'string' || !/^[\w./-]+$/.test(path))
      throw mustBe('path', 'a path below /api/v1/', path);
    const pairs = Object.entries(query).flatMap(([name, value]) =>
      (Array.isArray(value) ? value : [value]).map((each) => [name, String(each)]),
    );
    return this.#context.call(signal, (linked) =>
      this.#context.api.view(path, new URLSearchParams(pairs), linked),
    );
  }

  /**
   * Pauses submissions, a queue or the server: nothing more of it is handed out until it is resumed, also after a restart of
   * the queue; what consumers hold goes on. Of submissions, those that match now; of a queue and the server, all that comes
   * as well.
   *
   * @throws NothingMatchesError; CountChangedError; the error of the submissions named, if all have the same; QueueUnsupportedError
   * @example
   * ```ts
   * await producer.pause({ matching: { metadata: { customer: 42 } } }, { reason: 'has not paid' });
   * ```
   */
  async pause(work: WorkTarget, options: PauseOptions & ManyOptions = {}): Promise<ChangeReport> {
    const { cause } = checkOptions(options, names.PAUSE_MANY);
    return this.#change({ verb: 'pause', cause: checkCause(cause) }, work, options);
  }

  /**
   * Lifts the pauses of a cause. Each pause is apart: a submission that was paused by itself stays so when its queue is resumed.
   *
   * @throws as {@link pause}
   * @example
   * ```ts
   * const { stillPaused } = await producer.resume({ queue: 'images' }, { cause: 'disk-full' });
   * ```
   */
  async resume(work: WorkTarget, options: ResumeOptions & ManyOptions = {}): Promise<ChangeReport> {
    const { cause } = checkOptions(options, names.RESUME_MANY);
    return this.#change({ verb: 'resume', cause: cause === null ? null : checkCause(cause) }, work, options);
  }

  /**
   * Changes strategic metadata, deadlines or starts of submissions in progress.
   *
   * @throws as {@link pause}; DeadlinePassedError
   * @example
   * ```ts
   * await producer.set({ matching: { metadata: { customer: 42 } } }, { strategicMetadata: { urgency: 9 } });
   * ```
   */
  async set(
    work: WorkTarget,
    changes: WorkChanges,
    options: ChangeOptions & ManyOptions = {},
  ): Promise<ChangeReport> {
    return this.#change(checkChanges(changes), work, checkOptions(options, names.CHANGE_MANY));
  }

  /**
   * Cancels submissions; what is done by then can still be read.
   *
   * @throws as {@link pause}
   * @example
   * ```ts
   * const { matched } = await producer.cancel({ matching: { state: 'paused' } }, { dryRun: true });
   * ```
   */
  async cancel(work: WorkTarget, options: ChangeOptions & ManyOptions = {}): Promise<ChangeReport> {
    return this.#change({ verb: 'cancel' }, work, checkOptions(options, names.CHANGE_MANY));
  }

  /**
   * Goes on with what has failed: submissions that failed, or of which chunks failed. What was done stays done; all tries begin
   * anew. Those that match are in progress or have ended.
   *
   * @throws as {@link pause}; ChangeRefusedError for a queue, the server or a filter by state
   * @example
   * ```ts
   * const { chunks } = await producer.retry({ matching: { metadata: { customer: 42 } } }, { reason: 'disk replaced' });
   * ```
   */
  async retry(work: WorkTarget, options: ChangeOptions & ManyOptions = {}): Promise<ChangeReport> {
    return this.#change({ verb: 'retry' }, work, checkOptions(options, names.CHANGE_MANY));
  }

  /**
   * How many submissions are in progress, or completed and still remembered.
   *
   * @example
   * ```ts
   * const completed = await producer.countSubmissions({ state: 'completed' });
   * ```
   */
  async countSubmissions(options: CountOptions = {}): Promise<number> {
    const { state, signal } = checkOptions(options, names.COUNT);
    const which = checkChoice('state', state, ['in_progress', 'completed']) ?? 'in_progress';
    return this.#context.call(signal, (linked) => this.#context.api.count(which, linked));
  }

  /**
   * Which of the prefixes (folders in the object store) belong to submissions that the queue knows, in whatever state.
   *
   * @throws QueueUnsupportedError
   * @example
   * ```ts
   * const [isKnown] = await producer.knownPrefixes(['0190c4de-6f1c-7d20-8a3c-2f8d1c0a4b5e']);
   * ```
   */
  async knownPrefixes(prefixes: readonly string[], options: CallOptions = {}): Promise<readonly boolean[]> {
    const { signal } = checkOptions(options, names.CALL);
    const checked = prefixes.map((prefix) => checkPrefix(prefix));
    return this.#context.call(signal, (linked) => this.#context.api.known(checked, linked));
  }

  /**
   * What the queue reports as its version, such as `v0.1.0`.
   *
   * @example
   * ```ts
   * console.log(await producer.serverVersion());
   * ```
   */
  async serverVersion(options: CallOptions = {}): Promise<string> {
    const { signal } = checkOptions(options, names.CALL);
    return this.#context.call(signal, (linked) => this.#context.api.version(linked));
  }

  /**
   * Finishes: waits for the calls under way (a `submit` until its submission is inserted, of results the next one), then
   * closes. New calls throw ClientClosedError. Submissions stay on the queue. Idempotent. `await using` ends with it.
   *
   * @example
   * ```ts
   * await producer.stop();
   * ```
   */
  async stop(): Promise<void> {
    await this.#context.stop();
  }

  /**
   * Abandons: ends all calls with ClientClosedError and lets go of everything. Submissions stay on the queue. Idempotent.
   *
   * @example
   * ```ts
   * await producer.close();
   * ```
   */
  async close(): Promise<void> {
    await this.#context.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #change(
    change: Change,
    work: WorkTarget,
    options: ChangeOptions & ManyOptions,
  ): Promise<ChangeReport> {
    const { api } = this.#context;
    const request = verbRequest(change, checkWork(work, api.queueName), options);
    return reportOf(await this.#context.call(options.signal, (linked) => api.act(request, linked)));
  }

  async #submit(operations: Source<Op>, options: SubmitOptions): Promise<Inserted> {
    const { signal: caller } = checkOptions(options, names.SUBMIT);
    const context = this.#context;
    const cargo = checkInsert(context, options);
    checkSource(operations);
    context.assertOpen();
    const source = new OpenSource(operations, caller);
    try {
      return await context.call(caller, (signal) =>
        insert({ context, cargo, source, tracing: new SubmissionTracing(null), signal }),
      );
    } finally {
      source.discard();
    }
  }
}
