import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BUGS } from './bugs/bugs.ts';
import { findBug } from './find-bug.ts';

test('every deliberate bug is found within 200 seeds', async (t) => {
  assert.equal(BUGS.length, 73);
  for (const bug of BUGS) {
    await t.test(bug.name, async (t) => {
      const seed = await findBug(bug);
      assert.notEqual(seed, null);
      t.diagnostic(`found by seed ${seed}`);
    });
  }
});
