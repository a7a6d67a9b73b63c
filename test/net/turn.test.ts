import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Turn } from '../../src/net/turn.ts';
import { systemClock } from '../../src/system/clock.ts';

const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

test('tasks of one turn run at its end, in order, with those that they add', async () => {
  const turn = new Turn(systemClock);
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
  const turn = new Turn(systemClock);
  let ran = 0;
  const task = { endTurn: () => ran++ };
  turn.add(task);
  await nextTurn();
  turn.add(task);
  await nextTurn();
  await nextTurn();
  assert.equal(ran, 2);
});
