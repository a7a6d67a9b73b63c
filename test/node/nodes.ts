import assert from 'node:assert/strict';
import type { ScopeControl } from '../../src/model/control.ts';
import type { ShardId } from '../../src/model/ids.ts';
import { SHARDS } from '../../src/model/shard.ts';
import { type Office, QueueNode } from '../../src/node/queue-node.ts';
import { StoreError } from '../../src/store/errors.ts';
import type { StoreLeases, Tenure } from '../../src/store/lease.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { seededRandom } from '../../src/system/random.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { flakyLeases } from '../support/store/flaky-leases.ts';
import { ManualClock } from '../support/time/manual-clock.ts';
import { PausingClock } from '../support/time/pausing-clock.ts';

export const LEASE_MS = 3_000;
export const ALL: readonly ShardId[] = Array.from({ length: SHARDS }, (_, shard) => shard);
export const HALF = SHARDS / 2;

/** Nodes with all shards between them, in time that the test lets pass. */
export class Nodes {
  readonly time = new ManualClock();
  readonly database = new MemoryDatabase();
  readonly all: TestNode[] = [];
  /** Ticks in which nobody had a shard, by shard. */
  readonly away = new Map<ShardId, number>();

  start(id: string, address = id): TestNode {
    const node = new TestNode(this, id, address);
    this.all.push(node);
    return node;
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
    this.#look();
  }

  async passes(ms: number): Promise<void> {
    await this.settle();
    for (let i = 0; i < ms; i += 10) {
      this.time.advance(10);
      await new Promise((resolve) => setImmediate(resolve));
      this.#look();
    }
    await this.settle();
  }

  /** How many shards each has. */
  get sizes(): number[] {
    return this.all.map(({ shards }) => shards.length).sort((x, y) => x - y);
  }

  ownersOf(shard: ShardId): TestNode[] {
    return this.all.filter((node) => node.acts(shard));
  }

  async stop(): Promise<void> {
    await Promise.all(this.all.map((node) => node.node.stop()));
  }

  #look(): void {
    for (const shard of ALL) {
      const owners = this.ownersOf(shard);
      assert.ok(owners.length <= 1, `shard ${shard} has ${owners.map(({ id }) => id).join()}`);
      if (owners.length === 0) this.away.set(shard, (this.away.get(shard) ?? 0) + 10);
    }
  }
}

export class TestNode {
  readonly id: string;
  readonly clock: PausingClock;
  readonly store: MemoryStore;
  readonly node: QueueNode;
  readonly logger = recordingLogger();
  readonly tenures = new Map<ShardId, Tenure>();
  /** What has happened to each shard. */
  readonly events: string[] = [];
  readonly renewals: number[] = [];
  failing = false;
  openingFails = false;
  /** Shards that cannot be opened on this node. */
  readonly failingShards = new Set<ShardId>();
  /** Shards of which nothing can be read. */
  readonly damaged = new Set<ShardId>();
  /** What an office waits for before it is open. */
  opening: Promise<void> = Promise.resolve();
  /** Ends the office of each. */
  readonly losing = new Map<ShardId, AbortController>();
  /** What its offices wait for when they end. */
  ending: Promise<void> = Promise.resolve();
  server: ScopeControl | null = null;
  prepare: (shard: ShardId, dropped: AbortSignal) => Promise<void> = async () => {};

  constructor(nodes: Nodes, id: string, address: string) {
    this.id = id;
    this.clock = new PausingClock(nodes.time);
    const inner = new MemoryStore({ database: nodes.database, clock: nodes.time });
    const base = inner.leases!;
    // Of calls that get through.
    const counted: StoreLeases = {
      ...flakyLeases(base, () => false),
      look: (node, renew = []) => {
        if (renew.length > 0) this.renewals.push(renew.length);
        return base.look(node, renew);
      },
      give: (given) => {
        for (const { shard } of given) this.events.push(`${shard} given`);
        return base.give(given);
      },
    };
    this.store = Object.assign(inner, { leases: flakyLeases(counted, () => this.failing) });
    const { clock, logger, store } = this;
    this.node = new QueueNode({
      store,
      shards: ALL,
      id,
      address: `${address}:3999`,
      leaseMs: LEASE_MS,
      clock,
      random: seededRandom(1),
      logger,
      open: (tenure) => this.#open(tenure),
      prepare: (shard, dropped) => this.prepare(shard, dropped),
      looked: ({ server }) => {
        this.server = server;
      },
    });
  }

  /** Whether it may do something in the name of the shard. */
  acts(shard: ShardId): boolean {
    const tenure = this.tenures.get(shard);
    return tenure !== undefined && !tenure.ended.aborted && tenure.isOn();
  }

  get shards(): ShardId[] {
    return ALL.filter((shard) => this.node.holderOf(shard) === 'here');
  }

  async #open(tenure: Tenure): Promise<Office> {
    const { shard } = tenure.grant;
    if (this.failingShards.has(shard)) this.events.push(`${shard} fails`);
    if (this.openingFails || this.failingShards.has(shard))
      throw new StoreError('transient', 'cannot be read');
    await this.opening;
    if (this.damaged.has(shard)) {
      this.events.push(`${shard} damaged`);
      throw new StoreError('corrupt', `a page of shard ${shard} has a wrong checksum`);
    }
    const losing = new AbortController();
    this.losing.set(shard, losing);
    this.tenures.set(shard, tenure);
    this.events.push(`${shard} open`);
    return {
      lost: AbortSignal.any([tenure.ended, losing.signal]),
      stop: async () => {
        this.events.push(`${shard} ending`);
        await this.ending;
        this.events.push(`${shard} ended`);
      },
    };
  }
}

/** A node with all shards, whose offices do not end before `gate` is resolved, and one that is to have half of them. */
export async function slowHandOver() {
  const nodes = new Nodes();
  const a = nodes.start('a');
  await nodes.settle();
  const gate = Promise.withResolvers<void>();
  a.ending = gate.promise;
  return { nodes, a, b: nodes.start('b'), gate };
}
