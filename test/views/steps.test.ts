import assert from 'node:assert/strict';
import { test } from 'node:test';
import { failures } from '../../src/views/answers/failure-groups.ts';
import { why } from '../../src/views/answers/why.ts';
import type { Computation } from '../../src/views/frames.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { startViews } from '../support/queues/test-views.ts';

// How often a computation offers others their turn.

async function setUp() {
  const world = await QueueWorld.start({ chunkRetriesMax: 100_000 });
  const views = startViews(world);
  return { world, views };
}

function stepsOf(computation: Computation<unknown>): number {
  let steps = 0;
  while (computation.next().done !== true) steps++;
  return steps;
}

test('each failure is a step, also where none matches: a fingerprint may take a millisecond', async () => {
  const { world, views } = await setUp();
  await world.insert('a', 1);
  const consumer = world.consumer();
  for (let i = 0; i < 50; i++) consumer.fail(consumer.take()[0]!.chunk, `Error ${i}`);
  await world.settle();
  const query = {
    queue: null,
    submission: null,
    meta: new Map(),
    consumer: null,
    cause: null,
    limit: 5,
    cursor: null,
  };
  for (const group of ['none', 'fingerprint'] as const) {
    assert.ok(stepsOf(failures(views.sources, { ...query, group, fingerprint: 'nothing' })) >= 50);
  }
  views.stop();
});

test('each queue is a step, and each strategy that is tried on what waits', async () => {
  const { world, views } = await setUp();
  for (let i = 0; i < 40; i++) await world.insert(`p${i}`, 1, { queue: `q${i}` });
  const computation = why(views.sources, { submission: null, queue: null });
  assert.ok('next' in computation && stepsOf(computation) >= 40);
  views.stop();
});
