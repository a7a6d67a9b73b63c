import {
  type Frame,
  type Missing,
  NOW_HEADER,
  type ProblemAnswer,
  SERVER_HEADER,
} from '../../src/protocol/api/lists.ts';
import { learnTime } from './clock.ts';
import { learnServer, otherServer } from './name.ts';
import { Store } from './store.ts';

/** What comes before relative URLs; the queue writes it into the page. */
const base = document.documentElement.dataset.base ?? '';
/** A queue that does not answer within this time counts as gone. */
const ANSWER_MS_MAX = 20_000;
/** Of actions: several nodes count first and act then, which may take each of them half a minute. */
const ACT_MS_MAX = 100_000;

/** Of what the last answer that is of all nodes was silent. */
export const missing = new Store<Missing>({});

/** Why there is no answer. */
export class ApiError extends Error {
  /** 0: the queue cannot be reached. */
  readonly status: number;
  readonly code: string;
  /** When it may be asked again. */
  readonly retryAfterMs: number;

  constructor(status: number, code: string, text: string, retryAfterMs = 0) {
    super(text);
    this.status = status;
    this.code = code;
    this.retryAfterMs = retryAfterMs;
  }

  /** It will be refused again, however often it is asked. */
  get isFinal(): boolean {
    return this.status === 400 || this.status === 422;
  }

  /** The queue has answered, or it was not asked at all; otherwise nobody knows what it did. */
  get isOfQueue(): boolean {
    return this.status > 0 && (this.status < 500 || this.status === 503 || !this.code.startsWith('HTTP_'));
  }

  /** The queue itself has refused it; otherwise it could not answer. */
  get isRefusal(): boolean {
    return this.status >= 400 && this.status < 500 && this.status !== 429;
  }
}

export async function getJson<T extends Partial<Frame>>(path: string, signal?: AbortSignal): Promise<T> {
  const answer = await send(path, { signal: signal ?? null });
  const value = (await answer.json().catch(() => {
    throw new ApiError(0, 'NOT_JSON', 'the answer is not that of a queue');
  })) as T;
  learnMissing(path, value);
  return value;
}

/** Not every answer is of all nodes: these are, and so tell that there is none missing any more. */
const OF_ALL_NODES = new Set(['overview', 'queues']);

function learnMissing(path: string, { nodes_missing, shards_missing }: Missing): void {
  const told: Missing = {
    ...(nodes_missing === undefined ? {} : { nodes_missing }),
    ...(shards_missing === undefined ? {} : { shards_missing }),
  };
  const text = JSON.stringify(told);
  if (text === '{}' && !OF_ALL_NODES.has(path)) return;
  if (text !== JSON.stringify(missing.value)) missing.set(told);
}

export interface Octets {
  readonly bytes: Uint8Array;
  readonly headers: Headers;
}

export async function getOctets(path: string, signal?: AbortSignal): Promise<Octets> {
  const answer = await send(path, { signal: signal ?? null });
  return { bytes: new Uint8Array(await answer.arrayBuffer()), headers: answer.headers };
}

/** @param key of what changes something: sent again with the same one, it is answered as it was, and not done again */
export async function post<T>(path: string, body: object, key?: string): Promise<T> {
  if (otherServer.value?.isSame === false)
    throw new ApiError(409, 'OTHER_SERVER', 'Another queue answers at this address: reload the page');
  const headers = {
    'content-type': 'application/json',
    ...(key === undefined ? {} : { 'idempotency-key': key }),
  };
  try {
    const answer = await send(path, { method: 'POST', body: JSON.stringify(body), headers }, ACT_MS_MAX);
    return (await answer.json()) as T;
  } catch (error) {
    if (key === undefined || (error instanceof ApiError && error.isOfQueue)) throw error;
    throw new ApiError(0, 'NO_ANSWER', 'No answer: it may have been done');
  }
}

async function send(path: string, init: RequestInit, msMax = ANSWER_MS_MAX): Promise<Response> {
  const timeout = new AbortController();
  setTimeout(() => timeout.abort(), msMax);
  const signal = init.signal ? AbortSignal.any([init.signal, timeout.signal]) : timeout.signal;
  let answer: Response;
  try {
    // The browser keeps the last answer, and asks whether it still holds.
    answer = await fetch(`${base}api/v1/${path}`, {
      ...init,
      signal,
      cache: 'no-cache',
      credentials: 'same-origin',
    });
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new ApiError(0, 'UNREACHABLE', 'The queue cannot be reached');
  }
  // Of headers, not of the body: the body of an answer that is as it was is the one of back then.
  const nowMs = Number(answer.headers.get(NOW_HEADER) ?? Number.NaN);
  if (Number.isFinite(nowMs)) learnTime(nowMs);
  learnServer(answer.headers.get(SERVER_HEADER));
  if (answer.ok) return answer;
  throw await errorOf(answer);
}

async function errorOf(answer: Response): Promise<ApiError> {
  const retryAfterMs = Number(answer.headers.get('retry-after') ?? 0) * 1_000 || 0;
  const text = await answer.text().catch(() => '');
  try {
    const { code, detail } = JSON.parse(text) as Partial<ProblemAnswer>;
    if (code !== undefined && detail !== undefined)
      return new ApiError(answer.status, code, detail, retryAfterMs);
  } catch {
    // Of a proxy, or of the queue while it starts or stops.
  }
  const words = text.startsWith('<') || text === '' ? answer.statusText : text.replace(/^"|"$/g, '');
  return new ApiError(
    answer.status,
    `HTTP_${answer.status}`,
    words.slice(0, 300) || `status ${answer.status}`,
    retryAfterMs,
  );
}
