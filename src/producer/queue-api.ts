import {
  DeadlinePassedError,
  IncorrectUsageError,
  NotAQueueError,
  ProtocolError,
  QueueRefusedError,
  QueueUnsupportedError,
  SubmissionConflictError,
  SubmissionForgottenError,
  SubmissionNotCancellableError,
  SubmissionNotFoundError,
  TooManyMatchingSubmissionsError,
} from '../model/errors.ts';
import type { ChunkIndex, SubmissionId } from '../model/ids.ts';
import type { QueuesInUse } from '../model/queue-info.ts';
import type { EndState, FailedChunk, StrategicMetadata, SubmissionStatus } from '../model/submission.ts';
import type { VerbAnswer, VerbRequest } from '../model/verbs.ts';
import { VERSION } from '../model/version.ts';
import { type HttpAnswer, HttpAttemptError, type HttpRequest } from '../net/http/attempt.ts';
import { type AttemptState, bodyText, type HttpClient, isPage } from '../net/http/client.ts';
import { cborChunkCodec } from '../protocol/chunk/codec.ts';
import { type Announced, announcedInHeader, type ProducerQueueFeature } from '../protocol/features.ts';
import { parseActionAnswer, parseProblem } from '../protocol/producer/action-answers.ts';
import { formatActionRequest } from '../protocol/producer/actions.ts';
import { parseQueues } from '../protocol/producer/queues.ts';
import {
  type ChunksDoneAnswer,
  ENDED_PAGE_MAX,
  formatInsertRequest,
  formatKnownRequest,
  formatMetadataQuery,
  type InsertRequest,
  KNOWN_PREFIXES_MAX,
  parseChunksDone,
  parseCount,
  parseFailedChunks,
  parseId,
  parseIdOrNull,
  parseIds,
  parseKnownAnswer,
  parseStatus,
} from '../protocol/producer/requests.ts';
import { uuidV7 } from '../system/random.ts';
import type { Clock } from '../system/time/clock.ts';
import { PollHold } from './results/poll-hold.ts';
import { errorOf } from './verb-errors.ts';

/** A submission as it is inserted. */
export interface SubmissionToInsert extends InsertRequest {
  /** Of a direct one: two inserts with the same key are one. */
  readonly idempotencyKey: string | null;
  /** Trace context. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface QueueApiOptions {
  readonly http: HttpClient;
  readonly clock: Clock;
  readonly requestTimeoutMs: number;
}

/** What is known of an insert that did not succeed. */
export interface InsertFate {
  /** It was sent, and no response refused it. */
  mayHaveArrived: boolean;
}

const ROOT = '/producer/submissions';
/** The original takes some microseconds per chunk to insert a submission: a million of them, ten seconds. */
const INSERT_EXTRA_MS_PER_CHUNK = 0.05;

/** What a feature of a queue is needed to do. */
const NEEDED_TO = {
  collect: "go on without chunks that failed (failureMode: 'collect')",
  chunks_done: 'report which chunks are done',
  direct_outputs: 'give out the results of a submission that it keeps itself',
  idempotency_key: 'recognize a submission that it has already',
  control: 'pause, resume or change submissions, or keep deadlines and starts',
  ended: 'list submissions that have ended',
  known: 'report which prefixes it knows',
  queues: 'list the queues of its server',
  views: 'tell what is going on (/api/v1)',
} as const satisfies Partial<Record<ProducerQueueFeature, string>>;

/** The producer API of a queue, typed: one method per endpoint. */
export class QueueApi {
  readonly #http: HttpClient;
  readonly #timeoutMs: number;
  readonly #codec = cborChunkCodec();
  readonly #clock: Clock;
  readonly #hold: PollHold;
  /** As of the last answer: the queue may be replaced by another while we live. */
  #features: Announced<ProducerQueueFeature> | null = null;

  constructor(options: QueueApiOptions) {
    this.#http = options.http;
    this.#timeoutMs = options.requestTimeoutMs;
    this.#clock = options.clock;
    this.#hold = new PollHold(options.clock);
  }

  /** Whether the last answer announced it. */
  announces(feature: ProducerQueueFeature): boolean {
    return this.#features?.has(feature) ?? false;
  }

  /** The same, asking the queue if nothing was asked yet. */
  async supports(feature: ProducerQueueFeature, signal?: AbortSignal): Promise<boolean> {
    if (this.#features === null) await this.version(signal);
    return this.announces(feature);
  }

  /**
   * Asks, once, whether there is the named queue of the address; nothing for the unnamed one.
   *
   * @throws QueueRefusedError, QueueUnsupportedError
   */
  async checkNamedQueue(signal: AbortSignal): Promise<void> {
    if (this.#http.queueName !== '' && this.#features === null) await this.version(signal);
  }

  /** @throws QueueUnsupportedError naming the feature and what it is needed for */
  async require(feature: keyof typeof NEEDED_TO, signal?: AbortSignal): Promise<void> {
    if (await this.supports(feature, signal)) return;
    const what = NEEDED_TO[feature];
    throw new QueueUnsupportedError(feature, `this queue cannot ${what} (it does not announce "${feature}")`);
  }

  /**
   * Inserts a submission, once: where it is unclear whether an attempt arrived, the queue is asked before the next
   * one, unless it recognizes repeated inserts by itself.
   */
  async insert(
    submission: SubmissionToInsert,
    signal?: AbortSignal,
    fate: InsertFate = { mayHaveArrived: false },
  ): Promise<SubmissionId> {
    const { contents } = submission;
    const request = this.#insertRequest(submission);
    if (contents.kind === 'direct') await this.supports('idempotency_key', signal);
    return this.#http.retry(async (state) => {
      if (state.ambiguous && contents.kind === 'object_storage') {
        const found = await this.#findPrefix(contents.prefix, state.signal);
        if (found !== null) return found;
      }
      fate.mayHaveArrived = true;
      try {
        return await this.#insertOnce(request, state);
      } catch (error) {
        if (error instanceof HttpAttemptError) fate.mayHaveArrived = state.ambiguous || error.ambiguous;
        // Whatever answered, it inserts nothing.
        else if (error instanceof NotAQueueError) fate.mayHaveArrived = state.ambiguous;
        throw contents.kind === 'direct' ? this.#unrepeatable(error) : error;
      }
    }, signal);
  }

  /** Cancels the submission of a prefix whose insert was given up; false if there is none (yet). One attempt. */
  async undoInsert(prefix: string): Promise<boolean> {
    const { signal } = new AbortController();
    const id = await this.#findPrefix(prefix, signal);
    if (id === null) return false;
    const answer = await this.#http.once(this.#request('POST', `${ROOT}/cancel/${id}`), signal);
    return answer.status === 200;
  }

  /** Null if the queue does not know it. */
  async status(
    id: SubmissionId,
    o: { readonly holdMs?: number } = {},
    signal?: AbortSignal,
  ): Promise<SubmissionStatus | null> {
    const holdMs = this.announces('wait') ? (o.holdMs ?? 0) : 0;
    const path = `${ROOT}/${id}`;
    const answer =
      holdMs > 0
        ? await this.#poll((waitMs) => `${path}?wait_ms=${waitMs}`, holdMs, signal)
        : await this.#get(path, signal);
    return this.#readStatus(answer);
  }

  /** Held until more than `known` chunks are done or the submission has ended, at most `holdMs`. Null: unknown. */
  async chunksDone(
    id: SubmissionId,
    o: { readonly known: number; readonly fromPage: number; readonly holdMs: number },
    signal?: AbortSignal,
  ): Promise<ChunksDoneAnswer | null> {
    const path = `${ROOT}/${id}/chunks_done?known=${o.known}&from_page=${o.fromPage}`;
    const answer = await this.#poll((waitMs) => `${path}&wait_ms=${waitMs}`, o.holdMs, signal, [404]);
    return answer.status === 404 ? null : this.#read(answer, parseChunksDone);
  }

  /** Outputs of a `Direct` submission from `from` on: at least one, at most `limit`. Null: unknown. */
  async directOutputs(
    id: SubmissionId,
    from: ChunkIndex,
    limit: number,
    signal?: AbortSignal,
  ): Promise<readonly unknown[] | null> {
    await this.require('direct_outputs', signal);
    const path = `${ROOT}/${id}/direct_outputs?from=${from}&limit=${limit}`;
    const answer = await this.#get(path, signal, [404]);
    return answer.status === 404 ? null : this.#codec.decode(answer.body);
  }

  /** The name of the queue that is asked; '' for the unnamed one. */
  get queueName(): string {
    return this.#http.queueName;
  }

  /** Chunks that are set aside, by index from that one on, with what they failed by. */
  async failedChunks(
    id: SubmissionId,
    from: ChunkIndex,
    limit: number,
    signal?: AbortSignal,
  ): Promise<readonly FailedChunk[]> {
    await this.require('collect', signal);
    const path = `${ROOT}/${id}/chunks_failed?from=${from}&limit=${limit}`;
    const answer = await this.#get(path, signal, [404]);
    if (answer.status === 404) throw new SubmissionForgottenError(id);
    return this.#read(answer, parseFailedChunks);
  }

  /** @throws SubmissionNotFoundError, SubmissionNotCancellableError */
  cancel(id: SubmissionId, by: string, signal?: AbortSignal): Promise<void> {
    const plain = this.#request('POST', `${ROOT}/cancel/${id}`);
    // A header: the request is that of the original, whose queue does not keep it.
    const request = { ...plain, headers: { ...plain.headers, 'opsqueue-by': encodeURIComponent(by) } };
    return this.#http.retry(async (state) => {
      const answer = this.#learn(request, await this.#http.once(request, state.signal));
      if (answer.status === 404) throw new SubmissionNotFoundError(id);
      if (answer.status === 409) {
        const submission = this.#readStatus(answer);
        // By the attempt whose answer was lost.
        if (state.ambiguous && submission?.state === 'cancelled') return;
        if (submission !== null) throw new SubmissionNotCancellableError(submission);
      }
      this.#expectOk(request, answer);
    }, signal);
  }

  async count(which: 'in_progress' | 'completed', signal?: AbortSignal): Promise<number> {
    const path = which === 'in_progress' ? `${ROOT}/count` : `${ROOT}/count_completed`;
    return this.#read(await this.#get(path, signal), parseCount);
  }

  async findByPrefix(prefix: string, signal?: AbortSignal): Promise<SubmissionId | null> {
    const path = `${ROOT}/lookup_id_by_prefix/${encodeURIComponent(prefix)}`;
    return this.#read(await this.#get(path, signal), parseIdOrNull);
  }

  /** @throws TooManyMatchingSubmissionsError */
  async findByMetadata(metadata: StrategicMetadata, signal?: AbortSignal): Promise<readonly SubmissionId[]> {
    const path = `${ROOT}/lookup_ids_by_strategic_metadata`;
    const request = this.#request('POST', path, formatMetadataQuery(metadata));
    const answer = this.#learn(request, await this.#http.send(request, signal));
    const max = answer.status === 400 ? /^[0-9]+$/.exec(bodyText(answer))?.[0] : undefined;
    if (max !== undefined) throw new TooManyMatchingSubmissionsError(Number(max));
    this.#expectOk(request, answer);
    return this.#read(answer, parseIds);
  }

  /** Of submissions that ended in that state, the newest first, at most `limit`. */
  async findEnded(
    { state, limit }: { readonly state: EndState; readonly limit: number },
    signal?: AbortSignal,
  ): Promise<readonly SubmissionId[]> {
    await this.require('ended', signal);
    const ids: SubmissionId[] = [];
    while (ids.length < limit) {
      const count = Math.min(limit - ids.length, ENDED_PAGE_MAX);
      const last = ids.at(-1);
      const before = last === undefined ? '' : `&before=${last}`;
      const answer = await this.#get(`${ROOT}/ended?state=${state}&limit=${count}${before}`, signal);
      const page = this.#read(answer, parseIds);
      ids.push(...page);
      if (page.length < count) break;
    }
    return ids;
  }

  /** Which of the prefixes belong to submissions that the queue knows, in whatever state. */
  async known(prefixes: readonly string[], signal?: AbortSignal): Promise<readonly boolean[]> {
    await this.require('known', signal);
    const known: boolean[] = [];
    for (let at = 0; at < prefixes.length; at += KNOWN_PREFIXES_MAX) {
      const some = prefixes.slice(at, at + KNOWN_PREFIXES_MAX);
      const request = this.#request('POST', `${ROOT}/known`, formatKnownRequest(some));
      const answer = this.#learn(request, await this.#http.send(request, signal));
      this.#expectOk(request, answer);
      known.push(...this.#read(answer, parseKnownAnswer));
    }
    return known;
  }

  /** Pauses, resumes, changes or cancels. @throws the error of the queue */
  async act(wanted: VerbRequest, signal?: AbortSignal): Promise<VerbAnswer> {
    await this.require('control', signal);
    const { verb } = wanted.change;
    const plain = this.#request('POST', `/api/v1/actions/${verb}`, formatActionRequest(wanted));
    // It may be sent again when no answer comes.
    const headers = { ...plain.headers, 'idempotency-key': uuidV7(this.#clock.nowMs()) };
    const request = { ...plain, headers };
    const answer = this.#learn(request, await this.#http.send(request, signal));
    if (answer.status !== 200) {
      const problem = parseProblem(answer.status, answer.body);
      const error = problem === null ? null : errorOf(problem, wanted);
      if (error !== null) throw error;
      this.#expectOk(request, answer);
    }
    return this.#read(answer, (body) => parseActionAnswer(verb, body));
  }

  /** The queues of the server that are in use, by name. */
  async queues(signal?: AbortSignal): Promise<QueuesInUse> {
    await this.require('queues', signal);
    return this.#read(await this.#get('/api/v1/queues', signal), parseQueues);
  }

  /** What `GET /api/v1/...` answers. */
  async view(path: string, query: URLSearchParams, signal?: AbortSignal): Promise<unknown> {
    // Any node answers that itself, also one of which nothing else is to be had.
    if (path !== 'nodes') await this.require('views', signal);
    const text = query.toString();
    const request = this.#request('GET', `/api/v1/${path}${text === '' ? '' : `?${text}`}`);
    const answer = this.#learn(request, await this.#http.send(request, signal));
    if (answer.status === 404) await this.require('views', signal);
    const problem = answer.status === 200 ? null : parseProblem(answer.status, answer.body);
    if (problem?.code === 'PROTOCOL') throw new IncorrectUsageError(problem.detail);
    if (problem?.code === 'SUBMISSION_NOT_FOUND') {
      throw new SubmissionNotFoundError(query.get('submission') ?? path.split('/')[1] ?? '', problem.queue);
    }
    this.#expectOk(request, answer);
    return this.#read(answer, (body): unknown => JSON.parse(new TextDecoder().decode(body)));
  }

  async version(signal?: AbortSignal): Promise<string> {
    return this.#read(await this.#get('/producer/version', signal), (body) => {
      const version = new TextDecoder().decode(body).trim();
      if (/^v?[0-9]+\.[0-9]/.test(version)) return version;
      throw new ProtocolError('version', `not a version: ${JSON.stringify(version.slice(0, 60))}`);
    });
  }

  #insertRequest(submission: SubmissionToInsert): HttpRequest {
    const { contents, idempotencyKey } = submission;
    const count = contents.kind === 'direct' ? contents.contents.length : contents.count;
    const headers = { ...submission.headers, 'opsqueue-client': VERSION };
    return {
      method: 'POST',
      path: ROOT,
      headers: idempotencyKey === null ? headers : { ...headers, 'idempotency-key': idempotencyKey },
      body: formatInsertRequest(submission),
      timeoutMs: this.#timeoutMs + Math.ceil(count * INSERT_EXTRA_MS_PER_CHUNK),
    };
  }

  async #insertOnce(request: HttpRequest, state: AttemptState): Promise<SubmissionId> {
    const answer = this.#learn(request, await this.#http.once(request, state.signal));
    if (answer.status === 409) {
      const reason = bodyText(answer);
      throw new SubmissionConflictError(conflictField(answer), reason);
    }
    if (answer.headers['opsqueue-error'] === 'DEADLINE_PASSED') {
      throw new DeadlinePassedError(bodyText(answer).replace(/^deadline: /, ''));
    }
    this.#expectOk(request, answer);
    return this.#read(answer, parseId);
  }

  /** A queue that takes each insert for a new one must not get a second. */
  #unrepeatable(error: unknown): unknown {
    if (!(error instanceof HttpAttemptError) || !error.ambiguous || this.announces('idempotency_key'))
      return error;
    return new HttpAttemptError(
      `${error.message}; whether the submission was inserted is not known`,
      { ambiguous: true, retryable: false },
      { cause: error.cause },
    );
  }

  async #findPrefix(prefix: string, signal: AbortSignal): Promise<SubmissionId | null> {
    const request = this.#request('GET', `${ROOT}/lookup_id_by_prefix/${encodeURIComponent(prefix)}`);
    const answer = this.#learn(request, await this.#http.once(request, signal));
    this.#expectOk(request, answer);
    return this.#read(answer, parseIdOrNull);
  }

  async #get(path: string, signal?: AbortSignal, fine: readonly number[] = []): Promise<HttpAnswer> {
    const request = this.#request('GET', path);
    return this.#fine(request, await this.#http.send(request, signal), fine);
  }

  /**
   * Asks until there is an answer. A poll that something on the way ended before its time is not a failure: it is asked again
   * at once, and what counts as a failure begins anew.
   */
  async #poll(
    pathOf: (waitMs: number) => string,
    holdMs: number,
    signal?: AbortSignal,
    fine: readonly number[] = [],
  ): Promise<HttpAnswer> {
    for (;;) {
      const waitMs = this.#hold.waitMs(holdMs);
      const request = this.#request('GET', pathOf(waitMs), undefined, waitMs);
      const answer = await this.#http.retry(
        (state) => this.#hold.watch(waitMs, () => this.#http.once(request, state.signal)),
        signal,
      );
      if (answer !== null) return this.#fine(request, answer, fine);
    }
  }

  #fine(request: HttpRequest, received: HttpAnswer, fine: readonly number[]): HttpAnswer {
    const answer = this.#learn(request, received);
    if (!fine.includes(answer.status)) this.#expectOk(request, answer);
    return answer;
  }

  #request(method: HttpRequest['method'], path: string, body?: Uint8Array, holdMs = 0): HttpRequest {
    return {
      method,
      path,
      headers: { 'opsqueue-client': VERSION },
      ...(body === undefined ? {} : { body }),
      timeoutMs: this.#timeoutMs + holdMs,
      longPoll: holdMs > 0,
    };
  }

  /**
   * @throws NotAQueueError for what no queue sends; QueueUnsupportedError if there are no named queues, and one is asked;
   *   QueueRefusedError if that one may not be used
   */
  #learn(request: HttpRequest, answer: HttpAnswer): HttpAnswer {
    const { url } = answer;
    if (isPage(answer))
      throw new NotAQueueError(url, answer.status, `a page ("${bodyText(answer).slice(0, 100)}")`);
    const features = answer.headers['opsqueue-features'];
    const { queueName } = this.#http;
    if (queueName !== '' && answer.status === 404 && features === undefined) {
      throw new QueueUnsupportedError(
        'queues',
        `${url} does not exist (HTTP status 404): what is there has no named queues, and so no queue ${queueName}`,
      );
    }
    this.#features = announcedInHeader(features);
    // That something is not there in the queue has no text.
    const isText = answer.headers['content-type']?.startsWith('text/plain') ?? false;
    if (answer.status === 404 && features !== undefined && isText) this.#expectOk(request, answer);
    return answer;
  }

  #readStatus(answer: HttpAnswer): SubmissionStatus | null {
    const status = this.#read(answer, parseStatus);
    if (status === null || status.state === 'in_progress' || this.announces('wait')) return status;
    // The original forgets the chunk size when a submission ends, and reports 1.
    return { ...status, record: { ...status.record, chunkSizeOps: null } };
  }

  /** @throws NotAQueueError if it makes no sense; the parser's error, if it is an answer of a queue all the same */
  #read<T>(answer: HttpAnswer, parse: (body: Uint8Array) => T): T {
    try {
      return parse(answer.body);
    } catch (cause) {
      if (!(cause instanceof ProtocolError) || this.announces('wait')) throw cause;
      throw new NotAQueueError(answer.url, answer.status, `a malformed body (${cause.message})`, {
        cause,
      });
    }
  }

  #expectOk(request: HttpRequest, answer: HttpAnswer): void {
    if (answer.status === 200) return;
    const isProblem = answer.headers['content-type'] === 'application/problem+json';
    const problem = isProblem ? parseProblem(answer.status, answer.body) : null;
    const text = problem?.detail ?? bodyText(answer);
    throw new QueueRefusedError(`${request.method} ${request.path}`, answer.status, text);
  }
}

/** The part that differs, from the header of a conflict; null from a queue that does not report it. */
function conflictField(answer: HttpAnswer): string | null {
  const field = answer.headers['opsqueue-conflict'];
  return typeof field === 'string' && /^[a-z_]+$/.test(field) ? field : null;
}
