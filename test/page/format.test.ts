import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compact, count, duration, rate, sentence, ticks } from '../../page/lib/format.ts';

test('ticks of an axis have one unit, and no more figures than they need', () => {
  for (const [format, values, texts] of [
    [rate, [0, 2, 4], '0 2 4'],
    [rate, [0, 0.5, 1, 1.5], '0 0.5 1 1.5'],
    [compact, [0, 50_000, 100_000], '0 50\u2009k 100\u2009k'],
    [compact, [0, 500_000, 1_000_000, 1_500_000], '0 0.5\u2009M 1\u2009M 1.5\u2009M'],
    [compact, [0, 20_000, 40_000], '0 20\u2009000 40\u2009000'],
    [duration, [0, 1_000, 2_000], '0\u2009ms 1\u2009s 2\u2009s'],
  ] as const) {
    assert.equal(ticks(values, format).join(' '), texts);
  }
});

test('numbers are cut into groups of three digits', () => {
  for (const [value, text] of [
    [0, '0'],
    [999, '999'],
    [1_000, '1\u2009000'],
    [-12_345, '-12\u2009345'],
    [1_234_567.5, '1\u2009234\u2009568'],
    [99_999_999_999, '99\u2009999\u2009999\u2009999'],
  ] as const) {
    assert.equal(count(value), text);
  }
});

test('what the queue says begins as a sentence does', () => {
  assert.deepEqual(['it runs: 3', '3 wait', '', 'ünique'].map(sentence), [
    'It runs: 3',
    '3 wait',
    '',
    'Ünique',
  ]);
});
