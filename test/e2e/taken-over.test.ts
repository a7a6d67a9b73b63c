import assert from 'node:assert/strict';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { ConsumerClient } from '../../src/consumer/index.ts';
import { ProducerClient } from '../../src/producer/index.ts';
import { cborChunkCodec } from '../../src/protocol/chunk/codec.ts';
import { freePort } from '../support/network/free-port.ts';
import { storeFolder } from '../support/objects/store-folder.ts';
import { startQueue } from '../support/processes.ts';
import { copyReferenceDatabase, referenceStatuses } from '../support/store/reference-database.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const statuses = referenceStatuses();
const encode = cborChunkCodec().encode;

function recordOf(name: string) {
  const status = statuses.get(name);
  assert(status, name);
  return status.record;
}

/** As the original's clients have left them in the object store. */
async function writeChunks(
  folder: string,
  name: string,
  kind: 'in' | 'out',
  indexes: readonly number[],
): Promise<void> {
  const { prefix } = recordOf(name);
  await mkdir(`${folder}/${prefix}`, { recursive: true });
  for (const index of indexes) {
    const numbers = kind === 'in' ? [index, index + 0.5] : [index * 2, index * 2 + 1];
    await writeFile(`${folder}/${prefix}/${index}-${kind}.bin`, encode(numbers));
  }
}

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

test('a queue that is started on the file of the original goes on where that one stopped', async () => {
  await using folder = await temporaryFolder();
  await using stack = new AsyncDisposableStack();
  const objectStore = pathToFileURL(`${folder.path}/chunks/`).href;
  const chunks = storeFolder(objectStore);
  await writeChunks(chunks, 'completed', 'out', upTo(3));
  await writeChunks(chunks, 'in progress', 'in', upTo(12));
  // The fixture holds these as done.
  await writeChunks(chunks, 'in progress', 'out', [0, 8, 11]);
  const filename = `${folder.path}/opsqueue.db`;
  copyReferenceDatabase(filename);
  // What the fixture holds as ended was so long ago.
  const port = String(await freePort());
  const flags = ['--port', port, '--database-filename', filename, '--max-submission-age', '100000 days'];
  const start = async (env = {}) => stack.use((await startQueue(flags, { env })).queue);
  let queue = await start({ OPSQUEUE_LOG: 'info' });
  assert.match(
    queue.output('stderr'),
    /took over the database of the original opsqueue in [^ ]*opsqueue\.db: 9 submissions in progress/,
  );

  const url = `localhost:${port}`;
  const producer = stack.use(new ProducerClient(url, objectStore));
  for (const [name, { state, record }] of statuses) {
    assert.equal((await producer.submission(record.id).details())?.state, state, name);
  }
  const failed = await producer.submission(recordOf('failed').id).details();
  assert(failed?.state === 'failed');
  assert.match(failed.failedChunk.failure, /ValueError: 7$/);
  assert.equal(
    (await producer.submissionByPrefix(recordOf('equal prefix 1').prefix ?? ''))?.id,
    String(recordOf('equal prefix 1').id),
  );
  const results: unknown[] = [];
  for await (const result of producer.submission(recordOf('completed').id).results()) results.push(result);
  assert.deepEqual(results, upTo(6));

  const unfinished = recordOf('in progress').id;
  for (const [name, { state, record }] of statuses) {
    // There is nothing in the object store for the others, and prefixes such as ../evil are no folders for a consumer.
    if (state === 'in_progress' && name !== 'in progress') await producer.submission(record.id).cancel();
  }
  const worked: number[] = [];
  const consumer = stack.use(new ConsumerClient(url, objectStore));
  const working = consumer.runEachChunk((numbers: readonly number[]) => {
    worked.push(numbers[0] ?? -1);
    return numbers.map((number) => number * 2);
  });
  const all: unknown[] = [];
  await producer.submission(unfinished).done();
  for await (const result of producer.submission(unfinished).results()) all.push(result);
  assert.deepEqual(all, upTo(24));
  assert.deepEqual(
    worked.toSorted((a, b) => a - b),
    upTo(12).filter((index) => ![0, 8, 11].includes(index)),
  );

  const later = await producer.insertSubmission([1, 2, 3], { chunkSize: 2 });
  assert(BigInt(later) > recordOf('extreme metadata').id);
  assert.equal((await producer.submission(later).done()).state, 'completed');
  await consumer.stop();
  await working;
  assert.deepEqual(await queue.kill('SIGTERM'), { code: 0, signal: null });

  queue = await start();
  assert.doesNotMatch(queue.output('stderr'), /took over/);
  assert.equal((await producer.submission(unfinished).details())?.state, 'completed');
  const copies = (await readdir(folder.path)).filter((file) => file.includes('reference-backup'));
  assert.equal(copies.length, 1);
});
