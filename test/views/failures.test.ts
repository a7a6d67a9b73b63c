import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeFailures } from '../../src/views/across/lists.ts';
import { type FailuresQuery, failures } from '../../src/views/answers/failure-groups.ts';
import { submission } from '../../src/views/answers/submission.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { GROUPED_FAILURES, made, startViews } from '../support/queues/test-views.ts';

const KEPT = 2_000;
const GROUPS: FailuresQuery = { ...GROUPED_FAILURES, limit: 1 };

test('failures are all known since the start, and since the oldest that is kept once others are forgotten', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 100_000 });
  const views = startViews(world);
  const id = await world.insert('a', 1);
  const consumer = world.consumer();
  const fails = (times: number) => {
    for (let i = 0; i < times; i++) consumer.fail(consumer.take()[0]!.chunk);
  };
  const answer = (group: FailuresQuery['group']) => made(failures(views.sources, { ...GROUPS, group }));
  const since = (group: FailuresQuery['group']) => answer(group).since;
  /** Of the submission, and of all. */
  const forgotten = async () => [
    made(await submission(views.sources, id, null)).failures_since,
    answer('none').forgotten,
    answer('fingerprint').forgotten,
  ];
  const startedAt = new Date(world.clock.nowMs()).toISOString();
  await world.passes(1_000);
  fails(1);
  await world.passes(1_000);
  const secondAt = new Date(world.clock.nowMs()).toISOString();
  fails(KEPT - 1);
  assert.deepEqual([since('none'), since('fingerprint')], [startedAt, startedAt]);
  assert.deepEqual(await forgotten(), [null, false, false]);
  await world.passes(1_000);
  fails(1);
  assert.deepEqual([since('none'), since('fingerprint')], [secondAt, secondAt]);
  assert.deepEqual(await forgotten(), [secondAt, true, true]);
  views.stop();
});

test('of several nodes they are all known since the last of their times', () => {
  const part = (since: string) => ({
    since,
    forgotten: since.startsWith('2026-01-01'),
    matched: 0,
    next: null,
    items: [],
  });
  const parts = [
    part('2026-01-02T00:00:00.000Z'),
    part('2026-01-03T00:00:00.000Z'),
    part('2026-01-01T00:00:00.000Z'),
  ];
  for (const group of ['none', 'fingerprint'] as const) {
    const { since, forgotten } = mergeFailures(parts, { ...GROUPS, group });
    assert.deepEqual([since, forgotten], ['2026-01-03T00:00:00.000Z', true]);
  }
});
