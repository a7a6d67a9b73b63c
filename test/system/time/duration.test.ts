import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IncorrectUsageError } from '../../../src/model/errors.ts';
import { checkDuration, formatDuration, parseDuration } from '../../../src/system/time/duration.ts';

// What the original takes and refuses was tried on its --heartbeat-interval.

test('durations are read as the original reads them', () => {
  for (const [text, ms] of [
    ['500ms', 500],
    ['5 seconds', 5_000],
    ['10 minutes', 600_000],
    ['1 hour', 3_600_000],
    ['1h 30m', 5_400_000],
    ['1h30m', 5_400_000],
    ['1m 1h', 3_660_000],
    ['1h1h', 7_200_000],
    ['0', 0],
    ['0s', 0],
    [' 5  s ', 5_000],
    ['1.5s', 1_500],
    ['2 weeks', 1_209_600_000],
    ['1wk', 604_800_000],
    ['7d', 604_800_000],
    ['1M', 2_630_016_000],
    ['1y', 31_557_600_000],
    ['250us', 0.25],
    ['250µs', 0.25],
    ['1millis', 1],
    ['2hrs', 7_200_000],
    ['18446744073709551615s', Number.MAX_SAFE_INTEGER],
  ] as const) {
    assert.equal(parseDuration(text), ms, text);
  }
});

test('everything else is refused, with the name of the flag and the value', () => {
  for (const text of [
    '',
    ' ',
    '5',
    '1h 5',
    's',
    '-1s',
    '+1s',
    '1 SEC',
    '1_000s',
    '1s,2s',
    '1h,30m',
    '5 parsecs',
    '1..5s',
    '.5s',
  ]) {
    assert.throws(
      () => parseDuration(text, '--heartbeat-interval'),
      (error) =>
        error instanceof IncorrectUsageError &&
        error.message ===
          `--heartbeat-interval must be a duration with its unit, such as 500ms, 5 seconds or 1h 30m, got ${JSON.stringify(text)}`,
      text,
    );
  }
});

test('a duration out of bounds is refused', () => {
  assert.equal(checkDuration('timeout', '1s', 1_000, 2_000), 1_000);
  assert.throws(
    () => checkDuration('timeout', '3s', 1_000, 2_000),
    /^IncorrectUsageError: timeout must be a duration from 1 second to 2 seconds, got "3s"$/,
  );
  assert.throws(
    () => checkDuration('timeout', '1ms', 120_000),
    /^IncorrectUsageError: timeout must be a duration of at least 2 minutes, got "1ms"$/,
  );
});

test('a formatted duration reads back', () => {
  for (const [ms, text] of [
    [5_400_000, '90 minutes'],
    [3_600_000, '1 hour'],
    [125_000, '125 seconds'],
    [0, '0s'],
    [86_400_500, '86400500ms'],
  ] as const) {
    assert.equal(formatDuration(ms), text);
  }
  fc.assert(
    fc.property(fc.nat({ max: 10 ** 12 }), (ms) => {
      assert.equal(parseDuration(formatDuration(ms)), ms);
    }),
    { numRuns: 200 },
  );
});
