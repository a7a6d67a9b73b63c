import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Strategy } from '../../src/model/strategy.ts';
import type { VerbRequest } from '../../src/model/verbs.ts';
import { submission } from '../../src/views/answers/submission.ts';
import { runningMs, Stops } from '../../src/views/tallies/stops.ts';
import type { Views } from '../../src/views/views.ts';
import { QueueWorld, type WorldConsumer } from '../support/queues/queue-world.ts';
import { made, startViews } from '../support/queues/test-views.ts';
import { gatedStore } from '../support/store/gated-store.ts';

const CHUNKS = 200;
const HOUR_MS = 3_600_000;
const BY_ANN = { by: 'ann', reason: null, isDryRun: false, expected: null };

type Target = VerbRequest['target'];

async function ask(world: QueueWorld, verb: 'pause' | 'resume', target: Target): Promise<void> {
  await world.queue.verbs.run({ ...BY_ANN, change: { verb, cause: 'manual' }, target });
  await world.settle();
}

/** A chunk a second. */
async function works(world: QueueWorld, consumer: WorldConsumer, seconds: number): Promise<void> {
  for (let i = 0; i < seconds; i++) {
    const [held] = consumer.take();
    await world.passes(1_000);
    consumer.complete(held!.chunk);
  }
  await world.settle();
}

async function left({ sources }: Views, id: bigint) {
  const { left_ms: ms, left_unknown: unknown } = made(await submission(sources, id, null));
  return {
    seconds: ms === null ? null : ms.p50 / 1_000,
    worst: ms === null ? null : ms.p90 / 1_000,
    unknown,
  };
}

async function nightPasses(world: QueueWorld): Promise<void> {
  for (let i = 0; i < 8 * 60; i++) await world.passes(60_000);
}

/** It goes on as before whatever stood in its way for a night, a second after it is gone and a minute after. */
async function goesOn(world: QueueWorld, views: Views, id: bigint, consumer: WorldConsumer, done: number) {
  let chunks = done;
  for (const seconds of [1, 4, 20, 45]) {
    await works(world, consumer, seconds);
    chunks += seconds;
    const { seconds: found, worst } = await left(views, id);
    const expected = CHUNKS - chunks;
    assert.ok(Math.abs(found! - expected) < 0.15 * expected, `${found} of ${expected} after ${seconds}`);
    assert.ok(worst! < 2 * expected, `${worst} of ${expected} at worst after ${seconds}`);
  }
}

const STOPPABLE = [
  ['the submission', (id: bigint) => ({ kind: 'submissions', ids: [id], queue: null })],
  ['its queue', () => ({ kind: 'queue', queue: '' })],
  ['the server', () => ({ kind: 'server' })],
] as const satisfies readonly (readonly [string, (id: bigint) => Target])[];

for (const [what, target] of STOPPABLE) {
  test(`a night in which ${what} was paused does not count for the time left`, async () => {
    const world = await QueueWorld.start({
      reservationExpirationMs: 100 * HOUR_MS,
    });
    const views = startViews(world);
    const id = await world.insert('a', CHUNKS);
    const consumer = world.consumer();
    await works(world, consumer, 70);
    await ask(world, 'pause', target(id));
    const paused = what === 'the submission' ? 'paused' : 'queue_paused';
    assert.deepEqual(await left(views, id), { seconds: null, worst: null, unknown: paused });
    await nightPasses(world);
    await ask(world, 'resume', target(id));
    await goesOn(world, views, id, world.consumer(), 70);
    views.stop();
  });
}

for (const [what, pauses] of [
  ['the time comes', false],
  ['the time comes while it is paused', true],
] as const) {
  test(`a night until which a submission was not to go on does not count for the time left: ${what}`, async () => {
    const world = await QueueWorld.start({ reservationExpirationMs: 100 * HOUR_MS });
    const views = startViews(world);
    const id = await world.insert('a', CHUNKS);
    await works(world, world.consumer(), 70);
    const target = { kind: 'submissions', ids: [id], queue: null } as const;
    const startAfterMs = world.clock.nowMs() + 8 * HOUR_MS;
    await world.queue.verbs.run({ ...BY_ANN, change: { verb: 'set', startAfterMs }, target });
    await world.settle();
    if (pauses) await ask(world, 'pause', target);
    assert.equal((await left(views, id)).unknown, pauses ? 'paused' : 'not_started');
    await nightPasses(world);
    await world.passes(60_000);
    if (pauses) await ask(world, 'resume', target);
    await goesOn(world, views, id, world.consumer(), 70);
    views.stop();
  });
}

for (const [what, target] of STOPPABLE) {
  test(`what is in flight when ${what} is paused is done, and its time counts for the time left`, async () => {
    const world = await QueueWorld.start({ reservationExpirationMs: HOUR_MS });
    const views = startViews(world);
    const id = await world.insert('a', 2_000);
    const consumers = Array.from({ length: 100 }, () => world.consumer());
    const seconds = async (many: number) => {
      for (let i = 0; i < many; i++) await world.passes(1_000);
    };
    const begin = () => consumers.map((consumer) => consumer.take()[0]!.chunk);
    const end = async (chunks: ReturnType<typeof begin>) => {
      for (const [i, chunk] of chunks.entries()) consumers[i]!.complete(chunk);
      await world.settle();
    };
    // A chunk takes twenty seconds: 100 are in flight when it is paused, and done before it goes on.
    let held = begin();
    await seconds(2);
    await ask(world, 'pause', target(id));
    await seconds(18);
    await end(held);
    await seconds(30);
    await ask(world, 'resume', target(id));
    for (let round = 1; round <= 3; round++) {
      held = begin();
      await seconds(5);
      const { seconds: found } = await left(views, id);
      const expected = (20 - round) * 20 - 5;
      assert.ok(Math.abs(found! - expected) < 0.4 * expected, `${found} of ${expected} in round ${round}`);
      await seconds(15);
      await end(held);
    }
    views.stop();
  });
}

test('a night without consumers does not count for the time left', async () => {
  const world = await QueueWorld.start();
  const views = startViews(world);
  const id = await world.insert('a', CHUNKS);
  const consumer = world.consumer();
  await works(world, consumer, 70);
  consumer.disconnect();
  await world.settle();
  assert.equal((await left(views, id)).unknown, 'no_consumers');
  await nightPasses(world);
  await goesOn(world, views, id, world.consumer(), 70);
  views.stop();
});

test('why the time left is not known is said', async () => {
  const gated = gatedStore();
  const world = await QueueWorld.start({ store: gated.store });
  const views = startViews(world);
  const id = await world.insert('a', CHUNKS, { strategicMetadata: new Map([['kind', 2n]]) });
  const unknown = async () => (await left(views, id)).unknown;
  assert.equal(await unknown(), 'no_consumers');
  const other = world.consumer();
  other.reserve(1, Strategy.selectOnly('kind', [1], Strategy.oldest()));
  await world.settle();
  assert.equal(await unknown(), 'excluded');
  const consumer = world.consumer();
  const [held] = consumer.take();
  assert.equal(await unknown(), 'few_done');
  consumer.complete(held!.chunk);
  await works(world, consumer, 30);
  assert.equal(await unknown(), null);
  const [last] = consumer.take();
  gated.shut();
  consumer.complete(last!.chunk);
  await world.passes(5);
  await world.passes(10_000);
  assert.equal(await unknown(), 'store_stuck');
  gated.open();
  views.stop();
});

test('a submission that nobody works on any more, and one whose chunks wait for a retry, are told', async () => {
  const world = await QueueWorld.start({ chunkRetriesMax: 100 });
  const views = startViews(world);
  const id = await world.insert('a', 2, { retryDelayMs: 500_000 });
  const first = await world.insert('b', 2);
  const consumer = world.consumer();
  for (let chunk = 0; chunk < 2; chunk++) consumer.fail(consumer.take()[0]!.chunk);
  assert.equal((await left(views, id)).unknown, 'all_delayed');
  assert.equal((await left(views, first)).unknown, 'stands_still');
  views.stop();
});

test('time that several stops share is taken off once', () => {
  const [a, b] = [new Stops(), new Stops()];
  a.look(true, 10);
  a.look(true, 15);
  a.look(false, 20);
  b.look(true, 15);
  b.look(false, 40);
  a.look(true, 90);
  assert.equal(runningMs(0, 100, [a, b, null]), 60);
  assert.equal(runningMs(18, 100, [a, b]), 50);
  assert.equal(runningMs(95, 100, [a, b]), 0);
  a.worked(93);
  assert.equal(runningMs(90, 100, [a, b]), 3);
  for (let i = 0; i < 200; i++) a.look(i % 2 === 0, 1_000 + i);
  assert.ok(a.until(2_000).length <= 32);
});
