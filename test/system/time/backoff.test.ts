import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../../src/system/random.ts';
import { Backoff } from '../../../src/system/time/backoff.ts';

const backoff = () => new Backoff(seededRandom(1), { firstMs: 100, maxMs: 3_200 });
const between = (min: number, max: number, value: number) =>
  assert.ok(value >= min && value <= max, `${value} is not in ${min} to ${max}`);

test('each wait is up to twice as long as the one before, and half of that at least', () => {
  const waits = backoff();
  for (const step of [100, 200, 400, 800, 1_600, 3_200, 3_200]) between(step / 2, step, waits.nextMs());
  waits.reset();
  between(50, 100, waits.nextMs());
});

test('a wait that is asked for counts, and not all come at once; one of a second means soon', () => {
  const waits = backoff();
  between(2_000, 2_500, waits.nextMs(2_000));
  for (const step of [200, 400, 800]) between(step / 2, step, waits.nextMs(1_000));
  for (let i = 0; i < 5; i++) between(800, 1_000, waits.nextMs(1_000));
});
