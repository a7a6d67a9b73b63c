import assert from 'node:assert/strict';
import { test } from 'node:test';
import { traceOf } from '../../src/model/thrown.ts';

test('an error whose cause cannot be shown says that, and keeps its own text', () => {
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const noMessage = Object.defineProperty(new Error('x'), 'message', {
    get() {
      throw new Error('no');
    },
  });
  for (const cause of [proxy, noMessage, new Proxy(new Error('x'), { get: () => assert.fail() })]) {
    const trace = traceOf(new Error('operation 3 failed', { cause }));
    assert.match(trace, /^Error: operation 3 failed\n.*\nCaused by: a value that cannot be shown$/s);
  }
  const several = traceOf(new AggregateError([proxy, new Error('the other')], 'two'));
  assert.match(several, /\(1 of 2\) a value that cannot be shown\nCaused by: \(2 of 2\) Error: the other/);
});

test('causes that go round in a circle are told once', () => {
  const [first, second] = [new Error('first'), new Error('second')];
  first.cause = second;
  second.cause = first;
  assert.equal(traceOf(first).match(/^Caused by: /gm)?.length, 1);
});

test('an object is shown with what it holds, also where JSON has no form for that', () => {
  const cyclic: Record<string, unknown> = { status: 503 };
  cyclic.self = cyclic;
  assert.match(traceOf(cyclic), /^an object \(not an Error\): .*status: 503/);
  assert.match(traceOf({ id: 7n }), /id: 7n/);
  assert.match(
    traceOf(new Map([['code', 'E_BUSY']])),
    /an instance of Map \(not an Error\): .*'code' => 'E_BUSY'/,
  );
});
