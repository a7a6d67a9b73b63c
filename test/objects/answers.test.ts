import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { ObjectStoreErrorCode } from '../../src/objects/errors.ts';
import { openObjectStore, type StoreWait } from '../../src/objects/open.ts';
import { bytes, rejectsWith } from '../conformance/object-store.ts';
import { type Reply, scriptedHttp } from '../support/fakes/scripted-http.ts';

/** A store on a server that gives the same answer to everything. */
async function answering(reply: Reply) {
  const server = await scriptedHttp(() => reply);
  const waits: StoreWait[] = [];
  const store = await openObjectStore(
    's3://bucket/base',
    {
      aws_endpoint: `http://${server.url}`,
      aws_access_key_id: 'a',
      aws_secret_access_key: 'b',
      allow_http: true,
      max_retries: 1,
      retry_first_wait: '1ms',
      retry_max_wait: '2ms',
    },
    { onWait: (wait) => waits.push(wait) },
  );
  return {
    server,
    store,
    waits,
    async [Symbol.asyncDispose]() {
      await store.close();
      await server.stop();
    },
  };
}

const NGINX =
  '<html>\r\n<head><title>Oops</title></head>\r\n<body>\r\n<hr><center>nginx</center>\r\n</html>\r\n';

describe('the answer of a load balancer in front of S3', () => {
  const cases: readonly [number, string, string, ObjectStoreErrorCode, number][] = [
    [503, 'text/plain', 'busy', 'OBJECT_THROTTLED', 2],
    [429, 'text/plain', 'slow down', 'OBJECT_THROTTLED', 2],
    [502, 'text/html', NGINX, 'OBJECT_UNREACHABLE', 2],
    [504, 'application/json', '{"error":1}', 'OBJECT_UNREACHABLE', 2],
    [403, 'text/plain', 'Forbidden', 'OBJECT_DENIED', 1],
    [404, 'text/html', '<!doctype html><p>no such thing', 'OBJECT_NOT_FOUND', 1],
  ];
  for (const [status, type, body, code, requests] of cases) {
    test(`counts by its status, though it is no XML: ${status} ${type}`, async () => {
      await using scene = await answering({ status, body, headers: { 'content-type': type } });
      for (const call of [
        () => scene.store.get('p/0-in.bin'),
        () => scene.store.put('p/0-in.bin', bytes(10)),
        () => scene.store.delete(['p/0-in.bin', 'p/1-in.bin']),
      ]) {
        const before = scene.server.seen.length;
        const error = await rejectsWith(code, call(), 'p/0-in.bin');
        assert.equal(error.status, status);
        assert.equal(scene.server.seen.length - before, requests);
        assert.doesNotMatch(error.message, /[\r\n]|Deserialization/);
      }
    });
  }
});

describe('a code in the answer of S3', () => {
  const answer = (status: number, code: string, headers = {}): Reply => ({
    status,
    headers: { 'content-type': 'application/xml', ...headers },
    body: `<?xml version="1.0"?><Error><Code>${code}</Code><Message>why</Message></Error>`,
  });

  for (const [status, code, means] of [
    [503, 'SlowDown', 'OBJECT_THROTTLED'],
    [503, 'ServiceUnavailable', 'OBJECT_THROTTLED'],
    [429, 'TooManyRequests', 'OBJECT_THROTTLED'],
    [500, 'InternalError', 'OBJECT_UNREACHABLE'],
  ] as const) {
    test(`leaves the status and Retry-After as they are: ${code}`, async () => {
      await using scene = await answering(answer(status, code, { 'retry-after': '2' }));
      const error = await rejectsWith(means, scene.store.get('p/0-in.bin'), 'p/0-in.bin');
      assert.equal(error.status, status);
      assert.deepEqual([error.retryable, error.retryAfterMs], [true, 2_000]);
      assert.match(error.message, new RegExp(`HTTP status ${status}: ${code}: why \\(gave up after 2 tries`));
      assert.deepEqual(
        scene.waits.map(({ error }) => error.retryAfterMs),
        [2_000],
      );
    });
  }

  test('says that a token has had its time: ExpiredToken, InvalidToken', async () => {
    for (const code of ['ExpiredToken', 'InvalidToken']) {
      await using scene = await answering(answer(400, code));
      const error = await rejectsWith('OBJECT_DENIED', scene.store.get('p/0-in.bin'), 'p/0-in.bin');
      assert.equal(error.status, 400);
      assert.equal(scene.server.seen.length, 1);
    }
  });
});

test('an object of more than 4 GiB is refused at once, not tried again', async () => {
  const headers = { 'content-length': String(2 ** 32 + 1) };
  await using server = await scriptedHttp(() => ({ status: 200, headers }));
  const options = {
    aws_endpoint: `http://${server.url}`,
    aws_access_key_id: 'a',
    aws_secret_access_key: 'b',
    allow_http: true,
    retry_first_wait: '1ms',
  };
  for (const url of ['s3://bucket/base', `http://${server.url}/base`]) {
    const before = server.seen.length;
    const store = await openObjectStore(url, options);
    const error = await rejectsWith('OBJECT_FAILED', store.get('p/0-in.bin'), 'p/0-in.bin');
    assert.match(error.message, /4294967297 bytes are too many/);
    assert.equal(server.seen.length - before, 1);
    await store.close();
  }
});

test('a limit of Google that is answered with 403 is waited for', async () => {
  let reason = 'rateLimitExceeded';
  await using server = await scriptedHttp(() => ({
    status: 403,
    body: JSON.stringify({
      error: { code: 403, message: 'why', errors: [{ domain: 'usageLimits', reason }] },
    }),
  }));
  const store = await openObjectStore('gs://bucket/base', {
    google_endpoint: `http://${server.url}`,
    skip_signature: true,
    allow_http: true,
    max_retries: 1,
    retry_first_wait: '1ms',
  });
  try {
    const error = await rejectsWith('OBJECT_THROTTLED', store.get('p/0-in.bin'), 'p/0-in.bin');
    assert.equal(error.status, 403);
    assert.equal(server.seen.length, 2);
    reason = 'forbidden';
    await rejectsWith('OBJECT_DENIED', store.get('p/0-in.bin'), 'p/0-in.bin');
    assert.equal(server.seen.length, 3);
  } finally {
    await store.close();
  }
});
