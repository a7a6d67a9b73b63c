import { Agent } from 'node:http';
import type { ShardId } from '../../model/ids.ts';
import { messageOf } from '../../model/thrown.ts';
import { parseQueueUrl } from '../../net/address/queue-url.ts';
import { attemptRequest, type HttpAnswer, HttpAttemptError } from '../../net/http/attempt.ts';
import { SCOPE_HEADER, SHARDS_HEADER } from '../../protocol/node.ts';
import { parseProblem } from '../../protocol/producer/action-answers.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Clock } from '../../system/time/clock.ts';

/** A node, and where it is reached. */
export interface NodeAddress {
  readonly node: string;
  readonly address: string;
}

export interface FanOutOptions {
  readonly clock: Clock;
  readonly logger: Logger;
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
  /** What was logged as unreadable, by node. */
  readonly #unread = new Map<string, Set<string>>();

  constructor(options: FanOutOptions) {
    this.#o = options;
  }

  /** The nodes that would be asked. */
  get others(): readonly NodeAddress[] {
    return this.#o.others();
  }

  /**
   * What the others say, read. A node that does not answer in time, refuses to, or says something else (it may be of another
   * version, or something in between answers for it) is missing.
   *
   * @param read of a body, and throws for what it cannot read
   */
  async values<T>(
    question: Question,
    read: (body: Uint8Array) => T,
  ): Promise<{ readonly values: readonly NodeValue<T>[]; readonly missing: string[] }> {
    const values: NodeValue<T>[] = [];
    const missing: string[] = [];
    const { others } = this;
    const told = await Promise.all(others.map((node) => this.value(node, question, read)));
    for (const [i, { node, address }] of others.entries()) {
      const value = told[i] ?? null;
      if (value === null) missing.push(address);
      else values.push({ node, address, value });
    }
    return { values, missing };
  }

  /** The same of one of them; null: it is missing. */
  async value<T>(node: NodeAddress, question: Question, read: (body: Uint8Array) => T): Promise<T | null> {
    const told = await this.askNode(node, question);
    return 'answer' in told ? this.read(told, question, read) : null;
  }

  /** null: it is no success, or nothing that can be read, which is logged once of each kind of question. */
  read<T>(
    { node, address, answer: { status, body } }: NodeAnswer,
    { path }: Pick<Question, 'path'>,
    read: (body: Uint8Array) => T,
  ): T | null {
    const view = path.replace(/\?.*$/s, '');
    let reason: string;
    try {
      if (status === 200) return read(body);
      if (parseProblem(status, body) !== null) return null;
      reason = `status ${status}`;
    } catch (error) {
      reason = messageOf(error);
    }
    const known = this.#unread.get(node) ?? new Set();
    if (known.has(view)) return null;
    const others = new Set(this.others.map((each) => each.node));
    for (const gone of [...this.#unread.keys()]) if (!others.has(gone)) this.#unread.delete(gone);
    this.#unread.set(node, known.add(view));
    this.#o.logger.warn(
      { node, address, view, reason },
      'unreadable answer from another node, going on without it',
    );
    return null;
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

const NEVER = new AbortController().signal;
