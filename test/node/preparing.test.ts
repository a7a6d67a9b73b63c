import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ShardId } from '../../src/model/ids.ts';
import { StoreError } from '../../src/store/errors.ts';
import { ALL, HALF, LEASE_MS, Nodes, slowHandOver, type TestNode } from './nodes.ts';

const inOrder = (shards: Iterable<ShardId>) => [...shards].sort((x, y) => x - y);

test('a node that is to stop acts until each of the others has read what it will have to know', async () => {
  const nodes = new Nodes();
  const [a, b, c] = [nodes.start('a'), nodes.start('b'), nodes.start('c')];
  await nodes.passes(5_000);
  const had = a.shards;
  const prepared: ShardId[] = [];
  const gate = Promise.withResolvers<void>();
  b.prepare = async (shard) => void prepared.push(shard);
  c.prepare = async (shard) => {
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
  assert.ok(a.logger.lines.some(({ message }) => message === 'other nodes can take over'));
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
  b.prepare = async (shard) => {
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
    for (const id of others) nodes.start(id).prepare = () => new Promise(() => {});
    await nodes.passes(3_000);
    const beganMs = nodes.time.monotonicMs();
    let tookMs: number | null = null;
    void a.node.announceStop().then(() => {
      tookMs = nodes.time.monotonicMs() - beganMs;
    });
    await nodes.passes(11_000);
    assert.equal(tookMs, waitedMs);
    const lines = a.logger.lines.flatMap(({ message }) =>
      /take over|stopping/.test(message) ? message : [],
    );
    const late = 'stopping although other nodes are not ready: their queues open later';
    assert.deepEqual(lines, waitedMs === 0 ? [] : [late]);
    await nodes.stop();
  }
});

/** What it has prepared and not dropped, and how often it has begun to. */
function watchPreparing(node: TestNode) {
  const kept = new Set<ShardId>();
  const watched = { kept, begun: 0 };
  node.prepare = async (shard, dropped) => {
    watched.begun++;
    kept.add(shard);
    dropped.addEventListener('abort', () => kept.delete(shard), { once: true });
  };
  return watched;
}

test('what a silent node has is prepared by those who will take it, before its leases are over', async () => {
  const nodes = new Nodes();
  const [a, b, c] = [nodes.start('a'), nodes.start('b'), nodes.start('c')];
  await nodes.passes(5_000);
  const had = a.shards;
  const [byB, byC] = [watchPreparing(b), watchPreparing(c)];
  await nodes.passes(LEASE_MS);
  assert.deepEqual([byB.begun, byC.begun], [0, 0], 'nobody is silent who renews');
  a.clock.pause();
  a.failing = true;
  await nodes.passes(LEASE_MS / 2 + 20);
  assert.deepEqual(inOrder([...byB.kept, ...byC.kept]), had);
  assert.ok(byB.kept.size > 0 && byC.kept.size > 0);
  const [ofB, ofC] = [[...byB.kept], [...byC.kept]];
  await nodes.passes(LEASE_MS / 2);
  for (const shard of ofB) assert.ok(b.acts(shard));
  for (const shard of ofC) assert.ok(c.acts(shard));
  assert.equal(byB.begun + byC.begun, had.length, 'each by one, and once');
  a.clock.wake();
  await nodes.stop();
});

test('what was prepared is dropped when its node turns out to be well, and that node is believed for longer each time', async () => {
  const nodes = new Nodes();
  const [a, b] = [nodes.start('a'), nodes.start('b')];
  await nodes.passes(5_000);
  const preparing = watchPreparing(b);
  const falls = async () => {
    const { begun } = preparing;
    a.failing = true;
    await nodes.passes(LEASE_MS * 0.7);
    const isPrepared = preparing.begun > begun;
    assert.equal(preparing.kept.size, isPrepared ? HALF : 0);
    a.failing = false;
    await nodes.passes(LEASE_MS * 0.8);
    assert.deepEqual([preparing.kept.size, a.shards.length], [0, HALF]);
    return isPrepared;
  };
  const alarms: number[] = [];
  for (let i = 0; i < 12; i++) if (await falls()) alarms.push(i);
  const between = alarms.slice(1).map((round, i) => round - alarms[i]!);
  assert.ok(between.length >= 2, alarms.join());
  for (const [i, rounds] of between.slice(1).entries()) assert.ok(rounds >= between[i]!, alarms.join());
  assert.ok(between.at(-1)! > between[0]!, alarms.join());
  await nodes.stop();
});

test('what was prepared for a shard that another node has in the end is dropped', async () => {
  const nodes = new Nodes();
  const [a, b] = [nodes.start('a'), nodes.start('b')];
  await nodes.passes(5_000);
  const had = a.shards;
  const preparing = watchPreparing(b);
  const announced = a.node.announceStop();
  await nodes.settle();
  await announced;
  assert.deepEqual(inOrder(preparing.kept), had);
  const [shard = assert.fail()] = had;
  await b.store.acquire([shard], 'a tool');
  await nodes.passes(LEASE_MS / 3 + 10);
  assert.ok(!preparing.kept.has(shard) || b.acts(shard));
  await a.node.stop();
  await nodes.passes(100);
  assert.deepEqual([...preparing.kept], []);
  assert.deepEqual(b.shards, ALL);
  await nodes.stop();
});

test('what a node has too many of is given when the one that should have it is ready, or after a while', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  await nodes.settle();
  const b = nodes.start('b');
  const gates = new Map<ShardId, PromiseWithResolvers<void>>();
  b.prepare = (shard) => {
    const gate = Promise.withResolvers<void>();
    gates.set(shard, gate);
    return gate.promise;
  };
  await nodes.passes(5_000);
  assert.deepEqual([a.shards.length, b.shards.length, gates.size], [ALL.length, 0, HALF]);
  for (const { resolve } of gates.values()) resolve();
  await nodes.passes(1_000);
  assert.deepEqual(b.shards, inOrder(gates.keys()));
  await b.node.stop();
  const deaf = nodes.start('deaf');
  deaf.prepare = () => new Promise(() => {});
  await nodes.passes(9_000);
  assert.deepEqual(deaf.shards, []);
  await nodes.passes(3_000);
  assert.deepEqual([a.shards.length, deaf.shards.length], [HALF, HALF]);
  await nodes.stop();
});

test('what was prepared is kept for as long as its shard is to be taken, and not for ever when it is free', async () => {
  const { nodes, a, b, gate } = await slowHandOver();
  const preparing = watchPreparing(b);
  await nodes.passes(45_000);
  assert.deepEqual([b.shards.length, preparing.kept.size, preparing.begun], [0, HALF, HALF]);
  gate.resolve();
  await nodes.passes(1_000);
  assert.deepEqual([b.shards.length, preparing.begun], [HALF, HALF]);

  a.clock.pause();
  a.failing = true;
  await nodes.passes(LEASE_MS / 2 + 20);
  assert.equal(preparing.kept.size, HALF);
  b.store.leases!.take = async () => [];
  await nodes.passes(20_000);
  assert.deepEqual([b.shards.length, preparing.kept.size], [HALF, HALF]);
  await nodes.passes(15_000);
  assert.equal(preparing.kept.size, 0);
  a.clock.wake();
  await nodes.stop();
});

test('what cannot be prepared again and again is tried less and less often', async () => {
  const { nodes, b, gate } = await slowHandOver();
  const triesMs = new Map<ShardId, number[]>();
  b.prepare = async (shard) => {
    triesMs.set(shard, [...(triesMs.get(shard) ?? []), nodes.time.monotonicMs()]);
    throw new StoreError('transient', 'cut');
  };
  await nodes.passes(60_000);
  assert.equal(triesMs.size, HALF);
  for (const times of triesMs.values()) {
    const between = times.slice(1).map((ms, i) => ms - times[i]!);
    assert.ok(between.length >= 3 && between.length <= 5, between.join());
    for (const [i, ms] of between.entries()) assert.ok(ms >= LEASE_MS * 2 ** i, between.join());
  }
  gate.resolve();
  await nodes.stop();
});
