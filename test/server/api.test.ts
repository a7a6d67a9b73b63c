import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Overview } from '../../src/protocol/api/overview.ts';
import { TestServer } from '../support/queues/test-server.ts';

/** An answer of the API, which TestServer compares with docs/openapi.json. */
async function read<T>(server: TestServer, path: string, headers?: Readonly<Record<string, string>>) {
  const answer = await server.get(`/api/v1/${path}`, headers);
  const header = (name: string) => answer.headers.find(([each]) => each === name)?.[1];
  const text = answer.body.toString();
  return { status: answer.status, header, body: (text === '' ? null : JSON.parse(text)) as T };
}

test('the overview counts what is there and what happened, of all queues or of one', async () => {
  await using server = await TestServer.start();
  await server.insert('a', 3);
  const named = { chunk_contents: { SeeObjectStorage: { prefix: 'b', count: 5 } } };
  await server.post('/q/images/producer/submissions', JSON.stringify(named));
  const consumer = await server.consumer();
  consumer.reserve();
  const { chunks } = await consumer.next('reserved');
  consumer.complete(chunks[0]!.chunk);
  consumer.reserve();
  await consumer.next('reserved');
  const { body } = await read<Overview>(server, 'overview');
  assert.deepEqual(
    [
      body.queue,
      body.state,
      body.counts.chunks_backlog,
      body.counts.chunks_reserved,
      body.totals.chunks_done,
    ],
    [null, 'running', 7, 1, 1],
  );
  assert.deepEqual([body.counts.consumers_working, body.strategies[0]?.strategy], [1, 'oldest']);
  assert.equal(body.store.healthy, true);
  for (const path of ['overview?queue=images', '']) {
    const other =
      path === ''
        ? JSON.parse((await server.get('/q/images/api/v1/overview')).body.toString())
        : (await read<Overview>(server, path)).body;
    assert.deepEqual(
      [other.queue, other.counts.chunks_backlog, other.counts.consumers, other.totals.submissions_inserted],
      ['images', 5, 0, 1],
    );
  }
  const none = await read<Overview>(server, 'overview?queue=nobody');
  assert.equal(none.body.counts.chunks_backlog, 0);
});

test('an answer that would be the same is 304, and one that is refused says why', async () => {
  await using server = await TestServer.start();
  const { header } = await read(server, 'history?series=done,backlog&window=7d');
  const etag = header('etag');
  assert.ok(etag !== undefined);
  const again = await read(server, 'history?window=7d&series=done,backlog', { 'if-none-match': etag });
  assert.deepEqual([again.status, again.body, again.header('content-length')], [304, null, undefined]);
  for (const [path, detail] of [
    ['overview?queues=a', 'queues: there is no such parameter; known are queue'],
    ['overview?queue=A', 'queue: the name of a queue was expected, or - for the unnamed one, got "A"'],
    ['history?window=1d', 'window: one of 10m, 6h, 7d was expected, got "1d"'],
    ['history?points=0', 'points: an integer from 1 to 600 was expected, got "0"'],
    ['history?points=1&points=2', 'points: it is given more than once'],
  ] as const) {
    const refused = await read(server, path);
    assert.deepEqual([refused.status, refused.body], [400, { status: 400, code: 'PROTOCOL', detail }]);
  }
  const foreign = await read<null>(server, 'openapi.json').then(() =>
    server.get('/api/v1/overview', { origin: 'http://elsewhere' }),
  );
  assert.equal(foreign.status, 403);
});
