import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NO_SCOPE_CONTROL, SERVER_SCOPE, withPause } from '../../src/model/control.ts';
import type { ShardId } from '../../src/model/ids.ts';
import { SHARDS } from '../../src/model/shard.ts';
import { StoreError } from '../../src/store/errors.ts';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import { ALL, HALF, LEASE_MS, Nodes, slowHandOver, type TestNode } from './nodes.ts';

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

test('what happens to many shards is a few lines in the log', async () => {
  const nodes = new Nodes();
  const [a, b] = [nodes.start('a'), nodes.start('b')];
  const of = ({ logger }: TestNode, message: string) =>
    logger.lines
      .filter((line) => line.level !== 'debug' && line.message === message)
      .map(({ fields }) => (fields as { readonly shards: readonly ShardId[] }).shards);
  await nodes.passes(10_000);
  const takes = of(b, 'this node takes shards that no other one has');
  assert.deepEqual(
    takes.flat().toSorted((x, y) => x - y),
    b.shards,
  );
  assert.ok(takes.length <= 4, `${takes.length} lines`);
  // The leases of b end one after the other, and a cannot open what it takes then.
  for (const tenure of b.tenures.values()) {
    const { shard } = tenure.grant;
    tenure.renewed({ monotonicMs: b.clock.monotonicMs() + shard * 5, wallMs: b.clock.nowMs() + shard * 5 });
  }
  b.failing = true;
  const before = b.shards;
  a.openingFails = true;
  await nodes.passes(30_000);
  const lost = [...of(b, 'this node has lost shards'), ...of(b, 'this node is not active any more')];
  assert.deepEqual(
    lost.flat().toSorted((x, y) => x - y),
    before,
  );
  assert.ok(lost.length <= 3, `${lost.length} lines`);
  assert.deepEqual(of(a, 'cannot open shards, trying again'), [before]);
  const takenBefore = of(a, 'this node takes shards that no other one has');
  assert.ok(takenBefore.length <= 3, `${takenBefore.length} lines`);
  a.openingFails = false;
  await nodes.passes(10_000);
  assert.equal(a.shards.length, SHARDS);
  const takenNow = of(a, 'this node takes shards that no other one has').slice(takenBefore.length);
  assert.deepEqual(
    takenNow.flat().toSorted((x, y) => x - y),
    before,
  );
  await nodes.stop();
});

test('a shard is given away after its office has ended, however long that takes, and none beside it', async () => {
  const { nodes, a, b, gate } = await slowHandOver();
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
  const takes = a.logger.lines.filter(({ message }) => message.startsWith('this node takes shards'));
  assert.deepEqual(takes.at(-1)?.fields, { shards: [7] });
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

test('a shard that its own node cannot open, but another one can, stays there for longer each time', async () => {
  const nodes = new Nodes();
  const [a, b] = [nodes.start('a'), nodes.start('b')];
  await nodes.passes(3_000);
  const [shard = assert.fail()] = a.shards;
  a.failingShards.add(shard);
  const tried = () => a.events.filter((event) => event === `${shard} fails`).length;
  // A tool takes it.
  await b.store.acquire([shard], 'a tool');
  await nodes.passes(LEASE_MS / 3 + 20);
  assert.equal(tried(), 1);
  assert.ok(b.acts(shard));
  assert.deepEqual([a.shards.length, b.shards.length, a.node.state.role], [HALF - 1, HALF + 1, 'active']);
  nodes.away.clear();
  await nodes.passes(120_000);
  assert.ok(tried() >= 2 && tried() <= 6, `${tried()} times`);
  for (const each of nodes.away.keys()) assert.equal(each, shard, 'the others stay where they are');
  a.failingShards.clear();
  await nodes.passes(70_000);
  assert.deepEqual([a.shards.length, b.shards.length], [HALF, HALF]);
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

test('what is free for long is not looked at all the time by a node that may not take it', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  const { look } = a.store.leases!;
  let looks = 0;
  a.store.leases!.look = async (...args) => {
    looks++;
    return { ...(await look(...args)), reason: 'a newer version has written it' };
  };
  await nodes.passes(4 * LEASE_MS);
  assert.deepEqual(a.shards, []);
  assert.ok(looks <= 20, `${looks} looks`);
  await nodes.stop();
});

test('what the node that should have it does not come for is taken after a lease', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  await nodes.settle();
  // One that says that it is there and ready, and does nothing.
  const ghost = new MemoryStore({ database: nodes.database, clock: nodes.time }).leases!;
  const claim = { holder: 'ghost', address: 'ghost:3999', leaseMs: LEASE_MS };
  const { leases } = await ghost.look(claim);
  await ghost.ready(leases);
  const present = setImmediateForever(() => void ghost.look(claim));
  try {
    await nodes.passes(LEASE_MS - 100);
    assert.equal(a.shards.length, SHARDS - 1);
    assert.equal(nodes.away.size, 1);
    const [[given]] = [...nodes.away] as [[ShardId, number]];
    await nodes.passes(300);
    assert.ok(a.shards.includes(given));
  } finally {
    present();
  }
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
