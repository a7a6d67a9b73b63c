import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { ShardId, SubmissionId } from '../../model/ids.ts';
import type { HttpExchange } from '../../net/http/exchange.ts';
import { upgradeRequestBytes } from '../../net/relay/upgrade-request.ts';
import type { Missing } from '../../protocol/api/lists.ts';
import { FORWARDED_HEADER, SCOPE_HEADER, SHARDS_HEADER } from '../../protocol/node.ts';
import { nothingChanged } from '../../queue/errors.ts';
import type { Queue } from '../../queue/queue.ts';
import type { Logger } from '../../system/log/logger.ts';
import type { Clock } from '../../system/time/clock.ts';
import { FanOut, type NodeAddress } from './fan-out.ts';
import { Forwarding, type QueuePlace, wasForwarded } from './forwarding.ts';

/** Which shards each node has. */
export interface ShardPlaces {
  readonly here: readonly ShardId[];
  readonly elsewhere: ReadonlyMap<NodeAddress, readonly ShardId[]>;
  /** How many nobody has: they are being handed over, or loaded. */
  readonly nowhere: number;
}

export interface AcrossOptions {
  /** The name of this node. */
  readonly node: string;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly queue: Queue;
  /** Whether requests for that queue are taken here. */
  isHere(queue: string): boolean;
  /** Where this node is reached by others. */
  readonly address: () => string;
  places(): ShardPlaces;
  /** How many are open on no node for longer than a hand-over takes. */
  shardsMissing(): number;
  /** Other nodes that have queues open. */
  others(): readonly NodeAddress[];
  /** Who has that queue, as far as is known; null: nobody. */
  ownerOf(queue: string): 'here' | NodeAddress | null;
  /** The same, as soon as it is open there; null: nobody has it for longer than a request may wait. */
  placeOf(queue: string, target: string): Promise<QueuePlace>;
  /** Why nobody has it, in a sentence. */
  whyNobody(queue: string): string;
  /** Passes a connection on there. @returns whether it is */
  pass(socket: Socket, head: Uint8Array, queue: string): Promise<boolean>;
}

/**
 * What one of several active nodes does about the others: asks them for their part of an answer, and sends on what is for one
 * of them. Where it is the only one, it answers all by itself.
 */
export class Across {
  readonly node: string;
  readonly fanOut: FanOut;
  readonly forwarding: Forwarding;
  readonly #o: AcrossOptions;

  constructor(options: AcrossOptions) {
    this.#o = options;
    this.node = options.node;
    this.fanOut = new FanOut(options);
    this.forwarding = new Forwarding(options);
  }

  /** Whether an answer to this request has parts on other nodes. */
  isSpread(exchange: HttpExchange): boolean {
    return !isForThisNode(exchange) && this.fanOut.others.length > 0;
  }

  /** Whether one out of what this node has would be silent of other queues: on other nodes, or nowhere. */
  isPart(exchange: HttpExchange): boolean {
    return !isForThisNode(exchange) && (this.fanOut.others.length > 0 || this.#o.shardsMissing() > 0);
  }

  /** What an answer is silent of. @param nodes that did not answer */
  missing(nodes: readonly string[]): Missing {
    const shards = this.#o.shardsMissing();
    return {
      ...(nodes.length === 0 ? {} : { nodes_missing: nodes }),
      ...(shards === 0 ? {} : { shards_missing: shards }),
    };
  }

  /** Whether it is for another node alone, and has been passed on to this one. */
  isAstray(exchange: HttpExchange): boolean {
    const scope = exchange.header(SCOPE_HEADER);
    return scope !== undefined && scope !== this.node;
  }

  /** This node, for the others. */
  get self(): NodeAddress {
    return { node: this.node, address: this.#o.address() };
  }

  /** Where all shards are. Throws QueueUnavailableError if one of them is nowhere: something of it would be left out. */
  allPlaces(): ShardPlaces {
    const places = this.#o.places();
    if (places.nowhere === 0) return places;
    throw nothingChanged(`shards that have no node at the moment: ${places.nowhere}`);
  }

  isHere(queue: string): boolean {
    return this.#o.isHere(queue);
  }

  ownerOf(queue: string): 'here' | NodeAddress | null {
    return this.isHere(queue) ? 'here' : this.#o.ownerOf(queue);
  }

  /** In which queue a submission is, in any state; null: it is not known. */
  async queueOf(id: SubmissionId): Promise<string | null> {
    const { queue } = this.#o;
    for (const { name } of queue.schedules()) if (queue.reads.open(name, id) !== undefined) return name;
    return (await queue.reads.stored(id))?.record.queue ?? null;
  }

  /** Lets another node take an upgrade for one of its queues, on a connection that was kept. */
  async upgrade(request: IncomingMessage, socket: Socket, head: Uint8Array, queue: string): Promise<void> {
    const bytes = upgradeRequestBytes(request, [FORWARDED_HEADER, this.node], head);
    if (!(await this.#o.pass(socket, bytes, queue))) socket.end(UNAVAILABLE, () => socket.destroy());
  }

  close(): void {
    this.fanOut.close();
    this.forwarding.close();
  }
}

const UNAVAILABLE =
  'HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n';

/** The shards that this node must have for a part of an answer. */
export function shardsAsked(exchange: HttpExchange): readonly ShardId[] {
  const shards = exchange.header(SHARDS_HEADER);
  return shards === undefined || shards === '' ? [] : shards.split(',').map(Number);
}

/** Whether another node asks, for what this one has. */
export function isForThisNode(exchange: HttpExchange): boolean {
  return isForPart(exchange) || wasForwarded(exchange);
}

/** Whether another node makes one answer of this one and others. */
export function isForPart(exchange: HttpExchange): boolean {
  return exchange.header(SCOPE_HEADER) !== undefined;
}
