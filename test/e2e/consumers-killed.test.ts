import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ProducerClient } from '../../src/producer/index.ts';
import { ROOT, runNode, startQueue, type TestProcess } from '../support/processes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const CHUNKS = 200;
const CHUNK_SIZE = 5;

test('consumers that are killed in the middle of work lose nothing, and nothing comes twice', async () => {
  await using folder = await temporaryFolder();
  await using stack = new AsyncDisposableStack();
  const { queue, port } = await startQueue(['--database-filename', `${folder.path}/q.db`]);
  stack.use(queue);
  const url = `localhost:${port}`;
  const objectStore = pathToFileURL(`${folder.path}/chunks/`).href;
  const startConsumer = (): TestProcess =>
    stack.use(runNode([`${ROOT}test/e2e/fixtures/doubling-consumer.ts`, url, objectStore, '5']));

  const producer = new ProducerClient(url, objectStore);
  stack.defer(() => producer.close());
  const numbers = Array.from({ length: CHUNKS * CHUNK_SIZE }, (_, i) => i);
  const results: unknown[] = [];
  const running = (async () => {
    for await (const result of producer.runSubmission(numbers, { chunkSize: CHUNK_SIZE }))
      results.push(result);
  })();

  let killed = 0;
  const shortLived = async () => {
    const consumer = startConsumer();
    await consumer.lines(/^working on/, 12);
    const { signal } = await consumer.kill('SIGKILL');
    assert.equal(signal, 'SIGKILL');
    killed++;
  };
  await Promise.all([shortLived().then(shortLived), shortLived().then(shortLived)]);
  assert.equal(results.length, 0, 'it must not have been over before the last one was killed');
  startConsumer();
  await running;

  assert.equal(killed, 4);
  assert.deepEqual(
    results,
    numbers.map((number) => number * 2),
  );
});
