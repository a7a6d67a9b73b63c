import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { attention } from '../../src/views/answers/attention.ts';
import { overview } from '../../src/views/answers/overview.ts';
import { whyOfQueues } from '../../src/views/answers/why.ts';
import { Pace } from '../../src/views/tallies/pace.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import { made, startViews } from '../support/queues/test-views.ts';

const QUEUES = 25;
/** The history of the first twenty only is kept. */
const LAST = `q${QUEUES - 1}`;
const MINUTES_FIVE = 300;

async function manyQueues() {
  const world = await QueueWorld.start({ reservationExpirationMs: 3_600_000 });
  const views = startViews(world);
  for (let i = 0; i < QUEUES; i++) await world.insert(`p${i}`, 100, { queue: `q${i}` });
  const consumer = world.consumer(undefined, { queueName: LAST });
  return { world, consumer, sources: views.sources, stop: () => views.stop() };
}

test('the rates of every queue are known, however many there are', async () => {
  const { world, consumer, sources, stop } = await manyQueues();
  assert.deepEqual(made(overview(sources, LAST)).rates.last_60s, {
    inserted: null,
    done: null,
    set_back: null,
  });
  for (let second = 0; second < 20; second++) {
    for (let i = 0; i < 2; i++) consumer.complete(consumer.take()[0]!.chunk);
    await world.passes(1_000);
  }
  const { rates } = made(overview(sources, LAST));
  assert.deepEqual([rates.last_1s.done, rates.last_10s.done, rates.last_60s.done], [2, 2, 2]);
  assert.equal(rates.last_60s.inserted, 0.05);
  assert.deepEqual(made(overview(sources, 'q0')).rates.last_10s, { inserted: 0, done: 0, set_back: 0 });
  assert.match(made(whyOfQueues(sources, LAST)).text, /^it runs: 2\.0 chunks a second/);
  stop();
});

test('the rate of a queue that is gone is not known, and no longer kept', async () => {
  const { world, consumer, sources, stop } = await manyQueues();
  consumer.complete(consumer.take()[0]!.chunk);
  await world.passes(1_000);
  assert.notEqual(sources.sampler.pace(LAST), undefined);
  consumer.disconnect(true);
  for (const { name, schedule } of world.queue.schedules()) {
    if (name !== LAST) continue;
    const ids = Array.from(schedule.submissions.values(), ({ record }) => record.id);
    await world.queue.verbs.run({
      change: { verb: 'cancel' },
      target: { kind: 'submissions', ids, queue: LAST },
      by: 'ann',
      reason: null,
      isDryRun: false,
      expected: null,
    });
  }
  await world.passes(1_000);
  assert.equal(sources.sampler.pace(LAST), undefined);
  assert.equal(made(overview(sources, LAST)).rates.last_1s.done, null);
  stop();
});

test('a queue that stands still is told after five minutes, however many there are', async () => {
  const { world, consumer, sources, stop } = await manyQueues();
  const isTold = () => made(attention(sources, LAST)).find(({ code }) => code === 'stalled')?.text;
  const passes = async (seconds: number) => {
    for (let passed = 0; passed < seconds; passed += 10) {
      consumer.session.alive();
      await world.passes(10_000);
    }
  };
  consumer.complete(consumer.take()[0]!.chunk);
  await world.passes(1_000);
  const [held] = consumer.take();
  await passes(MINUTES_FIVE);
  assert.equal(isTold(), undefined);
  await passes(10);
  assert.equal(
    isTold(),
    `nothing was done for five minutes in queue ${LAST}, and 1 chunk is in the hands of 1 consumer`,
  );
  consumer.complete(held!.chunk);
  await world.passes(1_000);
  consumer.take();
  await passes(10);
  assert.equal(isTold(), undefined);
  stop();
});

test('means of the last seconds are those of what was counted in them', () => {
  const step = fc.record({
    seconds: fc.oneof({ weight: 9, arbitrary: fc.constant(1) }, { weight: 1, arbitrary: fc.nat(130) }),
    done: fc.oneof(fc.constant(0), fc.nat(1_000)),
  });
  fc.assert(
    fc.property(fc.nat(1_000), fc.array(step, { maxLength: 300 }), (begun, steps) => {
      const pace = new Pace(begun);
      const perSecond: number[] = [];
      const counts = { inserted: 0, done: 0, setBack: 0 };
      let second = begun;
      for (const { seconds, done } of steps) {
        if (second + seconds === begun) continue;
        second += seconds;
        counts.done += done;
        counts.setBack += 1;
        pace.count(counts, second, 0);
        if (seconds === 0) perSecond[perSecond.length - 1]! += done;
        for (let i = 0; i < seconds; i++) perSecond.push(done / seconds);
      }
      for (const seconds of [1, 10, 60]) {
        const last = perSecond.slice(-seconds);
        const mean = pace.mean('done', seconds);
        if (last.length === 0) assert.equal(mean, null);
        else {
          const wanted = last.reduce((sum, each) => sum + each, 0) / last.length;
          assert.ok(Math.abs(mean! - wanted) < 1e-3 * (1 + wanted), `${mean}, not ${wanted}`);
        }
      }
    }),
  );
});
