import { Agent } from 'node:http';
import type { ShardId } from '../../model/ids.ts';
import { parseQueueUrl } from '../../net/address/queue-url.ts';
import { attemptRequest, type HttpAnswer, HttpAttemptError } from '../../net/http/attempt.ts';
import { SCOPE_HEADER, SHARDS_HEADER } from '../../protocol/node.ts';
import type { Clock } from '../../system/time/clock.ts';

/** A node, and where it is reached. */
export interface NodeAddress {
  readonly node: string;
  readonly address: string;
}

export interface FanOutOptions {
  readonly clock: Clock;
  /** Nodes that have queues open, this one excluded. */
  others(): readonly NodeAddress[];
}

/** What a node said. */
export interface NodeAnswer extends NodeAddress {
  readonly answer: HttpAnswer;
}

/** The same, read. */
export interface NodeValue<T> extends NodeAddress {
  readonly value: T;
}

export interface Answers {
  readonly answers: readonly NodeAnswer[];
  /** Addresses of nodes that did not answer in time. */
  readonly missing: readonly string[];
}

export interface Question {
  /** Below `/api/v1/`, with its query. */
  readonly path: string;
  /** JSON; a question without it is a GET. */
  readonly body?: Uint8Array;
  /** How long a node may take, in milliseconds. Default 1 000. */
  readonly timeoutMs?: number;
  /** Those that a node must have ready to answer it. Default: it tells of those that it has. */
  readonly shards?: readonly ShardId[];
  readonly signal?: AbortSignal;
}

/** How long a node may take to answer: one that takes longer is missing. */
export const ANSWER_MS_MAX = 1_000;
const LINKS_IDLE_MAX = 4;

/** Asks all other nodes that have queues open, each for its own part, at the same time. */
export class FanOut {
  readonly #o: FanOutOptions;
  readonly #kept = new Agent({ keepAlive: true, maxFreeSockets: LINKS_IDLE_MAX });
  /** For what must not be sent twice: a kept connection may have ended unnoticed. */
  readonly #fresh = new Agent({ keepAlive: false });

  constructor(options: FanOutOptions) {
    this.#o = options;
  }

  /** The nodes that would be asked. */
  get others(): readonly NodeAddress[] {
    return this.#o.others();
  }

  async ask(question: Question): Promise<Answers> {
    const all = await Promise.all(this.others.map((node) => this.askNode(node, question)));
    return {
      answers: all.filter((each) => 'answer' in each),
      missing: all.filter((each) => !('answer' in each)).map(({ address }) => address),
    };
  }

  /**
   * What the others say, read; a node that refuses to, or says something else (it may be of another version), is missing as
   * well.
   *
   * @param read of a body, and throws for what it cannot read. Default: an object as JSON
   */
  async values<T>(
    question: Question,
    read: (body: Uint8Array) => T = readObject,
  ): Promise<{ readonly values: readonly NodeValue<T>[]; readonly missing: string[] }> {
    const { answers, missing } = await this.ask(question);
    const values: NodeValue<T>[] = [];
    const all = [...missing];
    for (const { node, address, answer } of answers) {
      const value = readAnswer(answer, read);
      if (value === null) all.push(address);
      else values.push({ node, address, value });
    }
    return { values, missing: all };
  }

  /** The node as it is if it does not answer. An answer that another one may follow, as of a node that stops, is none. */
  async askNode(node: NodeAddress, question: Question): Promise<NodeAnswer | NodeAddress> {
    const { clock } = this.#o;
    const { path, body, timeoutMs = ANSWER_MS_MAX, shards, signal = NEVER } = question;
    const queue = parseQueueUrl(node.address);
    const agent = body === undefined ? this.#kept : this.#fresh;
    const target = { queue, agent, clock, connectMsMax: ANSWER_MS_MAX };
    const request = {
      method: body === undefined ? ('GET' as const) : ('POST' as const),
      path: `/api/v1/${path}`,
      headers: {
        [SCOPE_HEADER]: node.node,
        ...(shards === undefined ? {} : { [SHARDS_HEADER]: shards.join(',') }),
      },
      ...(body === undefined ? {} : { body }),
      timeoutMs,
    };
    try {
      const answer = await attemptRequest(target, request, signal).catch((error: unknown) => {
        if (!(error instanceof HttpAttemptError) || !error.stale) throw error;
        return attemptRequest({ ...target, agent: this.#fresh }, request, signal);
      });
      return answer.status >= 500 ? node : { ...node, answer };
    } catch {
      signal.throwIfAborted();
      return node;
    }
  }

  close(): void {
    this.#kept.destroy();
    this.#fresh.destroy();
  }
}

/** null: it is no success, or nothing that can be read. */
export function readAnswer<T>(
  { status, body }: HttpAnswer,
  read: (body: Uint8Array) => T = readObject,
): T | null {
  if (status !== 200) return null;
  try {
    return read(body);
  } catch {
    return null;
  }
}

/** Of an answer to a question whose answers are objects. */
function readObject<T>(body: Uint8Array): T {
  const value = JSON.parse(Buffer.from(body).toString()) as T;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError('no object');
  return value;
}

const NEVER = new AbortController().signal;
