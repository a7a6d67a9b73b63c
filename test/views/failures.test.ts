import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeFailures } from '../../src/views/across/lists.ts';
import { type FailuresQuery, failures } from '../../src/views/answers/failure-groups.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { made, startViews } from '../support/queues/test-views.ts';

const KEPT = 2_000;
const GROUPS: FailuresQuery = {
  queue: null,
  submission: null,
  meta: new Map(),
  consumer: null,
  cause: null,
  fingerprint: null,
  group: 'fingerprint',
  limit: 1,
  cursor: null,
};

test('failures are all known since the start, and since the oldest that is kept once others are forgotten', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 100_000 });
  const views = startViews(world);
  await world.insert('a', 1);
  const consumer = world.consumer();
  const fails = (times: number) => {
    for (let i = 0; i < times; i++) consumer.fail(consumer.take()[0]!.chunk);
  };
  const since = (group: FailuresQuery['group']) => made(failures(views.sources, { ...GROUPS, group })).since;
  const startedAt = new Date(world.clock.nowMs()).toISOString();
  await world.passes(1_000);
  fails(1);
  await world.passes(1_000);
  const secondAt = new Date(world.clock.nowMs()).toISOString();
  fails(KEPT - 1);
  assert.deepEqual([since('none'), since('fingerprint')], [startedAt, startedAt]);
  await world.passes(1_000);
  fails(1);
  assert.deepEqual([since('none'), since('fingerprint')], [secondAt, secondAt]);
  views.stop();
});

test('of several nodes they are all known since the last of their times', () => {
  const part = (since: string) => ({ since, matched: 0, next: null, items: [] });
  const parts = [
    part('2026-01-02T00:00:00.000Z'),
    part('2026-01-03T00:00:00.000Z'),
    part('2026-01-01T00:00:00.000Z'),
  ];
  for (const group of ['none', 'fingerprint'] as const) {
    assert.equal(mergeFailures(parts, { ...GROUPS, group }).since, '2026-01-03T00:00:00.000Z');
  }
});
