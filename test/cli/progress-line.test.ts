import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProgressLine, type ProgressState, progressBar, progressText } from '../../src/cli/progress-line.ts';
import { grouped, oneLine, rateText, timeText } from '../../src/cli/text.ts';

const state: ProgressState = { done: 1200, total: 4633, unit: 'files', perSecond: 850.4, msLeft: 4036 };

test('tells how much, how fast and how long still', () => {
  assert.equal(progressText(state), '1,200 of 4,633 files (25.9 %), 850 files/s, 4.0 s left');
  assert.equal(progressText({ ...state, perSecond: null, msLeft: null }), '1,200 of 4,633 files (25.9 %)');
  assert.equal(
    progressText({ ...state, failed: 3_433 }),
    '1,200 of 4,633 files (25.9 %), 3,433 failed, 850 files/s',
  );
  assert.equal(progressText({ ...state, done: 4633 }), '4,633 of 4,633 files (100 %), 850 files/s');
  assert.equal(
    progressText({ ...state, done: 99_999, total: 100_000, perSecond: null, msLeft: null }),
    '99,999 of 100,000 files (99.9 %)',
  );
  assert.equal(progressText({ ...state, done: 0, total: 0, perSecond: null }), '0 of 0 files (100 %)');
});

test('a bar fits into any terminal', () => {
  assert.match(progressBar(state, 110), /^\[#{10}-{30}\] 1,200 of/);
  for (let columns = 1; columns < 200; columns++)
    assert.ok(progressBar(state, columns).length < columns || columns === 1);
});

test('a terminal that tells a width of 0 gets a bar of the usual width', () => {
  const output = { ...fakeOutput(true), columns: 0 };
  new ProgressLine(output, steppedClock()).show(state);
  assert.match(output.written[0]!, /^\r\[#+-+\] 1,200 of 4,633 files/);
});

function fakeOutput(isTTY: boolean) {
  const written: string[] = [];
  return { written, isTTY, columns: 60, write: (text: string) => written.push(text) };
}

function steppedClock() {
  let nowMs = 0;
  return {
    step: (ms: number) => (nowMs += ms),
    nowMs: () => nowMs,
    monotonicMs: () => nowMs,
    after: () => ({ cancel() {} }),
    soon() {},
  };
}

test('a terminal gets one line that is drawn again, not more often than an eye can follow', () => {
  const [output, clock] = [fakeOutput(true), steppedClock()];
  const line = new ProgressLine(output, clock);
  line.show(state);
  line.show({ ...state, done: 1300 });
  clock.step(100);
  line.show({ ...state, done: 1400 });
  line.show({ ...state, done: 4633 });
  line.finish();
  line.finish();
  assert.equal(output.written.length, 4);
  assert.ok(/^\r.*1,400 of/.test(output.written[1]!) && output.written[1]!.endsWith('\x1b[K'));
  assert.match(output.written[2]!, /^\r.*4,633 of/);
  assert.equal(output.written[3], '\n');
});

test('a file gets a plain line every few seconds', () => {
  const [output, clock] = [fakeOutput(false), steppedClock()];
  const line = new ProgressLine(output, clock);
  for (let second = 0; second < 10; second++) {
    line.show(state);
    clock.step(1000);
  }
  line.finish();
  assert.deepEqual(output.written, Array(3).fill(`${progressText(state)}\n`));
});

test('numbers and times are written for people', () => {
  assert.equal(grouped(1234567), '1,234,567');
  assert.equal(oneLine('a\n  b\n'), 'a b');
  assert.deepEqual([0.5, 12.34, 123.4, 12345].map(rateText), ['0.50', '12', '123', '12,345']);
  assert.deepEqual([850, 4000, 59_400, 59_600, 200_000, 7_500_000, 2 * 86_400_000].map(timeText), [
    '850 ms',
    '4.0 s',
    '59 s',
    '59 s',
    '3 min 20 s',
    '2 h 05 min',
    '2 d',
  ]);
});
