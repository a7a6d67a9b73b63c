import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PAGE_CHUNKS } from '../../src/model/chunk-set.ts';
import { TooManyMatchingSubmissionsError } from '../../src/model/errors.ts';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import { CountingStore } from '../support/fakes/counting-store.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { faultyStore } from '../support/store/faulty-store.ts';

test('who waits for the end is woken by it, once, and not by progress', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('a', 2);
  const consumer = world.consumer();
  let woken = 0;
  assert.ok(world.queue.reads.wait('', id, { doneAbove: null, waitMs: 60_000 }, () => woken++));
  consumer.complete({ submissionId: id, chunkIndex: 0 });
  await world.settle();
  assert.equal(woken, 0);
  consumer.complete({ submissionId: id, chunkIndex: 1 });
  await world.settle();
  assert.equal(woken, 1);
  await world.passes(60_000);
  assert.equal(woken, 1);
});

test('who waits is woken when the time is up, and not after taking it back', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('a', 1);
  const woken: string[] = [];
  world.queue.reads.wait('', id, { doneAbove: null, waitMs: 1_000 }, () => woken.push('kept'));
  const takeBack = world.queue.reads.wait('', id, { doneAbove: null, waitMs: 1_000 }, () =>
    woken.push('taken back'),
  );
  const timersBefore = world.clock.timersPending;
  takeBack?.();
  assert.equal(world.clock.timersPending, timersBefore - 1);
  await world.passes(999);
  assert.deepEqual(woken, []);
  await world.passes(1);
  assert.deepEqual(woken, ['kept']);
});

test('there is nothing to wait for when a submission is unknown, has ended, or has moved on already', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('a', 2);
  const ended = await world.insert('b', 0);
  const fail = () => assert.fail('woken');
  const { reads } = world.queue;
  assert.equal(reads.wait('', 1n, { doneAbove: null, waitMs: 1_000 }, fail), null);
  assert.equal(reads.wait('', ended, { doneAbove: null, waitMs: 1_000 }, fail), null);
  assert.equal(reads.wait('', id, { doneAbove: null, waitMs: 0 }, fail), null);
  world.consumer().complete({ submissionId: id, chunkIndex: 0 });
  assert.equal(reads.wait('', id, { doneAbove: 0, waitMs: 1_000 }, fail), null);
  assert.ok(reads.wait('', id, { doneAbove: 1, waitMs: 1_000 }, fail));
});

test('who waits for progress is woken by the first chunk beyond what is known already', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('a', 5);
  const consumer = world.consumer();
  let woken = 0;
  world.queue.reads.wait('', id, { doneAbove: 1, waitMs: 60_000 }, () => woken++);
  consumer.complete({ submissionId: id, chunkIndex: 3 });
  await world.settle();
  assert.equal(woken, 0);
  consumer.complete({ submissionId: id, chunkIndex: 0 });
  await world.settle();
  assert.equal(woken, 1);
});

test('who waits is woken though other metadata was set meanwhile', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('a', 2);
  const consumer = world.consumer();
  const woken: string[] = [];
  const wait = (name: string, doneAbove: number | null) =>
    world.queue.reads.wait('', id, { doneAbove, waitMs: 60_000 }, () => woken.push(name));
  wait('progress', 0);
  wait('end', null);
  const takeBack = wait('taken back', null);
  const answer = world.queue.verbs.run({
    change: { verb: 'set', strategicMetadata: new Map([['customer', 7n]]) },
    target: { kind: 'submissions', ids: [id], queue: null },
    by: 'ann@host',
    reason: null,
    isDryRun: false,
    expected: null,
  });
  await world.settle();
  assert.equal((await answer).done, 1);
  takeBack?.();
  consumer.complete({ submissionId: id, chunkIndex: 0 });
  await world.settle();
  assert.deepEqual(woken, ['progress']);
  consumer.complete({ submissionId: id, chunkIndex: 1 });
  await world.settle();
  assert.deepEqual(woken, ['progress', 'end']);
});

test('everybody who waits is woken when the queue stops', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('a', 1);
  let woken = 0;
  for (let i = 0; i < 3; i++)
    world.queue.reads.wait('', id, { doneAbove: null, waitMs: 60_000 }, () => woken++);
  await world.stop();
  assert.equal(woken, 3);
});

test('chunks are told as done only after the commit', async () => {
  let isHanging = false;
  const store = faultyStore(new MemoryStore(), (call) => (isHanging && call === 'commit' ? 'hang' : 'none'));
  const world = await QueueWorld.start({ store });
  const id = await world.insert('a', 2);
  isHanging = true;
  world.consumer().complete({ submissionId: id, chunkIndex: 0 });
  let told = false;
  world.queue.reads.chunksDone('', id, 0).then(
    () => {
      told = true;
    },
    () => {},
  );
  await world.settle();
  assert.equal(told, false);
  await world.stop();
});

test('a status, and a reservation, count a chunk as done only after the commit', async () => {
  let isHanging = false;
  const store = faultyStore(new MemoryStore(), (call) => (isHanging && call === 'commit' ? 'hang' : 'none'));
  const world = await QueueWorld.start({ store });
  const id = await world.insert('a', 4);
  const chunksDone = async () => {
    const status = await world.queue.reads.status('', id);
    return status?.state === 'in_progress' ? status.chunksDone : null;
  };
  world.consumer().complete({ submissionId: id, chunkIndex: 0 });
  await world.passes(5);
  assert.equal(await chunksDone(), 1);
  isHanging = true;
  const consumer = world.consumer();
  consumer.complete({ submissionId: id, chunkIndex: 1 });
  await world.passes(5);
  assert.equal(await chunksDone(), 1);
  const [reserved] = consumer.take();
  assert.equal(reserved?.chunksDone, 1);
  await world.stop();
});

test('pages of done chunks come in pieces, empty ones left out', async () => {
  const world = await QueueWorld.start();
  const pagesTotal = 700;
  const id = await world.insert('a', pagesTotal * PAGE_CHUNKS);
  const consumer = world.consumer();
  for (let page = 0; page < pagesTotal; page += 2) {
    consumer.complete({ submissionId: id, chunkIndex: page * PAGE_CHUNKS });
  }
  for (let i = 0; i < PAGE_CHUNKS; i++) consumer.complete({ submissionId: id, chunkIndex: PAGE_CHUNKS + i });
  const pages: (number | string)[] = [];
  let from: number | null = 0;
  let answers = 0;
  while (from !== null) {
    const piece = await world.queue.reads.chunksDone('', id, from);
    assert.ok(piece);
    assert.ok(piece.pages.length <= 256);
    pages.push(...piece.pages.map(({ page, content }) => (content === 'full' ? `${page} full` : page)));
    from = piece.nextPage;
    answers++;
  }
  assert.equal(answers, 2);
  const even = Array.from({ length: pagesTotal / 2 }, (_, i) => 2 * i);
  assert.deepEqual(pages, [0, '1 full', ...even.slice(1)]);
  assert.deepEqual((await world.queue.reads.chunksDone('', id, 699))?.pages, []);
});

test('of a completed submission all chunks are done and no page is sent', async () => {
  const world = await QueueWorld.start();
  const id = await world.insert('a', 2);
  const consumer = world.consumer();
  for (const chunkIndex of [0, 1]) consumer.complete({ submissionId: id, chunkIndex });
  await world.settle();
  assert.deepEqual(await world.queue.reads.chunksDone('', id, 0), {
    state: 'completed',
    chunksTotal: 2,
    chunksDone: 2,
    chunksFailed: 0,
    pages: [],
    failedPages: [],
    nextPage: null,
  });
});

test('outputs come in pieces of 8 MiB, a larger one alone', async () => {
  const world = await QueueWorld.start();
  const sizes = [3, 3, 3, 9, 1].map((mebibytes) => mebibytes * 1024 * 1024);
  const id = await world.insertDirect(sizes.map(() => null));
  const consumer = world.consumer();
  for (const [chunkIndex, size] of sizes.entries()) {
    consumer.complete({ submissionId: id, chunkIndex }, new Uint8Array(size));
  }
  const pieces: number[][] = [];
  let from: number | null = 0;
  while (from !== null) {
    const piece = await world.queue.reads.directOutputs('', id, from, 100);
    assert.ok(piece?.kind === 'outputs');
    pieces.push(piece.outputs.map((output) => output?.length ?? -1));
    from = piece.next;
  }
  assert.deepEqual(pieces, [[sizes[0], sizes[1]], [sizes[2]], [sizes[3]], [sizes[4]]]);
});

test('thousands of prefixes are looked up in few calls, which find nothing but ids', async () => {
  const store = new CountingStore();
  const world = await QueueWorld.start({ store });
  await world.insert('open', 1);
  await world.insert('ended', 0);
  store.findById = () => assert.fail('a whole submission was read');
  const prefixes = Array.from({ length: 2_500 }, (_, i) => ['open', 'unknown', 'ended'][i % 3]!);
  assert.deepEqual(
    await world.queue.reads.known(prefixes),
    prefixes.map((prefix) => prefix !== 'unknown'),
  );
  assert.deepEqual(store.prefixesAsked, [1_000, 1_000, 500]);
});

test('large outputs behind many small ones are not all read for an answer that has no room for them', async () => {
  const store = new CountingStore();
  const world = await QueueWorld.start({ store });
  const large = 3 * 1024 * 1024;
  const sizes = [...Array.from({ length: 112 }, () => 1), ...Array.from({ length: 12 }, () => large)];
  const id = await world.insertDirect(sizes.map(() => null));
  const consumer = world.consumer();
  for (const [chunkIndex, size] of sizes.entries()) {
    consumer.complete({ submissionId: id, chunkIndex }, new Uint8Array(size));
  }
  const piece = await world.queue.reads.directOutputs('', id, 0, 1_000);
  assert.ok(piece?.kind === 'outputs');
  assert.deepEqual([piece.outputs.length, piece.next], [112 + 2, 112 + 2]);
  assert.ok(store.bytesRead < 4 * large, `${store.bytesRead} bytes were read`);
});

test('more matches than are returned at once are refused', async () => {
  const world = await QueueWorld.start({ submissionsReturnedMax: 2 });
  for (const prefix of ['a', 'b']) await world.insert(prefix, 1);
  assert.equal(world.queue.reads.idsByMetadata('', new Map()).length, 2);
  await world.insert('c', 1);
  assert.throws(() => world.queue.reads.idsByMetadata('', new Map()), TooManyMatchingSubmissionsError);
});
