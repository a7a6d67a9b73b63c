import assert from 'node:assert/strict';
import { test } from 'node:test';
import { OpError } from '../../src/model/op-error.ts';
import { cborChunkCodec, jsonChunkCodec } from '../../src/protocol/chunk/codec.ts';

test('comes back from its wire form, as an object and as a map', () => {
  const error = new OpError('no such file', { stack: 'Error: no such file\n  at work' });
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
  assert.deepEqual(OpError.fromWire(map), new OpError('m', { stack: 's' }));
});

test('leaves every other value alone', () => {
  const others = [null, 1, 'x', [], {}, { $opsqueue_error: 1 }, { $opsqueue_error: { stack: 's' } }];
  for (const other of others) assert.equal(OpError.fromWire(other), null);
  assert.equal(OpError.fromWire({ $opsqueue_error: { message: 'm' }, more: 1 }), null);
});

test('is readable in a text, as an error is', () => {
  assert.equal(`${OpError.from(new TypeError('wrong'))}`, 'TypeError: wrong');
  assert.equal(String(OpError.from('just thrown')), 'just thrown');
});

test('is made from whatever was thrown', () => {
  assert.equal(OpError.from('text').message, 'text');
  const thrown = new TypeError('wrong');
  assert.deepEqual(OpError.from(thrown), new OpError('wrong', { name: 'TypeError', stack: thrown.stack }));
});

test('keeps name, code and causes, in both codecs', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  const thrown = Object.assign(new TypeError('fetch failed', { cause: refused }), { code: 7 });
  const error = OpError.from(thrown);
  assert.deepEqual([error.name, error.code], ['TypeError', 7]);
  assert.deepEqual(
    [error.cause?.name, error.cause?.code, error.cause?.message, error.cause?.stack],
    ['Error', 'ECONNREFUSED', 'connect ECONNREFUSED', null],
  );
  const codecs = [
    cborChunkCodec(),
    cborChunkCodec({ maps: 'map', integers: 'bigint' }),
    jsonChunkCodec(),
    jsonChunkCodec({ integers: 'bigint' }),
  ];
  for (const codec of codecs) {
    const [back] = codec.decode(codec.encode([error.toWire()]));
    assert.deepEqual(OpError.fromWire(back), error);
  }
});

test('has the fields of earlier versions in their place, and further ones only where the error has them', () => {
  const plain = OpError.from('text').toWire();
  assert.deepEqual(plain, { $opsqueue_error: { message: 'text', stack: null } });
});

test('is bounded, whatever the error has', () => {
  let cause: Error = new Error('the deepest');
  for (let i = 0; i < 100; i++) cause = new Error('x'.repeat(100_000), { cause });
  const odd = { name: 'n'.repeat(100_000), code: 'c'.repeat(100_000) };
  const bytes = jsonChunkCodec().encode([OpError.from(Object.assign(cause, odd)).toWire()]);
  assert.ok(bytes.length < 50_000, `${bytes.length} bytes`);
  const cyclic = new Error('again');
  cyclic.cause = cyclic;
  assert.equal(OpError.from(cyclic).cause?.message, 'again');
  const hostile = Object.defineProperty(new Error('hidden'), 'code', {
    get() {
      throw new Error('no');
    },
  });
  assert.deepEqual([OpError.from(hostile).message, OpError.from(hostile).code], ['hidden', null]);
  for (const code of [Number.NaN, 1.5, Symbol('s'), {}, null]) {
    assert.equal(OpError.from(Object.assign(new Error('e'), { code })).code, null);
  }
});
