import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { IncorrectUsageError } from '../../src/model/errors.ts';
import { Strategy } from '../../src/model/strategy.ts';
import { isExtension, isSameStrategy } from '../../src/model/strategy-shape.ts';
import { strategies } from '../support/protocol/protocol-arbitraries.ts';

test('every strategy is parsed from its text, and equal ones have equal texts', () => {
  fc.assert(
    fc.property(strategies(), strategies(), (one, other) => {
      const text = Strategy.toText(one);
      assert.deepEqual(Strategy.parse(text), one);
      assert.equal(isSameStrategy(one, other), text === Strategy.toText(other));
      assert.ok(isSameStrategy(one, structuredClone(one)));
    }),
  );
});

test('texts read like the calls that make them', () => {
  const nested = Strategy.preferDistinct(
    'customer',
    Strategy.selectOnly('kind', [2, 1, 2], Strategy.oldest()),
  );
  assert.equal(Strategy.toText(nested), 'preferDistinct(customer, selectOnly(kind, [1, 2], oldest))');
  assert.equal(Strategy.toText(Strategy.priority('the "key"')), 'priority("the \\"key\\"", random)');
  assert.deepEqual(
    Strategy.parse(' maxSimultaneous\n(customer,8 ) '),
    Strategy.maxSimultaneous('customer', 8),
  );
  assert.deepEqual(Strategy.parse('maxSimultaneous(customer, 8)'), Strategy.maxSimultaneous('customer', 8));
  assert.deepEqual(
    Strategy.parse('orElse(selectExcept(kind, [-3], newest), priority(urgency))'),
    Strategy.orElse(
      Strategy.selectExcept('kind', [-3n], Strategy.newest()),
      Strategy.priority('urgency', Strategy.random()),
    ),
  );
});

for (const [text, message] of [
  ['', /a strategy was expected, got its end/],
  ['oldish', /character 1: there is no strategy "oldish"; known are oldest, newest, random, preferDistinct/],
  ['oldest(', /the end was expected, got "\("/],
  ['preferDistinct', /"\(" was expected, got its end/],
  ['preferDistinct(customer, oldest', /"\)" was expected, got its end/],
  ['preferDistinct(7)', /a key of strategic metadata was expected, got "7"/],
  ['priority("a\\x", oldest)', /character 10: the key is not a JSON text/],
  ['selectOnly(kind, [], oldest)', /a value was expected, got "]"/],
  ['selectOnly(kind, 1, oldest)', /"\[" was expected, got "1"/],
  ['selectOnly(kind, [99999999999999999999])', /values\[0\] must be a safe integer or a bigint of 64 bits/],
  ['maxSimultaneous(customer, 0)', /max must be an integer of at least 1, got 0/],
  ['maxSimultaneous(customer, -1)', /max must be an integer of at least 1, got -1/],
  ['maxSimultaneous(customer, 99999999999999999999)', /max must be an integer/],
  ['orElse(oldest)', /"," was expected, got "\)"/],
  ['oldest newest', /character 8: the end was expected, got "newest"/],
  ['oldest; drop', /character 7: ";" was not expected/],
] as const) {
  test(`the text ${JSON.stringify(text)} is refused with a reason`, () => {
    assert.throws(
      () => Strategy.parse(text),
      (error) => error instanceof IncorrectUsageError && message.test(error.message),
    );
  });
}

test('bad arguments are refused by name', () => {
  const refused = (make: () => unknown, message: RegExp) => assert.throws(make, message);
  refused(() => Strategy.selectOnly('kind', []), /values must have 1 to 256 values, got 0/);
  refused(
    () =>
      Strategy.selectOnly(
        'kind',
        Array.from({ length: 257 }, (_, i) => i),
      ),
    /values must have 1 to 256 values, got 257/,
  );
  refused(() => Strategy.selectExcept('kind', [1.5]), /values\[0\] must be a safe integer/);
  refused(() => Strategy.selectOnly('kind', 7 as never), /values must be a list of integers, got 7/);
  refused(() => Strategy.maxSimultaneous('customer', 0), /max must be an integer of at least 1, got 0/);
  refused(() => Strategy.priority('é'.repeat(129)), /metaKey must be a Unicode text of at most 256 bytes/);
  refused(
    () => Strategy.priority('k', 'oldest' as never),
    /underlying must be made by Strategy's functions, or of a text by Strategy\.parse, got "oldest"/,
  );
  refused(
    () => Strategy.orElse(Strategy.oldest(), {} as never),
    /fallback must be made by Strategy's functions/,
  );
  refused(
    () => Strategy.toText({ kind: 'Oldest' } as never),
    /strategy must be made by Strategy's functions, .*, got an object of the kind "Oldest"/,
  );
  refused(
    () => Strategy.toText({ kind: 'priority', metakey: 'k', underlying: { kind: 'oldest' } } as never),
    /strategy must be made by Strategy's functions, .*, got one with the unknown field "metakey"/,
  );
  refused(
    () => Strategy.toText(Strategy.oldest as never),
    /made by Strategy's functions, .*, got a function/,
  );
  refused(
    () => Strategy.parse(`${'priority(k, '.repeat(50_000)}oldest${')'.repeat(50_000)}`),
    /character 205: the strategy nests deeper than 16/,
  );
  refused(() => Strategy.parse(undefined as never), /a strategy's text form must be a string, got undefined/);
  let deep = Strategy.oldest();
  for (let i = 0; i < 16; i++) deep = Strategy.preferDistinct(`k${i}`, deep);
  refused(() => Strategy.preferDistinct('one more', deep), /nests deeper than 16/);
  let wide = Strategy.oldest();
  for (let i = 0; i < 4; i++) wide = Strategy.orElse(wide, wide);
  refused(() => Strategy.orElse(wide, wide), /more than 32 parts/);
});

test('strategies cannot be changed, and the original knows four of them', () => {
  const strategy = Strategy.selectOnly('kind', [1]);
  assert.throws(() => Object.assign(strategy, { metaKey: 'other' }), TypeError);
  assert.throws(() => (strategy as unknown as { values: bigint[] }).values.push(2n), TypeError);
  assert.equal(isExtension(Strategy.preferDistinct('customer', Strategy.newest())), false);
  assert.equal(isExtension(Strategy.preferDistinct('customer', Strategy.priority('urgency'))), true);
  assert.equal(isExtension(Strategy.orElse(Strategy.oldest(), Strategy.newest())), true);
});
