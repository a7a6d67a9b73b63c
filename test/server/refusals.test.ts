import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProducerClient, QueueRefusedError } from '../../src/producer/index.ts';
import { TestServer } from '../support/queues/test-server.ts';

// What is refused before a route is reached: below /api/v1 as a problem, elsewhere as the original does.

test('whatever refuses a request of the API says so as a problem with a code', async () => {
  await using server = await TestServer.start({ bodyBytesMax: 1_024, queues: ['images'] });
  const json = { 'content-type': 'application/json' };
  for (const [line, headers, body, status, code, detail] of [
    ['GET /api/v1/nothing', {}, undefined, 404, 'NO_SUCH_PATH', /^there is no such path/],
    ['GET /api/v1', {}, undefined, 404, 'NO_SUCH_PATH', /^there is no such path/],
    ['GET /q/images/api/v1/nothing', {}, undefined, 404, 'NO_SUCH_PATH', /^queue images has no path/],
    ['GET /q/other/api/v1/overview', {}, undefined, 404, 'NO_SUCH_PATH', /--queues/],
    ['DELETE /api/v1/overview', {}, undefined, 405, 'METHOD_NOT_ALLOWED', /allow/],
    ['GET /api/v1/overview', { host: 'evil.example' }, undefined, 403, 'FOREIGN_REQUEST', /use localhost$/],
    [
      'GET /api/v1/overview',
      { origin: 'http://evil.example' },
      undefined,
      403,
      'FOREIGN_REQUEST',
      /another site/,
    ],
    ['GET /api/v1/submissions/%ff', {}, undefined, 400, 'MALFORMED_REQUEST', /percent-escapes/],
    ['POST /api/v1/actions/pause', {}, '{}', 415, 'NOT_JSON', /Content-Type/],
    ['POST /api/v1/actions/pause', json, ' '.repeat(2_000), 413, 'BODY_TOO_LARGE', /1024 bytes/],
  ] as const) {
    const answer = await server.request(line, headers, body);
    const type = answer.headers.find(([name]) => name === 'content-type')?.[1];
    assert.deepEqual([answer.status, type], [status, 'application/problem+json'], line);
    const problem = JSON.parse(answer.body.toString()) as Readonly<Record<string, unknown>>;
    assert.deepEqual([problem.status, problem.code], [status, code], line);
    assert.match(String(problem.detail), detail, line);
    if (status === 405)
      assert.ok(answer.headers.some(([name, value]) => name === 'allow' && value === 'GET,HEAD'));
  }
});

test('the paths of the original are refused as it does: without a text, or with a plain one', async () => {
  await using server = await TestServer.start();
  for (const [line, status, type] of [
    ['GET /nothing', 404, undefined],
    ['GET /api/v2/overview', 404, undefined],
    ['GET /apiv1/overview', 404, undefined],
    ['DELETE /producer/submissions', 405, undefined],
    ['POST /producer/submissions', 415, 'text/plain; charset=utf-8'],
  ] as const) {
    const answer = await server.request(line);
    assert.deepEqual(
      [answer.status, answer.headers.find(([name]) => name === 'content-type')?.[1]],
      [status, type],
      line,
    );
  }
});

test('a client says what the queue has refused in its words', async () => {
  await using server = await TestServer.start({ queues: ['images'] });
  await using producer = new ProducerClient(`127.0.0.1:${server.port}`, null, { logger: null });
  await assert.rejects(producer.view('nothing'), (error) => {
    assert.ok(error instanceof QueueRefusedError);
    assert.match(error.message, /there is no such path/);
    assert.doesNotMatch(error.message, /[{}]/);
    return true;
  });
});
