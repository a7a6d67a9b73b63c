import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { VerbRequest } from '../../src/model/verbs.ts';
import { chunks } from '../../src/views/answers/chunks.ts';
import { history } from '../../src/views/answers/history.ts';
import { overview } from '../../src/views/answers/overview.ts';
import { submission } from '../../src/views/answers/submission.ts';
import { ValueRates, values } from '../../src/views/answers/values.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { made, startViews } from '../support/queues/test-views.ts';

const BY_ANN = { by: 'ann', reason: null, isDryRun: false, expected: null };
const CHUNKS = { queue: null, state: null, sort: 'index', from: 0, limit: 9, cursor: null } as const;
const VALUES = {
  queue: null,
  key: 'customer',
  sort: 'waiting',
  order: 'desc',
  starts: null,
  limit: 9,
  cursor: null,
} as const;

test('a queue that is paused while the overview is computed has its chunks counted as paused', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  await world.insert('a', 3);
  const computation = overview(views.sources, null);
  assert.equal(computation.next().done, false);
  const target = { kind: 'queue', queue: '' } as const;
  await world.queue.verbs.run({ ...BY_ANN, change: { verb: 'pause', cause: 'manual' }, target });
  await world.insert('b', 4);
  const { counts } = made(computation);
  assert.deepEqual([counts.chunks_waiting, counts.chunks_paused, counts.chunks_backlog], [0, 7, 7]);
  views.stop();
});

for (const [what, targetOf] of [
  ['the submission', (id: bigint) => ({ kind: 'submissions', ids: [id], queue: null })],
  ['its queue', () => ({ kind: 'queue', queue: '' })],
  ['the server', () => ({ kind: 'server' })],
] as const satisfies readonly (readonly [string, (id: bigint) => VerbRequest['target']])[]) {
  test(`where ${what} is paused, its chunks are paused everywhere, and wait nowhere`, async () => {
    const world = await QueueWorld.start();
    const views = startViews(world);
    const { sources } = views;
    const id = await world.insert('a', 3, { strategicMetadata: new Map([['customer', 7n]]) });
    const consumer = world.consumer();
    consumer.take();
    const seen = async () => {
      await world.passes(1_000);
      const { counts, oldest_waiting: oldest } = made(overview(sources, null));
      const { items } = made(await chunks(sources, id, CHUNKS));
      const { chunks: own } = made(await submission(sources, id, null));
      const { series } = history(sources, { queue: null, window: '10m', points: 600, series: ['waiting'] });
      const { items: byCustomer } = made(values(sources, VALUES, new ValueRates()));
      return {
        customer: byCustomer.map(({ waiting, in_flight, backlog }) => [waiting, in_flight, backlog]),
        overview: [counts.chunks_waiting, counts.chunks_paused, oldest?.submission ?? null],
        own: [own.waiting, own.paused],
        states: items.map(({ state }) => state),
        plotted: series.waiting?.at(-1),
      };
    };
    const running = {
      customer: [[2, 1, 3]],
      overview: [2, 0, String(id)],
      own: [2, 0],
      states: ['reserved', 'waiting', 'waiting'],
      plotted: 2,
    };
    assert.deepEqual(await seen(), running);
    const target = targetOf(id);
    await world.queue.verbs.run({ ...BY_ANN, change: { verb: 'pause', cause: 'manual' }, target });
    assert.deepEqual(await seen(), {
      customer: [[0, 1, 3]],
      overview: [0, 2, null],
      own: [0, 2],
      states: ['reserved', 'paused', 'paused'],
      plotted: 0,
    });
    await world.queue.verbs.run({ ...BY_ANN, change: { verb: 'resume', cause: 'manual' }, target });
    assert.deepEqual(await seen(), running);
    views.stop();
  });
}
