import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SharedRead } from '../../../src/system/async/shared-read.ts';

test('whoever asks while it is being read shares the next reading, and a failure is of those who asked for it', async () => {
  const readings: PromiseWithResolvers<number>[] = [];
  const shared = new SharedRead(() => {
    const reading = Promise.withResolvers<number>();
    readings.push(reading);
    return reading.promise;
  });
  const turn = () => new Promise((resolve) => setImmediate(resolve));
  const first = [shared.read(), shared.read()];
  await turn();
  const second = [shared.read(), shared.read(), shared.read()];
  await turn();
  assert.equal(readings.length, 1, 'one at a time');
  const failed = Promise.all(first.map((each) => assert.rejects(each, /gone/)));
  readings[0]?.reject(new Error('gone'));
  await failed;
  await turn();
  assert.equal(readings.length, 2);
  readings[1]?.resolve(7);
  assert.deepEqual(await Promise.all(second), [7, 7, 7]);
  const third = shared.read();
  await turn();
  readings[2]?.resolve(8);
  assert.deepEqual([await third, readings.length], [8, 3]);
});
