/** What clients and commands say of submissions that have ended: right, or unknown. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ProducerClient, type Progress } from '../../src/producer/index.ts';
import { runCommand } from '../support/command.ts';
import { FakeQueue } from '../support/fakes/fake-queue-http.ts';
import { TestServer } from '../support/queues/test-server.ts';

const numbers = (count: number) => Array.from({ length: count }, (_, at) => at);
const lastLines = (text: string): readonly Record<string, unknown>[] =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

async function finalProgress(producer: ProducerClient, id: string): Promise<Progress | undefined> {
  return (await Array.fromAsync(producer.submission(id).progress())).at(-1);
}

async function waitFor(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise(setImmediate);
}

test('a cancelled submission has its chunk size, and counts its operations by it', async () => {
  await using queue = await TestServer.start();
  const consumer = await queue.consumer();
  await using producer = new ProducerClient(`localhost:${queue.port}`, null);
  const id = await producer.insertSubmission(numbers(500), { in: 'queue', chunkSize: 10 });
  for (const { chunk } of await consumer.reserved(14)) consumer.complete(chunk, Uint8Array.of(0x80));
  await waitFor(async () => {
    const status = await producer.submission(id).details();
    return status?.state === 'in_progress' && status.chunksDone === 14;
  });
  await producer.submission(id).cancel();
  const status = await producer.submission(id).details();
  assert.equal(status?.state, 'cancelled');
  assert.equal(status.chunkSize, 10);
  const progress = await finalProgress(producer, id);
  assert.deepEqual([progress?.chunksDone, progress?.opsDone, progress?.msLeft], [14, 140, null]);
  await assert.rejects(
    producer.submission(id).cancel(),
    (error: { submission?: typeof status }) => error.submission?.chunkSize === 10,
  );
  const ask = (...args: readonly string[]) =>
    runCommand([...args, String(id), '--url', `localhost:${queue.port}`]);
  assert.match((await ask('status')).stdout, /^ {2}chunk size {10}10 operations$/m);
  const [told, last] = lastLines((await ask('watch', '--json')).stdout);
  assert.deepEqual([told?.operations_done, told?.ms_left, last?.chunk_size], [140, null, 10]);
});

test('where a queue does not tell the chunk size it is unknown, in every state', async () => {
  await using queue = await FakeQueue.start({ features: [] });
  await using producer = new ProducerClient(queue.url, null);
  const insert = () => producer.insertSubmission(numbers(40), { in: 'queue', chunkSize: 10 });
  const [running, completed, cancelled, failed] = [
    await insert(),
    await insert(),
    await insert(),
    await insert(),
  ];
  const at = (id: string) => queue.submissions.get(BigInt(id))!;
  for (let chunk = 0; chunk < 4; chunk++) queue.complete(at(completed), chunk);
  await producer.submission(cancelled).cancel();
  queue.fail(at(failed), 0, 'it broke');
  const sizeOf = async (id: string) => (await producer.submission(id).details())?.chunkSize;
  assert.equal(await sizeOf(running), 10);
  for (const id of [completed, cancelled, failed]) {
    assert.equal(await sizeOf(id), null);
    const { opsDone, perSecond } = (await finalProgress(producer, id))!;
    assert.deepEqual([opsDone, perSecond], [null, null]);
  }
  const ask = (...args: readonly string[]) => runCommand([...args, '--url', queue.url]);
  assert.match((await ask('status', String(cancelled))).stdout, /^ {2}chunk size {10}unknown$/m);
  const [told, last] = lastLines((await ask('watch', '--json', String(completed))).stdout);
  assert.deepEqual([told?.operations_done, told?.ms_left, last?.chunk_size], [null, 0, null]);
});

test('a progress that began while the chunk size was known goes on with it', async () => {
  await using queue = await FakeQueue.start({ features: [] });
  await using producer = new ProducerClient(queue.url, null);
  const id = await producer.insertSubmission(numbers(40), { in: 'queue', chunkSize: 10 });
  const progress = producer.submission(id).progress();
  await progress.next();
  for (let chunk = 0; chunk < 4; chunk++) queue.complete(queue.only(), chunk);
  assert.equal((await Array.fromAsync(progress)).at(-1)?.opsDone, 40);
});

test('an old client is told of a cancelled submission what the original tells', async () => {
  await using queue = await TestServer.start();
  await using producer = new ProducerClient(`localhost:${queue.port}`, null);
  const id = await producer.insertSubmission([1], { in: 'queue', chunkSize: 1 });
  await producer.submission(id).cancel();
  const old = JSON.parse((await queue.get(`/producer/submissions/${id}`)).body.toString()) as {
    Cancelled: object;
  };
  assert.deepEqual(Object.keys(old.Cancelled), [
    'id',
    'prefix',
    'chunks_total',
    'chunks_done',
    'metadata',
    'strategic_metadata',
    'cancelled_at',
  ]);
});

test('a failure cannot steer the terminal that it is shown on', async () => {
  await using queue = await TestServer.start({ chunkRetriesMax: 1 });
  const consumer = await queue.consumer();
  await using producer = new ProducerClient(`localhost:${queue.port}`, null);
  const id = await producer.insertSubmission([1], { in: 'queue', chunkSize: 1 });
  const [reserved] = await consumer.reserved(1);
  consumer.fail(reserved!.chunk, 'Error: \x1b[2Jgone\n\tat line\u009b1');
  await waitFor(async () => (await producer.submission(id).details())?.state === 'failed');
  const { stdout } = await runCommand(['status', String(id), '--url', `localhost:${queue.port}`]);
  assert.match(stdout, /failure {13}Error: \\x1b\[2Jgone\n {22}\tat line\\x9b1\n$/);
});
