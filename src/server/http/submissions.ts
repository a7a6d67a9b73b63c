import {
  ProtocolError,
  SubmissionConflictError,
  TooManyMatchingSubmissionsError,
} from '../../model/errors.ts';
import type { SubmissionId } from '../../model/ids.ts';
import { OPERATIONS_PER_SUBMISSION_MAX } from '../../model/limits.ts';
import { RETRY_DEFAULT, type RetryPolicy } from '../../model/retry.ts';
import { END_STATES, type EndState, type SubmissionStatus } from '../../model/submission.ts';
import type { BodyLimits } from '../../net/http/body.ts';
import {
  CONTENT_TYPE_CBOR,
  CONTENT_TYPE_JSON,
  CONTENT_TYPE_TEXT,
  type HttpExchange,
} from '../../net/http/exchange.ts';
import { PRODUCER_FEATURES } from '../../protocol/features.ts';
import { encodeDirectOutputs } from '../../protocol/producer/direct-outputs.ts';
import {
  ENDED_PAGE_MAX,
  formatChunksDone,
  formatCount,
  formatErrorText,
  formatId,
  formatIdOrNull,
  formatIds,
  formatKnownAnswer,
  formatStatus,
  type InsertRequest,
  JsonSyntaxError,
  parseIdSegment,
  parseInsertRequest,
  parseKnownRequest,
  parseMetadataQuery,
} from '../../protocol/producer/requests.ts';
import { traceCarrierOf } from '../../protocol/producer/trace-carrier.ts';
import { QueueUnavailableError } from '../../queue/errors.ts';
import type { NewSubmission } from '../../queue/inserts.ts';
import type { Queue } from '../../queue/queue.ts';
import { InvariantError } from '../../scheduler/invariant.ts';
import { StoreError } from '../../store/errors.ts';
import type { Logger } from '../../system/logger.ts';
import { Semaphore } from '../../system/semaphore.ts';
import type { Router } from './router.ts';

export interface ProducerRoutesOptions {
  readonly queue: Queue;
  readonly logger: Logger;
  /** Largest request body. */
  readonly bodyBytesMax: number;
  /** Bodies that are being read may take so many bytes together; there is always room for one. */
  readonly bodiesBytesMax: number;
  /** The status of a submission in progress is held back for so long, unless it ends. 0 = not at all. */
  readonly holdStatusPollsMs: number;
  /** For submissions of producers that do not say; null = failed chunks are tried again at once. */
  readonly retryDefault: RetryPolicy | null;
}

/** Where producers talk to the queue. */
export const SUBMISSIONS_ROOT = '/producer/submissions';
const WAIT_MAX_MS = 60_000;
const IDEMPOTENCY_KEY = /^[0-9A-Za-z._-]{1,200}$/;
const OUTPUTS_DEFAULT = 1_000;
const OUTPUTS_MAX = 100_000;
/** What our server offers beyond the reference; told to our own clients only. */
const FEATURES_HEADER = ['opsqueue-features', PRODUCER_FEATURES.queue.join(',')];

/** The producer API: HTTP on this side, the queue's use cases on the other. */
export class ProducerRoutes {
  readonly #o: ProducerRoutesOptions;
  readonly #bodies: BodyLimits;

  constructor(options: ProducerRoutesOptions) {
    this.#o = options;
    const { bodyBytesMax: bytesMax, bodiesBytesMax } = options;
    this.#bodies = { bytesMax, room: new Semaphore(Math.max(bytesMax, bodiesBytesMax)) };
  }

  addTo(router: Router): void {
    router
      .add('POST', SUBMISSIONS_ROOT, (exchange) => this.#insert(exchange))
      .add('GET', `${SUBMISSIONS_ROOT}/count`, (exchange) => this.#count(exchange))
      .add('GET', `${SUBMISSIONS_ROOT}/count_completed`, (exchange) => this.#countCompleted(exchange))
      .add('GET', `${SUBMISSIONS_ROOT}/ended`, (exchange) => this.#endedIds(exchange))
      .add('POST', `${SUBMISSIONS_ROOT}/lookup_ids_by_strategic_metadata`, (exchange) =>
        this.#idsByMetadata(exchange),
      )
      .add('POST', `${SUBMISSIONS_ROOT}/known`, (exchange) => this.#known(exchange))
      .add('POST', `${SUBMISSIONS_ROOT}/cancel/{submission_id}`, (exchange, segment) =>
        this.#cancel(exchange, segment),
      )
      .add('GET', `${SUBMISSIONS_ROOT}/lookup_id_by_prefix/{prefix}`, (exchange, segment) =>
        this.#idByPrefix(exchange, segment),
      )
      .add('GET', `${SUBMISSIONS_ROOT}/{submission_id}`, (exchange, segment) =>
        this.#status(exchange, segment),
      )
      .add('GET', `${SUBMISSIONS_ROOT}/{submission_id}/chunks_done`, (exchange, segment) =>
        this.#chunksDone(exchange, segment),
      )
      .add('GET', `${SUBMISSIONS_ROOT}/{submission_id}/direct_outputs`, (exchange, segment) =>
        this.#directOutputs(exchange, segment),
      );
  }

  #insert(exchange: HttpExchange): void {
    this.#withJson(exchange, (body) => {
      const wanted = newSubmission(parseInsertRequest(body), exchange, this.#o.retryDefault);
      this.#answer(exchange, this.#o.queue.inserts.insert(wanted), (id) => json(exchange, 200, formatId(id)));
    });
  }

  #cancel(exchange: HttpExchange, segment: string): void {
    const id = idOf(exchange, segment);
    if (id === null) return;
    this.#answer(exchange, this.#o.queue.endings.cancel(id), (result) => {
      switch (result.kind) {
        case 'cancelled':
          respondAnnounced(exchange, 200, '', null);
          break;
        case 'unknown':
          json(exchange, 404, formatId(id));
          break;
        case 'ended':
          json(exchange, 409, statusFor(exchange, result.status));
          break;
        default:
          result satisfies never;
      }
    });
  }

  #status(exchange: HttpExchange, segment: string): void {
    const id = idOf(exchange, segment);
    if (id === null) return;
    const { reads } = this.#o.queue;
    const asked = waitOf(exchange);
    const waitMs = asked ?? this.#o.holdStatusPollsMs;
    this.#whenNews(exchange, id, { doneAbove: null, waitMs }, () =>
      this.#answer(exchange, reads.status(id), (status) => json(exchange, 200, statusFor(exchange, status))),
    );
  }

  #chunksDone(exchange: HttpExchange, segment: string): void {
    const id = idOf(exchange, segment);
    if (id === null) return;
    const query = new URLSearchParams(exchange.query);
    const doneAbove = naturalNumber(query.get('known')) ?? -1;
    const fromPage = naturalNumber(query.get('from_page')) ?? 0;
    const { reads } = this.#o.queue;
    this.#whenNews(exchange, id, { doneAbove, waitMs: waitOf(exchange) ?? 0 }, () =>
      this.#answer(exchange, reads.chunksDone(id, fromPage), (answer) => {
        if (answer === null) respondAnnounced(exchange, 404, '', null);
        else json(exchange, 200, formatChunksDone(answer));
      }),
    );
  }

  #directOutputs(exchange: HttpExchange, segment: string): void {
    const id = idOf(exchange, segment);
    if (id === null) return;
    const query = new URLSearchParams(exchange.query);
    const from = naturalNumber(query.get('from')) ?? 0;
    const limit = Math.min(naturalNumber(query.get('limit')) ?? OUTPUTS_DEFAULT, OUTPUTS_MAX);
    this.#answer(exchange, this.#o.queue.reads.directOutputs(id, from, limit), (answer) => {
      if (answer === null) respondAnnounced(exchange, 404, '', null);
      else if (answer.kind === 'not_direct') {
        text(exchange, 409, `the chunks of submission ${id} lie in the object store, not in the queue`);
      } else {
        const next = answer.next === null ? null : ['opsqueue-next', String(answer.next)];
        respondAnnounced(exchange, 200, encodeDirectOutputs(answer.outputs), CONTENT_TYPE_CBOR, next);
      }
    });
  }

  #count(exchange: HttpExchange): void {
    json(exchange, 200, formatCount(this.#o.queue.reads.countInProgress()));
  }

  #countCompleted(exchange: HttpExchange): void {
    this.#answer(exchange, this.#o.queue.reads.countCompleted(), (count) =>
      json(exchange, 200, formatCount(count)),
    );
  }

  #endedIds(exchange: HttpExchange): void {
    const query = new URLSearchParams(exchange.query);
    const state = endStateOf(query.get('state'));
    const before = parseIdSegment(query.get('before') ?? '') ?? undefined;
    if (state === null || (before === undefined && query.has('before'))) {
      const name = state === null ? 'state' : 'before';
      const expected = state === null ? END_STATES.join(', ') : 'a submission id';
      text(exchange, 400, `${name}: expected ${expected}, got ${JSON.stringify(query.get(name))}`);
      return;
    }
    const limit = Math.min(naturalNumber(query.get('limit')) ?? ENDED_PAGE_MAX, ENDED_PAGE_MAX);
    this.#answer(exchange, this.#o.queue.reads.endedIds(state, before, limit), (ids) =>
      json(exchange, 200, formatIds(ids)),
    );
  }

  #idByPrefix(exchange: HttpExchange, prefix: string): void {
    this.#answer(exchange, this.#o.queue.reads.idByPrefix(prefix), (id) =>
      json(exchange, 200, formatIdOrNull(id)),
    );
  }

  #idsByMetadata(exchange: HttpExchange): void {
    this.#withJson(exchange, (body) =>
      json(exchange, 200, formatIds(this.#o.queue.reads.idsByMetadata(parseMetadataQuery(body)))),
    );
  }

  #known(exchange: HttpExchange): void {
    this.#withJson(exchange, (body) =>
      this.#answer(exchange, this.#o.queue.reads.known(parseKnownRequest(body)), (known) =>
        json(exchange, 200, formatKnownAnswer(known)),
      ),
    );
  }

  /** Calls `tell` when there is news, or the time is up; at once if there is nothing to wait for. */
  #whenNews(
    exchange: HttpExchange,
    id: SubmissionId,
    wait: { readonly doneAbove: number | null; readonly waitMs: number },
    tell: () => void,
  ): void {
    const forget = this.#o.queue.reads.wait(id, wait, tell);
    if (forget === null) tell();
    else exchange.onPeerGone(forget);
  }

  #withJson(exchange: HttpExchange, handle: (body: Uint8Array) => void): void {
    if (!isJson(exchange.header('content-type'))) {
      text(exchange, 415, 'Expected request with `Content-Type: application/json`');
      return;
    }
    exchange.readBody(this.#bodies, (body) => {
      try {
        handle(body);
      } catch (error) {
        this.refuse(exchange, error);
      }
    });
  }

  #answer<T>(exchange: HttpExchange, result: Promise<T>, tell: (value: T) => void): void {
    result.then(tell).catch((error: unknown) => this.refuse(exchange, error));
  }

  /** Answers with what an error means to a client; one that means nothing to it is logged and is 500. */
  refuse(exchange: HttpExchange, error: unknown): void {
    if (error instanceof JsonSyntaxError) text(exchange, 400, error.message);
    else if (error instanceof ProtocolError) text(exchange, 422, error.message);
    else if (error instanceof SubmissionConflictError) conflict(exchange, error);
    else if (error instanceof TooManyMatchingSubmissionsError) json(exchange, 400, formatCount(error.max));
    else if (error instanceof QueueUnavailableError || error instanceof StoreError) {
      json(exchange, 503, formatErrorText(error.message));
    } else {
      if (error instanceof InvariantError) this.#o.queue.giveUp(error);
      this.#o.logger.error({ err: error, path: exchange.path }, 'a request failed');
      json(exchange, 500, formatErrorText('the queue failed to answer; its log says why'));
    }
  }
}

function newSubmission(
  request: InsertRequest,
  exchange: HttpExchange,
  retryDefault: RetryPolicy | null,
): NewSubmission {
  const { contents } = request;
  checkOperations(request);
  const fixed = {
    metadata: request.metadata,
    strategicMetadata: request.strategicMetadata,
    chunkSizeOps: request.chunkSizeOps ?? 1,
    retryDelayMs: request.retryDelayMs,
    retry: request.retry ?? retryOf(request, exchange, retryDefault),
    otelTraceCarrier: traceCarrierOf((name) => exchange.header(name)),
  };
  if (contents.kind === 'object_storage') {
    return { ...fixed, prefix: contents.prefix, chunksTotal: contents.count };
  }
  return {
    ...fixed,
    prefix: null,
    chunksTotal: contents.contents.length,
    directInputs: contents.contents,
    idempotencyKey: idempotencyKeyOf(exchange),
  };
}

/** Of a producer that names no policy. */
function retryOf(
  { retryDelayMs }: InsertRequest,
  exchange: HttpExchange,
  retryDefault: RetryPolicy | null,
): RetryPolicy | null {
  if (retryDelayMs > 0) return null;
  return exchange.header('opsqueue-retry') === 'default' ? RETRY_DEFAULT : retryDefault;
}

function checkOperations({ contents, chunkSizeOps }: InsertRequest): void {
  const chunks = contents.kind === 'object_storage' ? contents.count : contents.contents.length;
  if (chunks * (chunkSizeOps ?? 1) <= OPERATIONS_PER_SUBMISSION_MAX) return;
  throw new ProtocolError(
    'chunk_size',
    `chunk_size: ${chunkSizeOps} in each of ${chunks} chunks are more than ${OPERATIONS_PER_SUBMISSION_MAX} operations`,
  );
}

function idempotencyKeyOf(exchange: HttpExchange): string | undefined {
  const key = exchange.header('idempotency-key');
  if (key === undefined || IDEMPOTENCY_KEY.test(key)) return key;
  throw new ProtocolError(
    'Idempotency-Key',
    'header Idempotency-Key: 1 to 200 of 0-9 A-Z a-z . _ - were expected',
  );
}

/** null: it is none, and that has been answered. */
function idOf(exchange: HttpExchange, segment: string): SubmissionId | null {
  const id = parseIdSegment(segment);
  if (id === null) {
    text(exchange, 400, `Invalid URL: ${JSON.stringify(segment.slice(0, 60))} is no submission id`);
  }
  return id;
}

/** `application/json` or `application/...+json`, with or without parameters. */
function isJson(contentType: string | undefined): boolean {
  if (contentType === undefined) return false;
  if (contentType === CONTENT_TYPE_JSON) return true;
  return /^application\/(?:[^;]+\+)?json\s*(?:;|$)/i.test(contentType.trim());
}

function endStateOf(text: string | null): EndState | null {
  return END_STATES.find((state) => state === text) ?? null;
}

function waitOf(exchange: HttpExchange): number | null {
  if (exchange.query === '') return null;
  const waitMs = naturalNumber(new URLSearchParams(exchange.query).get('wait_ms'));
  return waitMs === null ? null : Math.min(waitMs, WAIT_MAX_MS);
}

/** null for anything else; old clients send no query, and ours send numbers. */
function naturalNumber(text: string | null): number | null {
  return text !== null && /^[0-9]{1,15}$/.test(text) ? Number(text) : null;
}

function json(exchange: HttpExchange, status: number, body: Uint8Array): void {
  respondAnnounced(exchange, status, body, CONTENT_TYPE_JSON);
}

function text(exchange: HttpExchange, status: number, body: string): void {
  respondAnnounced(exchange, status, body, CONTENT_TYPE_TEXT);
}

function statusFor(exchange: HttpExchange, status: SubmissionStatus | null): Uint8Array {
  return formatStatus(status, exchange.header('opsqueue-client') !== undefined);
}

/** Clients of ours get the field in a header: nobody has to read it out of the text. */
function conflict(exchange: HttpExchange, { field, message }: SubmissionConflictError): void {
  const isOurs = exchange.header('opsqueue-client') !== undefined;
  const more = isOurs && field !== null ? ['opsqueue-conflict', field] : null;
  respondAnnounced(exchange, 409, message, CONTENT_TYPE_TEXT, more);
}

/** Answers, with the list of features for clients of ours: the others get the headers of the recordings only. */
export function respondAnnounced(
  exchange: HttpExchange,
  status: number,
  body: string | Uint8Array,
  contentType: string | null,
  more: readonly string[] | null = null,
): void {
  if (exchange.header('opsqueue-client') === undefined) exchange.respond(status, body, contentType, more);
  else exchange.respond(status, body, contentType, [...(more ?? []), ...FEATURES_HEADER]);
}
