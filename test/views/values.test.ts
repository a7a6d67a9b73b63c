import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mergeValues } from '../../src/views/across/lists.ts';
import { ValueRates } from '../../src/views/answers/values.ts';

const QUERY = {
  queue: null,
  key: 'customer',
  sort: 'in_flight',
  order: 'desc',
  starts: null,
  limit: 9,
  cursor: null,
} as const;

test('a share of many in flight is exact, as what it is compared with may be as small', () => {
  const row = { submissions: 1, waiting: 0, backlog: 3, rate: null, set_back_60s: 0, oldest_ms: 0 };
  const part = (value: string, inFlight: number) => ({
    as_of: '2026-11-28T00:00:00.000Z',
    age_ms: 0,
    matched: 1,
    next: null,
    in_flight: inFlight,
    items: [{ ...row, value, in_flight: inFlight, share: 1 }],
  });
  const { items } = mergeValues([part('1', 3), part('2', 397)], QUERY);
  assert.deepEqual(
    items.map(({ share }) => share),
    [397 / 400, 3 / 400],
  );
});

const done = (count: number) => new Map([[7n, count]]);

test('the rate of a value is over five seconds at least, however often and by how many it is looked at', () => {
  const rates = new ValueRates();
  // Ten chunks a second.
  const told: (number | null)[] = [];
  for (let nowMs = 0; nowMs <= 60_000; nowMs += 50)
    told.push(rates.look('key', nowMs, done(nowMs / 100))(7n));
  assert.equal(told[0], null);
  for (const rate of told.slice(1)) assert.ok(rate !== null && rate >= 9.8 && rate <= 10.2, `${rate}`);
  // Each chunk at once: seen every 50 ms, that would be nothing, or twenty a second.
  const jumps = [...Array(40).keys()].map(
    (i) => rates.look('key', 60_000 + i * 50, done(600 + Math.floor(i / 20)))(7n)!,
  );
  assert.ok(Math.max(...jumps) - Math.min(...jumps) < 5, `${jumps}`);
});

test('after a pause nobody is told the mean over all of it', () => {
  const rates = new ValueRates();
  const told = (nowMs: number, count: number) => rates.look('key', nowMs, done(count))(7n);
  assert.deepEqual([told(0, 0), told(5_000, 50), told(20_000, 200)], [null, 10, 10]);
  // Somebody comes back after an hour, in which much was done, and nothing is now.
  const backMs = 3_620_000;
  assert.equal(told(backMs, 90_000), null);
  for (const ms of [1_000, 4_000, 6_000, 12_000]) assert.equal(told(backMs + ms, 90_000), 0);
});

test('rates of a key with very many values, or of one that came later, are not told', () => {
  const rates = new ValueRates();
  const many = new Map(Array.from({ length: 30_000 }, (_, i) => [BigInt(i), i]));
  for (const nowMs of [0, 10_000, 20_000]) assert.equal(rates.look('key', nowMs, many)(7n), null);
  rates.look('other', 0, done(1));
  assert.equal(rates.look('other', 10_000, new Map([[8n, 5]]))(8n), null);
});
