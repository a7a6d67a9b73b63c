import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Strategy } from '../../../src/model/strategy.ts';
import { Sketch } from '../../../src/queue/stats/sketch.ts';
import { strategyLabel } from '../../../src/queue/stats/stats.ts';
import { ManualClock } from '../../support/time/manual-clock.ts';

test('quantiles are right to within two percent, least and greatest exactly', () => {
  const durations = fc.array(fc.double({ min: 1e-6, max: 1e5, noNaN: true }), {
    minLength: 1,
    maxLength: 300,
  });
  fc.assert(
    fc.property(durations, (values) => {
      const clock = new ManualClock();
      const sketch = new Sketch(clock);
      for (const value of values) sketch.observe(value, 0);
      const sorted = values.toSorted((a, b) => a - b);
      for (const quantile of [0.5, 0.9, 0.99]) {
        const exact = sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)]!;
        assert.ok(
          Math.abs(sketch.quantile(quantile) / exact - 1) < 0.02,
          `${quantile}: ${sketch.quantile(quantile)}, ${exact}`,
        );
      }
      assert.equal(sketch.quantile(0), sorted[0]);
      assert.equal(sketch.quantile(1), sorted.at(-1));
      assert.equal(sketch.count, values.length);
    }),
    { numRuns: 100 },
  );
});

test('quantiles forget what is long ago, sum and count do not', () => {
  const clock = new ManualClock();
  const sketch = new Sketch(clock);
  sketch.observe(5, clock.monotonicMs());
  clock.advance(61_000);
  sketch.observe(1, clock.monotonicMs());
  assert.equal(sketch.quantile(1), 5);
  clock.advance(61_000);
  assert.equal(sketch.quantile(1), 1);
  clock.advance(200_000);
  assert.equal(sketch.quantile(1), 0);
  assert.deepEqual([sketch.sum, sketch.count], [6, 2]);
});

test('zero and durations beyond all measure are counted', () => {
  const sketch = new Sketch(new ManualClock());
  for (const value of [0, 1e300]) sketch.observe(value, 0);
  assert.deepEqual([sketch.quantile(0), sketch.quantile(1)], [0, 1e300]);
});

test('strategies are labelled as the original does', () => {
  const nested = Strategy.preferDistinct('company_id', Strategy.preferDistinct('a"b', Strategy.oldest()));
  assert.equal(
    strategyLabel(nested),
    'PreferDistinct { meta_key: "company_id", underlying: PreferDistinct { meta_key: "a\\"b", underlying: Oldest } }',
  );
  assert.deepEqual([Strategy.newest(), Strategy.random()].map(strategyLabel), ['Newest', 'Random']);
});

test('what was observed long ago is not taken for what happens now', () => {
  const clock = new ManualClock();
  const sketch = new Sketch(clock);
  assert.equal(sketch.isQuiet, true);
  sketch.observe(0.004, clock.monotonicMs());
  assert.equal(sketch.isQuiet, false);
  clock.advance(60_000);
  assert.equal(sketch.isQuiet, false);
  clock.advance(60_000);
  assert.deepEqual([sketch.isQuiet, sketch.count], [true, 1]);
});
