import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isPromise } from '../../src/model/kinds.ts';
import type { ConsumerGroup, ConsumerRow } from '../../src/protocol/api/consumers.ts';
import { type ConsumersQuery, consumers } from '../../src/views/answers/consumers.ts';
import { why } from '../../src/views/answers/why.ts';
import { QueueWorld, type WorldConsumer } from '../support/queues/queue-world.ts';
import { made, startViews } from '../support/queues/test-views.ts';

const ALL: ConsumersQuery = {
  queue: null,
  strategy: null,
  state: null,
  client: null,
  address: null,
  sort: 'rate',
  order: 'desc',
  group: 'none',
  limit: 10,
  cursor: null,
};

async function worldOf(chunks: number) {
  const world = await QueueWorld.start();
  const views = startViews(world);
  const id = await world.insert('a', chunks);
  /** Each of them completes so many chunks every second. */
  const work = async (seconds: number, chunksOf: ReadonlyMap<WorldConsumer, number>) => {
    for (let second = 0; second < seconds; second++) {
      await world.passes(1_000);
      for (const [consumer, count] of chunksOf) {
        consumer.session.alive();
        for (let i = 0; i < count; i++) consumer.complete(consumer.take()[0]!.chunk);
      }
    }
  };
  return { world, views, id, work };
}

test('the rate of a consumer is counted since it connected, up to a minute, and so is that of a group', async () => {
  const { world, views, work } = await worldOf(1_000);
  const rows = () => made(consumers(views.sources, ALL)).items as ConsumerRow[];
  const old = world.consumer(undefined, { connId: 'old' });
  await work(120, new Map([[old, 2]]));
  const young = world.consumer(undefined, { connId: 'young' });
  await work(
    5,
    new Map([
      [old, 2],
      [young, 6],
    ]),
  );
  const rates = rows().map(({ conn_id: id, rate }) => [id, Math.round(rate)]);
  assert.deepEqual(rates, [
    ['young', 6],
    ['old', 2],
  ]);
  const [group] = made(consumers(views.sources, { ...ALL, group: 'strategy' })).items as ConsumerGroup[];
  assert.equal(Math.round(group!.rate), 8);
  world.consumer(undefined, { connId: 'new' });
  assert.equal(rows().at(-1)?.rate, 0);
  views.stop();
});

test('since when a consumer is connected is told by the clock', async () => {
  const { world, views } = await worldOf(1);
  await world.passes(5_000);
  const connectedAt = new Date(world.clock.nowMs()).toISOString();
  world.consumer();
  await world.passes(5_000);
  assert.equal((made(consumers(views.sources, ALL)).items[0] as ConsumerRow).since, connectedAt);
  views.stop();
});

test('the rate of a submission that has just begun is not spread over ten seconds', async () => {
  const { world, views, id, work } = await worldOf(1_000);
  await work(3, new Map([[world.consumer(), 4]]));
  const computing = why(views.sources, { submission: id, queue: null });
  assert.ok(!isPromise(computing));
  // Twelve of them, the first one two seconds ago.
  assert.match(made(computing).text, /^it runs: 6\.0 chunks a second/);
  views.stop();
});
