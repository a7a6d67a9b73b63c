import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EndOfTurn, oncePerTurn, promptly } from '../../../src/system/event-loop/end-of-turn.ts';
import { systemClock } from '../../../src/system/time/clock.ts';

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

test('tasks of one turn run at its end, in order, with those that they add', async () => {
  const turn = new EndOfTurn(systemClock);
  const ran: string[] = [];
  turn.add({
    endTurn: () => {
      ran.push('first');
      turn.add({ endTurn: () => ran.push('added by first') });
    },
  });
  turn.add({ endTurn: () => ran.push('second') });
  assert.deepEqual(ran, []);
  await nextTurn();
  assert.deepEqual(ran, ['first', 'second', 'added by first']);
});

test('a later turn has its own tasks', async () => {
  const turn = new EndOfTurn(systemClock);
  let ran = 0;
  const task = { endTurn: () => ran++ };
  turn.add(task);
  await nextTurn();
  turn.add(task);
  await nextTurn();
  await nextTurn();
  assert.equal(ran, 2);
});

test('a prompt turn ends with the callback, and every so often with the turn of the event loop', async () => {
  let ended = 0;
  const turn = new EndOfTurn(promptly(systemClock, 3));
  const task = { endTurn: () => ended++ };
  const callback = async () => {
    turn.add(task);
    await Promise.resolve();
  };
  for (let i = 0; i < 3; i++) await callback();
  assert.equal(ended, 3);
  for (let i = 0; i < 5; i++) await callback();
  assert.equal(ended, 3, 'what comes beyond waits for the event loop, so that it comes to its end');
  await nextTurn();
  assert.equal(ended, 8);
  await callback();
  assert.equal(ended, 9, 'and then it is prompt again');
});

test('what is asked for again and again within a turn runs once at its end, and again in the next', async () => {
  let runs = 0;
  const ask = oncePerTurn(systemClock, () => {
    runs++;
    // Asked for while it runs: that is for the next turn.
    if (runs === 1) ask();
  });
  for (let i = 0; i < 3; i++) ask();
  assert.equal(runs, 0);
  await new Promise<void>((resolve) => systemClock.soon(resolve));
  assert.equal(runs, 1);
  await new Promise<void>((resolve) => systemClock.soon(resolve));
  assert.equal(runs, 2);
});
