import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ProtocolError } from '../../src/model/errors.ts';
import { DEPTH_MAX, Page } from '../../src/views/page.ts';

type Row = readonly [value: number, id: number];

function pageOf(
  rows: readonly Row[],
  query: { order: 'asc' | 'desc'; limit: number; cursor: string | null },
) {
  const page = new Page<Row>({ ...query, sort: 'value' }, true);
  for (const row of rows) page.add(row[0], String(row[1]), row);
  return page.finish();
}

test('the pages of a list have every row once, in order, whatever the limit', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(fc.constantFrom(0, 1, 2.5, -3, Infinity), fc.integer({ min: 0, max: 1e6 })), {
        selector: ([, id]) => id,
        maxLength: 300,
      }),
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom('asc' as const, 'desc' as const),
      (rows, limit, order) => {
        const sign = order === 'asc' ? 1 : -1;
        const wanted = rows.toSorted(([a, i], [b, j]) => sign * (a === b ? i - j : a - b));
        const walked: Row[] = [];
        for (let cursor: string | null = null; ; ) {
          const { matched, next, rows: some } = pageOf(rows, { order, limit, cursor });
          assert.equal(matched, rows.length);
          assert.ok(some.length <= limit);
          walked.push(...some);
          if (next === null) break;
          assert.equal(some.length, limit, 'only the last page is short');
          cursor = next;
        }
        assert.deepEqual(walked, wanted);
      },
    ),
  );
});

test('a key of metadata that is as long as may be has a next page', () => {
  const query = { sort: 'values', order: 'desc', limit: 1 } as const;
  const pageAfter = (cursor: string | null) => {
    const page = new Page<string>({ ...query, cursor }, false);
    for (const last of ['a', 'b']) page.add(1, 'k'.repeat(255) + last, last);
    return page.finish();
  };
  const first = pageAfter(null);
  assert.deepEqual([first.rows, pageAfter(first.next).rows], [['b'], ['a']]);
});

test('a list has a next page whatever its ids are, and a cursor that is accepted as a parameter', () => {
  const ids = ['k', '\u0001', '\u{1f4e6}'].flatMap((character) =>
    [1, 256, 257, 20_000].map((length) => character.repeat(length)),
  );
  const walked: string[] = [];
  for (let cursor: string | null = null; ; ) {
    const page: Page<string> = new Page<string>(
      { sort: 'consumers', order: 'desc', limit: 1, cursor },
      false,
    );
    for (const id of ids) page.add(1, id, id);
    const { next, rows } = page.finish();
    walked.push(...rows);
    if (next === null) break;
    assert.ok(next.length <= 3_000, `${next.length} characters`);
    cursor = next;
  }
  assert.deepEqual(walked.toSorted(), ids.toSorted());
});

test('rows that come and go between pages are found at most once, and those that stay exactly once', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.nat(1000), { minLength: 4, maxLength: 60 }), fc.nat(7), (ids, some) => {
      const rows = ids.map((id) => [0, id] as const);
      const leaves = new Set(ids.filter((id) => id % 8 === some));
      const first = pageOf(rows, { order: 'asc', limit: 2, cursor: null });
      const seen = first.rows.map(([, id]) => id);
      const left = rows.filter(([, id]) => !leaves.has(id));
      for (let { next } = first; next !== null; ) {
        const page = pageOf(left, { order: 'asc', limit: 2, cursor: next });
        seen.push(...page.rows.map(([, id]) => id));
        next = page.next;
      }
      assert.equal(new Set(seen).size, seen.length);
      for (const id of ids) if (!leaves.has(id)) assert.ok(seen.includes(id));
    }),
  );
});

test('sorted by what changes, a list ends after 2 000 rows; a cursor of another list is refused', () => {
  const query = { sort: 'rate', order: 'asc', limit: 200 } as const;
  let cursor: string | null = null;
  let depth = 0;
  for (; depth < DEPTH_MAX; depth += 200) {
    const page: Page<number> = new Page({ ...query, cursor }, false);
    for (let i = 0; i < 3_000; i++) page.add(i, String(i), i);
    cursor = page.finish().next;
  }
  assert.throws(() => new Page({ ...query, cursor }, false), /2000 rows deep: narrow the filter/);
  for (const other of [
    { ...query, sort: 'left' },
    { ...query, order: 'desc' as const },
  ]) {
    assert.throws(() => new Page({ ...other, cursor }, true), ProtocolError);
  }
  for (const garbage of ['', 'x', '{}', Buffer.from('[1]').toString('base64url'), 'a'.repeat(400)]) {
    assert.throws(() => new Page({ ...query, cursor: garbage }, true), ProtocolError);
  }
});
