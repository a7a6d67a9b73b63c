import { Agent } from 'node:http';
import { messageOf } from '../model/thrown.ts';
import type { NodeSeen } from '../node/nodes-seen.ts';
import type { NodeRow, NodesAnswer } from '../protocol/api/nodes.ts';
import type { NodeInfo, NodeTold } from '../protocol/node.ts';
import type { Clock } from '../system/time/clock.ts';
import { askOfItself, NOT_THAT_NODE } from './other-node.ts';

export interface NodesListOptions {
  readonly clock: Clock;
  self(): NodeInfo;
  /** The other nodes, as the store shows them. */
  seen(): readonly NodeSeen[];
}

const LEAVES = 'it takes no more shards: it is about to stop';

/** All nodes of the store: what it shows of them, and what each says of itself. */
export class NodesList {
  readonly #o: NodesListOptions;
  readonly #agent = new Agent({ keepAlive: false });
  /** Shared by all who ask meanwhile. */
  #listing: Promise<NodesAnswer> | null = null;

  constructor(options: NodesListOptions) {
    this.#o = options;
  }

  /** Never rejects: one that does not answer within a second is unreachable. */
  answer(): Promise<NodesAnswer> {
    this.#listing ??= this.#list().finally(() => {
      this.#listing = null;
    });
    return this.#listing;
  }

  async #list(): Promise<NodesAnswer> {
    const { clock } = this.#o;
    const others = await Promise.all(this.#o.seen().map((seen) => this.#rowOf(seen)));
    const items = [this.#self(), ...others].sort((a, b) => (a.address < b.address ? -1 : 1));
    return { as_of: time(clock.nowMs()), age_ms: 0, matched: items.length, next: null, items };
  }

  #self(): NodeRow {
    const { node, address, version, role, sinceMs, shards, reason, reasonSinceMs } = this.#o.self();
    return {
      node,
      address,
      version,
      state: role,
      since: time(sinceMs),
      shards: shards.length,
      alive: time(reasonSinceMs ?? this.#o.clock.nowMs()),
      ready: reason === null && (role === 'active' || role === 'standby'),
      reason: reason ?? (role === 'starting' || role === 'stopping' ? `it is ${role}` : null),
      asked: true,
    };
  }

  async #rowOf(seen: NodeSeen): Promise<NodeRow> {
    const { holder: node, address, leases: shards, aliveMs, gone } = seen;
    const row = { node, address, version: null, shards, alive: time(aliveMs), ready: false, asked: false };
    if (gone !== null) {
      const { hasLeft, sinceMs } = gone;
      const reason = hasLeft
        ? 'it has ended in good order'
        : 'it has given no sign of life, and its leases have run out';
      return { ...row, state: hasLeft ? 'stopped' : 'silent', since: time(sinceMs), reason };
    }
    try {
      const told = await askOfItself(address, this.#agent, this.#o.clock, NEVER);
      if (told?.node !== node) throw new Error(NOT_THAT_NODE);
      return { ...row, ...this.#told(seen, told) };
    } catch (error) {
      const reason = `it does not answer at ${address}: ${messageOf(error)}`;
      return { ...row, state: 'unreachable', since: null, reason };
    }
  }

  #told({ isPresent }: NodeSeen, { version, role, since, shards, reason }: NodeTold) {
    return {
      version,
      state: role,
      since,
      shards: shards.size,
      ready: isPresent && reason === null && (role === 'active' || role === 'standby'),
      reason: reason ?? (isPresent ? null : LEAVES),
    };
  }
}

const NEVER = new AbortController().signal;

function time(ms: number): string {
  return new Date(ms).toISOString();
}
