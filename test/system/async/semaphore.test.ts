import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Semaphore } from '../../../src/system/async/semaphore.ts';

test('those that wait get in in order, one for each that gives back', async () => {
  const semaphore = new Semaphore(2);
  assert.equal(semaphore.take(), undefined);
  assert.equal(semaphore.take(), undefined);
  const entered: number[] = [];
  const waits = [1, 2].map((each) => semaphore.take()?.then(() => entered.push(each)));
  assert.equal(semaphore.held, 2);
  semaphore.give();
  await waits[0];
  assert.deepEqual(entered, [1]);
  semaphore.give();
  await waits[1];
  assert.deepEqual(entered, [1, 2]);
  assert.equal(semaphore.held, 2);
});

test('bytes: all or nothing for who cannot wait, an amount beyond the limit alone for who can', async () => {
  const room = new Semaphore(10);
  assert.equal(room.tryTake(11), false);
  assert.equal(room.tryTake(4), true);
  assert.equal(room.tryTake(7), false);
  assert.equal(room.take(20), undefined);
  assert.equal(room.held, 24);
  const next = room.take(1);
  assert.ok(next);
  room.give(4);
  assert.equal(room.held, 20);
  room.give(20);
  await next;
  assert.equal(room.held, 1);
});

test('what turns out to be needed is added, room or not', async () => {
  const room = new Semaphore(10);
  assert.equal(room.take(0), undefined);
  room.add(12);
  const next = room.take(0);
  assert.ok(next);
  room.give(12);
  await next;
  assert.equal(room.held, 0);
});
