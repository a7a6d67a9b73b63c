import { Registry } from 'prom-client';
import type { NodeRole } from '../../protocol/node.ts';
import { type ProcessMetricsOptions, registerProcess } from './process.ts';
import { addCounter, addGauge } from './register.ts';

/** What is measured of a node, whether or not it has a shard. */
export interface NodeMetricsOptions extends ProcessMetricsOptions {
  readonly role: NodeRole;
  /** Of the lease of the unnamed queue, as last seen. */
  readonly epoch: number | null;
  /** How many shards are open on it. */
  readonly shardsOpen: number;
  /** How often it has become active. */
  readonly takeovers: number;
  /** When it became active last, in milliseconds since 1970; null: never. */
  readonly lastTakeoverMs: number | null;
  /** How long ago its lease was renewed; null: it holds none that could run out. */
  readonly leaseAgeMs: number | null;
  readonly connectionsPassedOn: number;
  /** Single requests that were. */
  readonly requestsPassedOn: number;
}

export function registerNode(registry: Registry, node: NodeMetricsOptions): void {
  const gauge = (name: string, help: string, value: () => number) => addGauge(registry, name, help, value);
  gauge('node_active', '1 on a node that is active, 0 on one that stands by', () =>
    node.role === 'active' ? 1 : 0,
  );
  gauge(
    'node_shards',
    'Shards that are open on this node: all named queues belong to one of them',
    () => node.shardsOpen,
  );
  gauge('node_epoch', 'Number of the lease that this node has seen last', () => node.epoch ?? 0);
  gauge(
    'node_lease_age_seconds',
    'Time since the lease of this node was renewed; 0 without one that could run out',
    () => (node.leaseAgeMs ?? 0) / 1000,
  );
  addCounter(registry, 'node_takeovers_total', 'How often this node became active', () => node.takeovers);
  gauge(
    'node_last_takeover_timestamp_seconds',
    'When this node became active last, in seconds since 1970; 0: never',
    () => (node.lastTakeoverMs ?? 0) / 1000,
  );
  gauge(
    'node_connections_passed_on',
    'Connections that this node passes on to others',
    () => node.connectionsPassedOn,
  );
  addCounter(
    registry,
    'node_requests_passed_on_total',
    'Single requests that this node sent on to the one that has their queue: those on connections that a proxy keeps, and by id',
    () => node.requestsPassedOn,
  );
  registerProcess(registry, node);
}

/** What a node has to tell that has no shard. */
export class NodeMetrics {
  readonly #registry = new Registry();

  constructor(node: NodeMetricsOptions) {
    registerNode(this.#registry, node);
  }

  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
