import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NotAQueueError, ProducerClient, QueueRefusedError } from '../../src/producer/index.ts';
import { scriptedHttp } from '../support/fakes/scripted-http.ts';
import { watchedStore } from '../support/fakes/watched-store.ts';
import { freshStore } from '../support/objects/fresh-store.ts';

const PAGE =
  '<!doctype html><html><head><title>Welcome</title><style>p { color: red }</style></head><p>Hello</html>';
const html = { 'content-type': 'text/html; charset=utf-8' };

for (const status of [200, 404, 405]) {
  test(`a page with status ${status} is no queue: the error has the URL, and nothing stays in the object store`, async () => {
    await using server = await scriptedHttp(() => ({ status, headers: html, body: PAGE }));
    const objects = watchedStore(freshStore());
    await using producer = new ProducerClient(`${server.url}/base`, objects);
    const isSaid = (error: unknown) => {
      assert.ok(error instanceof NotAQueueError);
      assert.equal(error.code, 'NOT_A_QUEUE');
      assert.equal(error.status, status);
      assert.ok(error.url.startsWith(`http://${server.url}/base/producer/`));
      assert.ok(error.message.includes(error.url));
      assert.match(error.message, /"Welcome Hello"/);
      return true;
    };
    await assert.rejects(producer.submission(1n).details(), isSaid);
    await assert.rejects(producer.countSubmissions(), isSaid);
    await assert.rejects(producer.serverVersion(), isSaid);
    await assert.rejects(producer.submission(1n).cancel(), isSaid);
    await assert.rejects(producer.insertSubmission([1], { in: 'queue', chunkSize: 1 }), isSaid);
    await assert.rejects(producer.insertSubmission([1], { chunkSize: 1 }), isSaid);
    assert.equal(objects.puts.length, 1);
    assert.deepEqual(await objects.keys(), []);
    assert.equal(server.seen.length, 6);
  });
}

test('another service that answers JSON or text of its own is no queue', async () => {
  await using server = await scriptedHttp(({ path }) => ({
    status: 200,
    body: path.endsWith('version') ? 'it works' : '{"ok":true}',
  }));
  await using producer = new ProducerClient(server.url, null);
  await assert.rejects(producer.countSubmissions(), {
    code: 'NOT_A_QUEUE',
    message: /count is not an opsqueue/,
  });
  await assert.rejects(producer.submission(1n).details(), { code: 'NOT_A_QUEUE' });
  await assert.rejects(producer.serverVersion(), { code: 'NOT_A_QUEUE', message: /"it works"/ });
});

test("the page of a proxy whose queue is down is no reason to give up, and its words are the error's", async () => {
  await using server = await scriptedHttp((_, number) =>
    number === 1 ? { status: 502, headers: html, body: PAGE } : { status: 200, body: '7' },
  );
  await using producer = new ProducerClient(server.url, null);
  assert.equal(await producer.countSubmissions(), 7);
  await using down = await scriptedHttp(() => ({ status: 502, headers: html, body: PAGE }));
  await using impatient = new ProducerClient(down.url, null, { retryForMs: 0 });
  await assert.rejects(impatient.countSubmissions(), (error) => {
    assert.ok(error instanceof QueueRefusedError);
    assert.equal(error.reason, 'Welcome Hello');
    return true;
  });
});
