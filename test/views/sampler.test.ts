import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Clock } from '../../src/system/time/clock.ts';
import { Sampler } from '../../src/views/sampler.ts';
import { Watcher } from '../../src/views/tallies/watcher.ts';
import { QueueWorld } from '../support/queues/queue-world.ts';
import type { ManualClock } from '../support/time/manual-clock.ts';

const SECONDS = 700;
const CHUNK_MS = 50;
const PER_SECOND = 1_000 / CHUNK_MS;

/** Timers of it take a millisecond at least, and come by so many early, or late, in turns. */
function unpunctual(clock: ManualClock, offsMs: readonly number[]): Clock {
  let timers = 0;
  return {
    nowMs: () => clock.nowMs(),
    monotonicMs: () => clock.monotonicMs(),
    soon: (run) => clock.soon(run),
    after: (delayMs, run) => clock.after(Math.max(1, delayMs) + offsMs[timers++ % offsMs.length]!, run),
  };
}

for (const [how, offsMs] of [
  ['half a millisecond early, as those of Node.js may', [-0.5]],
  ['early, late and very late in turns', [-0.5, 0, 300, -0.8, 900, 20, 2_300]],
] as const) {
  test(`steady work has a steady rate for all of ten minutes, though timers come ${how}`, async () => {
    const world = await QueueWorld.start();
    const clock = unpunctual(world.clock, offsMs);
    const watcher = new Watcher(clock);
    const latencies = () => ({ commit_p50_ms: null, commit_p99_ms: null, event_loop_delay_ms: null });
    const sampler = new Sampler({ queue: world.queue, clock, watcher, latencies });
    sampler.start();
    for (let ms = 0; ms < SECONDS * 1_000; ms += CHUNK_MS) {
      watcher.total.done++;
      world.clock.advance(CHUNK_MS);
    }
    sampler.stop();
    const rings = sampler.history(null)!;
    const seconds = rings.points('10m', ['done'], 600).map(({ atSecond }) => atSecond);
    assert.equal(new Set(seconds).size, seconds.length, 'each second once');
    const points = rings.points('10m', ['done'], 300);
    const [first, last] = [points[0]!, points.at(-1)!];
    assert.ok(last.atSecond - first.atSecond >= 590, `${last.atSecond - first.atSecond} s`);
    for (const { atSecond, values } of points) {
      assert.ok(Math.abs(values[0]! - PER_SECOND) < 1.5, `${values[0]} at ${atSecond} s`);
    }
    assert.ok(Math.abs(sampler.pace(null)!.mean('done', 60)! - PER_SECOND) < 1);
  });
}
