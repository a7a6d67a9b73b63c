import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { pictureOf, rowsIn, tableOf, timeText, withTable } from '../../bench/support/waiting-report.ts';
import { COMPARED, waitingTimes } from '../../bench/support/waiting-times.ts';
import { Strategy } from '../../src/model/strategy.ts';
import { STRATEGY_KINDS } from '../../src/model/strategy-shape.ts';
import { ROOT } from '../support/processes.ts';

const document = readFileSync(`${ROOT}docs/strategies.md`, 'utf8');
const rows = rowsIn(document);

test('docs/strategies.md compares the strategies that the bench compares, and its picture shows the table', () => {
  assert.deepEqual(
    rows.map(({ name, strategy }) => [name, strategy]),
    Object.entries(COMPARED).map(([name, strategy]) => [name, Strategy.toText(strategy)]),
  );
  assert.equal(withTable(document, rows), document);
  assert.ok(document.includes(tableOf(rows)));
  assert.equal(readFileSync(`${ROOT}docs/images/fairness.svg`, 'utf8'), pictureOf(rows));
});

for (const [name, strategy] of Object.entries(COMPARED)) {
  // With these the small ones wait for most of the million.
  if (name === 'Oldest' || name === 'Random') continue;
  test(`small customers wait as long with ${name} as docs/strategies.md says`, () => {
    const { smallMs } = waitingTimes(strategy, undefined, true);
    const row = rows.find((each) => each.name === name)!;
    assert.equal(smallMs.length, 100);
    assert.equal(timeText(smallMs[50]!), row.median);
    assert.equal(timeText(smallMs.at(-1)!), row.worst);
  });
}

test('with Oldest and Random small customers wait for the large one', () => {
  const customers = { largeChunks: 10_000, small: 100, smallChunks: 10 };
  for (const [name, strategy] of Object.entries(COMPARED)) {
    const { smallMs, largeMs } = waitingTimes(strategy, customers);
    const waitsMs = largeMs! - 60_000;
    if (name === 'Oldest') assert.ok(smallMs[0]! > waitsMs * 0.9);
    else if (name === 'Random') assert.ok(smallMs[50]! > waitsMs * 0.8);
    else assert.ok(smallMs.at(-1)! < waitsMs * 0.3, name);
  }
});

test('docs/strategies.md names every strategy', () => {
  const named = [...document.matchAll(/^\| `Strategy\.(\w+)\(/gm)].map((match) => match[1]);
  assert.deepEqual(
    named.sort(),
    Object.values(STRATEGY_KINDS)
      .map(({ textName }) => textName)
      .sort(),
  );
});
