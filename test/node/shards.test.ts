import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_SCOPE_CONTROL, type ScopeControl, SERVER_SCOPE, withPause } from '../../src/model/control.ts';
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

const LEASE_MS = 3_000;
const ALL: readonly ShardId[] = Array.from({ length: SHARDS }, (_, shard) => shard);
const HALF = SHARDS / 2;

/** Nodes with all shards between them, in time that the test lets pass. */
class Nodes {
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

class TestNode {
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
  /** Shards of which nothing can be read. */
  readonly damaged = new Set<ShardId>();
  /** What an office waits for before it is open. */
  opening: Promise<void> = Promise.resolve();
  /** Ends the office of each. */
  readonly losing = new Map<ShardId, AbortController>();
  /** What its offices wait for when they end. */
  ending: Promise<void> = Promise.resolve();
  server: ScopeControl | null = null;

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
    if (this.openingFails) throw new StoreError('transient', 'cannot be read');
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

test('the first node has all shards, a second one gets its share, one after the other, and everybody knows', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  await nodes.settle();
  assert.deepEqual(a.shards, ALL);
  nodes.away.clear();
  const b = nodes.start('b');
  await nodes.passes(2_000);
  assert.deepEqual([a.shards.length, b.shards.length], [HALF, HALF]);
  for (const shard of ALL) {
    const [owner, other] = a.acts(shard) ? [a, b] : [b, a];
    assert.equal(owner.node.holderOf(shard), 'here');
    assert.deepEqual(other.node.holderOf(shard), { holder: owner.id, address: `${owner.id}:3999` });
  }
  assert.deepEqual(
    a.node.state.nodes.map(({ holder }) => holder),
    ['a', 'b'],
  );
  // One at a time: its office has ended before the lease is given, and the next one's ends after that.
  const handed = a.events.filter((event) => !event.endsWith(' open'));
  assert.equal(handed.length, 3 * HALF);
  for (let i = 0; i < handed.length; i += 3) {
    const [shard] = handed[i]!.split(' ');
    assert.deepEqual(handed.slice(i, i + 3), [`${shard} ending`, `${shard} ended`, `${shard} given`]);
  }
  assert.ok(Math.max(...nodes.away.values()) <= 20, [...nodes.away.values()].join());
  await nodes.passes(10_000);
  assert.equal(b.events.length, HALF, 'nothing moves any more');
  await nodes.stop();
  assert.equal(nodes.time.timersPending, 0);
});

test('a shard is given away after its office has ended, however long that takes, and none beside it', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  await nodes.settle();
  const gate = Promise.withResolvers<void>();
  a.ending = gate.promise;
  const b = nodes.start('b');
  await nodes.passes(10_000);
  assert.deepEqual([a.shards.length, b.shards.length], [SHARDS - 1, 0]);
  const [ending] = a.events.filter((event) => event.endsWith(' ending'));
  // Its commits still go out.
  assert.ok(a.acts(Number(ending?.split(' ')[0])));
  a.ending = Promise.resolve();
  gate.resolve();
  await nodes.passes(2_000);
  assert.deepEqual([a.shards.length, b.shards.length], [HALF, HALF]);
  await nodes.stop();
});

test('when one of three nodes falls silent, the others share what it had within its lease', async () => {
  const nodes = new Nodes();
  const [a, b, c] = [nodes.start('a'), nodes.start('b'), nodes.start('c')];
  await nodes.passes(5_000);
  assert.deepEqual(nodes.sizes, [20, 22, 22]);
  const kept = b.shards;
  a.clock.pause();
  a.failing = true;
  nodes.away.clear();
  await nodes.passes(LEASE_MS + 20);
  assert.deepEqual([b.shards.length, c.shards.length], [HALF, HALF]);
  for (const shard of kept) assert.ok(b.acts(shard) && !nodes.away.has(shard));
  a.clock.wake();
  await nodes.settle();
  assert.deepEqual(a.shards, []);
  assert.equal(a.node.state.role, 'standby');
  a.failing = false;
  await nodes.passes(5_000);
  assert.deepEqual(nodes.sizes, [20, 22, 22]);
  await nodes.stop();
});

test('a node that is to stop acts until each of the others has read what it will have to know', async () => {
  const nodes = new Nodes();
  const [a, b, c] = [nodes.start('a'), nodes.start('b'), nodes.start('c')];
  await nodes.passes(5_000);
  const had = a.shards;
  const prepared: ShardId[] = [];
  const gate = Promise.withResolvers<void>();
  b.store.leases!.prepare = async (shard) => void prepared.push(shard);
  c.store.leases!.prepare = async (shard) => {
    await gate.promise;
    prepared.push(shard);
  };
  let isAnnounced = false;
  const announced = a.node.announceStop().then(() => {
    isAnnounced = true;
  });
  await nodes.passes(5_000);
  assert.ok(prepared.length > 0 && prepared.length < had.length);
  assert.deepEqual([a.shards, isAnnounced], [had, false]);
  gate.resolve();
  await nodes.settle();
  await announced;
  assert.deepEqual(
    prepared.toSorted((x, y) => x - y),
    had,
  );
  assert.deepEqual(a.shards, had);
  await a.node.stop();
  await nodes.settle();
  assert.deepEqual([b.shards.length, c.shards.length], [HALF, HALF]);
  await nodes.stop();
});

test('what cannot be prepared, or told, at once is tried again, and holds up nothing else', async () => {
  const nodes = new Nodes();
  const [a, b] = [nodes.start('a'), nodes.start('b')];
  await nodes.passes(5_000);
  const [cut, busy] = a.shards;
  const { leases } = b.store;
  const { ready } = leases!;
  let cuts = 0;
  leases!.prepare = async (shard) => {
    if (shard === cut && cuts++ === 0) throw new StoreError('transient', 'cut');
  };
  let calls = 0;
  leases!.ready = async (names) => {
    calls++;
    if (calls === 3) throw new StoreError('transient', 'cut');
    const left = calls < 3 ? names.filter(({ shard }) => shard === busy) : [];
    await ready(names.filter((name) => !left.includes(name)));
    return left;
  };
  let isAnnounced = false;
  const announced = a.node.announceStop().then(() => {
    isAnnounced = true;
  });
  await nodes.passes(5_000);
  assert.ok(isAnnounced && cuts > 1 && calls > 3, `${cuts} ${calls}`);
  await announced;
  await nodes.stop();
});

test('a node that is to stop does not wait for nodes that there are not, or that prepare for ever', async () => {
  for (const [others, waitedMs] of [
    [[], 0],
    [['b'], 10_000],
  ] as const) {
    const nodes = new Nodes();
    const a = nodes.start('a');
    await nodes.settle();
    for (const id of others) nodes.start(id).store.leases!.prepare = () => new Promise(() => {});
    await nodes.passes(3_000);
    const beganMs = nodes.time.monotonicMs();
    let tookMs: number | null = null;
    void a.node.announceStop().then(() => {
      tookMs = nodes.time.monotonicMs() - beganMs;
    });
    await nodes.passes(11_000);
    assert.equal(tookMs, waitedMs);
    await nodes.stop();
  }
});

test('a node that is stopped gives all at once, and its successor gets the same shards again', async () => {
  const nodes = new Nodes();
  const [a, b] = [nodes.start('a'), nodes.start('b')];
  await nodes.passes(3_000);
  const had = b.shards;
  assert.equal(had.length, HALF);
  nodes.away.clear();
  await b.node.stop();
  await nodes.settle();
  assert.equal(a.shards.length, SHARDS);
  assert.deepEqual(
    a.node.state.nodes.map(({ holder }) => holder),
    ['a'],
  );
  assert.deepEqual([...nodes.away], []);
  const again = nodes.start('b again', 'b');
  await nodes.passes(3_000);
  assert.deepEqual(again.shards, had);
  await nodes.stop();
});

test('the leases of all are renewed in one call, and each ends for itself', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  await nodes.passes(9_995);
  assert.deepEqual(a.renewals, new Array(a.renewals.length).fill(SHARDS));
  assert.ok(a.renewals.length <= 10, `${a.renewals.length} calls`);
  // A tool takes one.
  await new MemoryStore({ database: nodes.database, clock: nodes.time }).acquire([7], 'tool');
  await nodes.passes(1_100);
  const { epoch } = a.tenures.get(7)!.grant;
  assert.equal(epoch, 3, 'it has taken it again');
  assert.deepEqual(
    a.events.filter((event) => !event.endsWith(' open')),
    ['7 ending', '7 ended'],
  );
  assert.equal(a.shards.length, SHARDS);
  assert.ok(a.logger.lines.some(({ message }) => message === 'this node has lost shards'));
  // Commits of one renew nothing of the others.
  a.failing = true;
  const busy = a.tenures.get(9)!;
  for (let i = 0; i < 30; i++) {
    await nodes.passes(100);
    busy.renewed({ monotonicMs: a.clock.monotonicMs(), wallMs: a.clock.nowMs() });
  }
  assert.deepEqual(a.shards, [9]);
  assert.equal(a.node.state.role, 'active');
  await nodes.stop();
});

test('a node that cannot open shards lets the others have them, and tries again', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  a.openingFails = true;
  const b = nodes.start('b');
  await nodes.passes(100);
  assert.equal(b.shards.length, SHARDS);
  assert.equal(a.node.state.role, 'standby');
  // Alone it goes on trying.
  await b.node.stop();
  await nodes.passes(20_000);
  assert.deepEqual(a.shards, []);
  a.openingFails = false;
  await nodes.passes(LEASE_MS);
  assert.equal(a.shards.length, SHARDS);
  await nodes.stop();
});

test('a shard that is damaged is left alone for longer each time, by each node; the others live on', async () => {
  const nodes = new Nodes();
  const [a, b] = [nodes.start('a'), nodes.start('b')];
  for (const node of [a, b]) node.damaged.add(7);
  await nodes.passes(5_000);
  assert.equal(a.shards.length + b.shards.length, SHARDS - 1);
  await nodes.passes(300_000);
  assert.equal(a.shards.length + b.shards.length, SHARDS - 1);
  assert.deepEqual([a.node.state.role, b.node.state.role], ['active', 'active']);
  for (const { events, logger } of [a, b]) {
    const tries = events.filter((event) => event === '7 damaged').length;
    assert.ok(tries >= 5 && tries <= 11, `tried ${tries} times`);
    const lines = logger.lines.filter(({ level }) => level === 'error');
    const waits = lines.map(({ fields }) => fields as { readonly shard: ShardId; readonly retryMs: number });
    assert.equal(waits.length, tries);
    assert.ok(waits.every(({ shard, retryMs }) => shard === 7 && retryMs <= 60_000));
  }
  for (const node of [a, b]) node.damaged.clear();
  await nodes.passes(65_000);
  assert.equal(a.shards.length + b.shards.length, SHARDS);
  await nodes.stop();
  assert.equal(nodes.time.timersPending, 0);
});

test('a shard that is found damaged at work is lost alone, and tried again', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  await nodes.settle();
  a.losing.get(7)!.abort(new StoreError('corrupt', 'the last batch is another one'));
  await nodes.passes(LEASE_MS - 20);
  assert.deepEqual(
    a.shards,
    ALL.filter((shard) => shard !== 7),
  );
  assert.equal(a.node.holderOf(7), null);
  await nodes.passes(40);
  assert.deepEqual(a.shards, ALL);
  // What is wrong with the node itself ends it.
  a.losing.get(9)!.abort(new Error('broken'));
  await assert.rejects(a.node.ended, /broken/);
  await nodes.stop();
});

test('shards that are opened late are dealt out when they are open, not when the node looks again', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  const gate = Promise.withResolvers<void>();
  a.opening = gate.promise;
  const b = nodes.start('b');
  await nodes.passes(20);
  gate.resolve();
  await nodes.settle();
  assert.equal(nodes.time.monotonicMs(), 20);
  await nodes.passes(LEASE_MS / 10);
  assert.deepEqual([a.shards.length, b.shards.length], [HALF, HALF]);
  await nodes.stop();
});

test('what the node that should have it does not come for is taken after a lease', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  await nodes.settle();
  // One that says that it is there, and does nothing.
  const ghost = new MemoryStore({ database: nodes.database, clock: nodes.time }).leases!;
  const claim = { holder: 'ghost', address: 'ghost:3999', leaseMs: LEASE_MS };
  await ghost.look(claim);
  const present = setImmediateForever(() => void ghost.look(claim));
  await nodes.passes(LEASE_MS - 100);
  assert.equal(a.shards.length, SHARDS - 1);
  assert.equal(nodes.away.size, 1);
  const [[given]] = [...nodes.away] as [[ShardId, number]];
  await nodes.passes(300);
  assert.ok(a.shards.includes(given));
  present();
  await nodes.stop();
});

test('what verbs have changed of the whole server reaches every node with its next look', async () => {
  const nodes = new Nodes();
  const [a, b] = [nodes.start('a'), nodes.start('b')];
  await nodes.passes(3_000);
  const owner = a.acts(0) ? a : b;
  const { shard, epoch } = owner.tenures.get(0)!.grant;
  const act = { verb: 'pause', detail: 'manual', atMs: 5, by: 'me', reason: null } as const;
  const control = withPause(NO_SCOPE_CONTROL, 'manual', act)!;
  const mutation = { kind: 'scope_control', scope: SERVER_SCOPE, control } as const;
  await owner.store.commit({ shard, epoch, seq: 1, mutations: [mutation] });
  await nodes.passes(LEASE_MS / 3);
  assert.deepEqual([a.server, b.server], [control, control]);
  await nodes.stop();
});

/** Calls it at every turn until what it returns is called. */
function setImmediateForever(run: () => void): () => void {
  let isOn = true;
  const again = () => {
    if (!isOn) return;
    run();
    setImmediate(again);
  };
  again();
  return () => {
    isOn = false;
  };
}
