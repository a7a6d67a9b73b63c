import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IncorrectUsageError } from '../../src/model/errors.ts';
import { parseQueueUrl } from '../../src/net/address/queue-url.ts';

const taken: readonly (readonly [string, string, string])[] = [
  ['localhost:3999', 'localhost', 'http://localhost:3999'],
  ['localhost', 'localhost', 'http://localhost:3999'],
  ['queue.internal:80', 'queue.internal', 'http://queue.internal:80'],
  ['127.0.0.1:1234', '127.0.0.1', 'http://127.0.0.1:1234'],
  ['[::1]:3999', '::1', 'http://[::1]:3999'],
  ['http://queue', 'queue', 'http://queue:80'],
  ['https://queue/', 'queue', 'https://queue:443'],
  ['https://queue:8443/some/path/', 'queue', 'https://queue:8443/some/path'],
  ['ws://queue:1', 'queue', 'http://queue:1'],
  ['wss://queue', 'queue', 'https://queue:443'],
];

for (const [url, hostname, text] of taken) {
  test(`takes ${url}`, () => {
    const parsed = parseQueueUrl(url);
    assert.equal(parsed.hostname, hostname);
    assert.equal(parsed.text, text);
  });
}

for (const url of [
  '',
  ' ',
  'ftp://queue',
  'queue:port',
  'queue:0',
  'queue:70000',
  'http://',
  'a b:1',
  'http://u:p@q',
  'q:1?a=b',
  'q:1#x',
]) {
  test(`refuses "${url}"`, () => {
    assert.throws(() => parseQueueUrl(url), IncorrectUsageError);
  });
}

test('does not repeat a password in its error', () => {
  assert.throws(
    () => parseQueueUrl('http://user:secret@queue:1'),
    (error: Error) => !error.message.includes('secret'),
  );
});
