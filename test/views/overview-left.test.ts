import assert from 'node:assert/strict';
import { test } from 'node:test';
import { overview } from '../../src/views/answers/overview.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { made, startViews } from '../support/queues/test-views.ts';

const BY_ANN = { by: 'ann', reason: null, isDryRun: false, expected: null };
const PAUSE = { verb: 'pause', cause: 'manual' } as const;

test('the overview tells how long what is open still takes, and which submissions take longest', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  const seen = () => {
    const { left_ms: leftMs, longest_left: longest } = made(overview(views.sources, null));
    return { leftMs, longest };
  };
  assert.deepEqual(seen(), { leftMs: null, longest: [] });
  const first = await world.insert('first', 100, { strategicMetadata: new Map([['customer', 42n]]) });
  const second = await world.insert('second', 1_000);
  assert.deepEqual(seen(), { leftMs: null, longest: [] });
  const consumer = world.consumer();
  // Two chunks a second, one of each.
  for (let second = 0; second < 70; second++) {
    const held = [...consumer.take(), ...consumer.take(1, { kind: 'newest' })];
    await world.passes(1_000);
    for (const { chunk } of held) consumer.complete(chunk);
    consumer.session.alive();
  }
  await world.settle();
  const { leftMs, longest } = seen();
  assert.ok(Math.abs(leftMs! - 480_000) < 30_000, `${leftMs}`);
  assert.deepEqual(
    longest.map(({ id, prefix, metadata }) => [id, prefix, metadata]),
    [
      [String(second), 'second', {}],
      [String(first), 'first', { customer: '42' }],
    ],
  );
  assert.ok(Math.abs(longest[0]!.left_ms.p50 - 930_000) < 60_000, `${longest[0]!.left_ms.p50}`);
  // What is paused does not end, and is not waited for.
  const target = { kind: 'submissions', ids: [second], queue: null } as const;
  await world.queue.verbs.run({ ...BY_ANN, change: PAUSE, target });
  assert.deepEqual(
    seen().longest.map(({ id }) => id),
    [String(first)],
  );
  assert.ok(seen().leftMs! < 30_000, `${seen().leftMs}`);
  await world.queue.verbs.run({ ...BY_ANN, change: PAUSE, target: { kind: 'server' } });
  assert.deepEqual(seen(), { leftMs: null, longest: [] });
  views.stop();
});
