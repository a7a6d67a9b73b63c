import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SubmissionConflictError } from '../../src/model/errors.ts';
import { QUEUES_MAX } from '../../src/model/limits.ts';
import { SHARDS, shardOfQueue } from '../../src/model/shard.ts';
import type { VerbTarget } from '../../src/model/verbs.ts';
import { MemoryDatabase, MemoryStore } from '../../src/store/memory/memory-store.ts';
import { systemClock } from '../../src/system/time/clock.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { gatedStore } from '../support/store/gated-store.ts';

const namesInUse = (world: QueueWorld) => world.queue.inUse.map(({ name }) => name);

test('chunks go to consumers of their own queue only, however long others wait', async () => {
  const world = await QueueWorld.start();
  const consumers = Object.fromEntries(
    ['', 'images', 'bills'].map((queueName) => [queueName, world.consumer(undefined, { queueName })]),
  );
  for (const consumer of Object.values(consumers)) consumer.reserve(10);
  for (const [i, queue] of ['images', '', 'images'].entries()) {
    await world.insert(`p${i}`, 2, { queue });
  }
  const prefixesOf = (name: string) =>
    consumers[name]!.takeChunks().map(({ submission }) => submission.prefix);
  assert.deepEqual(prefixesOf('bills'), []);
  assert.deepEqual(prefixesOf('images'), ['p0', 'p0']);
  assert.deepEqual(prefixesOf(''), ['p1', 'p1']);
  consumers['']!.reserve(10);
  consumers.images!.reserve(10);
  assert.deepEqual(prefixesOf(''), []);
  assert.deepEqual(prefixesOf('images'), ['p2', 'p2']);
  world.queue.checkInvariants();
});

test("what consumers of another queue say of a queue's chunks counts for nothing", async () => {
  const world = await QueueWorld.start();
  const id = await world.insertDirect([null], { queue: 'images' });
  const holder = world.consumer(undefined, { queueName: 'images' });
  const [{ chunk } = assert.fail()] = holder.take();
  for (const queueName of ['', 'bills']) {
    const stranger = world.consumer('release,extend', { queueName });
    stranger.complete(chunk, Uint8Array.of(6, 6, 6));
    stranger.fail(chunk);
    stranger.send({ kind: 'release', chunks: [chunk] });
    stranger.send({ kind: 'extend', chunks: [chunk] });
  }
  await world.settle();
  assert.equal(await world.stateOf(id, 'images'), 'in_progress');
  assert.equal(world.queue.counts.chunksReserved, 1);
  assert.deepEqual(await world.store.directContents('output', [chunk]), [null]);
  holder.complete(chunk, Uint8Array.of(7));
  await world.settle();
  assert.equal(await world.stateOf(id, 'images'), 'completed');
  assert.deepEqual(await world.store.directContents('output', [chunk]), [Uint8Array.of(7)]);
});

test('a submission is found under its own queue only, running or ended', async () => {
  const world = await QueueWorld.start();
  const { reads, endings } = world.queue;
  const pairs = new Map([['k', 1n]]);
  const id = await world.insertDirect([null], { queue: 'images', strategicMetadata: pairs });
  const named = await world.insert('p', 1, { queue: 'images' });
  const findings = async (queue: string) => ({
    status: (await reads.status(queue, id))?.state,
    chunksDone: (await reads.chunksDone(queue, id, 0))?.state,
    outputs: (await reads.directOutputs(queue, id, 0, 10))?.kind,
    byPrefix: await reads.idByPrefix(queue, 'p'),
    byMetadata: reads.idsByMetadata(queue, pairs),
    running: reads.countInProgress(queue),
    completed: await reads.countCompleted(queue),
    ended: await reads.endedIds(queue, 'completed', undefined, 10),
    cancelled: await reads.endedIds(queue, 'cancelled', undefined, 10),
  });
  const nothing = {
    status: undefined,
    chunksDone: undefined,
    outputs: undefined,
    byPrefix: null,
    byMetadata: [],
    running: 0,
    completed: 0,
    ended: [],
    cancelled: [],
  };
  const running = { status: 'in_progress', chunksDone: 'in_progress', outputs: 'outputs' };
  const shown = { ...nothing, ...running, byPrefix: named, byMetadata: [id], running: 2 };
  assert.deepEqual(await findings('images'), shown);
  for (const other of ['', 'bills']) {
    assert.deepEqual(await findings(other), nothing);
    assert.deepEqual(await endings.cancel(other, id), { kind: 'unknown' });
    assert.equal(
      reads.wait(other, id, { doneAbove: null, waitMs: 1_000 }, () => {}),
      null,
    );
  }
  const consumer = world.consumer(undefined, { queueName: 'images' });
  for (const { chunk } of consumer.take()) consumer.complete(chunk);
  await world.settle();
  await endings.cancel('images', named);
  assert.deepEqual(await findings('images'), {
    ...nothing,
    status: 'completed',
    chunksDone: 'completed',
    outputs: 'outputs',
    byPrefix: named,
    completed: 1,
    ended: [id],
    cancelled: [named],
  });
  for (const other of ['', 'bills']) {
    assert.deepEqual(await findings(other), nothing);
    assert.deepEqual(await endings.cancel(other, id), { kind: 'unknown' });
  }
});

test('prefixes are one set for all queues: nobody deletes the folder of another queue, or writes into it', async () => {
  const world = await QueueWorld.start();
  await world.insert('p', 1, { queue: 'images' });
  assert.deepEqual(await world.queue.reads.known(['p', 'q']), [true, false]);
  for (const queue of ['', 'bills']) {
    await assert.rejects(
      world.insert('p', 1, { queue }),
      (error) => error instanceof SubmissionConflictError && error.field === 'queue',
    );
  }
  assert.deepEqual(namesInUse(world), ['', 'images']);
});

test('a queue is there from its first insert or consumer on, until nothing of it is open and nobody connected', async () => {
  const gate = gatedStore();
  const world = await QueueWorld.start({ store: gate.store });
  assert.deepEqual(namesInUse(world), ['']);
  gate.shut();
  const inserted = world.insert('p', 1, { queue: 'images' });
  await world.settle();
  assert.deepEqual(namesInUse(world), ['', 'images'], 'its insert waits for the commit');
  gate.open();
  const id = await inserted;
  const consumer = world.consumer(undefined, { queueName: 'images' });
  const [{ chunk } = assert.fail()] = consumer.take();
  gate.shut();
  consumer.complete(chunk);
  consumer.disconnect();
  await world.settle();
  assert.deepEqual(namesInUse(world), ['', 'images'], 'its end waits for the commit');
  gate.open();
  await world.settle();
  assert.deepEqual(namesInUse(world), ['']);
  assert.equal(await world.stateOf(id, 'images'), 'completed');

  const idle = world.consumer(undefined, { queueName: 'images' });
  assert.deepEqual(namesInUse(world), ['', 'images'], 'a consumer waits');
  idle.reserve();
  const other = world.consumer(undefined, { queueName: 'images' });
  other.disconnect();
  await world.insert('none', 0, { queue: 'images' });
  await world.insert('q', 1, { queue: 'images' });
  assert.equal(idle.takeChunks().length, 1);
  idle.disconnect();
  assert.deepEqual(namesInUse(world), ['', 'images'], 'a submission is open');
});

test('a node without the unnamed queue has room for as many named ones', async () => {
  const others = Array.from({ length: SHARDS - 1 }, (_, i) => i + 1);
  const store = new MemoryStore({ database: new MemoryDatabase(), clock: systemClock });
  const world = await QueueWorld.withShards(others, { store, shardOf: shardOfQueue });
  const names = Array.from({ length: 2 * QUEUES_MAX }, (_, i) => `q${i}`).filter(
    (name) => shardOfQueue(name) > 0,
  );
  const [oneMore = '', ...most] = names.slice(0, QUEUES_MAX + 1);
  await Promise.all(most.map((queue, i) => world.insert(`p${i}`, 1, { queue })));
  await assert.rejects(world.insert('more', 1, { queue: oneMore }), { code: 'TOO_MANY_QUEUES' });
});

test('one queue more than there may be is refused, until another one goes', async () => {
  const world = await QueueWorld.start();
  const ids = await Promise.all(
    Array.from({ length: QUEUES_MAX }, (_, i) => world.insert(`p${i}`, 1, { queue: `q${i}` })),
  );
  const tooMany = { code: 'TOO_MANY_QUEUES', message: /^queue one-more would be one more than the 1000/ };
  await assert.rejects(world.insert('p', 1, { queue: 'one-more' }), tooMany);
  assert.throws(() => world.queue.consumersOf('one-more'), tooMany);
  await world.insert('again', 1, { queue: 'q7' });
  await world.insert('unnamed', 1);
  assert.equal(world.queue.counts.submissionsOpen, QUEUES_MAX + 2);
  await world.queue.endings.cancel('q3', ids[3]!);
  await world.insert('p', 1, { queue: 'one-more' });
  assert(namesInUse(world).includes('one-more') && !namesInUse(world).includes('q3'));
});

test('a retry that would bring one queue too many into use passes that submission over', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 1 });
  for (const queue of ['', 'gone']) {
    const consumer = world.consumer(undefined, { queueName: queue });
    await world.insert(`failed-${queue}`, 1, { queue });
    for (const { chunk } of consumer.take()) consumer.fail(chunk);
    consumer.disconnect(true);
    await world.settle();
  }
  await Promise.all(
    Array.from({ length: QUEUES_MAX }, (_, i) => world.insert(`p${i}`, 1, { queue: `q${i}` })),
  );
  const retry = (queue: string | null) =>
    world.queue.verbs.run({
      change: { verb: 'retry' },
      target: { kind: 'matching', metadata: new Map(), state: 'open', queue },
      by: 'ann@host',
      reason: null,
      isDryRun: false,
      expected: null,
    });
  const { done, skipped } = await retry(null);
  assert.deepEqual([done, skipped.map(({ code }) => code)], [1, ['TOO_MANY_QUEUES']]);
  await assert.rejects(retry('gone'), { code: 'TOO_MANY_QUEUES' });
});

test('a queue whose chunks wait for a minute without a consumer is in the log, once, with those that have some', async () => {
  const world = await QueueWorld.start();
  // Nobody answers pings while the time passes.
  const connect = (queueName: string) => world.consumer(undefined, { queueName, heartbeatIntervalMs: 1e9 });
  const warnings = () =>
    world.log
      .filter(({ message }) => message === 'chunks wait, and no consumer is connected to their queue')
      .map(({ level, fields }) => [level, fields]);
  connect('images');
  await world.insert('a', 3, { queue: 'imgaes' });
  const attended = connect('bills');
  await world.insert('b', 3, { queue: 'bills' });
  await world.passes(59_999);
  assert.deepEqual(warnings(), []);
  await world.passes(1);
  const fields = { submissionsOpen: 1, chunksWaiting: 3, consumersIn: ['images', 'bills'] };
  assert.deepEqual(warnings(), [['warn', { queue: 'imgaes', ...fields }]]);
  await world.insert('c', 3, { queue: 'imgaes' });
  await world.passes(600_000);
  assert.equal(warnings().length, 1);
  attended.disconnect(true);
  const seen = connect('imgaes');
  seen.disconnect(true);
  await world.passes(60_000);
  const later = { submissionsOpen: 2, chunksWaiting: 6, consumersIn: ['images'] };
  assert.deepEqual(warnings().slice(1), [
    ['warn', { queue: 'bills', submissionsOpen: 1, chunksWaiting: 3, consumersIn: ['images'] }],
    ['warn', { queue: 'imgaes', ...later }],
  ]);
  await world.insert('d', 1);
  await world.passes(60_000);
  assert.deepEqual(warnings().slice(3), [
    ['warn', { submissionsOpen: 1, chunksWaiting: 1, consumersIn: ['images'] }],
  ]);
});

test('work that was paused is in the log, too, once it waits for a minute', async () => {
  const world = await QueueWorld.start();
  const warnings = () =>
    world.log.filter(({ message }) => message.startsWith('chunks wait, and no consumer'));
  const change = (verb: 'pause' | 'resume', target: VerbTarget) =>
    world.queue.verbs.run({
      change: { verb, cause: 'manual' },
      target,
      by: 'ann@host',
      reason: null,
      isDryRun: false,
      expected: null,
    });
  const id = await world.insert('a', 3, { queue: 'images' });
  const ofQueue = { kind: 'queue', queue: 'images' } as const;
  const ofSubmission = { kind: 'submissions', ids: [id], queue: null } as const;
  for (const target of [ofQueue, ofSubmission]) await change('pause', target);
  await world.passes(60_000);
  await change('resume', ofQueue);
  await world.passes(60_000);
  assert.equal(warnings().length, 0);
  await change('resume', ofSubmission);
  await world.passes(60_000);
  assert.deepEqual(
    warnings().map(({ fields }) => fields),
    [{ queue: 'images', submissionsOpen: 1, chunksWaiting: 3 }],
  );
  await world.stop();
});

test('after a restart each submission is in its queue again', async () => {
  const database = new MemoryDatabase();
  const before = await QueueWorld.start({ store: new MemoryStore({ database }) });
  const ids = new Map<string, bigint>();
  for (const queue of ['', 'images', 'bills'])
    ids.set(queue, await before.insert(`p-${queue}`, 1, { queue }));
  await before.stop();
  const world = await QueueWorld.start({ store: new MemoryStore({ database }) });
  assert.deepEqual(namesInUse(world), ['', 'bills', 'images']);
  for (const [queue, id] of ids) {
    const taken = world.consumer(undefined, { queueName: queue }).take(10);
    assert.deepEqual(
      taken.map(({ chunk }) => chunk.submissionId),
      [id],
    );
  }
});

test('reservations expire in each queue, and nothing is handed out in any while the store is stuck', async () => {
  const gate = gatedStore();
  const world = await QueueWorld.start({
    store: gate.store,
    reservationExpirationMs: 30_000,
    holdHandOutAfterMs: 0,
  });
  const consumers = ['', 'images'].map((queueName) => world.consumer('silent_expiry', { queueName }));
  await world.insert('a', 2);
  await world.insert('b', 2, { queue: 'images' });
  for (const consumer of consumers) assert.equal(consumer.take().length, 1);
  await world.passes(30_000);
  for (const queue of ['', 'images']) assert.equal(world.queue.stats.byQueue.of(queue).setbacks.expired, 1);
  assert.equal(world.queue.counts.chunksReserved, 0);
  gate.shut();
  void world.insert('c', 1).catch(() => {});
  await world.passes(6_000);
  for (const consumer of consumers) assert.equal(consumer.take().length, 0);
  gate.open();
  await world.settle();
  for (const consumer of consumers) assert.equal(consumer.takeChunks().length, 1);
  await world.stop();
});
