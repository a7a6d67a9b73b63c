import assert from 'node:assert/strict';
import { test } from 'node:test';
import { QueueUnavailableError } from '../../src/queue/errors.ts';
import {
  type Computation,
  Frames,
  NEW_MS_MAX,
  TooManyViewsError,
  VIEWS_MAX,
} from '../../src/views/frames.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

function setUp(loopDelayMs = 0) {
  const clock = new ManualClock();
  let cpuMs = 0;
  const frames = new Frames({ clock, cpuMs: () => cpuMs, loopDelayMs: () => loopDelayMs });
  let computed = 0;
  /** Takes so many steps of that many milliseconds, with the processor or, on a busy machine, without. */
  const view = (value: unknown, steps = 1, stepMs = 0, cpuShare = 1) =>
    function* compute(): Computation<unknown> {
      computed++;
      for (let i = 0; i < steps; i++) {
        clock.advance(stepMs);
        cpuMs += stepMs * cpuShare;
        yield;
      }
      return value;
    };
  return { clock, frames, view, computedTimes: () => computed };
}

test('a view is computed once for all who ask, and again after a second', async () => {
  const { clock, frames, view, computedTimes } = setUp();
  const [a, b] = await Promise.all([frames.get('k', view('x')), frames.get('k', view('x'))]);
  assert.deepEqual([a.value, b.value, computedTimes()], ['x', 'x', 1]);
  clock.advance(999);
  assert.equal((await frames.get('k', view('y'))).ageMs, 999);
  clock.advance(1);
  const again = await frames.get('k', view('y'));
  assert.deepEqual([again.value, again.ageMs, computedTimes()], ['y', 0, 2]);
});

test('the number of a view changes with what it says only', async () => {
  const { clock, frames, view } = setUp();
  const numbers: number[] = [];
  for (const value of ['x', 'x', 'y', 'x']) {
    numbers.push((await frames.get('k', view(value))).number);
    clock.advance(1_000);
  }
  assert.equal(numbers[0], numbers[1]);
  assert.equal(new Set(numbers).size, 3);
});

test('however many different views are asked for in a row, new ones take a twentieth of the time, and a second at once', async () => {
  const { clock, frames, view, computedTimes } = setUp();
  const STEP_MS = 20;
  const beganMs = clock.monotonicMs();
  let spentMs = 0;
  let refused = 0;
  let retryMs = 0;
  const fails = function* fails(): Computation<unknown> {
    yield* view('x', 1, STEP_MS)();
    throw new QueueUnavailableError('not found');
  };
  for (let i = 0; i < 1_000; i++) {
    try {
      // One that fails is forgotten, and costs as much.
      await frames.get(`k${i}`, i % 2 === 0 ? view(i, 1, STEP_MS) : fails);
    } catch (error) {
      if (error instanceof TooManyViewsError) {
        refused++;
        retryMs = error.retryAfterSeconds * 1_000;
      } else assert.ok(error instanceof QueueUnavailableError);
    }
    spentMs = computedTimes() * STEP_MS;
    const passedMs = clock.monotonicMs() - beganMs;
    assert.ok(spentMs <= NEW_MS_MAX + STEP_MS + passedMs / 20, `${spentMs} of ${passedMs}`);
    clock.advance(5);
  }
  assert.equal(computedTimes() + refused, 1_000);
  assert.equal(frames.refused, refused);
  assert.ok(refused > 500 && computedTimes() >= NEW_MS_MAX / STEP_MS, `${computedTimes()}`);
  // What is looked at already costs nothing of that.
  clock.advance(5_000);
  await frames.get('kept', view('x', 1, 0));
  clock.advance(retryMs);
  assert.equal((await frames.get('next', view('next'))).value, 'next');
});

test('all views together take a hundredth of the time, half of that while timers come late', async () => {
  const { clock, frames, view } = setUp();
  await twice(clock, () => frames.get('a', view('a', 1, 30)));
  assert.equal(frames.intervalMs, 3_000);
  await twice(clock, () => frames.get('b', view('b', 1, 20)), 3_000);
  assert.deepEqual([frames.costMs, frames.intervalMs], [50, 5_000]);
  clock.advance(4_999);
  assert.equal((await frames.get('b', view('new'))).value, 'b');
  clock.advance(1);
  assert.equal((await frames.get('b', view('new'))).value, 'new');
  const late = setUp(25);
  await twice(late.clock, () => late.frames.get('a', late.view('a', 1, 30)), 2_000);
  assert.equal(late.frames.intervalMs, 6_000);
});

test('what a view costs is processor time, not the time that others had the processor', async () => {
  const { clock, frames, view } = setUp();
  await twice(clock, () => frames.get('k', view('x', 10, 20, 0.05)));
  assert.deepEqual([frames.costMs, frames.intervalMs], [10, 1_000]);
});

test('a single costly computation, such as the first one, does not make others wait', async () => {
  const { clock, frames, view } = setUp();
  const costs: number[] = [];
  for (const stepMs of [40, 2, 3, 90, 3, 50, 60]) {
    await frames.get('k', view(costs.length, 1, stepMs));
    costs.push(frames.costMs);
    clock.advance(10_000);
  }
  assert.deepEqual(costs, [0, 2, 2, 3, 3, 3, 50]);
});

test('a view costs nothing once nobody looks at it any more', async () => {
  const { clock, frames, view } = setUp();
  await twice(clock, () => frames.get('old', view('x', 1, 100)));
  assert.equal(frames.intervalMs, 10_000);
  clock.advance(19_899);
  assert.equal(frames.intervalMs, 10_000);
  clock.advance(1);
  assert.equal(frames.intervalMs, 1_000);
});

/** Computes a view so often that it is known what it costs. */
async function twice(clock: ManualClock, get: () => Promise<unknown>, apartMs = 1_000): Promise<void> {
  await get();
  clock.advance(apartMs);
  await get();
}

test('a computation gives others their turn every millisecond', async () => {
  const { clock, frames, view } = setUp();
  const turns: number[] = [];
  let isDone = false;
  const look = () => {
    turns.push(clock.monotonicMs());
    if (!isDone) setImmediate(look);
  };
  setImmediate(look);
  await frames.get('k', view('x', 20, 1));
  isDone = true;
  const steps = turns.map((at, i) => at - (turns[i - 1] ?? 0));
  assert.ok(turns.length >= 18, `${turns}`);
  assert.ok(Math.max(...steps) <= 2, `${steps}`);
});

test('one view too many is refused, until one of them is not looked at any more', async () => {
  const { clock, frames, view } = setUp();
  for (let i = 0; i < VIEWS_MAX; i++) await frames.get(`k${i}`, view(i));
  await assert.rejects(frames.get('more', view('x')), TooManyViewsError);
  clock.advance(2_999);
  for (let i = 1; i < VIEWS_MAX; i++) await frames.get(`k${i}`, view(i));
  await assert.rejects(frames.get('more', view('x')), TooManyViewsError);
  clock.advance(1);
  assert.equal((await frames.get('more', view('x'))).value, 'x');
  assert.deepEqual([frames.kept, frames.refused], [VIEWS_MAX, 2]);
});

test('what a computation throws goes to all who wait, and nothing of it is kept', async () => {
  const { frames, view } = setUp();
  const fails = function* compute(): Computation<unknown> {
    yield;
    throw new Error('no');
  };
  const asked = [frames.get('k', fails), frames.get('k', fails)];
  for (const each of await Promise.allSettled(asked)) assert.equal(each.status, 'rejected');
  assert.equal((await frames.get('k', view('x'))).value, 'x');
});

test('what is being computed when the server stops is not answered, and is no failure of the queue', async () => {
  const { frames, view } = setUp();
  const asked = frames.get('k', view('x', 100, 1));
  frames.stop();
  await assert.rejects(asked, QueueUnavailableError);
});
