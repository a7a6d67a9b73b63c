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
  ['queue:80/some/path', 'queue', 'http://queue:80/some/path'],
  ['localhost:3999/q/images/', 'localhost', 'http://localhost:3999/q/images'],
];

for (const [url, queue] of [
  ['localhost', ''],
  ['localhost/q/images', 'images'],
  ['localhost:3999/q/a.b_c-d///', 'a.b_c-d'],
  ['https://host/some/proxy/q/images', 'images'],
  ['https://host/q/q/q', 'q'],
  ['https://host/Q/Images', ''],
  ['https://host/queue/images', ''],
] as const) {
  test(`finds the queue ${JSON.stringify(queue)} in ${url}`, () => {
    assert.equal(parseQueueUrl(url).queue, queue);
  });
}

for (const url of [
  'localhost:3999/q',
  'localhost:3999/q/',
  'localhost:3999/q/Images',
  'localhost:3999/q/a%2Fb',
  'localhost:3999/q/a b',
  'localhost:3999/q/ü',
  'localhost:3999/q/-a',
  'localhost:3999/q/images/producer/submissions',
  'localhost:3999/q/a/b',
  'https://host/q/images/q',
  `localhost:3999/q/${'a'.repeat(64)}`,
]) {
  test(`refuses the name of the queue in "${url}", with the rule`, () => {
    assert.throws(
      () => parseQueueUrl(url),
      (error) =>
        error instanceof IncorrectUsageError &&
        error.message ===
          `the URL of the queue must end with /q/NAME, NAME being 1 to 63 of a-z, 0-9, dots, underscores and hyphens, beginning with a letter or a digit: "${url}"`,
    );
  });
}

for (const url of [
  'localhost/q/..',
  'localhost/q/../q/images',
  'localhost/q/images/.',
  'localhost/q/%2E%2e',
  'localhost/q\\..',
]) {
  test(`refuses dots in the path of "${url}", which lead elsewhere`, () => {
    assert.throws(() => parseQueueUrl(url), {
      code: 'INCORRECT_USAGE',
      message: `the URL of the queue must not have . or .. in its path: "${url}"`,
    });
  });
}

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
