import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { fingerprint, gistOf, withoutNumbers } from '../../src/views/fingerprint.ts';

const js = (id: number, line: number) => `Error: customer ${id} has no address
    at check (/app/node_modules/valid/index.js:1:2)
    at async Timeout.bill (file:///app/src/bill.ts:${line}:7)
    at node:internal/timers:1:1`;
const python = (id: number, line: number) => `Traceback (most recent call last):
  File "/usr/lib/python3/dist-packages/opsqueue/consumer.py", line 8, in run
    work()
  File "/srv/job.py", line ${line}, in bill
    raise KeyError(${id})
  File "/venv/lib/python3.12/site-packages/x.py", line 1, in y
KeyError: ${id}`;

test('failures that differ in numbers, ids and lines only are one; others are not', () => {
  for (const text of [js, python]) {
    const ids = new Set(
      [text(1, 10), text(22, 10), text(22, 99)].map((each) => fingerprint('failed', each).id),
    );
    assert.equal(ids.size, 1);
  }
  assert.equal(
    fingerprint('failed', js(42, 1)).title,
    'Error: customer # has no address (Timeout.bill bill.ts)',
  );
  assert.equal(fingerprint('failed', python(42, 1)).title, 'KeyError: # (bill job.py)');
  const others = [
    js(1, 1),
    python(1, 1),
    js(1, 1).replace('address', 'name'),
    js(1, 1).replace('bill.ts', 'mail.ts'),
  ];
  assert.equal(new Set(others.map((each) => fingerprint('failed', each).id)).size, others.length);
  assert.notEqual(fingerprint('failed', 'x').id, fingerprint('expired', 'x').id);
});

test('where one error was caused by another, the one at the root says what failures have in common', () => {
  const wrapped = (
    operation: number,
    root: string,
  ) => `OperationError: operation ${operation} (of 10 in the chunk) failed
    at run (/app/node_modules/opsqueue/run.js:1:2)
Caused by: ${root}`;
  const missing = fingerprint('failed', wrapped(3, js(42, 1)));
  assert.equal(missing.title, 'Error: customer # has no address (Timeout.bill bill.ts)');
  assert.equal(fingerprint('failed', wrapped(7, js(43, 1))).id, missing.id);
  assert.notEqual(fingerprint('failed', wrapped(3, 'RangeError: too long')).id, missing.id);
  assert.equal(gistOf(wrapped(3, js(42, 1))), 'Error: customer 42 has no address');
  assert.equal(gistOf(python(42, 1)), 'KeyError: 42');
});

test('ids of every kind are taken out, and words are left', () => {
  for (const [text, wanted] of [
    ['user 0190c4de-6f1c-7d20-8a3c-2f8d1c0a4b5e at 12:30:01.5', 'user # at #'],
    ['hash deadbeef01 and 0xFF in 3 tries', 'hash # and # in # tries'],
    ['feedback of a cafe', 'feedback of a cafe'],
  ] as const) {
    assert.equal(withoutNumbers(text), wanted);
  }
  assert.equal(fingerprint('failed', '\u001b[31mError\u001b[0m: red').title, 'Error: red');
});

test('any text has a fingerprint, always the same, on one bounded line, and soon', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 2_000 }), (text) => {
      const { id, title } = fingerprint('failed', text);
      assert.match(id, /^[0-9a-f]{12}$/);
      assert.ok(title.length <= 300 && !title.includes('\n') && title.isWellFormed());
      assert.deepEqual(fingerprint('failed', text), { id, title });
    }),
  );
  const startedMs = performance.now();
  for (const nasty of [
    ' at ('.repeat(2_000),
    'a1'.repeat(4_000),
    '1.'.repeat(4_000),
    '    at a('.repeat(900),
  ]) {
    fingerprint('failed', nasty);
  }
  assert.ok(performance.now() - startedMs < 500);
});
