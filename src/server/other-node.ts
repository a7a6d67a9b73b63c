import { Agent } from 'node:http';
import type { ShardId } from '../model/ids.ts';
import { messageOf } from '../model/thrown.ts';
import { parseQueueUrl } from '../net/address/queue-url.ts';
import { attemptRequest } from '../net/http/attempt.ts';
import type { RelayAddress } from '../net/relay/relay.ts';
import { type NodeTold, parseNode } from '../protocol/node.ts';
import type { Logger } from '../system/log/logger.ts';
import { type Clock, sleep } from '../system/time/clock.ts';
import { ENDPOINTS } from './http/endpoints.ts';

export interface OtherNodeOptions {
  readonly node: string;
  readonly address: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** It has said that it has a shard open. */
  confirmed(): void;
}

/** How long the node may take to say which shards it has. */
const ASK_MS_MAX = 1_000;
/** It is asked again after so long while it does not have them open yet, cannot be reached, or another one answers. */
const ASK_AGAIN_MS = 50;
const ASK_AGAIN_ELSEWHERE_MS = 1_000;

export const NOT_THAT_NODE = 'another node, or something else, answers there: it needs another --advertise';

/** A node to which connections are passed on, as soon as it has said that it has their shard open. */
export class OtherNode {
  readonly node: string;
  readonly address: string;
  readonly at: RelayAddress;
  readonly #o: OtherNodeOptions;
  readonly #agent = new Agent({ keepAlive: false });
  /** Those that it should have, and since when it has not said so; null: it has. */
  readonly #shards = new Map<ShardId, number | null>();
  /** Of what is being asked; null: nothing is. */
  #asking: AbortController | null = null;

  constructor(options: OtherNodeOptions) {
    this.#o = options;
    this.node = options.node;
    this.address = options.address;
    const { hostname: host, port } = parseQueueUrl(options.address);
    this.at = { host, port };
  }

  /** How many shards it should have. */
  get size(): number {
    return this.#shards.size;
  }

  has(shard: ShardId): boolean {
    return this.#shards.get(shard) === null;
  }

  get hasAny(): boolean {
    for (const sinceMs of this.#shards.values()) if (sinceMs === null) return true;
    return false;
  }

  /** Since when the shard is not known to be open there, on the monotonic clock; null: it is. */
  closedSinceMs(shard: ShardId): number | null {
    return this.#shards.get(shard) ?? null;
  }

  /** It should have that shard. @param sinceMs when it was open last, somewhere */
  expect(shard: ShardId, sinceMs: number): void {
    this.#shards.set(shard, sinceMs);
    void this.#ask();
  }

  /** It should not any more. */
  forget(shard: ShardId): void {
    this.#shards.delete(shard);
    if (this.#shards.size === 0) this.#asking?.abort();
  }

  /** It is not there any more, perhaps. */
  doubt(): void {
    const nowMs = this.#o.clock.monotonicMs();
    for (const [shard, sinceMs] of this.#shards) this.#shards.set(shard, sinceMs ?? nowMs);
    void this.#ask();
  }

  /** Until it has said of each that it has it. */
  async #ask(): Promise<void> {
    if (this.#asking !== null) return;
    const { node, address, clock, logger } = this.#o;
    const asking = new AbortController();
    this.#asking = asking;
    let problem: string | null = null;
    for (;;) {
      let waitMs = ASK_AGAIN_MS;
      let found: string | null = null;
      try {
        const answer = await askOfItself(address, this.#agent, clock, asking.signal);
        if (answer?.node === node) this.#confirm(answer.shards);
        else {
          found = NOT_THAT_NODE;
          waitMs = ASK_AGAIN_ELSEWHERE_MS;
        }
      } catch (error) {
        found = messageOf(error);
      }
      if (asking.signal.aborted) break;
      if (found !== null && found !== problem) {
        logger.warn({ address, node, reason: found }, 'cannot pass connections on to another node');
      } else if (found === null && problem !== null) {
        logger.info({ address, node }, 'connections are passed on to that node again');
      }
      problem = found;
      if ([...this.#shards.values()].every((sinceMs) => sinceMs === null)) break;
      await sleep(clock, waitMs, asking.signal).catch(() => {});
    }
    this.#asking = null;
    // It may have got another one meanwhile.
    if (asking.signal.aborted && this.#shards.size > 0) void this.#ask();
  }

  #confirm(shards: ReadonlySet<ShardId>): void {
    let isNew = false;
    for (const [shard, sinceMs] of this.#shards) {
      if (sinceMs === null || !shards.has(shard)) continue;
      this.#shards.set(shard, null);
      isNew = true;
    }
    if (isNew) this.#o.confirmed();
  }
}

/** What the node at that address says of itself. Rejects if it does not within a second. */
export async function askOfItself(
  address: string,
  agent: Agent,
  clock: Clock,
  signal: AbortSignal,
): Promise<NodeTold | null> {
  const target = { queue: parseQueueUrl(address), agent, clock, connectMsMax: ASK_MS_MAX };
  const request = { method: 'GET', path: ENDPOINTS.node.path, timeoutMs: ASK_MS_MAX } as const;
  const { body } = await attemptRequest(target, request, signal);
  return parseNode(Buffer.from(body).toString());
}
