import assert from 'node:assert/strict';
import { test } from 'node:test';
import * as v from 'valibot';
import { defineContract } from '../../src/contract/contract.ts';
import { validate } from '../../src/contract/validation.ts';
import { IncorrectUsageError } from '../../src/model/errors.ts';
import { OpError } from '../../src/model/op-error.ts';

test('a contract has what was given, and defaults for the rest', () => {
  assert.deepEqual(defineContract({}), {
    '~contract': 1,
    store: null,
    codec: 'cbor',
    operation: null,
    result: null,
  });
  const operation = v.string();
  const contract = defineContract({ store: new URL('file:///chunks/'), codec: 'json', operation });
  assert.equal(contract.store, 'file:///chunks/');
  assert.equal(contract.codec, 'json');
  assert.equal(contract.operation, operation);
});

test('wrong use of defineContract names the option and the value', () => {
  const cases: readonly (readonly [object, RegExp])[] = [
    [{ store: 7 }, /^store must be a URL, an ObjectStore or null, got 7$/],
    [{ codec: 'xml' }, /^codec must be 'raw', .* got "xml"$/],
    [{ operation: {} }, /^operation must be a schema with the interface of Standard Schema, got Object$/],
    [{ result: null }, /^result must be a schema/],
    [{ results: v.string() }, /unknown option "results": did you mean "result"/],
  ];
  for (const [options, message] of cases) {
    assert.throws(
      () => defineContract(options),
      (error) => error instanceof IncorrectUsageError && message.test(error.message),
    );
  }
});

test('an invalid value is named by its position, its path and the words of the schema', () => {
  const schema = v.object({ lines: v.array(v.object({ amount: v.number() })) });
  const values = [{ lines: [] }, { lines: [{ amount: 1 }, { amount: '2' }] }];
  assert.throws(() => validate({ what: 'operation', schema, values, firstIndex: 40 }), {
    name: 'ContractViolationError',
    code: 'CONTRACT_VIOLATION',
    message:
      'operation 41 does not match the contract: lines[1].amount: Invalid type: Expected number but received "2"',
    what: 'operation',
    operationIndex: 41,
    issues: [{ path: 'lines[1].amount', message: 'Invalid type: Expected number but received "2"' }],
  });
  const text = v.string();
  assert.throws(() => validate({ what: 'result', schema: text, values: [1], firstIndex: null }), {
    message: 'the result does not match the contract: Invalid type: Expected string but received 1',
    operationIndex: null,
  });
});

test('a schema that is asynchronous is waited for, and one that is not costs no promise', async () => {
  const sync = v.pipe(v.string(), v.transform(Number));
  assert.deepEqual(validate({ what: 'result', schema: sync, values: ['1', '2'], firstIndex: 0 }), [1, 2]);
  const schema = v.pipeAsync(
    v.string(),
    v.checkAsync(async (text) => text !== 'bad', 'it is bad'),
  );
  const values = ['a', 'bad', 'bad'];
  await assert.rejects(async () => validate({ what: 'result', schema, values, firstIndex: 0 }), {
    message: 'the result of operation 1 does not match the contract: it is bad',
  });
  const good = validate({ what: 'result', schema, values: ['a', 'b'], firstIndex: 0 });
  assert.ok(good instanceof Promise);
  assert.deepEqual(await good, ['a', 'b']);
});

test('an OpError in the place of a result is not checked', () => {
  const error = new OpError('x');
  assert.deepEqual(validate({ what: 'result', schema: v.number(), values: [1, error, 2], firstIndex: 0 }), [
    1,
    error,
    2,
  ]);
});
