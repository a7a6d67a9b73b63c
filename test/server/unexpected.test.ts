import assert from 'node:assert/strict';
import { test } from 'node:test';
import { MemoryStore } from '../../src/store/memory/memory-store.ts';
import { TestServer } from '../support/queues/test-server.ts';

/** Fails as no store should: with an error of its own. */
class BrokenStore extends MemoryStore {
  override async findById(): Promise<never> {
    throw new TypeError('a secret of the store');
  }
}

test('an unexpected error is 500 with a JSON string that keeps it to the log, and the queue works on', async () => {
  await using queue = await TestServer.start({ store: new BrokenStore() });
  const answer = await queue.get('/producer/submissions/1');
  assert.equal(answer.status, 500);
  assert.deepEqual(answer.headers[0], ['content-type', 'application/json']);
  const text: unknown = JSON.parse(answer.body.toString());
  assert.ok(typeof text === 'string');
  assert.doesNotMatch(text, /secret/);
  await queue.insert('works', 1);
  assert.equal((await queue.get('/ping')).body.toString(), 'pong');
});

test('the concurrency that a consumer announces says how many of its chunks were running when it broke', async () => {
  await using queue = await TestServer.start({ chunkDisconnectsMax: 1 });
  const ids = [];
  for (const prefix of ['a', 'b', 'c']) ids.push(await queue.insert(prefix, 1));
  const consumer = await queue.consumer({ 'opsqueue-features': '', 'opsqueue-concurrency': '2' });
  assert.equal((await consumer.reserved(3)).length, 3);
  consumer.cut();
  const [a, b] = await Promise.all(ids.slice(0, 2).map((id) => queue.status(id, '?wait_ms=10000')));
  assert.match(a ?? '', /^\{"Failed"/);
  assert.match(b ?? '', /^\{"Failed"/);
  assert.match(await queue.status(ids[2]!), /^\{"InProgress"/);
});
