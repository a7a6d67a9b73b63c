import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { test } from 'node:test';
import { RequestHead } from '../../src/net/http/head.ts';
import { Admission, foreignProblem } from '../../src/server/http/admission.ts';
import { allowedMethods, Router } from '../../src/server/http/router.ts';

const onLoopback = { loopbackOnly: true, hostNames: ['queue.internal'], advertised: null };
const open = { loopbackOnly: false, hostNames: [], advertised: null };

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
    assert.equal(foreignProblem(host, undefined, onLoopback), null, `${host}`);
  }
});

test('a foreign name that resolves to the loopback is refused there', () => {
  for (const host of [
    'evil.example',
    'evil.example:3999',
    'localhost.evil.example',
    '127.0.0.1.evil.example:3999',
  ]) {
    assert.match(foreignProblem(host, undefined, onLoopback) ?? '', /none of its names/, host);
  }
});

test('a queue that was opened to other machines answers to any name', () => {
  assert.equal(foreignProblem('queue.example:3999', undefined, open), null);
});

test('a queue that was given a name answers to no other, wherever it listens', () => {
  const named = { loopbackOnly: false, hostNames: ['queue.example'], advertised: 'node-a.example:3999' };
  for (const host of [
    'queue.example',
    'Node-A.example:1',
    '10.0.0.1:3999',
    '[fd00::1]:3999',
    'localhost',
    '',
  ]) {
    assert.equal(foreignProblem(host, host === '' ? undefined : `http://${host}`, named), null, host);
  }
  assert.equal(foreignProblem(undefined, undefined, named), null);
  const rebound = 'rebound.evil.example:3999';
  assert.match(foreignProblem(rebound, `http://${rebound}`, named) ?? '', /none of the names.*--host-name/);
});

test('a web page of another site is refused wherever the queue listens, one of its own is not', () => {
  for (const options of [onLoopback, open]) {
    assert.match(foreignProblem('localhost:3999', 'http://evil.example', options) ?? '', /another site/);
    assert.match(foreignProblem('localhost:3999', 'null', options) ?? '', /another site/);
    assert.match(foreignProblem('localhost:3999', 'http://localhost:8080', options) ?? '', /another site/);
    assert.match(foreignProblem(undefined, 'http://localhost:3999', options) ?? '', /another site/);
    assert.equal(foreignProblem('localhost:3999', 'http://localhost:3999', options), null);
  }
});

test('a refusal does not repeat names of any length', () => {
  assert.ok((foreignProblem('x'.repeat(10_000), undefined, onLoopback) ?? '').length < 300);
});

function headOf(method: string, url: string, headers: Readonly<Record<string, string>>): RequestHead {
  const request = new IncomingMessage(new Socket());
  Object.assign(request, { method, url, headers, rawHeaders: Object.entries(headers).flat() });
  return new RequestHead(request);
}

const UPGRADE = {
  connection: 'upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

test('a plain request and an upgrade are checked in one order: host, origin, path, method, segment, body, upgrade', () => {
  const admission = new Admission({ ...onLoopback, queues: null, basePath: '', hasPage: true });
  const root = '/producer/submissions';
  const foreign = { host: 'evil.example' };
  const bad = '%ff';
  for (const [method, url, headers, expected] of [
    // Each has what all the later checks would refuse.
    ['PUT', `/nope/${bad}`, { ...foreign, Host: 'localhost', HOST: 'x' }, 400],
    ['PUT', `/nope/${bad}`, foreign, 403],
    ['PUT', `/nope/${bad}`, { host: 'localhost', origin: 'http://evil.example' }, 403],
    ['PUT', `/nope/${bad}`, { host: 'localhost' }, 404],
    ['PUT', `${root}/${bad}`, {}, 405],
    ['GET', `${root}/${bad}`, {}, 400],
    ['POST', root, { 'content-type': 'text/plain' }, 415],
    ['POST', root, { 'content-type': 'application/json' }, 'insert'],
    ['HEAD', `${root}/7?wait_ms=1`, {}, 'status'],
    ['GET', `${root}/cancel/7`, {}, 405],
    ['POST', '/consumer', UPGRADE, 405],
    ['GET', '/consumer', { ...UPGRADE, ...foreign }, 403],
    ['GET', '/consumer', { ...UPGRADE, upgrade: 'h2c' }, 400],
    ['HEAD', '/consumer', UPGRADE, 405],
    ['GET', '/consumer', UPGRADE, 'consumer'],
    ['GET', 'http://localhost:3999/consumer', { ...UPGRADE, ...foreign }, 'consumer'],
    ['GET', 'http://evil.example/consumer', { ...UPGRADE, host: 'localhost' }, 403],
  ] as const) {
    const decision = admission.admit(headOf(method, url, headers));
    const got = decision.kind === 'admitted' ? decision.name : decision.status;
    assert.equal(got, expected, `${method} ${url} ${JSON.stringify(headers)}`);
    // The metrics name the endpoint, also of a request that is refused.
    assert.equal(decision.label === null, url.startsWith('/nope'));
  }
});

test('a path with several methods leads to the endpoint of each, and names all of them to any other', () => {
  const router = new Router({
    list: { method: 'GET', path: '/things', role: 'anyone' },
    add: { method: 'POST', path: '/things', role: 'producer' },
    show: { method: 'GET', path: '/things/{id}', role: 'anyone' },
  });
  const match = router.match('/things');
  assert.deepEqual([match?.place.names.get('GET'), match?.place.names.get('POST')], ['list', 'add']);
  assert.equal(match && allowedMethods(match.place), 'GET,HEAD,POST');
  assert.deepEqual(router.match('/things/7')?.segment, '7');
  assert.equal(router.match('/things/7/8'), null);
});
