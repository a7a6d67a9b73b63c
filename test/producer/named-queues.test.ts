/** Both clients, at addresses that name a queue. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConsumerClient } from '../../src/consumer/index.ts';
import { ProducerClient } from '../../src/producer/index.ts';
import { recordingLogger } from '../support/fakes/recording-logger.ts';
import { scriptedHttp } from '../support/fakes/scripted-http.ts';
import { watchedStore } from '../support/fakes/watched-store.ts';
import { freshStore } from '../support/objects/fresh-store.ts';
import { realQueue } from '../support/queues/real-queue.ts';
import { TestServer } from '../support/queues/test-server.ts';

test('two kinds of work at one address, each with its own consumers', async () => {
  await using queue = await realQueue();
  const kinds = ['', '/q/images', '/q/bills/'];
  const runs = kinds.map(async (path) => {
    await using consumer = new ConsumerClient(`${queue.url}${path}`, queue.objects.url);
    const over = consumer.runEachOp((op) => `${path} ${op}`);
    await using producer = new ProducerClient(`http://${queue.url}${path}`, queue.objects.url);
    const ops = Array.from({ length: 50 }, (_, i) => `${path} ${i}`);
    for (const where of ['object-store', 'queue'] as const) {
      const results = await Array.fromAsync(producer.runSubmission(ops, { chunkSize: 3, in: where }));
      assert.deepEqual(
        results,
        ops.map((op) => `${path} ${op}`),
      );
    }
    await consumer.stop();
    await over;
  });
  await Promise.all(runs);
});

test("a queue's submissions are unknown in another one", async () => {
  await using queue = await realQueue();
  await using images = new ProducerClient(`${queue.url}/q/images`, queue.objects.url);
  await using bills = new ProducerClient(`${queue.url}/q/bills`, queue.objects.url);
  const id = await images.insertSubmission([1, 2], { chunkSize: 1 });
  assert.equal((await images.submission(id).details())?.state, 'in_progress');
  assert.equal(await bills.submission(id).details(), null);
  await assert.rejects(bills.submission(id).cancel(), { code: 'SUBMISSION_NOT_FOUND' });
  assert.equal(await bills.countSubmissions(), 0);
  assert.equal(await images.countSubmissions(), 1);
  await images.submission(id).cancel();
});

test('an address that names no proper queue throws at once, and says what is wrong', () => {
  for (const url of ['localhost:3999/q/Images', 'localhost:3999/q', 'localhost:3999/q/a%2Fb']) {
    const expected = {
      code: 'INCORRECT_USAGE',
      message: /^the URL of the queue must end with \/q\/NAME, NAME being 1 to 63 of a-z/,
    };
    assert.throws(() => new ProducerClient(url, null), expected);
    assert.throws(() => new ConsumerClient(url, null), expected);
  }
});

test('a queue that the server does not allow: the producer fails before it uploads, the consumer says why it waits', async () => {
  await using server = await TestServer.start({ queues: ['images'] });
  const url = `127.0.0.1:${server.port}/q/imgaes`;
  const sentence = "queue imgaes is not one of this server's (--queues): images";
  const objects = watchedStore(freshStore());
  await using producer = new ProducerClient(url, objects);
  const refused = { code: 'QUEUE_REFUSED', status: 404, reason: sentence };
  await assert.rejects(producer.insertSubmission([1], { chunkSize: 1 }), refused);
  await assert.rejects(producer.insertSubmission([1], { chunkSize: 1, in: 'queue' }), refused);
  await assert.rejects(producer.countSubmissions(), refused);
  await assert.rejects(producer.submission(1n).cancel(), refused);
  assert.deepEqual(objects.puts, []);
  const logger = recordingLogger();
  await using consumer = new ConsumerClient(url, null, { logger });
  const over = consumer.runEachOp(() => 1);
  const line = await logger.line(/refuses/);
  assert.equal(line.message, `queue at 127.0.0.1:${server.port} refuses: ${sentence}, waiting`);
  await consumer.stop();
  await over;
});

test('a server without named queues, such as the original, is no place for one', async () => {
  await using server = await scriptedHttp(() => ({ status: 404, body: '' }));
  await using producer = new ProducerClient(`${server.url}/q/images`, null);
  const unsupported = {
    code: 'QUEUE_UNSUPPORTED',
    feature: 'queues',
    message: /\/q\/images\/producer\/.* does not exist .* has no named queues, and so no queue images$/,
  };
  await assert.rejects(producer.insertSubmission([1], { chunkSize: 1, in: 'queue' }), unsupported);
  await assert.rejects(producer.submission(1n).cancel(), unsupported);
  await assert.rejects(producer.submission(1n).details(), unsupported);
  const logger = recordingLogger();
  await using consumer = new ConsumerClient(`${server.url}/q/images`, null, { logger });
  const over = consumer.runEachOp(() => 1);
  const line = await logger.line(/has no queue/);
  assert.match(
    line.message,
    /^127\.0\.0\.1:\d+ has no queue images: it is not an opsqueue, or one without named queues \(HTTP status 404\), waiting$/,
  );
  await consumer.stop();
  await over;
});
