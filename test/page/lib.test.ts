import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { type Hearing, problemOf, silenceOf } from '../../page/lib/heard.ts';
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

suite('what is heard of the queue', () => {
  const hearing = (given: Partial<Hearing>): Hearing => ({
    startedAtMs: 0,
    heardAtMs: null,
    failure: null,
    isRefused: false,
    slower: 1,
    ...given,
  });
  const failing = (sinceMs: number, heardAtMs: number | null) =>
    hearing({ heardAtMs, failure: { sinceMs, text: 'gone' } });

  test('it is gone only if nothing was heard since the latest failure began', () => {
    assert.equal(problemOf([]), null);
    assert.equal(problemOf([failing(5, 1), hearing({ heardAtMs: 9 })]), null);
    assert.equal(problemOf([failing(5, 1), failing(10, 9)]), 'gone');
    assert.equal(problemOf([failing(5, 1), hearing({ heardAtMs: 4, slower: 10 })]), 'gone');
  });

  test('figures are as old as those that are the latest by their own interval', () => {
    const slow = hearing({ heardAtMs: 1_000, slower: 10 });
    const silence = (...feeds: Hearing[]) => silenceOf(feeds, 13_000, 1_000);
    assert.deepEqual(silence(slow, hearing({ heardAtMs: 12_900 })), { silentMs: 12_000, isOld: false });
    assert.deepEqual(silence(slow, hearing({ heardAtMs: 8_000 })), { silentMs: 5_000, isOld: true });
    assert.equal(silence(hearing({ heardAtMs: 1, isRefused: true })).isOld, false);
    assert.equal(silence(hearing({})).isOld, true);
  });
});
