import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Office, QueueNode } from '../../src/node/queue-node.ts';
import { Queue } from '../../src/queue/queue.ts';
import { checkedSettings } from '../../src/server/settings.ts';
import { StoreError } from '../../src/store/errors.ts';
import type { StoreLeases, Tenure } from '../../src/store/lease.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { seededRandom } from '../../src/system/random.ts';
import { sleep } from '../../src/system/time/clock.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { newSubmission } from '../support/queues/queue-world.ts';
import { flakyLeases } from '../support/store/flaky-leases.ts';
import { ManualClock } from '../support/time/manual-clock.ts';
import { PausingClock } from '../support/time/pausing-clock.ts';

const LEASE_MS = 3_000;

/** Nodes with a queue each, on one database, in time that the test lets pass. */
class Nodes {
  readonly time = new ManualClock();
  readonly database = new MemoryDatabase();
  /** How the store of each node fails at the moment. */
  readonly failing = new Set<string>();
  /** Whether the database waits for its standby: it reads, and confirms nothing that is written. */
  isStalled = false;
  readonly all = new Map<string, TestNode>();

  start(id: string): TestNode {
    const node = new TestNode(this, id);
    this.all.set(id, node);
    return node;
  }

  async settle(): Promise<void> {
    for (let i = 0; i < 10; i++) await new Promise((resolve) => setImmediate(resolve));
  }

  async passes(ms: number): Promise<void> {
    await this.settle();
    for (let i = 0; i < ms; i += 10) {
      this.time.advance(10);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await this.settle();
  }
}

class TestNode {
  readonly clock: PausingClock;
  readonly store: MemoryStore;
  readonly node: QueueNode;
  readonly logger = recordingLogger();
  queue: Queue | null = null;
  tenure: Tenure | null = null;
  openingFails: StoreError | null = null;

  constructor(nodes: Nodes, id: string) {
    this.clock = new PausingClock(nodes.time);
    const inner = new MemoryStore({ database: nodes.database, clock: nodes.time });
    const base = inner.leases!;
    // What is waited for in vain takes place all the same: only its answer does not come.
    const written = async <T>(write: () => Promise<T>): Promise<T> => {
      const answer = await write();
      if (!nodes.isStalled) return answer;
      await sleep(this.clock, 1_000);
      throw new StoreError('transient', 'no answer for 1000 ms');
    };
    const slow: StoreLeases = {
      ...flakyLeases(base, () => false),
      look: (node, renew = []) => {
        const look = () => base.look(node, renew);
        return renew.length > 0 ? written(look) : look();
      },
      proveCommit: () => written(() => base.proveCommit()),
      take: (free, claim) => written(() => base.take(free, claim)),
    };
    const leases = flakyLeases(slow, () => nodes.failing.has(id));
    this.store = Object.assign(inner, { leases });
    const { clock, logger, store } = this;
    const random = seededRandom(1);
    this.node = new QueueNode({
      store,
      shards: [0],
      id,
      address: `${id}:3999`,
      leaseMs: LEASE_MS,
      clock,
      random,
      logger,
      open: async (tenure): Promise<Office> => {
        if (this.openingFails !== null) throw this.openingFails;
        const queue = await Queue.open({ ...checkedSettings({}), store, clock, random, logger, tenure });
        this.queue = queue;
        this.tenure = tenure;
        return { lost: queue.lost, stop: async () => void (await queue.stop(1_000)) };
      },
    });
  }

  get role(): string {
    return this.node.state.role;
  }

  get epoch(): number | undefined {
    return this.node.state.shards.get(0)?.epoch;
  }
}

test('one of two nodes becomes active; when it falls silent, the other takes over within its lease, with all that was done', async () => {
  const nodes = new Nodes();
  const [a, b] = [nodes.start('a'), nodes.start('b')];
  await nodes.settle();
  assert.deepEqual([a.role, b.role], ['active', 'standby']);
  assert.deepEqual(b.node.holderOf(0), { holder: 'a', address: 'a:3999' });
  assert.equal(a.node.holderOf(0), 'here');
  const inserted = a.queue!.inserts.insert(newSubmission({ prefix: 'p', chunksTotal: 3 }));
  await nodes.settle();
  const id = await inserted;
  await nodes.passes(20_000);
  assert.deepEqual([a.role, b.role], ['active', 'standby']);
  // As a process that is killed.
  a.clock.pause();
  nodes.failing.add('a');
  await nodes.passes(LEASE_MS + 20);
  assert.equal(b.role, 'active');
  assert.equal(b.epoch, 2);
  assert.equal(b.node.takeovers, 1);
  assert.equal((await b.queue!.reads.status('', id))?.state, 'in_progress');
  const next = b.queue!.inserts.insert(newSubmission({ prefix: 'q', chunksTotal: 1 }));
  await nodes.settle();
  assert.ok((await next) > id);
  await Promise.all([a.node.stop(), b.node.stop()]);
});

test('a node that wakes after its lease takes nothing and says nothing, whatever comes first', async () => {
  const nodes = new Nodes();
  const [a, b] = [nodes.start('a'), nodes.start('b')];
  await nodes.settle();
  a.clock.pause();
  await nodes.passes(10_000);
  assert.equal(b.role, 'active');
  const zombie = a.queue!;
  // Before any of its timers: a request.
  const request = zombie.inserts.insert(newSubmission({ prefix: 'late', chunksTotal: 1 }));
  await assert.rejects(request, { code: 'QUEUE_UNAVAILABLE' });
  assert.ok(zombie.lost.aborted && !zombie.isReady);
  a.clock.wake();
  await nodes.settle();
  assert.equal(a.role, 'standby');
  assert.deepEqual(a.node.holderOf(0), { holder: 'b', address: 'b:3999' });
  assert.deepEqual(await b.store.idsByPrefix(['late']), [null]);
  await Promise.all([a.node.stop(), b.node.stop()]);
});

test('a commit that was under way when the process was paused is neither acknowledged nor handed out', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  await nodes.settle();
  const gate = Promise.withResolvers<void>();
  const commit = a.store.commit.bind(a.store);
  a.store.commit = async (batch) => {
    const result = await commit(batch);
    await gate.promise;
    return result;
  };
  const request = a.queue!.inserts.insert(newSubmission({ prefix: 'p', chunksTotal: 1 }));
  request.catch(() => {});
  await nodes.settle();
  a.clock.pause();
  const b = nodes.start('b');
  await nodes.passes(10_000);
  gate.resolve();
  await assert.rejects(request, { code: 'QUEUE_UNAVAILABLE' });
  assert.equal(a.queue!.counts.submissionsOpen, 0);
  assert.equal(b.queue!.counts.submissionsOpen, 1);
  a.clock.wake();
  await Promise.all([a.node.stop(), b.node.stop()]);
});

test('an orderly stop gives the lease away: the other node is active without waiting', async () => {
  const nodes = new Nodes();
  const [a, b] = [nodes.start('a'), nodes.start('b')];
  await nodes.settle();
  const inserting = a.queue!.inserts.insert(newSubmission({ prefix: 'p', chunksTotal: 1 }));
  await a.node.stop();
  await nodes.settle();
  assert.equal(b.role, 'active');
  const id = await inserting;
  assert.equal((await b.queue!.reads.status('', id))?.state, 'in_progress');
  assert.equal(nodes.time.monotonicMs(), 0);
  await b.node.stop();
});

test('a node that cannot renew gives up in time, and is active again once it can', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  await nodes.settle();
  nodes.failing.add('a');
  await nodes.passes(2_500);
  assert.equal(a.role, 'active');
  await nodes.passes(500);
  assert.equal(a.role, 'standby');
  assert.equal(a.node.holderOf(0), null);
  nodes.failing.delete('a');
  await nodes.passes(2_000);
  assert.deepEqual([a.role, a.epoch, a.node.takeovers], ['active', 2, 2]);
  await a.node.stop();
});

test('a database that confirms no commit is one line in the log, and another one when it does', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  await nodes.passes(1_000);
  const lines = () =>
    a.logger.lines.flatMap(({ message }) => (/lease|commit/.test(message) ? message.replace(/:.*/, '') : []));
  const before = lines().length;
  nodes.isStalled = true;
  await nodes.passes(60_000);
  assert.deepEqual([a.role, a.node.holderOf(0)], ['standby', null]);
  assert.match(
    a.node.state.reason!,
    /does not confirm a commit.*standby may be gone \(no answer for 1000 ms\)/,
  );
  const since = a.node.state.reasonSinceMs!;
  assert.ok(since < nodes.time.nowMs() - 50_000, `since ${since}`);
  nodes.isStalled = false;
  await nodes.passes(2_000);
  assert.deepEqual([a.role, a.node.state.reason, a.node.state.reasonSinceMs], ['active', null, null]);
  assert.deepEqual(lines().slice(before), [
    'cannot look at the leases, trying again',
    'the database answers, but does not confirm a commit',
    'leases can be taken and renewed again',
    'this node has leases and is active',
  ]);
  await a.node.stop();
});

test('nodes that see in the database what nobody has confirmed have one line each for that, and no trouble afterwards', async () => {
  const nodes = new Nodes();
  const all = [nodes.start('a'), nodes.start('b')];
  await nodes.passes(1_000);
  const linesOf = ({ logger }: TestNode) =>
    logger.lines.flatMap(({ message }) => (/confirm|again$/.test(message) ? message.replace(/:.*/, '') : []));
  const before = all.map((node) => linesOf(node).length);
  nodes.isStalled = true;
  await nodes.passes(60_000);
  for (const { node, role } of all) {
    assert.equal(role, 'standby');
    assert.match(node.state.reason!, /does not confirm a commit/);
  }
  nodes.isStalled = false;
  await nodes.passes(2_000);
  assert.deepEqual(all.map(({ role }) => role).toSorted(), ['active', 'standby']);
  for (const [i, each] of all.entries()) {
    assert.deepEqual([each.node.state.reason, each.node.state.reasonSinceMs], [null, null]);
    const lines = linesOf(each).slice(before[i]);
    assert.deepEqual(
      lines.filter((line) => !line.startsWith('cannot look')),
      ['the database answers, but does not confirm a commit', 'leases can be taken and renewed again'],
    );
    await each.node.stop();
  }
});

test('a node without leases has one line for a database that confirms nothing, and one for one that is gone', async () => {
  const nodes = new Nodes();
  nodes.isStalled = true;
  const a = nodes.start('a');
  await nodes.passes(20_000);
  nodes.failing.add('a');
  await nodes.passes(5_000);
  nodes.failing.delete('a');
  await nodes.passes(5_000);
  nodes.isStalled = false;
  await nodes.passes(1_000);
  nodes.failing.add('a');
  await nodes.passes(20_000);
  nodes.failing.delete('a');
  await nodes.passes(1_000);
  const lines = a.logger.lines.flatMap(({ message }) =>
    /look|confirm|again/.test(message) ? message.replace(/:.*/, '') : [],
  );
  assert.deepEqual(lines, [
    'the database answers, but does not confirm a commit',
    'leases can be taken and renewed again',
    'cannot look at the leases, trying again',
    'the leases can be looked at again',
  ]);
  await a.node.stop();
});

test('a node that cannot open the queue lets another one try', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  a.openingFails = new StoreError('transient', 'cannot be read');
  const b = nodes.start('b');
  await nodes.passes(1_100);
  assert.deepEqual([a.role, b.role], ['standby', 'active']);
  await Promise.all([a.node.stop(), b.node.stop()]);
});

test('a node that is to stop while it still loads the queue gives its lease away at once', async () => {
  const nodes = new Nodes();
  const a = nodes.start('a');
  const gate = Promise.withResolvers<void>();
  const load = a.store.load.bind(a.store);
  a.store.load = async function* (shards) {
    await gate.promise;
    yield* load(shards);
  };
  const b = nodes.start('b');
  await nodes.settle();
  const stopped = a.node.stop();
  await nodes.settle();
  assert.equal(b.role, 'active');
  assert.equal(nodes.time.monotonicMs(), 0);
  gate.resolve();
  await stopped;
  assert.deepEqual([a.role, a.node.takeovers], ['stopped', 0]);
  await b.node.stop();
});

test('a queue that is broken ends its node, which gives the lease away', async () => {
  const nodes = new Nodes();
  const [a, b] = [nodes.start('a'), nodes.start('b')];
  await nodes.settle();
  a.queue!.giveUp(new Error('broken'));
  await assert.rejects(a.node.ended, /broken/);
  await nodes.settle();
  assert.equal(b.role, 'active');
  await b.node.stop();
});

test('a node that stops while it stands by leaves nothing behind', async () => {
  const nodes = new Nodes();
  const [a, b] = [nodes.start('a'), nodes.start('b')];
  await nodes.settle();
  await b.node.stop();
  assert.equal(b.role, 'stopped');
  assert.deepEqual([...nodes.database.nodes.keys()], ['a']);
  assert.equal(nodes.database.leaseListeners.size, 1);
  await a.node.stop();
  assert.equal(nodes.database.leaseListeners.size, 0);
  assert.equal(nodes.time.timersPending, 0);
});
