import type { ShardId } from '../model/ids.ts';
import { VERSION } from '../model/version.ts';
import type { HttpServer } from '../net/http/server.ts';
import type { NodeState, QueueNode } from '../node/queue-node.ts';
import type { NodesAnswer } from '../protocol/api/nodes.ts';
import type { NodeInfo, NodeRole } from '../protocol/node.ts';
import type { LogStats } from '../system/log/logger.ts';
import { uuidV7 } from '../system/random.ts';
import type { Clock } from '../system/time/clock.ts';
import type { NodeView } from './http/node-routes.ts';
import type { NodeMetricsOptions } from './metrics/node.ts';
import { NodesList } from './nodes-list.ts';
import type { Passing } from './passing.ts';
import type { ServerSettings } from './settings.ts';

const BY_ITSELF = 'see to the database: the nodes go on by themselves when it answers';
const LISTED = 'opsqueue nodes lists them';

const NO_SHARDS: NodeState['shards'] = new Map();

/** What a process tells of itself from its first moment to its last: by `/node`, and by its metrics. */
export class NodeFace implements NodeView, NodeMetricsOptions {
  readonly id: string;
  readonly clock: Clock;
  readonly logStats: LogStats | undefined;
  readonly #http: HttpServer;
  readonly #passing: Passing;
  readonly #address: () => string;
  readonly #startedMs: number;
  readonly #nodes: NodesList;
  #node: QueueNode | null = null;
  #shardOf: (queue: string) => ShardId = () => 0;
  #stoppingMs: number | null = null;
  /** What the store waits for that is being opened, and since when. */
  #waiting: { readonly reason: string; readonly sinceMs: number } | null = null;

  /** @param address where other nodes reach it, once it listens */
  constructor(
    { clock, logStats }: Pick<ServerSettings, 'clock' | 'logStats'>,
    http: HttpServer,
    passing: Passing,
    address: () => string,
  ) {
    this.id = uuidV7(clock.nowMs());
    this.clock = clock;
    this.logStats = logStats;
    this.#http = http;
    this.#passing = passing;
    this.#address = address;
    this.#startedMs = clock.nowMs();
    this.#nodes = new NodesList({
      clock,
      self: () => this.infoFor(''),
      seen: () => this.#node?.nodesSeen ?? [],
    });
  }

  /** The store is open. */
  began(node: QueueNode, shardOf: (queue: string) => ShardId): void {
    this.#node = node;
    this.#shardOf = shardOf;
  }

  /** The store is being opened, and waits for something; null: it waits no more. */
  storeWaits(reason: string | null): void {
    if (reason === null) this.#waiting = null;
    else this.#waiting = { reason, sinceMs: this.#waiting?.sinceMs ?? this.clock.nowMs() };
  }

  whyNobody(queue: string): string {
    const { role, reason, reasonSinceMs, holder } = this.infoFor(queue);
    if (role === 'stopping') return 'the queue is stopping';
    const isAny = queue === '' && role !== 'active';
    const nobody = isAny ? 'no node is active at the moment' : 'no node has this queue at the moment';
    const what = role === 'starting' ? 'the queue is starting' : nobody;
    if (reason !== null && reasonSinceMs !== null)
      return `${what}: ${reason}${since(reasonSinceMs)}; ${BY_ITSELF}`;
    if (reason !== null) return `${what}, and this one cannot take it: ${reason}; ${LISTED}`;
    if (role === 'starting') return what;
    if (holder === null) return `${what}: it is on its way from one to the next, try again; ${LISTED}`;
    return `${what}: the one at ${holder.address} has its lease and does not answer; another one takes over when that has run out; ${LISTED}`;
  }

  stopping(): void {
    this.#stoppingMs ??= this.clock.nowMs();
  }

  /** Where other nodes reach it. */
  get address(): string {
    return this.#address();
  }

  get role(): NodeRole {
    return this.#roleSince()[0];
  }

  get epoch(): number | null {
    return this.#node?.state.shards.get(this.#shardOf(''))?.epoch ?? null;
  }

  get shardsOpen(): number {
    return this.#shards.length;
  }

  isOpen(queue: string): boolean {
    return this.#node?.holderOf(this.#shardOf(queue)) === 'here';
  }

  infoFor(queue: string): NodeInfo {
    const state = this.#node?.state;
    const [role, sinceMs] = this.#roleSince();
    const shard = state?.shards.get(this.#shardOf(queue));
    const holder = shard?.holder ?? null;
    return {
      node: this.id,
      role,
      sinceMs,
      shards: this.#shards,
      epoch: shard?.epoch ?? null,
      holder: holder === null ? null : { node: holder.holder, address: holder.address },
      address: this.#address(),
      reason: state?.reason ?? this.#waiting?.reason ?? null,
      reasonSinceMs: state?.reasonSinceMs ?? this.#waiting?.sinceMs ?? null,
      version: VERSION,
    };
  }

  nodes(): Promise<NodesAnswer> {
    return this.#nodes.answer();
  }

  get #shards(): readonly ShardId[] {
    const shards = this.#node?.state.shards ?? NO_SHARDS;
    return [...shards].flatMap(([shard, { isHere }]) => (isHere ? shard : [])).sort((a, b) => a - b);
  }

  #roleSince(): readonly [NodeRole, number] {
    const state = this.#node?.state;
    return this.#stoppingMs !== null
      ? (['stopping', this.#stoppingMs] as const)
      : state === undefined
        ? (['starting', this.#startedMs] as const)
        : ([state.role === 'stopped' ? 'stopping' : state.role, state.sinceMs] as const);
  }

  get takeovers(): number {
    return this.#node?.takeovers ?? 0;
  }

  get lastTakeoverMs(): number | null {
    return this.#node?.lastTakeoverMs ?? null;
  }

  get leaseAgeMs(): number | null {
    return this.#node?.leaseAgeMs ?? null;
  }

  get connectionsPassedOn(): number {
    return this.#passing.connections;
  }

  get requestsPassedOn(): number {
    return this.#passing.requests;
  }

  get connectionsRejected(): Readonly<Record<string, number>> {
    return this.#http.connectionsRejected;
  }
}

function since(ms: number): string {
  return `, since ${new Date(ms).toISOString()}`;
}
