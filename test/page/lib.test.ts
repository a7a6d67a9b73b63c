import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { isSameBut } from '../../page/lib/same.ts';
import { Skew } from '../../page/lib/skew.ts';

suite("the queue's clock, as the page knows it", () => {
  test('differences of less than a second are those of the network', () => {
    const skew = new Skew();
    assert.deepEqual([skew.learn(900), skew.aheadMs], [false, 0]);
    assert.deepEqual([skew.learn(-900), skew.aheadMs], [false, 0]);
  });

  test('the first answer is believed, and nodes whose clocks differ move nothing', () => {
    const skew = new Skew();
    assert.deepEqual([skew.learn(60_000), skew.aheadMs], [true, 60_000]);
    for (let i = 0; i < 20; i++) {
      for (const ahead of [57_000, 60_300]) assert.equal(skew.learn(ahead), false);
    }
    assert.equal(skew.aheadMs, 60_000);
  });

  test('a clock that was set is followed after some answers', () => {
    const skew = new Skew();
    skew.learn(0);
    const heard = Array.from({ length: 8 }, () => skew.learn(-3_600_000));
    assert.deepEqual(heard.map(Number), [0, 0, 0, 0, 0, 0, 0, 1]);
    assert.equal(skew.aheadMs, -3_600_000);
  });
});

test('rows stay for another order of the same list, not for another list', () => {
  const stay = (a: string, b: string) => isSameBut(['sort', 'order', 'cursor'], a, b);
  const request = 'submissions?queue=images&state=failed&sort=rate&order=asc';
  assert.ok(stay(request, 'submissions?state=failed&queue=images'));
  assert.ok(stay('submissions?cursor=2', 'submissions'));
  for (const other of [
    'submissions?queue=bills&state=failed&sort=rate&order=asc',
    'submissions?queue=images&state=open',
    'submissions?state=failed',
    'consumers?queue=images&state=failed',
  ])
    assert.ok(!stay(request, other), other);
});
