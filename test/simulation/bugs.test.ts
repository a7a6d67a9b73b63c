import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inThread } from './aside.ts';
import { BUGS } from './bugs/bugs.ts';

const run = inThread();

test('every deliberate bug is found within 200 seeds', async (t) => {
  assert.equal(BUGS.length, 81);
  let stale = 0;
  let runs = 0;
  for (const bug of BUGS) {
    await t.test(bug.name, async (t) => {
      const found = await run('findBug', bug.name);
      assert.ok(found !== null);
      t.diagnostic(`found by seed ${found.seed}`);
      if (found.missed > 0) stale++;
      runs += found.missed + 1;
    });
  }
  if (stale === 0) return;
  const cost = `${runs} runs instead of ${BUGS.length}`;
  t.diagnostic(`THE NOTED SEEDS of ${stale} bugs find them no more (${cost}): npm run simulate -- --seeds`);
});
