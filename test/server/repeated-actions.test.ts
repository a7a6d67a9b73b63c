import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RepeatedActions } from '../../src/server/http/api/repeated-actions.ts';
import { ManualClock } from '../support/time/manual-clock.ts';

const HOUR = 3_600_000;

test('answers are forgotten after a day, and the oldest when there are too many of them', async () => {
  const clock = new ManualClock();
  const repeated = new RepeatedActions(clock);
  let calls = 0;
  const run = (key: string, bytes = 1) =>
    repeated.run(key, [], async () => {
      calls++;
      return new Uint8Array(bytes);
    });
  const isRemembered = async (key: string) => {
    const before = calls;
    await run(key);
    return calls === before;
  };
  await run('a');
  clock.advance(23 * HOUR);
  assert.equal(await isRemembered('a'), true);
  clock.advance(HOUR);
  assert.equal(await isRemembered('a'), false);
  for (let i = 0; i < 10_000; i++) await run(`many-${i}`);
  assert.deepEqual([await isRemembered('many-9999'), await isRemembered('a')], [true, false]);
  await run('large', 17 * 1024 * 1024);
  assert.deepEqual([await isRemembered('many-9998'), await isRemembered('large')], [false, false]);
});
