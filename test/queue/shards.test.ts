import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type ShardId, submissionIdShard } from '../../src/model/ids.ts';
import { shardOfQueue } from '../../src/model/shard.ts';
import type { Change, VerbAnswer, VerbTarget } from '../../src/model/verbs.ts';
import { StoreError } from '../../src/store/errors.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { faultyStore } from '../support/store/faulty-store.ts';
import { gatedStore, withCommit } from '../support/store/gated-store.ts';

const shardOf = shardOfQueue;
const [UNNAMED, IMAGES, BILLS] = ['', 'images', 'bills'].map(shardOf) as [ShardId, ShardId, ShardId];
const PAUSE = { verb: 'pause', cause: 'manual' } as const;
const ALL = { kind: 'matching', metadata: new Map(), state: 'open', queue: null } as const;
const NOT_HERE = { code: 'QUEUE_UNAVAILABLE', message: /is not looked after by this node/ };

function sharedStore(database = new MemoryDatabase()): MemoryStore {
  return new MemoryStore({ database, clock: systemClock });
}

/** Nodes on one database. */
async function nodes(...shards: (readonly number[])[]): Promise<readonly QueueWorld[]> {
  const database = new MemoryDatabase();
  return Promise.all(
    shards.map((each) => QueueWorld.withShards(each, { store: sharedStore(database), shardOf })),
  );
}

function run(world: QueueWorld, target: VerbTarget, change: Change = PAUSE): Promise<VerbAnswer> {
  const request = { change, target, by: 'ann@host', reason: null, isDryRun: false, expected: null };
  return world.queue.verbs.run(request);
}

const namesInUse = (world: QueueWorld) => world.queue.inUse.map(({ name }) => name);

const consumerOf = (world: QueueWorld, queueName: string) => world.consumer(undefined, { queueName });

const prefixesTaken = (world: QueueWorld, queueName: string) => {
  const consumer = world.consumer(undefined, { queueName });
  const prefixes = consumer.take(10).map(({ submission }) => submission.prefix);
  consumer.disconnect(true);
  return prefixes;
};

test('what is inserted has ids of the shard of its queue, and is written as one of its batches', async () => {
  const [world = assert.fail()] = await nodes([UNNAMED, IMAGES, BILLS]);
  const ids = await Promise.all(
    ['', 'images', 'bills', 'images'].map((queue, i) => world.insert(`p${i}`, 1, { queue })),
  );
  assert.deepEqual(ids.map(submissionIdShard), [UNNAMED, IMAGES, BILLS, IMAGES]);
  await world.insert('again', 1, { queue: 'images' });
  const lastSeqs = await Promise.all([UNNAMED, IMAGES, BILLS].map((shard) => world.store.lastSeq(shard)));
  assert.deepEqual(lastSeqs, [1, 2, 1]);
  assert.deepEqual(prefixesTaken(world, 'images'), ['p1', 'p3', 'again']);
});

test('shards that are opened together read once what verbs have changed', async () => {
  const store = sharedStore();
  let reads = 0;
  const read = store.scopeControls.bind(store);
  store.scopeControls = () => {
    reads++;
    return read();
  };
  const world = await QueueWorld.withShards([], { store, shardOf });
  await Promise.all(Array.from({ length: 64 }, (_, shard) => world.takeShard(shard)));
  assert.ok(world.queue.shardFor('images')?.isReady);
  assert.ok(reads >= 1 && reads <= 3, `${reads} reads`);
  const loads = world.log.filter(({ message }) => message === 'open submissions are loaded');
  assert.deepEqual([loads.length, loads.filter(({ level }) => level !== 'debug')], [64, []]);
});

test('a queue whose shard another node has is none of this one', async () => {
  const [a = assert.fail(), b = assert.fail()] = await nodes([UNNAMED, IMAGES], [BILLS]);
  const id = await b.insert('b', 1, { queue: 'bills' });
  assert.deepEqual([namesInUse(a), namesInUse(b)], [[''], ['bills']]);
  await assert.rejects(a.insert('a', 1, { queue: 'bills' }), NOT_HERE);
  assert.throws(() => a.queue.consumersOf('bills'), NOT_HERE);
  await assert.rejects(run(a, { kind: 'queue', queue: 'bills' }), NOT_HERE);
  await assert.rejects(run(a, { kind: 'submissions', ids: [id], queue: null }), NOT_HERE);
  await assert.rejects(run(b, { kind: 'server' }), NOT_HERE);
  // What is on disk can be read anywhere.
  assert.equal(await a.stateOf(id, 'bills'), 'in_progress');
});

test('a shard that another node takes is lost alone', async () => {
  const [a = assert.fail(), b = assert.fail()] = await nodes([IMAGES, BILLS], []);
  for (const queue of ['images', 'bills']) await a.insert(queue, 3, { queue });
  const [image, bill] = ['images', 'bills'].map((queueName) => a.consumer(undefined, { queueName }));
  for (const consumer of [image, bill]) assert.equal(consumer?.take().length, 1);
  const lost = a.queue.shardFor('images');
  await b.takeShard(IMAGES);
  await assert.rejects(a.insert('late', 1, { queue: 'images' }), { code: 'QUEUE_UNAVAILABLE' });
  assert.deepEqual([lost?.lost.aborted, lost?.isReady, a.queue.lost.aborted], [true, false, false]);
  await assert.rejects(a.insert('later', 1, { queue: 'images' }), { code: 'QUEUE_UNAVAILABLE' });
  assert.throws(() => a.queue.consumersOf('images'), { code: 'QUEUE_UNAVAILABLE' });
  assert.deepEqual(image?.take(), [], 'nothing is handed out by who has lost it');
  assert.equal(bill?.take().length, 1);
  await a.insert('more', 1, { queue: 'bills' });
  assert.equal(await lost?.stop(1_000), false);
  assert.deepEqual(namesInUse(a), ['bills']);
  image?.disconnect();
  assert.deepEqual(prefixesTaken(b, 'images'), ['images', 'images', 'images']);
  a.queue.checkInvariants();
});

test('a shard that was prepared while another node had it is opened as it is stored by then', async () => {
  const [a = assert.fail(), b = assert.fail()] = await nodes([IMAGES], []);
  const queue = 'images';
  const ids: bigint[] = [];
  for (let i = 0; i < 12; i++) ids.push(await a.insert(`p${i}`, 2, { queue }));
  await b.queue.prepareShard(IMAGES, new AbortController().signal);
  assert.deepEqual([namesInUse(b), b.queue.counts.submissionsOpen], [[], 0]);
  const consumer = a.consumer(undefined, { queueName: queue });
  for (const { chunk } of consumer.take(3)) consumer.complete(chunk);
  await a.insert('late', 1, { queue });
  await run(a, { kind: 'submissions', ids: [ids[5]!], queue });
  await a.stop();
  b.store.load = () => assert.fail('it was read before');
  await b.takeShard(IMAGES);
  b.queue.checkInvariants();
  assert.ok(
    b.log.some(({ level, message }) => level === 'info' && message === 'open submissions are loaded'),
  );
  const { submissionsOpen, submissionsPaused, chunksAvailable } = b.queue.counts;
  assert.deepEqual([submissionsOpen, submissionsPaused, chunksAvailable], [12, 1, 20]);
  const inOrder = ['p1', ...[2, 3, 4, 6, 7, 8].flatMap((i) => [`p${i}`, `p${i}`])];
  assert.deepEqual(
    consumerOf(b, queue)
      .take(13)
      .map(({ submission }) => submission.prefix),
    inOrder,
  );
});

test('what was prepared is not used when it was dropped, or could not be read', async () => {
  for (const isCut of [false, true]) {
    const [a = assert.fail(), b = assert.fail()] = await nodes([IMAGES], []);
    await a.insert('p', 2, { queue: 'images' });
    const prepare = b.store.prepare!.bind(b.store);
    let reads = 0;
    b.store.prepare = (shard) => ({
      async *read() {
        reads++;
        if (isCut) throw new StoreError('transient', 'cut');
        yield* prepare(shard).read();
      },
      changed: () => assert.fail('it is not used'),
    });
    const dropped = new AbortController();
    const prepared = b.queue.prepareShard(IMAGES, dropped.signal);
    if (isCut) await assert.rejects(prepared, { message: 'cut' });
    else await prepared;
    dropped.abort();
    await b.takeShard(IMAGES);
    assert.equal(reads, 1);
    assert.deepEqual(prefixesTaken(b, 'images'), ['p', 'p']);
  }
});

test('a shard that is stopped while what was prepared is still being read is read no further', async () => {
  const [a = assert.fail(), b = assert.fail()] = await nodes([IMAGES], []);
  for (let i = 0; i < 12; i++) await a.insert(`p${i}`, 1, { queue: 'images' });
  const prepare = b.store.prepare!.bind(b.store);
  const gate = Promise.withResolvers<void>();
  let reads = 0;
  b.store.prepare = (shard) => ({
    async *read() {
      for await (const block of prepare(shard).read()) {
        reads++;
        yield block;
        await gate.promise;
      }
    },
    changed: () => assert.fail('it is not used'),
  });
  const prepared = b.queue.prepareShard(IMAGES, new AbortController().signal);
  await a.stop();
  const opened = assert.rejects(b.takeShard(IMAGES), { code: 'QUEUE_UNAVAILABLE' });
  await b.settle();
  await b.queue.stop(0);
  gate.resolve();
  await opened;
  await assert.rejects(prepared, { code: 'QUEUE_UNAVAILABLE' });
  assert.equal(reads, 2);
});

test('a lease that is over ends its shard, and no other one', async () => {
  const [world = assert.fail()] = await nodes([IMAGES, BILLS]);
  const [grant = assert.fail()] = await world.store.acquire([UNNAMED], 'world');
  const ended = new AbortController();
  const tenure = { grant, isOn: () => !ended.signal.aborted, ended: ended.signal, renewed: () => {} };
  const shard = await world.queue.openShard(tenure);
  await world.insert('a', 1);
  const consumer = world.consumer();
  ended.abort(new StoreError('fenced', 'the lease was not renewed'));
  consumer.reserve();
  assert.deepEqual(consumer.takeChunks(), []);
  assert.equal(shard.mayAnswer(), false);
  assert.equal(await shard.stop(1_000), false);
  await assert.rejects(world.insert('b', 1), NOT_HERE);
  await world.insert('c', 1, { queue: 'bills' });
});

test('a shard whose journal finds it damaged is lost alone, and the log names its queues', async () => {
  const store = sharedStore();
  const commit = store.commit.bind(store);
  let isDamaged = false;
  store.commit = (batch) =>
    isDamaged && batch.shard === IMAGES
      ? Promise.reject(new StoreError('corrupt', 'a page has a wrong checksum'))
      : commit(batch);
  const world = await QueueWorld.withShards([IMAGES, BILLS], { store, shardOf });
  await world.insert('a', 1, { queue: 'images' });
  isDamaged = true;
  const shard = world.queue.shardFor('images');
  await assert.rejects(world.insert('b', 1, { queue: 'images' }), { code: 'QUEUE_UNAVAILABLE' });
  assert.deepEqual([shard?.lost.aborted, world.queue.lost.aborted], [true, false]);
  await assert.rejects(world.insert('c', 1, { queue: 'images' }), { code: 'QUEUE_UNAVAILABLE' });
  await world.insert('d', 1, { queue: 'bills' });
  const { level, fields } = await world.logger.line(/a shard is damaged/);
  const { err: _, ...names } = fields as { readonly err: unknown };
  assert.deepEqual([level, names], ['error', { shard: IMAGES, queues: ['images'] }]);
});

test('a shard that is given back is written down first, and is whole where it is opened next', async () => {
  const gate = gatedStore(sharedStore());
  const world = await QueueWorld.withShards([IMAGES, BILLS], { store: gate.store, shardOf });
  const { reads } = world.queue;
  const ids = new Map<string, bigint>();
  for (const queue of ['images', 'bills']) ids.set(queue, await world.insertDirect([null, null], { queue }));
  const consumer = world.consumer(undefined, { queueName: 'images' });
  const [{ chunk } = assert.fail()] = consumer.take();
  const woken: string[] = [];
  for (const [queue, id] of ids) {
    const wake = () => woken.push(queue);
    assert.notEqual(reads.wait(queue, id, { doneAbove: null, waitMs: 60_000 }, wake), null);
  }
  gate.shut();
  consumer.complete(chunk, Uint8Array.of(7));
  const stopped = world.queue.shardFor('images')!.stop(1_000);
  await world.settle();
  assert.deepEqual(woken, ['images']);
  assert.deepEqual(consumer.take(), []);
  await assert.rejects(world.insert('p', 1, { queue: 'images' }), { code: 'QUEUE_UNAVAILABLE' });
  gate.open();
  assert.equal(await stopped, true);
  await assert.rejects(world.insert('p', 1, { queue: 'images' }), NOT_HERE);
  assert.deepEqual(namesInUse(world), ['bills']);
  assert.equal(world.queue.counts.submissionsOpen, 1);
  consumer.disconnect(true);

  await world.takeShard(IMAGES);
  const next = world.consumer(undefined, { queueName: 'images' });
  next.reserve(10);
  await world.settle();
  const taken = next.takeChunks().map((each) => each.chunk);
  assert.deepEqual(taken, [{ submissionId: chunk.submissionId, chunkIndex: 1 - chunk.chunkIndex }]);
  next.complete(taken[0]!, null);
  await world.settle();
  assert.equal(await world.stateOf(ids.get('images')!, 'images'), 'completed');
  assert.equal(await world.stateOf(ids.get('bills')!, 'bills'), 'in_progress');
  world.queue.checkInvariants();
});

test('a shard that cannot be loaded leaves nothing behind', async () => {
  let isBroken = true;
  const inner = sharedStore();
  const store = faultyStore(inner, () => 'none');
  store.load = async function* (shards) {
    for await (const piece of inner.load(shards)) {
      yield piece;
      if (isBroken && shards.includes(IMAGES)) throw new Error('made to fail');
    }
  };
  const before = await QueueWorld.withShards([IMAGES, BILLS], { store: inner, shardOf });
  for (const queue of ['images', 'bills']) await before.insert(queue, 1, { queue });
  await before.stop();
  const world = await QueueWorld.withShards([BILLS], { store, shardOf });
  await assert.rejects(world.takeShard(IMAGES), /made to fail/);
  assert.deepEqual(namesInUse(world), ['bills']);
  isBroken = false;
  await world.takeShard(IMAGES);
  assert.deepEqual(prefixesTaken(world, 'images'), ['images']);
  assert.deepEqual(prefixesTaken(world, 'bills'), ['bills']);
});

test('a verb for all queues changes those that are here, and is acknowledged when each shard has it on disk', async () => {
  const seqs: number[] = [];
  const inner = sharedStore();
  const store = withCommit(inner, (batch) => {
    if (batch.mutations.some(({ kind }) => kind === 'control')) seqs.push(batch.shard);
    return inner.commit(batch);
  });
  const world = await QueueWorld.withShards([UNNAMED, IMAGES, BILLS], { store, shardOf });
  const ids: bigint[] = [];
  for (const queue of ['', 'images', 'bills']) ids.push(await world.insert(`p${queue}`, 1, { queue }));
  assert.equal((await run(world, ALL)).done, 3);
  assert.deepEqual(new Set(seqs), new Set([UNNAMED, IMAGES, BILLS]));
  for (const queue of ['', 'images', 'bills']) assert.deepEqual(prefixesTaken(world, queue), []);
  const resumed = await run(
    world,
    { kind: 'submissions', ids: ids.slice(1), queue: null },
    { ...PAUSE, verb: 'resume' },
  );
  assert.deepEqual(resumed.ids, ids.slice(1));
  assert.deepEqual(prefixesTaken(world, 'bills'), ['pbills']);
  assert.deepEqual((await run(world, ALL, { verb: 'cancel' })).ids, ids);
  assert.equal(await world.stateOf(ids[1]!, 'images'), 'cancelled');
});

test('a verb for all queues fails when a shard of them is lost before it is on disk', async () => {
  const [a = assert.fail(), b = assert.fail()] = await nodes([IMAGES, BILLS], []);
  for (const queue of ['images', 'bills']) await a.insert(queue, 1, { queue });
  await b.takeShard(BILLS);
  await assert.rejects(run(a, ALL), { code: 'QUEUE_UNAVAILABLE' });
});

test('failed chunks are tried again in the queues that are here', async () => {
  const [a = assert.fail(), b = assert.fail()] = await nodes([IMAGES], [BILLS]);
  const ids = [];
  for (const [world, queue] of [
    [a, 'images'],
    [b, 'bills'],
  ] as const) {
    ids.push(await world.insert(queue, 1, { queue, failureMode: 'fail', retry: null }));
    await run(world, { kind: 'submissions', ids: ids.slice(-1), queue }, PAUSE);
    await run(world, { kind: 'submissions', ids: ids.slice(-1), queue }, { ...PAUSE, verb: 'resume' });
    const consumer = world.consumer(undefined, { queueName: queue });
    for (let tries = 0; tries < 20; tries++) for (const { chunk } of consumer.take()) consumer.fail(chunk);
    await world.settle();
  }
  assert.deepEqual((await run(a, ALL, { verb: 'retry' })).ids, [ids[0]]);
  assert.equal(await b.stateOf(ids[1]!, 'bills'), 'failed');
  assert.equal(await a.stateOf(ids[0]!, 'images'), 'in_progress');
});

test('pauses of queues go with their shard; that of the server is in force on every node that has looked', async () => {
  const [a = assert.fail(), b = assert.fail()] = await nodes([UNNAMED, IMAGES], [BILLS]);
  await b.insert('b', 1, { queue: 'bills' });
  await run(a, { kind: 'queue', queue: 'images' });
  await run(a, { kind: 'server' });
  assert.deepEqual([a.queue.scopesPaused, b.queue.scopesPaused], [2, 0]);
  const control = (await b.store.scopeControls()).get('*')!;
  b.queue.serverControl(control);
  assert.deepEqual(prefixesTaken(b, 'bills'), []);
  a.queue.serverControl({ pauses: [], history: [] });
  assert.equal(a.queue.scopesPaused, 2, 'the node of shard 0 knows it better');

  await a.queue.shardFor('images')!.stop(1_000);
  assert.equal(a.queue.scopesPaused, 1);
  await b.takeShard(IMAGES);
  assert.deepEqual(
    b.queue.inUse.map(({ name, pauses }) => [name, pauses.length]),
    [
      ['bills', 1],
      ['images', 2],
    ],
  );
  await run(a, { kind: 'server' }, { ...PAUSE, verb: 'resume' });
  b.queue.serverControl((await b.store.scopeControls()).get('*') ?? { pauses: [], history: [] });
  assert.deepEqual(prefixesTaken(b, 'bills'), ['b']);
});

test('while the batches of one shard are stuck, the others are handed out', async () => {
  let isStuck = false;
  const store = faultyStore(sharedStore(), (call, batch) =>
    isStuck && call === 'commit' && batch?.shard === IMAGES ? 'full' : 'none',
  );
  const world = await QueueWorld.withShards([IMAGES, BILLS], { store, shardOf, holdHandOutAfterMs: 0 });
  const consumers = ['images', 'bills'].map((queueName) => world.consumer(undefined, { queueName }));
  for (const queue of ['images', 'bills']) await world.insert(queue, 4, { queue });
  const taken = () => consumers.map((consumer) => consumer.take().length);
  const heard: boolean[] = [];
  world.queue.onJournalHealth(({ ok }) => heard.push(ok));
  assert.deepEqual(taken(), [1, 1]);
  isStuck = true;
  const stuck = world.insert('p', 1, { queue: 'images' });
  await world.passes(1);
  assert.deepEqual(taken(), [0, 1]);
  assert.deepEqual([world.queue.isHealthy, world.queue.isHandOutHeld], [false, true]);
  await assert.rejects(world.insert('q', 1, { queue: 'images' }), /the store takes nothing/);
  await world.insert('r', 1, { queue: 'bills' });
  isStuck = false;
  await world.passes(2_000);
  await stuck;
  assert.deepEqual([world.queue.isHealthy, world.queue.isHandOutHeld], [true, false]);
  assert.deepEqual(heard, [false, true]);
  assert.equal(consumers[0]!.takeChunks().length, 1);
  await world.stop();
});

test('bytes that wait for their commit are limited for all shards together', async () => {
  const gate = gatedStore(sharedStore());
  const world = await QueueWorld.withShards([IMAGES, BILLS], {
    store: gate.store,
    shardOf,
    pendingBytesMax: 10_000,
  });
  gate.shut();
  const inserts: Promise<unknown>[] = [];
  const insert = (queue: string) => world.insertDirect([new Uint8Array(6_000)], { queue });
  // The first of each is on its way, the second waits.
  for (const queue of ['images', 'bills']) {
    inserts.push(insert(queue));
    await world.settle();
    inserts.push(insert(queue));
  }
  await assert.rejects(insert('bills'), /too much waits to be written/);
  gate.open();
  await Promise.all(inserts);
  await insert('bills');
});

test('shards that hold nothing cost next to nothing', async () => {
  const world = await QueueWorld.withShards(
    Array.from({ length: 64 }, (_, i) => i),
    { store: sharedStore(), shardOf },
  );
  await world.settle();
  assert.equal(world.clock.timersPending, 1, 'retention');
  assert.deepEqual(namesInUse(world), ['']);
  assert.equal(await world.queue.stop(1_000), true);
});
