import assert from 'node:assert/strict';
import { test } from 'node:test';
import { refusalOf } from '../../src/net/http/guard.ts';

const onLoopback = { loopbackOnly: true, hostNames: ['queue.internal'] };
const open = { loopbackOnly: false, hostNames: [] };

test('programs on this machine are let in under any name that means this machine', () => {
  const names = [
    'localhost',
    'localhost:3999',
    'LOCALHOST:1',
    '127.0.0.1:3999',
    '[::1]:3999',
    '10.0.0.1:1',
    'a.localhost',
    'Queue.internal:3999',
  ];
  for (const host of [...names, undefined, '']) {
    assert.equal(refusalOf(host, undefined, onLoopback), null, `${host}`);
  }
});

test('a name that somebody lets point to the loopback is refused there', () => {
  for (const host of [
    'evil.example',
    'evil.example:3999',
    'localhost.evil.example',
    '127.0.0.1.evil.example:3999',
  ]) {
    assert.match(refusalOf(host, undefined, onLoopback) ?? '', /none of its names/, host);
  }
});

test('a queue that was opened to other machines answers to any name', () => {
  assert.equal(refusalOf('queue.example:3999', undefined, open), null);
});

test('a web page of another site is refused wherever the queue listens, one of its own is not', () => {
  for (const options of [onLoopback, open]) {
    assert.match(refusalOf('localhost:3999', 'http://evil.example', options) ?? '', /another site/);
    assert.match(refusalOf('localhost:3999', 'null', options) ?? '', /another site/);
    assert.match(refusalOf('localhost:3999', 'http://localhost:8080', options) ?? '', /another site/);
    assert.match(refusalOf(undefined, 'http://localhost:3999', options) ?? '', /another site/);
    assert.equal(refusalOf('localhost:3999', 'http://localhost:3999', options), null);
  }
});

test('a refusal does not repeat names of any length', () => {
  assert.ok((refusalOf('x'.repeat(10_000), undefined, onLoopback) ?? '').length < 300);
});
