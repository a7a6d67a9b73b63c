import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OpError } from '../../src/model/op-error.ts';

test('comes back from its wire form, as an object and as a map', () => {
  const error = new OpError('no such file', 'Error: no such file\n  at work');
  assert.deepEqual(OpError.fromWire(error.toWire()), error);
  const map = new Map([
    [
      '$opsqueue_error',
      new Map([
        ['message', 'm'],
        ['stack', 's'],
      ]),
    ],
  ]);
  assert.deepEqual(OpError.fromWire(map), new OpError('m', 's'));
});

test('leaves every other value alone', () => {
  const others = [null, 1, 'x', [], {}, { $opsqueue_error: 1 }, { $opsqueue_error: { stack: 's' } }];
  for (const other of others) assert.equal(OpError.fromWire(other), null);
  assert.equal(OpError.fromWire({ $opsqueue_error: { message: 'm' }, more: 1 }), null);
});

test('is made from whatever was thrown', () => {
  assert.equal(OpError.from('text').message, 'text');
  const thrown = new TypeError('wrong');
  assert.deepEqual(OpError.from(thrown), new OpError('wrong', thrown.stack ?? null));
});
