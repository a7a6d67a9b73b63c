import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeOverviews } from '../../src/views/across/overview.ts';
import { overview } from '../../src/views/answers/overview.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { made, startViews } from '../support/queues/test-views.ts';

test('when something was written last is known when nothing is written of late, and that nothing was since the start', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  const whole = () => made(overview(views.sources, null));
  const store = () => whole().store;
  assert.deepEqual([store().commit_ms, store().last_commit], [null, null]);
  const unwritten = whole();
  await world.passes(1_000);
  await world.insert('a', 1);
  const writtenAt = new Date(world.clock.nowMs()).toISOString();
  assert.notEqual(store().commit_ms, null);
  assert.equal(store().last_commit, writtenAt);
  await world.passes(600_000);
  assert.deepEqual([store().commit_ms, store().last_commit], [null, writtenAt]);
  // Of two nodes, the one that wrote later.
  assert.equal(mergeOverviews([unwritten, whole()]).store.last_commit, writtenAt);
  views.stop();
});
