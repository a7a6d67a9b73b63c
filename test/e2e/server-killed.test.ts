import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ProducerClient } from '../../src/producer/index.ts';
import { freePort } from '../support/network/free-port.ts';
import { ROOT, runNode, startQueue } from '../support/processes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const CHUNK_SIZE = 5;
const numbersOf = (submission: number) =>
  Array.from({ length: 40 * CHUNK_SIZE }, (_, i) => submission * 1000 + i);

test('a queue that is killed in the middle of work and started again has lost nothing that it acknowledged', async () => {
  await using folder = await temporaryFolder();
  await using stack = new AsyncDisposableStack();
  const database = ['--database-filename', `${folder.path}/q.db`];
  const port = await freePort();
  const start = async () => stack.use((await startQueue([...database, '--port', String(port)])).queue);
  let queue = await start();
  const url = `localhost:${port}`;
  const objectStore = pathToFileURL(`${folder.path}/chunks/`).href;
  const consumers = [1, 2].map(() =>
    stack.use(runNode([`${ROOT}test/e2e/fixtures/doubling-consumer.ts`, url, objectStore, '3'])),
  );
  const producer = new ProducerClient(url, objectStore);
  stack.defer(() => producer.close());

  const finished = await producer.insertSubmission(numbersOf(0), { chunkSize: CHUNK_SIZE });
  for await (const _ of producer.submission(finished).results()) {
    // Only its end matters: the queue has said that it is completed.
  }
  const cancelled = await producer.insertSubmission(numbersOf(90), { chunkSize: CHUNK_SIZE });
  await producer.submission(cancelled).cancel();

  const accepted: string[] = [];
  let interrupted = 0;
  for (let round = 1; round <= 3; round++) {
    const at = consumers.map((consumer) => consumer.linesPrinted);
    for (const submission of [2 * round - 1, 2 * round]) {
      accepted.push(await producer.insertSubmission(numbersOf(submission), { chunkSize: CHUNK_SIZE }));
    }
    // One of them may still be in its back-off while the other does all the work.
    await Promise.any(consumers.map((consumer, i) => consumer.line(/^working on/, at[i])));
    await queue.kill('SIGKILL');
    queue = await start();
    assert.equal((await producer.submission(finished).details())?.state, 'completed');
    assert.equal((await producer.submission(cancelled).details())?.state, 'cancelled');
    for (const id of accepted) {
      const status = await producer.submission(id).details();
      assert.notEqual(status, null);
      if (status?.state === 'in_progress') interrupted++;
    }
  }
  assert.ok(interrupted > 0, 'no kill came in the middle of work');

  for (const [i, id] of accepted.entries()) {
    const results: unknown[] = [];
    for await (const result of producer.submission(id).results()) results.push(result);
    assert.deepEqual(
      results,
      numbersOf(i + 1).map((number) => number * 2),
    );
  }
  for (const consumer of consumers)
    assert.deepEqual(await consumer.kill('SIGTERM'), { code: 0, signal: null });
  assert.deepEqual(await queue.kill('SIGTERM'), { code: 0, signal: null });
});
