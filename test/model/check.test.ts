import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkInteger, checkNumber, show } from '../../src/model/check.ts';
import { IncorrectUsageError } from '../../src/model/errors.ts';
import { checkedSettings } from '../../src/server/settings.ts';

test('a value that is refused is shown, with its name and its bounds', () => {
  const refuses = (check: () => unknown, message: string) => {
    assert.throws(check, (error) => error instanceof IncorrectUsageError && error.message === message);
  };
  assert.equal(checkInteger('n', 10, 0, 10), 10);
  refuses(() => checkInteger('n', 3.5, 0, 10), 'n must be an integer from 0 to 10, got 3.5');
  refuses(() => checkInteger('n', '3', 1), 'n must be an integer of at least 1, got "3"');
  refuses(() => checkNumber('n', Number.NaN, 0, 1), 'n must be a number from 0 to 1, got NaN');
  refuses(() => checkedSettings({ port: -1 }), 'port must be an integer from 0 to 65535, got -1');
  refuses(
    () => checkedSettings({ heartbeatIntervalMs: 0 }),
    'heartbeatIntervalMs must be a number of at least 1, got 0',
  );
});

test('any value can be shown', () => {
  const nameless: unknown = Object.create(null);
  assert.deepEqual([7n, 'x'.repeat(300), () => 1, [], nameless, null, undefined].map(show), [
    '7n',
    `"${'x'.repeat(200)}"`,
    'a function',
    'Array',
    'an object',
    'null',
    'undefined',
  ]);
});
