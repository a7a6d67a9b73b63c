import { BY_CHARS_MAX } from '../../model/control.ts';
import type { SubmissionId } from '../../model/ids.ts';
import type { RetryPolicy } from '../../model/retry.ts';
import { END_STATES } from '../../model/submission.ts';
import { CONTENT_TYPE_CBOR, type HttpExchange } from '../../net/http/exchange.ts';
import { encodeDirectOutputs } from '../../protocol/producer/direct-outputs.ts';
import {
  ENDED_PAGE_MAX,
  formatChunksDone,
  formatCount,
  formatFailedChunks,
  formatId,
  formatIdOrNull,
  formatIds,
  formatKnownAnswer,
  parseIdSegment,
  parseKnownRequest,
  parseMetadataQuery,
} from '../../protocol/producer/requests.ts';
import type { Queue } from '../../queue/queue.ts';
import { callerAddress } from '../across/forwarding.ts';
import { respondAnnounced, respondJson, respondStatus, respondText } from './answers.ts';
import type { SubmissionEndpoint } from './endpoints.ts';
import { newSubmissionOf } from './insert-request.ts';

/** What a request is about. */
export interface Target {
  /** The name of the queue; '' for the unnamed one. */
  readonly queue: string;
  /** The path's variable segment, percent-escapes decoded; empty if there is none. */
  readonly segment: string;
}

/** Answers a request; what it throws is answered by its caller. */
export type Route = (exchange: HttpExchange, target: Target, body: Uint8Array) => void | Promise<void>;

export interface SubmissionRoutesOptions {
  readonly queue: Queue;
  /** The status of a submission in progress is held back for this time, unless it ends. 0 = not at all. */
  readonly holdStatusPollsMs: number;
  /** For submissions of producers that name no policy; null = failed chunks are tried again at once. */
  readonly retryDefault: RetryPolicy | null;
}

const WAIT_MAX_MS = 60_000;
const OUTPUTS_DEFAULT = 1_000;
const OUTPUTS_MAX = 100_000;
const FAILED_CHUNKS_MAX = 1_000;

/** The producers' API: HTTP on this side, the queue's use cases on the other. */
export function submissionRoutes(
  options: SubmissionRoutesOptions,
): Readonly<Record<SubmissionEndpoint, Route>> {
  const { holdStatusPollsMs, retryDefault } = options;
  const { inserts, reads, endings } = options.queue;

  /** Resolves when there is news, or the time is up; at once if there is nothing to wait for. Never if the peer goes away. */
  const news = (
    exchange: HttpExchange,
    queue: string,
    id: SubmissionId,
    doneAbove: number | null,
    waitMs: number,
  ) =>
    new Promise<void>((resolve) => {
      const forget = reads.wait(queue, id, { doneAbove, waitMs }, resolve);
      if (forget === null) resolve();
      else exchange.onPeerGone(forget);
    });

  return {
    async insert(exchange, { queue }, body) {
      respondJson(
        exchange,
        200,
        formatId(await inserts.insert(newSubmissionOf(body, exchange, queue, retryDefault))),
      );
    },

    async cancel(exchange, { queue, segment }) {
      const id = idOf(exchange, segment);
      if (id === null) return;
      const result = await endings.cancel(queue, id, { by: callerOf(exchange), reason: null });
      switch (result.kind) {
        case 'cancelled':
          return respondAnnounced(exchange, 200, '', null);
        case 'unknown':
          return respondJson(exchange, 404, formatId(id));
        case 'ended':
          return respondStatus(exchange, 409, result.status);
        default:
          result satisfies never;
      }
    },

    async status(exchange, { queue, segment }) {
      const id = idOf(exchange, segment);
      if (id === null) return;
      await news(exchange, queue, id, null, waitOf(exchange) ?? holdStatusPollsMs);
      respondStatus(exchange, 200, await reads.status(queue, id));
    },

    async chunksDone(exchange, { queue, segment }) {
      const id = idOf(exchange, segment);
      if (id === null) return;
      const query = new URLSearchParams(exchange.query);
      const fromPage = naturalNumber(query.get('from_page')) ?? 0;
      await news(exchange, queue, id, naturalNumber(query.get('known')) ?? -1, waitOf(exchange) ?? 0);
      const answer = await reads.chunksDone(queue, id, fromPage);
      if (answer === null) respondAnnounced(exchange, 404, '', null);
      else respondJson(exchange, 200, formatChunksDone(answer));
    },

    async failedChunks(exchange, { queue, segment }) {
      const id = idOf(exchange, segment);
      if (id === null) return;
      const query = new URLSearchParams(exchange.query);
      const from = naturalNumber(query.get('from')) ?? 0;
      const limit = Math.min(naturalNumber(query.get('limit')) ?? FAILED_CHUNKS_MAX, FAILED_CHUNKS_MAX);
      const answer = await reads.failedChunks(queue, id, from, limit);
      if (answer === null) respondAnnounced(exchange, 404, '', null);
      else respondJson(exchange, 200, formatFailedChunks(answer));
    },

    async directOutputs(exchange, { queue, segment }) {
      const id = idOf(exchange, segment);
      if (id === null) return;
      const query = new URLSearchParams(exchange.query);
      const from = naturalNumber(query.get('from')) ?? 0;
      const limit = Math.min(naturalNumber(query.get('limit')) ?? OUTPUTS_DEFAULT, OUTPUTS_MAX);
      const answer = await reads.directOutputs(queue, id, from, limit);
      if (answer === null) respondAnnounced(exchange, 404, '', null);
      else if (answer.kind === 'not_direct') {
        respondText(
          exchange,
          409,
          `the chunks of submission ${id} are in the object store, not in the queue`,
        );
      } else {
        const next = answer.next === null ? null : ['opsqueue-next', String(answer.next)];
        respondAnnounced(exchange, 200, encodeDirectOutputs(answer.outputs), CONTENT_TYPE_CBOR, next);
      }
    },

    count(exchange, { queue }) {
      respondJson(exchange, 200, formatCount(reads.countInProgress(queue)));
    },

    async countCompleted(exchange, { queue }) {
      respondJson(exchange, 200, formatCount(await reads.countCompleted(queue)));
    },

    async endedIds(exchange, { queue }) {
      const query = new URLSearchParams(exchange.query);
      const state = END_STATES.find((each) => each === query.get('state'));
      const before = parseIdSegment(query.get('before') ?? '') ?? undefined;
      if (state === undefined || (before === undefined && query.has('before'))) {
        const name = state === undefined ? 'state' : 'before';
        const expected = state === undefined ? END_STATES.join(', ') : 'a submission id';
        const got = JSON.stringify(query.get(name));
        return respondText(exchange, 400, `${name}: expected ${expected}, got ${got}`);
      }
      const limit = Math.min(naturalNumber(query.get('limit')) ?? ENDED_PAGE_MAX, ENDED_PAGE_MAX);
      respondJson(exchange, 200, formatIds(await reads.endedIds(queue, state, before, limit)));
    },

    async idByPrefix(exchange, { queue, segment: prefix }) {
      respondJson(exchange, 200, formatIdOrNull(await reads.idByPrefix(queue, prefix)));
    },

    idsByMetadata(exchange, { queue }, body) {
      respondJson(exchange, 200, formatIds(reads.idsByMetadata(queue, parseMetadataQuery(body))));
    },

    async known(exchange, _target, body) {
      respondJson(exchange, 200, formatKnownAnswer(await reads.known(parseKnownRequest(body))));
    },
  };
}

/** Who makes a request, by his own words or else his address; null if neither is known. */
function callerOf(exchange: HttpExchange): string | null {
  const told = exchange.header('opsqueue-by');
  try {
    if (told !== undefined) return decodeURIComponent(told).slice(0, BY_CHARS_MAX) || null;
  } catch {
    // Not as our client sends it.
  }
  return callerAddress(exchange);
}

/** null: it is none, and that has been answered. */
function idOf(exchange: HttpExchange, segment: string): SubmissionId | null {
  const id = parseIdSegment(segment);
  if (id === null) {
    respondText(exchange, 400, `Invalid URL: ${JSON.stringify(segment.slice(0, 60))} is not a submission id`);
  }
  return id;
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
