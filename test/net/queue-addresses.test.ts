import assert from 'node:assert/strict';
import { test } from 'node:test';
import { IncorrectUsageError } from '../../src/model/errors.ts';
import { parseQueueAddresses, QueueAddresses } from '../../src/net/address/queue-addresses.ts';
import { parseQueueUrl } from '../../src/net/address/queue-url.ts';

const ABSENCE = { error: null, reason: 'none' };

for (const [text, addresses, queue] of [
  ['a', ['http://a:3999'], ''],
  ['a,b', ['http://a:3999', 'http://b:3999'], ''],
  [' a:1 , b:2 ', ['http://a:1', 'http://b:2'], ''],
  ['a:1,b:2/q/nightly', ['http://a:1/q/nightly', 'http://b:2/q/nightly'], 'nightly'],
  ['a:1/q/x,b:2/q/x', ['http://a:1/q/x', 'http://b:2/q/x'], 'x'],
  ['a/base/q/x,b/q/x', ['http://a:3999/base/q/x', 'http://b:3999/q/x'], 'x'],
  ['a/base,b/', ['http://a:3999/base', 'http://b:3999'], ''],
  ['http://a:1/,http://b:2/', ['http://a:1', 'http://b:2'], ''],
  ['a/,b', ['http://a:3999', 'http://b:3999'], ''],
  [
    'https://a,b:8443,wss://c/some/path',
    ['https://a:443/some/path', 'https://b:8443/some/path', 'https://c:443/some/path'],
    '',
  ],
  ['http://a,b', ['http://a:80', 'http://b:80'], ''],
  ['[::1]:1,[fe80::2]', ['http://[::1]:1', 'http://[fe80::2]:3999'], ''],
  ['a,b,a', ['http://a:3999', 'http://b:3999'], ''],
] as const) {
  test(`reads ${text}`, () => {
    const parsed = parseQueueAddresses(text);
    assert.deepEqual(
      parsed.all.map((url) => url.text),
      addresses,
    );
    assert.equal(parsed.queue, queue);
    assert.equal(parsed.text, addresses.join(','));
    assert.equal(parsed.secure, addresses[0].startsWith('https'));
  });
}

for (const [text, message] of [
  ['a,', /^the list of addresses of the queue has an empty address: "a," \(remove the comma\)$/],
  [',a', /has an empty address: ",a"/],
  ['a,,b', /has an empty address/],
  [
    'a/q/x,b',
    /has the path \/q\/x behind an address but none behind another one: "a\/q\/x,b" \(put it behind the last one, where it holds for all, or behind each/,
  ],
  ['a,b/q/x,c', /has the path \/q\/x/],
  ['a/base,b,c/q/x', /has the path \/base/],
  ['a/q/x,b/q/y', /names different queues: "a\/q\/x,b\/q\/y" \(put \/q\/NAME behind the last address only\)/],
  ['a/q/x,b/', /names different queues/],
  ['http://a/q/x,y', /a comma in a path is %2C/],
  [
    'a,https://b',
    /has a scheme \(https:\/\/\) but not in front of its first address: "a,https:\/\/b" \(put it there\)/,
  ],
  ['https://a,http://b', /has addresses with TLS and others without/],
  ['a,ftp://b', /scheme/],
  ['a,b:port', /malformed URL of the queue: "b:port"/],
  ['a:1,b:0', /has the port 0: "b:0"/],
  ['a,::1', /malformed URL of the queue: "::1"/],
  ['a,b?x=1', /neither query nor fragment: "b\?x=1"/],
  [Array.from({ length: 33 }, (_, i) => `h${i}`).join(','), /has 33 addresses.*\(give at most 32\)/],
] as const) {
  test(`refuses ${text.slice(0, 40)}`, () => {
    assert.throws(
      () => parseQueueAddresses(text),
      (error) => {
        assert.ok(error instanceof IncorrectUsageError);
        assert.match(error.message, message);
        return true;
      },
    );
  });
}

for (const text of [
  'http://user:secret@a,b',
  'a,user:secret@b',
  'http://user:se,cret@a,b',
  'http://user:secret,@a',
  'http://user:secret@a:port',
]) {
  test(`refuses a password in ${text}, and does not repeat it`, () => {
    assert.throws(() => parseQueueAddresses(text), {
      code: 'INCORRECT_USAGE',
      message: 'the URL of the queue must not carry a user or a password',
    });
  });
}

test('one that fails makes place for the next one, once for all that find it out', () => {
  const { all } = parseQueueAddresses('a,b,c');
  const [a, b, c] = all;
  const queue = new QueueAddresses([a!, b!, c!]);
  for (let i = 0; i < 16; i++) queue.failed(a!, ABSENCE);
  assert.equal(queue.current, b);
  queue.worked(c!);
  assert.equal(queue.current, c);
  assert.equal(queue.absences.size, 0);
  queue.failed(c!, ABSENCE);
  assert.equal(queue.current, a);
});

test('the time to connect is limited where there are others, and grows with each round but the first that leads to nothing', () => {
  const single = new QueueAddresses([parseQueueUrl('a')]);
  single.failed(single.current, ABSENCE);
  assert.equal(single.connectMsMax, Infinity);
  const queue = parseQueueAddresses('a,b');
  const limits = [0, 1, 2, 3, 4, 5, 6].map(() => {
    const { connectMsMax } = queue;
    queue.failed(queue.current, ABSENCE);
    return connectMsMax;
  });
  assert.deepEqual(limits, [3_000, 3_000, 3_000, 3_000, 6_000, 6_000, 12_000]);
  queue.worked(queue.current);
  assert.equal(queue.connectMsMax, 3_000);
});
