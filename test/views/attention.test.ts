import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Strategy } from '../../src/model/strategy.ts';
import { attention } from '../../src/views/answers/attention.ts';
import type { Views } from '../../src/views/views.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { made, startViews } from '../support/queues/test-views.ts';
import { gatedStore } from '../support/store/gated-store.ts';

/** What a person is told, by code. */
function told({ sources }: Views): Readonly<Record<string, string>> {
  return Object.fromEntries(made(attention(sources, null)).map(({ code, text }) => [code, text]));
}

test('a consumer whose strategy excludes what waits is told, in the singular', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  await world.insert('a', 1, { strategicMetadata: new Map([['kind', 1n]]) });
  world.consumer().reserve(1, Strategy.selectOnly('kind', [2], Strategy.oldest()));
  await world.settle();
  assert.equal(
    told(views).consumers_idle,
    '1 consumer waits although 1 chunk could be handed out: their strategies exclude them',
  );
  views.stop();
});

test('a store that takes nothing is not blamed on the strategies of those who wait', async () => {
  const gated = gatedStore();
  const world = await QueueWorld.start({ store: gated.store });
  const views = startViews(world);
  await world.insert('a', 3);
  const consumer = world.consumer();
  const [held] = consumer.take();
  gated.shut();
  consumer.complete(held!.chunk);
  await world.passes(5);
  await world.passes(10_000);
  consumer.reserve();
  await world.settle();
  const { hand_out_held: heldText, consumers_idle: idle } = told(views);
  assert.equal(heldText, 'no chunk is handed out until the store takes batches again');
  assert.equal(idle, undefined);
  gated.open();
  views.stop();
});

test('a consumer that is slowed down because it fails is not said to be excluded', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 100_000 });
  const views = startViews(world);
  await world.insert('a', 100);
  const [well, failing] = [world.consumer(), world.consumer()];
  for (let failures = 0; failures < 5; failures++) {
    well.complete(well.take()[0]!.chunk);
    failing.fail(failing.take()[0]!.chunk);
  }
  failing.reserve();
  await world.settle();
  assert.equal(world.queue.counts.consumersSick, 1);
  assert.equal(told(views).consumers_idle, undefined);
  views.stop();
});

test('who paused a queue or the server, and why, is said at once', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  await world.insert('a', 1);
  const request = { by: 'ann@host', reason: 'the disk is replaced', isDryRun: false, expected: null };
  const change = { verb: 'pause', cause: 'manual' } as const;
  await world.queue.verbs.run({ ...request, change, target: { kind: 'queue', queue: '' } });
  assert.equal(told(views).paused_with_work, 'queue - is paused by ann@host (manual): the disk is replaced');
  views.stop();
});

test('the only submission that is paused is named, with who paused it and why', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  await world.insert('a', 1);
  const id = await world.insert('b', 3);
  const request = { by: 'ann@host', reason: 'their bucket moves', isDryRun: false, expected: null };
  const change = { verb: 'pause', cause: 'manual' } as const;
  await world.queue.verbs.run({
    ...request,
    change,
    target: { kind: 'submissions', ids: [id], queue: null },
  });
  assert.equal(
    told(views).paused_with_work,
    `submission ${id} with 3 chunks is paused by ann@host (manual): their bucket moves`,
  );
  views.stop();
});

test('failures count once three of a submission came within a minute, and are forgotten after it', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 100_000 });
  const views = startViews(world);
  await world.insert('a', 3);
  const consumer = world.consumer();
  const fail = () => consumer.fail(consumer.take()[0]!.chunk);
  fail();
  fail();
  await world.settle();
  assert.equal(told(views).failing, undefined);
  fail();
  await world.settle();
  assert.match(told(views).failing ?? '', /^3 tries of 1 submission failed in the last minute, the latest: /);
  world.clock.advance(61_000);
  assert.equal(told(views).failing, undefined);
  views.stop();
});

test('connections that were refused are counted, with who refused them and what for', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world, { connectionsRejected: () => ({ limit: 2, error: 1, descriptors: 0 }) });
  assert.equal(
    told(views).clients_refused,
    '3 connections were refused by 10.0.0.1:3999 since its start: 2 at the limit of connections (--max-connections), 1 for an error of the system',
  );
  assert.equal(told(startViews(world)).clients_refused, undefined);
  views.stop();
});

test('consumers of a queue that was taken over are given some seconds before they are missed', async () => {
  const before = await QueueWorld.start();
  await before.insert('a', 3);
  const world = await QueueWorld.start({ store: before.store });
  const views = startViews(world);
  world.clock.advance(1_000);
  assert.equal(
    told(views).no_consumers,
    '3 chunks wait: the queue was taken over, or started, 1 s ago, and its consumers have not come back yet',
  );
  world.clock.advance(5_000);
  assert.equal(told(views).no_consumers, '3 chunks wait, and no consumer is connected');
  views.stop();
});
