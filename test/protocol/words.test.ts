import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ticks } from '../../page/lib/format.ts';
import { oneLine } from '../../src/cli/text.ts';
import {
  bytes,
  compact,
  count,
  duration,
  percent,
  plural,
  rate,
  sentence,
} from '../../src/protocol/api/words.ts';

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

test('a number that rounds up to the next unit is in it', () => {
  assert.deepEqual([99_999, 100_000, 999_400, 999_600, 1e9, 2e16].map(compact), [
    '99\u2009999',
    '100\u2009k',
    '999\u2009k',
    '1.00\u2009M',
    '1.00\u2009G',
    '20\u2009000\u2009T',
  ]);
  assert.deepEqual([0, 999, 1_000, 999_600, 4.2e9].map(bytes), [
    '0\u2009B',
    '999\u2009B',
    '1.00\u2009kB',
    '1.00\u2009MB',
    '4.20\u2009GB',
  ]);
  assert.deepEqual([null, 0, 0.25, 0.999, 3.14, 9.97, 13.94827, 123_456].map(rate), [
    '–',
    '0',
    '0.25',
    '1.0',
    '3.1',
    '10',
    '14',
    '123\u2009k',
  ]);
});

test('durations have the two largest units, and no more figures than tell anything', () => {
  for (const [ms, text] of [
    [0, '0 ms'],
    [3.14, '3.1 ms'],
    [999.4, '999 ms'],
    [999.9, '999 ms'],
    [9_970, '9.9 s'],
    [13_948.27, '13 s'],
    [59_999, '59 s'],
    [125_000, '2 min 05 s'],
    [7_200_000, '2 h'],
    [97 * 3_600_000, '4 d 01 h'],
    [-5_000, '\u22125.0 s'],
  ] as const) {
    assert.equal(duration(ms).replaceAll('\u2009', ' '), text);
  }
});

test('only all is 100 %, and only nothing is 0 %', () => {
  assert.deepEqual([0, 0.0001, 0.5, 0.99999, 1].map(percent), [
    '0\u2009%',
    '<\u20090.1\u2009%',
    '50.0\u2009%',
    '99.9\u2009%',
    '100\u2009%',
  ]);
});

test('a terminal has them in ASCII', () => {
  const text = `${plural(1_234_567, 'chunk')}, ${plural(1, 'try', 'tries')}, ${duration(65_000)}, ${bytes(1_500)}`;
  assert.equal(oneLine(text), '1,234,567 chunks, 1 try, 1 min 05 s, 1.50 kB');
});
