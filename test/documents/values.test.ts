import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { inspect } from 'node:util';
import {
  CborTag,
  type ChunkCodec,
  ChunkUnencodableError,
  cborChunkCodec,
  jsonChunkCodec,
} from '../../src/protocol/chunk/codec.ts';
import { ROOT } from '../support/processes.ts';

const PAGE = 'docs/values.md';
const page = readFileSync(join(ROOT, PAGE), 'utf8');

class Point {
  x = 1;
  readonly #hidden = 2;
  sum() {
    return this.x + this.#hidden;
  }
}
class Closed {
  readonly #hidden = 2;
  get hidden() {
    return this.#hidden;
  }
}
class Money {
  readonly #cents = 250;
  toJSON() {
    return `${this.#cents / 100} EUR`;
  }
}

/** Every kind of value that JavaScript has. */
const KINDS: readonly (readonly [code: string, make: () => unknown])[] = [
  ["'é'", () => 'é'],
  ["'\\ud800' (half of a surrogate pair)", () => '\ud800'],
  ['true', () => true],
  ['null', () => null],
  ['undefined', () => undefined],
  ['{ a: undefined }', () => ({ a: undefined })],
  ['1', () => 1],
  ['1.5', () => 1.5],
  ['-0', () => -0],
  ['NaN', () => Number.NaN],
  ['Infinity', () => Infinity],
  ['2 ** 53', () => 2 ** 53],
  ['2 ** 64', () => 2 ** 64],
  ['1e300', () => 1e300],
  ['1n', () => 1n],
  ['2n ** 53n', () => 2n ** 53n],
  ['2n ** 64n', () => 2n ** 64n],
  ["Symbol('s')", () => Symbol('s')],
  ['() => 1', () => () => 1],
  ['{ a: () => 1 }', () => ({ a: () => 1 })],
  ['new Array(1)', () => new Array(1)],
  ['{ b: 1, a: 2 }', () => ({ b: 1, a: 2 })],
  ['{ 2: 0, 1: 0 }', () => ({ 2: 0, 1: 0 })],
  ['Object.create(null)', () => Object.create(null)],
  ["{ ['__proto__']: 1 }", () => ({ ['__proto__']: 1 })],
  ["{ [Symbol('s')]: 1 }", () => ({ [Symbol('s')]: 1 })],
  [
    '{ get a() { return 1 } }',
    () => ({
      get a() {
        return 1;
      },
    }),
  ],
  ['new Date(0)', () => new Date(0)],
  ['new Date(NaN)', () => new Date(Number.NaN)],
  ["new Map([['a', 1]])", () => new Map([['a', 1]])],
  ["new Map([[1, 'a']])", () => new Map([[1, 'a']])],
  ['new Set([1, 2])', () => new Set([1, 2])],
  ['new Uint8Array([1])', () => new Uint8Array([1])],
  ["Buffer.from('a')", () => Buffer.from('a')],
  ['new ArrayBuffer(1)', () => new ArrayBuffer(1)],
  ['new SharedArrayBuffer(1)', () => new SharedArrayBuffer(1)],
  ['new Float64Array(1)', () => new Float64Array(1)],
  ['new DataView(new ArrayBuffer(1))', () => new DataView(new ArrayBuffer(1))],
  ['new Number(1)', () => Object(1)],
  ["new String('a')", () => Object('a')],
  ['new Boolean(false)', () => Object(false)],
  ['Object(1n)', () => Object(1n)],
  ["Object(Symbol('s'))", () => Object(Symbol('s'))],
  ['/a/g', () => /a/g],
  ["new Error('e')", () => new Error('e')],
  ["new URL('http://a/')", () => new URL('http://a/')],
  ["new URLSearchParams('a=1')", () => new URLSearchParams('a=1')],
  ['new Headers()', () => new Headers()],
  ["new Blob(['a'])", () => new Blob(['a'])],
  ['Promise.resolve(1)', () => Promise.resolve(1)],
  ['{ then: () => 1 }', () => Object.fromEntries([['then', () => 1]])],
  ['new WeakMap()', () => new WeakMap()],
  ['new WeakRef({})', () => new WeakRef({})],
  ["new Intl.NumberFormat('en')", () => new Intl.NumberFormat('en')],
  ['[1].values()', () => [1].values()],
  ['(function* () {})()', () => (function* () {})()],
  ['an instance with properties', () => new Point()],
  ['an instance with private fields alone', () => new Closed()],
  ['an instance with a toJSON', () => new Money()],
  ['{ toJSON: () => 1 }', () => ({ toJSON: () => 1 })],
  ['{ sum() {}, toJSON: () => 1 }', () => ({ sum() {}, toJSON: () => 1 })],
  ['Object.assign([1], { toJSON: () => 2 })', () => Object.assign([1], { toJSON: () => 2 })],
  ['new Proxy({ a: 1 }, {})', () => new Proxy({ a: 1 }, {})],
  ['Object.freeze({ a: 1 })', () => Object.freeze({ a: 1 })],
  ['new CborTag(37, 1)', () => new CborTag(37, 1)],
  ['a cycle', cycle],
];

function cycle(): unknown {
  const value: unknown[] = [];
  value.push(value);
  return value;
}

/** What arrives of it, as the document has it. */
function arrival(codec: ChunkCodec, value: unknown): string {
  let bytes: Uint8Array;
  try {
    bytes = codec.encode([value]);
  } catch (error) {
    assert.ok(error instanceof ChunkUnencodableError, String(error));
    assert.match(error.path, /^\[0\]/);
    return 'refused';
  }
  const [arrived] = codec.decode(bytes);
  try {
    assert.deepStrictEqual(arrived, value);
    return 'the same';
  } catch {
    return `\`${inspect(arrived, { breakLength: Number.POSITIVE_INFINITY })}\``;
  }
}

test(`${PAGE} says of every kind of value what arrives`, () => {
  const [cbor, json] = [cborChunkCodec(), jsonChunkCodec()];
  const rows = KINDS.map(([code, make]) => {
    const name = code.startsWith('an instance') || code === 'a cycle' ? code : `\`${code}\``;
    return `| ${name} | ${arrival(cbor, make())} | ${arrival(json, make())} |`;
  });
  const expected = ['| value | `cbor` | `json` |', '| --- | --- | --- |', ...rows].join('\n');
  assert.ok(page.includes(expected), `the table of values in ${PAGE} should be\n\n${expected}\n`);
});

test('what is refused is named with its path, in both codecs', () => {
  for (const codec of [cborChunkCodec(), jsonChunkCodec()]) {
    for (const [value, path, why] of [
      [{ a: [1, /x/] }, '[0].a[1]', 'a RegExp; return its source'],
      [{ at: Promise.resolve(1) }, '[0].at', 'a promise; await it first'],
      [{ when: { toJSON: () => ({ f: () => 1 }) } }, '[0].when.f', 'a function'],
      [
        [new TypeError('x')],
        '[0][0]',
        'an error (an instance of TypeError); return its message, or throw it',
      ],
      [
        { a: new Closed() },
        '[0].a',
        'an instance of Closed, which has no properties of its own; give it a toJSON',
      ],
      [
        {
          get a() {
            throw new Error('no');
          },
        },
        '[0].a',
        'no',
      ],
      [
        {
          a: {
            toJSON: () => {
              throw new Error('neither');
            },
          },
        },
        '[0].a',
        'neither',
      ],
    ] as const) {
      assert.throws(
        () => codec.encode([value]),
        { code: 'CHUNK_UNENCODABLE', path, why },
        `${codec.name} ${path}`,
      );
    }
  }
});

test('a toJSON is asked once, also where it returns itself', () => {
  const own = { a: 1, toJSON: (): unknown => own };
  class Same {
    a = 1;
    toJSON() {
      return this;
    }
  }
  for (const codec of [cborChunkCodec(), jsonChunkCodec()]) {
    assert.deepEqual(codec.decode(codec.encode([own, new Same()])), [{ a: 1 }, { a: 1 }]);
  }
});

test('a long path is short in the message, and the reason is there', () => {
  const cycle: Record<string, unknown> = {};
  cycle.next = cycle;
  for (const codec of [cborChunkCodec(), jsonChunkCodec()]) {
    for (const value of [cycle, { ['k'.repeat(100_000)]: /x/ }]) {
      assert.throws(
        () => codec.encode([value]),
        ({ message, path, why }: ChunkUnencodableError) =>
          message.length < 300 && message.startsWith(path.slice(0, 100)) && message.endsWith(why),
      );
    }
  }
});
