import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SubmissionNotFoundError } from '../../src/model/errors.ts';
import { RETRY_DEFAULT } from '../../src/model/retry.ts';
import type { EndState } from '../../src/model/submission.ts';
import { eventsAfter } from '../../src/views/answers/events.ts';
import { submission } from '../../src/views/answers/submission.ts';
import { endedList, type SubmissionsQuery } from '../../src/views/answers/submissions.ts';
import type { Views } from '../../src/views/views.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { made, startViews } from '../support/queues/test-views.ts';

const COLLECTING = { failureMode: 'collect', retry: { ...RETRY_DEFAULT, triesMax: 1 } } as const;
const ENDED: Omit<SubmissionsQuery, 'state'> = {
  queue: null,
  meta: new Map(),
  prefix: null,
  prefix_starts: null,
  inserted_before: null,
  inserted_after: null,
  ended_before: null,
  ended_after: null,
  failure: null,
  sort: 'inserted',
  order: 'desc',
  limit: 50,
  cursor: null,
};

async function seen({ sources }: Views, id: bigint) {
  return made(await submission(sources, id, null));
}

async function setBackInList({ sources }: Views, state: EndState) {
  const { items } = made(await endedList(sources, { ...ENDED, state }, state));
  return items.map(({ set_back: setBack }) => setBack);
}

test('what was counted of a submission is known after its end, with how its tries failed', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  const id = await world.insert('a', 30, COLLECTING);
  const consumer = world.consumer();
  for (let chunk = 0; chunk < 30; chunk++) {
    const [held] = consumer.take();
    world.clock.advance(100);
    if (chunk < 28) consumer.complete(held!.chunk);
    else consumer.fail(held!.chunk, 'TypeError: no address');
  }
  await world.settle();
  assert.equal(await world.stateOf(id), 'completed_with_failures');
  const { set_back: setBack, durations_ms: durations, failures, timeline } = await seen(views, id);
  assert.deepEqual([setBack, durations?.max], [2, 100]);
  assert.deepEqual(
    failures.map(({ title, count }) => [title, count]),
    [['TypeError: no address', 2]],
  );
  assert.equal(timeline.at(-1)?.text, '2 of 30 chunks failed');
  assert.deepEqual(await setBackInList(views, 'completed_with_failures'), [2]);
  views.stop();
});

test('where all chunks failed, the time line and the event say that all did', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  const id = await world.insert('a', 2, COLLECTING);
  const consumer = world.consumer();
  for (let chunk = 0; chunk < 2; chunk++) consumer.fail(consumer.take()[0]!.chunk, 'TypeError: no address');
  await world.settle();
  assert.equal((await seen(views, id)).timeline.at(-1)?.text, 'all 2 chunks failed');
  const query = { queue: null, after: null, kind: [], submission: id, take: 'next', limit: 9 } as const;
  assert.equal(
    eventsAfter(views.sources, query).items.at(-1)?.text,
    'all 2 chunks failed: chunk 0: TypeError: no address',
  );
  views.stop();
});

test('what is not known of a submission that has ended is not told as none', async () => {
  const before = await QueueWorld.start();
  const id = await before.insert('a', 1);
  const consumer = before.consumer();
  consumer.complete(consumer.take()[0]!.chunk);
  await before.settle();
  const views = startViews(await QueueWorld.start({ store: before.store }));
  const { set_back: setBack, durations_ms: durations } = await seen(views, id);
  assert.deepEqual([setBack, durations], [null, null]);
  assert.deepEqual(await setBackInList(views, 'completed'), [null]);
  await assert.rejects(() => seen(views, 1n), SubmissionNotFoundError);
  views.stop();
});

test('of very many that end, those of which tries failed are remembered', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  const consumer = world.consumer();
  const troubled = await world.insert('troubled', 1, COLLECTING);
  consumer.fail(consumer.take()[0]!.chunk);
  const first = await world.insert('first', 1);
  consumer.complete(consumer.take()[0]!.chunk);
  await world.settle();
  for (let i = 0; i < 2_000; i++) await world.insert(`${i}`, 0);
  await world.settle();
  assert.equal((await seen(views, troubled)).set_back, 1);
  assert.equal((await seen(views, first)).set_back, null);
  views.stop();
});
