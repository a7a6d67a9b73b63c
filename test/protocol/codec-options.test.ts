import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CborTag, ProducerClient } from '../../src/producer/index.ts';
import { ChunkUnencodableError, cborChunkCodec, jsonChunkCodec } from '../../src/protocol/chunk/codec.ts';

/** What Python's cbor2 writes for `[datetime(..., 123456, tzinfo=+02:00), {"2": 0, "1": 1}, 1, 1.0]`. */
const text = '2020-01-02T03:04:05.123456+02:00';
const PYTHON = Buffer.concat([
  Buffer.from('84c07820', 'hex'),
  Buffer.from(text),
  Buffer.from('a2613200613101', 'hex'),
  Buffer.from('01fb3ff0000000000000', 'hex'),
]);

test('on request every value of Python is exact, and is written as it was read', () => {
  const codec = cborChunkCodec({ maps: 'map', dates: 'tag', integers: 'bigint' });
  const values = codec.decode(PYTHON);
  const map = new Map([
    ['2', 0n],
    ['1', 1n],
  ]);
  assert.deepStrictEqual(values, [new CborTag(0, text), map, 1n, 1]);
  assert.deepEqual([...(values[1] as Map<string, bigint>).keys()], ['2', '1']);
  assert.deepEqual(Buffer.from(codec.encode(values)), PYTHON);
});

test('dates are texts on request, with microseconds and offset', () => {
  const codec = cborChunkCodec({ dates: 'text' });
  assert.equal(codec.decode(PYTHON)[0], text);
  const seconds = cborChunkCodec().encode([new CborTag(1, 1.000001), new Date(1500)]);
  assert.deepEqual(codec.decode(seconds), ['1970-01-01T00:00:01.000001Z', '1970-01-01T00:00:01.500Z']);
  const leap = cborChunkCodec().encode([new CborTag(0, '2016-12-31T23:59:60Z')]);
  assert.deepEqual(codec.decode(leap), ['2016-12-31T23:59:60Z']);
  assert.deepEqual(cborChunkCodec().decode(leap), [new Date('2017-01-01T00:00:00Z')]);
});

test('JSON keeps maps and integers on request', () => {
  const codec = jsonChunkCodec({ maps: 'map', integers: 'bigint' });
  const values = codec.decode(Buffer.from('[{"2": 0, "1": 1.0}]'));
  const map = new Map<string, unknown>([
    ['2', 0n],
    ['1', 1],
  ]);
  assert.deepStrictEqual(values, [map]);
  assert.deepStrictEqual(codec.decode(codec.encode([1, 1n, 1.5, 2 ** 64])), [1, 1n, 1.5, 2 ** 64]);
});

test("Python's NaN and Infinity are read from JSON, and refused when written", () => {
  const codec = jsonChunkCodec();
  const values = codec.decode(Buffer.from('[NaN, Infinity, {"a": [-Infinity]}, "NaN", -1]'));
  assert.deepEqual(values, [Number.NaN, Infinity, { a: [-Infinity] }, 'NaN', -1]);
  for (const bad of ['[nan]', '[NaNs]', '[+Infinity]', '[Infinit]', '[-NaN]']) {
    assert.throws(() => codec.decode(Buffer.from(bad)), { code: 'CHUNK_UNDECODABLE' }, bad);
  }
  assert.throws(() => codec.encode([{ a: Number.NaN }]), ChunkUnencodableError);
});

test('options of a codec that make no sense are refused', () => {
  for (const codec of [{ name: 'xml' }, { name: 'cbor', maps: 'list' }, { name: 'json', dates: 'text' }]) {
    const make = () => new ProducerClient('localhost:1', 'memory://x', { codec: codec as never });
    assert.throws(make, { code: 'INCORRECT_USAGE' }, JSON.stringify(codec));
  }
});

test('a value that an option of a codec cannot have is named with those that it can', () => {
  const codec = { name: 'json', integers: 'exact' };
  assert.throws(() => new ProducerClient('localhost:1', null, { codec: codec as never }), {
    code: 'INCORRECT_USAGE',
    message: 'codec: integers must be one of number, bigint, got "exact"',
  });
});
