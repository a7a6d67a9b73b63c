import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QUEUE_SERIES_MAX, StatsByQueue } from '../../../src/queue/stats/by-queue.ts';

const labels = (stats: StatsByQueue) => [...stats.counters()].map(({ label }) => label);

test('a queue that comes again goes on counting where it stopped', () => {
  const stats = new StatsByQueue();
  stats.enter('');
  stats.enter('images');
  stats.of('images').chunksCompleted++;
  stats.of('').chunksCompleted += 5;
  stats.leave('images');
  stats.enter('images');
  stats.of('images').chunksCompleted++;
  assert.deepEqual(
    [...stats.counters()].map(({ label, chunksCompleted }) => [label, chunksCompleted]),
    [
      ['-', 5],
      ['images', 2],
      ['_other', 0],
    ],
  );
});

test('beyond the bound queues count together; the one that is gone for longest makes room', () => {
  const stats = new StatsByQueue();
  stats.enter('');
  for (let i = 1; i < QUEUE_SERIES_MAX; i++) stats.enter(`q${i}`);
  stats.enter('late');
  stats.enter('later');
  stats.of('late').chunksCompleted++;
  stats.of('later').chunksCompleted++;
  assert.equal(stats.of('late').label, '_other');
  assert.equal(stats.of('late').chunksCompleted, 2);
  stats.leave('q7');
  stats.leave('q3');
  stats.enter('new');
  assert.equal(stats.of('new').label, 'new');
  assert.ok(!labels(stats).includes('q7') && labels(stats).includes('q3'));
  stats.enter('q7');
  assert.equal(stats.of('q7').label, 'q7');
  assert.ok(!labels(stats).includes('q3'));
  assert.equal(labels(stats).length, QUEUE_SERIES_MAX + 1);
});
