import assert from 'node:assert/strict';
import { suite, test } from 'node:test';
import { Encoder } from 'cbor-x';
import fc from 'fast-check';
import {
  CborTag,
  type ChunkCodec,
  ChunkUndecodableError,
  ChunkUnencodableError,
  cborChunkCodec,
  jsonChunkCodec,
} from '../../src/protocol/chunk/codec.ts';
import { goldenText } from '../support/protocol/golden.ts';

const cbor = cborChunkCodec();
const json = jsonChunkCodec();

interface ChunkFiles {
  readonly name: string;
  readonly files: readonly { readonly path: string; readonly hex: string }[];
}

const recorded = JSON.parse(goldenText('chunk-files.json')) as readonly ChunkFiles[];

/** What the session `cbor_values` recorded of Python, in JavaScript. */
const VALUES = [
  0,
  23,
  24,
  255,
  256,
  65536,
  4294967296,
  9007199254740993n,
  9223372036854775807n,
  18446744073709551616n,
  -1,
  -25,
  -9223372036854775808n,
  1.5,
  0.1,
  true,
  false,
  null,
  'é中',
  new Uint8Array([0, 255]),
  [1, [2]],
  { a: 1, b: [null] },
];

suite('chunk contents in CBOR', () => {
  test('every recorded chunk of CBOR is read, and written again with the same bytes', () => {
    let count = 0;
    for (const { name, files } of recorded) {
      for (const { path, hex } of files) {
        if (!hex.startsWith('8') && !hex.startsWith('9')) continue;
        assert.equal(hexOf(cbor.encode(cbor.decode(Buffer.from(hex, 'hex')))), hex, `${name} ${path}`);
        count++;
      }
    }
    assert.ok(count > 10, `${count} files`);
  });

  test("Python's values are JavaScript's, to the last bit", () => {
    const hex = recorded.find(({ name }) => name === 'cbor_values')?.files[0]?.hex ?? '';
    assert.deepEqual(cbor.decode(Buffer.from(hex, 'hex')), VALUES);
    assert.equal(hexOf(cbor.encode(VALUES)), hex);
  });

  test('any value comes back as it was', () => {
    fc.assert(
      fc.property(fc.array(anyValue()), (ops) => {
        assert.deepEqual(cbor.decode(cbor.encode(ops)), ops);
      }),
      { numRuns: 300 },
    );
  });

  test('an independent reader reads what we write', () => {
    const options = { useRecords: false, mapsAsObjects: true, int64AsNumber: true };
    const other = new Encoder(options);
    fc.assert(
      fc.property(fc.array(plainValue()), (ops) => {
        assert.deepEqual(other.decode(cbor.encode(ops)), ops);
      }),
      { numRuns: 300 },
    );
  });

  test('what an independent writer writes is read', () => {
    const other = new Encoder({ useRecords: false, mapsAsObjects: true });
    fc.assert(
      fc.property(fc.array(plainValue()), (ops) => {
        assert.deepEqual(cbor.decode(other.encode(ops)), ops);
      }),
      { numRuns: 300 },
    );
  });

  test('integers take their shortest form, whatever type they had', () => {
    for (const [value, hex] of [
      [0, '8100'],
      [-0, '81fb8000000000000000'],
      [5n, '8105'],
      [2 ** 32 - 1, '811affffffff'],
      [2 ** 32, '811b0000000100000000'],
      [Number.MAX_SAFE_INTEGER, '811b001fffffffffffff'],
      [Number.MIN_SAFE_INTEGER, '813b001ffffffffffffe'],
      [2 ** 53, '81fb4340000000000000'],
      [-(2n ** 64n), '813bffffffffffffffff'],
      [-(2n ** 64n) - 1n, '81c349010000000000000000'],
    ] as const) {
      assert.equal(hexOf(cbor.encode([value])), hex, String(value));
      assert.deepEqual(cbor.decode(Buffer.from(hex, 'hex')), [value === 5n ? 5 : value]);
    }
  });

  test('a key __proto__ is plain data', () => {
    const ops = cbor.decode(Buffer.from(`81a1${hexOf(Buffer.from('i__proto__'))}a16161f5`, 'hex'));
    assert.deepEqual(Object.keys(ops[0] as object), ['__proto__']);
    assert.equal(Object.getPrototypeOf(ops[0]), Object.prototype);
    assert.equal(hexOf(cbor.encode(ops)), '81a1695f5f70726f746f5f5fa16161f5');
  });

  test('forms that Python may write are read: open lengths, short floats, tags', () => {
    for (const [hex, ops] of [
      ['9f0102ff', [1, 2]],
      ['d9d9f78101', [1]],
      ['817f61616162ff', ['ab']],
      ['815f41014102ff', [new Uint8Array([1, 2])]],
      ['81bf616101ff', [{ a: 1 }]],
      [
        '81bf01616161620cff',
        [
          new Map<unknown, unknown>([
            [1, 'a'],
            ['b', 12],
          ]),
        ],
      ],
      ['83f93c00f97c00f9fe00', [1, Infinity, Number.NaN]],
      ['81fa3fc00000', [1.5]],
      ['81f7', [undefined]],
      ['81c11a5c2d7b00', [new Date(1546484480_000)]],
      ['81c074323031332d30332d32315432303a30343a30305a', [new Date('2013-03-21T20:04:00Z')]],
      ['81d90102820102', [new Set([1, 2])]],
      ['81c48221196ab3', [new CborTag(4, [-2, 27315])]],
    ] as const) {
      assert.deepEqual(cbor.decode(Buffer.from(hex, 'hex')), ops, hex);
    }
  });

  test('a tag that JavaScript has nothing for is written as it was read', () => {
    assert.equal(hexOf(cbor.encode(cbor.decode(Buffer.from('81c48221196ab3', 'hex')))), '81c48221196ab3');
  });

  test('no prefix of a chunk decodes, and nothing but the error says so', () => {
    const bytes = cbor.encode([
      ...VALUES,
      new Map([[1, 2]]),
      new Date(0),
      new Set(['a']),
      new CborTag(37, 'x'),
    ]);
    for (let end = 0; end < bytes.length; end++) {
      assert.throws(() => cbor.decode(bytes.subarray(0, end)), ChunkUndecodableError, `${end} bytes`);
    }
  });

  test('trailing bytes, other values than arrays and invalid texts are refused', () => {
    for (const hex of [
      '810100',
      '01',
      'a0',
      'ff',
      '81ff',
      '8161ff',
      '811c',
      '81f820',
      '9fff00',
      '81c101ff',
      '81c16161',
    ]) {
      assert.throws(() => cbor.decode(Buffer.from(hex, 'hex')), ChunkUndecodableError, hex);
    }
  });

  test('a claimed length allocates nothing, nesting overflows nothing', () => {
    for (const hex of [
      '9affffffff',
      '9bffffffffffffffff',
      'bbffffffffffffffff',
      '815bffffffffffffffff',
      '817b7fffffffffffffff',
    ]) {
      assert.throws(() => cbor.decode(Buffer.from(hex, 'hex')), ChunkUndecodableError, hex);
    }
    for (const byte of [0x81, 0x9f, 0xa1, 0xbf, 0xc1, 0xd8]) {
      assert.throws(() => cbor.decode(Buffer.alloc(1_000_000, byte)), ChunkUndecodableError);
    }
    // Each level claims as many elements as bytes are left.
    const claims = Buffer.alloc(5 * 400);
    for (let i = 0; i < 400; i++) claims.set([0x9a, 0, 0, 0, 255], 5 * i);
    assert.throws(() => cbor.decode(claims), ChunkUndecodableError);
  });

  test('random bytes never do anything but decode or be refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        try {
          assert.ok(Array.isArray(cbor.decode(Uint8Array.from([0x82, ...bytes]))));
        } catch (error) {
          assert.ok(error instanceof ChunkUndecodableError, String(error));
        }
      }),
      { numRuns: 3000 },
    );
  });

  test('what has no form is refused, and the error says where it is', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    assertUnencodable(cbor, [1, { name: [() => 1] }], '[1].name[0]', /a function/);
    assertUnencodable(cbor, [Symbol('x')], '[0]', /a symbol/);
    assertUnencodable(cbor, ['\ud800'], '[0]', /surrogate/);
    assertUnencodable(cbor, [new Date(Number.NaN)], '[0]', /Date/);
    assertUnencodable(cbor, [new Float64Array(1)], '[0]', /Float64Array/);
    assert.throws(() => cbor.encode([cycle]), /deeper than 500/);
  });

  test('one chunk does not disturb the next, whatever its size', () => {
    const large = ['x'.repeat(3_000_000), new Uint8Array(2_000_000)];
    const encoded = [cbor.encode([1, 'a']), cbor.encode(large), cbor.encode([2, 'b'])];
    assert.deepEqual(
      encoded.map((bytes) => cbor.decode(bytes)),
      [[1, 'a'], large, [2, 'b']],
    );
  });
});

suite('chunk contents in JSON', () => {
  test('recorded JSON chunks are read', () => {
    const files = recorded.find(({ name }) => name === 'json')?.files ?? [];
    const decoded = files.map(({ hex }) => json.decode(Buffer.from(hex, 'hex')));
    const first = [1, 'é'];
    const second = [{ a: [null, 1.5] }];
    assert.deepEqual(decoded, [first, first, second, second]);
  });

  test('any JSON value comes back as it was, integers of any size included', () => {
    const value = fc.letrec((tie) => ({
      any: fc.oneof(
        { maxDepth: 3 },
        fc.constantFrom(null, true, false),
        fc.maxSafeInteger(),
        largeInteger(),
        fc.string({ unit: 'grapheme', maxLength: 20 }),
        fc.constantFrom('\u0000\u001f"\\/\u2028', '\u{10ffff}'),
        fc.array(tie('any'), { maxLength: 4 }),
        fc.dictionary(fc.string(), tie('any'), { maxKeys: 4, noNullPrototype: true }),
      ),
    })).any;
    fc.assert(
      fc.property(fc.array(value, { maxLength: 5 }), (ops) => {
        assert.deepEqual(json.decode(json.encode(ops)), ops);
      }),
      { numRuns: 300 },
    );
  });

  test('integers beyond 2^53 are exact, __proto__ is plain data, the last of equal keys counts', () => {
    const text =
      '[9007199254740993,-18446744073709551617,1e400,12345678901234567.5,{"__proto__":1,"a":2,"a":3}]';
    const ops = json.decode(Buffer.from(text));
    assert.deepEqual(ops.slice(0, 4), [
      9007199254740993n,
      -18446744073709551617n,
      Infinity,
      12345678901234568,
    ]);
    assert.deepEqual(Object.entries(ops[4] as object), [
      ['__proto__', 1],
      ['a', 3],
    ]);
    assert.equal(Buffer.from(json.encode([9007199254740993n])).toString(), '[9007199254740993]');
  });

  test('an integer is exact wherever it stands; floats and texts of many digits are what they are', () => {
    const big = 12345678901234567n;
    for (const [text, ops] of [
      ['[12345678901234567]', [big]],
      ['[ -12345678901234567 ]', [-big]],
      ['[1,\t12345678901234567\r\n]', [1, big]],
      ['[{"a":12345678901234567}]', [{ a: big }]],
      ['[{"a": 12345678901234567 ,"b":0.1234567890123456}]', [{ a: big, b: 0.1234567890123456 }]],
      ['[0.1234567890123456789,12345678901234567.5]', [0.12345678901234568, 12345678901234568]],
      ['[12345678901234567e2,1.2345678901234567E3]', [1234567890123456800, 1234.5678901234567]],
      ['["12345678901234567","x 12345678901234567,"]', ['12345678901234567', 'x 12345678901234567,']],
      ['["12345678901234567",9007199254740993]', ['12345678901234567', 9007199254740993n]],
    ] as const) {
      assert.deepEqual(json.decode(Buffer.from(text)), ops, text);
    }
  });

  test('half of a surrogate pair comes back as it was, also beside an integer beyond 2^53, in texts and keys', () => {
    for (const ops of [['\ud800'], ['\udc00x', 2n ** 60n], [{ '\ud800': 2n ** 60n, a: '\\\ud83d' }]]) {
      assert.deepEqual(json.decode(json.encode(ops)), ops);
    }
  });

  test('anything but a JSON array is refused', () => {
    for (const text of [
      '',
      '[1',
      '[1]x',
      '{}',
      '1',
      '[1,]',
      '[9007199254740993',
      '[9007199254740993,]',
      '[01]',
    ]) {
      assert.throws(() => json.decode(Buffer.from(text)), ChunkUndecodableError, text);
    }
    assert.throws(() => json.decode(Buffer.from([0x5b, 0x22, 0xff, 0x22, 0x5d])), ChunkUndecodableError);
    const deep = `${'['.repeat(100_000)}9007199254740993${']'.repeat(100_000)}`;
    assert.throws(() => json.decode(Buffer.from(deep)), ChunkUndecodableError);
  });

  test('a cycle is refused', () => {
    const cycle: unknown[] = [];
    cycle.push(cycle);
    assert.throws(() => json.encode(cycle), ChunkUnencodableError);
  });
});

function assertUnencodable(codec: ChunkCodec, ops: unknown[], path: string, message: RegExp): void {
  assert.throws(
    () => codec.encode(ops),
    (error) => {
      assert.ok(error instanceof ChunkUnencodableError);
      assert.equal(error.path, path);
      assert.match(error.message, message);
      return true;
    },
  );
}

/** Beyond what a number holds exactly. */
function largeInteger(): fc.Arbitrary<bigint> {
  return fc
    .bigInt({ min: -(2n ** 70n), max: 2n ** 70n })
    .filter((value) => !Number.isSafeInteger(Number(value)));
}

function plainValue(): fc.Arbitrary<unknown> {
  return fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom(null, true, false),
      fc.maxSafeInteger(),
      fc.double({ noNaN: true, noInteger: true }),
      fc.string({ unit: 'grapheme', maxLength: 60 }),
      fc.array(tie('any'), { maxLength: 5 }),
      fc.dictionary(
        fc.string({ minLength: 1 }).filter((key) => key !== '__proto__'),
        tie('any'),
        { noNullPrototype: true },
      ),
    ),
  })).any;
}

function anyValue(): fc.Arbitrary<unknown> {
  return fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 4 },
      fc.constantFrom<unknown>(null, true, false, undefined, Infinity, -Infinity, Number.NaN, -0),
      fc.maxSafeInteger(),
      largeInteger(),
      fc.double(),
      fc.string({ unit: 'grapheme', maxLength: 60 }),
      fc.uint8Array({ maxLength: 300 }),
      // The years that Python knows; far beyond, seconds in a double are coarser than milliseconds.
      fc.date({ noInvalidDate: true, min: new Date('0001-01-01'), max: new Date('9999-12-31') }),
      fc.array(tie('any'), { maxLength: 30 }),
      fc.dictionary(fc.oneof(fc.string(), fc.constant('__proto__')), tie('any'), { noNullPrototype: true }),
      fc
        .array(fc.tuple(fc.integer(), tie('any')), { minLength: 1, maxLength: 4 })
        .map((pairs) => new Map(pairs)),
      fc.uniqueArray(fc.integer()).map((values) => new Set(values)),
    ),
  })).any;
}

function hexOf(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
